import { describe, expect, test } from "vitest";
import { localPipeline } from "../../test/kit/local-pipeline.ts";
import { markedNaming } from "../../test/kit/modules.ts";
import { batchOf, shapeOf } from "../../test/kit/records.ts";
import { ExclusionCode, Slot, unknownRecord, wholeStage } from "../bridge/layout.ts";

function only<Item>(items: readonly Item[]): Item {
  const [item] = items;
  if (item === undefined || items.length > 1) throw new Error(`${items.length} items`);
  return item;
}

describe("records that the main thread says must not run", () => {
  test("fail with its code, at their stage, and the others run", async () => {
    const pipeline = await localPipeline([{ source: "program" }, { source: "program" }]);
    const run = pipeline.run(batchOf("mma", "2mbc", "mmd"), [
      { stage: 1, record: 2, code: ExclusionCode.timeout },
      { stage: 0, record: 2, code: ExclusionCode.workerLost },
    ]);
    // The third input never leaves the first stage; the second gives `mbc` and `bc`, of which the latter may not run.
    expect(shapeOf(only(run.results), 3)).toEqual({
      values: ["a", "bc"],
      fanout: [1, 1, 0],
      failures: ["1 timeout@s2", "2 worker_lost@s1"],
    });
  });

  test("are all of a stage's where it is given up", async () => {
    const pipeline = await localPipeline([{ source: "program" }, { source: "program" }]);
    const run = pipeline.run(batchOf("mma", "mmb"), [
      { stage: 1, record: wholeStage, code: ExclusionCode.timeout },
    ]);
    expect(shapeOf(only(run.results), 2)).toEqual({
      values: [],
      fanout: [0, 0],
      failures: ["0 timeout@s2", "1 timeout@s2"],
    });
    expect(run.instances[1]).toBe(0);
  });

  test("that are not in the batch change nothing", async () => {
    const pipeline = await localPipeline([{ source: "program" }]);
    const run = pipeline.run(batchOf("ma", "mb"), [{ stage: 0, record: 7, code: ExclusionCode.timeout }]);
    expect(shapeOf(only(run.results), 2)).toEqual({ values: ["a", "b"], fanout: [1, 1], failures: [] });
  });

  test("leave the figures of a stage without faults when nothing faults", async () => {
    const pipeline = await localPipeline([{ source: "program" }]);
    const run = pipeline.run(batchOf("ma", "mb"), [
      { stage: 0, record: unknownRecord, code: ExclusionCode.timeout },
    ]);
    expect(shapeOf(only(run.results), 2).values).toEqual(["a", "b"]);
    expect([run.instances, run.faults]).toEqual([[1], [0]]);
  });
});

describe("what isolation costs", () => {
  const batch = (poison: readonly number[], length: number) =>
    batchOf(...Array.from({ length }, (_, index) => (poison.includes(index) ? "%" : `r${index}`)));

  test.each([
    { named: true, poison: [5], faults: 1 },
    { named: true, poison: [5, 50], faults: 2 },
    { named: true, poison: [5, 50, 95], faults: 3 },
    { named: true, poison: [1, 2, 3, 4, 5, 6], faults: 6 },
    // The whole, and each half down to the one: 100, 50, 25, 13, 7, 4, 2, 1.
    { named: false, poison: [5], faults: 8 },
  ])(
    "of $poison.length poison records, named: $named, is $faults faults",
    async ({ named, poison, faults }) => {
      const pipeline = await localPipeline([{ source: named ? "marked" : await markedNaming("silent") }]);
      const run = pipeline.run(batch(poison, 100));
      expect(only(run.results).failures.map(({ index }) => index)).toEqual(poison);
      expect(only(run.faults)).toBeLessThanOrEqual(faults);
      expect(only(run.instances)).toBeLessThanOrEqual(faults + 1);
    },
  );

  test("of a module that cannot be started is one try", async () => {
    const pipeline = await localPipeline([{ source: "init", configJson: '"t"' }]);
    const run = pipeline.run(batch([], 100));
    expect(only(run.results).failures).toHaveLength(100);
    expect(only(run.results).failures[0]).toMatchObject({
      code: "init_failed",
      message: expect.stringContaining("unreachable"),
    });
    expect(run.instances).toEqual([1]);
  });
});

test("a batch that was cancelled runs no further record", async () => {
  const pipeline = await localPipeline([{ source: await markedNaming("silent") }]);
  const { memory, runner } = pipeline;
  const [stage] = runner.stages;
  if (stage === undefined) throw new Error("no stage");
  const { callSome } = stage;
  let calls = 0;
  stage.callSome = (...args) => {
    if (++calls === 10) memory.words[memory.slot(0) + Slot.cancelled] = 1;
    callSome.apply(stage, args);
  };
  const run = pipeline.run(batchOf("%", "%", "%", "%", ..."abcdefghijklmnopqrstuvwxyz"));
  expect(run.outcome).toBe("cancelled");
  expect(calls).toBe(10);
});

test("faults at one stage leave the records of another alone", async () => {
  const pipeline = await localPipeline([{ source: "program" }, { source: "marked" }, { source: "program" }]);
  const run = pipeline.run(batchOf("mma", "t", "2mb%", "m%", "mt"));
  // The second stage traps on `%`, which came of the fourth input; `mb%` and `b%` are harmless there.
  expect(shapeOf(only(run.results), 5)).toEqual({
    values: ["a", "b%", "%"],
    fanout: [1, 0, 2, 0, 0],
    failures: ["1 trap@s1", "3 trap@s2", "4 trap@s3"],
  });
});
