import { describe, expect, test } from "vitest";
import { localPipeline } from "../../test/kit/local-pipeline.ts";
import { batchOf, failuresOf, shapeOf, valuesOf } from "../../test/kit/records.ts";
import { guest } from "../../test/kit/wat.ts";
import { Control, Phase, Slot } from "../bridge/layout.ts";
import type { ConditionSpec } from "../bridge/pipeline-spec.ts";
import type { StageRunner } from "./stage-runner.ts";

describe("failures that are reported", () => {
  test("keep their messages up to the limit, and their codes beyond it", async () => {
    const pipeline = await localPipeline([{ source: "program" }], { maxFailureMessages: 3 });
    const [result] = pipeline.run(batchOf("x", "x", "x", "x", "t")).results;
    expect(result?.failures.map(({ code, message }) => [code, message])).toEqual([
      ["refused", "asked to"],
      ["refused", "asked to"],
      ["refused", "asked to"],
      ["refused", ""],
      ["trap", ""],
    ]);
  });

  test("come in the order of the inputs, whichever stage they failed in", async () => {
    const pipeline = await localPipeline([{ source: "program" }, { source: "program" }]);
    const [result] = pipeline.run(batchOf("mx", "x", "2yy", "y", "mt")).results;
    expect(result && failuresOf(result)).toEqual([
      "0 refused@s2",
      "1 refused@s1",
      "2 later@s2",
      "2 later@s2",
      "3 later@s1",
      "4 trap@s2",
    ]);
  });

  test("are described to the traces in a bounded number, and all are counted", async () => {
    const pipeline = await localPipeline([{ source: "program", onFailure: "drop" }]);
    const { messages } = pipeline.run(batchOf(...new Array<string>(200).fill("x"), "t"));
    const report = messages.find((message) => typeof message === "object" && message.type === "report");
    if (typeof report !== "object" || report.type !== "report") throw new Error("no report");
    expect(report.samples.length).toBeLessThanOrEqual(32);
    expect(report.failures).toEqual(
      expect.arrayContaining([
        { stage: 0, code: "refused", count: 200 },
        { stage: 0, code: "trap", count: 1 },
      ]),
    );
  });

  test("are counted, dealt with and forgotten where none is an event of a trace", async () => {
    const pipeline = await localPipeline([{ source: "program", onFailure: "dead_letter" }], {
      maxFailureEventsPerTrace: 0,
    });
    const first = pipeline.run(batchOf("x", "ma", "x"));
    expect(first.messages).toEqual([
      expect.objectContaining({
        failures: [{ stage: 0, code: "refused", count: 2 }],
        samples: [expect.objectContaining({ code: "refused" })],
        matters: [
          expect.objectContaining({ index: 0, letter: true }),
          expect.objectContaining({ index: 2, letter: true }),
        ],
      }),
    ]);
    const second = pipeline.run(batchOf("ma"));
    expect(second.messages).toEqual([]);
    expect(second.results.map((result) => shapeOf(result, 1))).toEqual([
      { values: ["a"], fanout: [1], failures: [] },
    ]);
  });

  test("cost no message where there are none", async () => {
    const pipeline = await localPipeline([{ source: "program" }]);
    expect(pipeline.run(batchOf("ma", "0", "2bc")).messages).toEqual([]);
  });
});

describe("a record that a stage fails", () => {
  test.each([
    ["fail", { values: ["a", "b"], fanout: [1, 0, 0, 1], failures: ["1 refused@s1", "2 trap@s1"] }],
    ["drop", { values: ["a", "b"], fanout: [1, 0, 0, 1], failures: [] }],
    ["pass", { values: ["a", "xq", "tq", "b"], fanout: [1, 1, 1, 1], failures: [] }],
  ] as const)("under the policy %s", async (onFailure, shape) => {
    const pipeline = await localPipeline([{ source: "program", onFailure }]);
    const [result] = pipeline.run(batchOf("ma", "xq", "tq", "mb")).results;
    expect(result && shapeOf(result, 4)).toEqual(shape);
  });

  test("goes on unchanged under `pass`, between the outputs of its neighbours", async () => {
    const pipeline = await localPipeline([{ source: "program", onFailure: "pass" }, { source: "program" }]);
    const [result] = pipeline.run(batchOf("2ab", "x1c", "0", "xx")).results;
    // The second stage finds `ab`, `b`, `x1c` and `xx`.
    expect(result && shapeOf(result, 4)).toEqual({
      values: ["b", ""],
      fanout: [2, 0, 0, 0],
      failures: ["1 refused@s2", "3 refused@s2"],
    });
  });
});

describe("the watchdog is told", () => {
  /** What the control words say whenever a result is read. */
  async function whileReading(...values: string[]) {
    const pipeline = await localPipeline([{ source: "program" }]);
    const { memory, runner } = pipeline;
    const [stage] = runner.stages;
    if (stage === undefined) throw new Error("no stage");
    const { checkBytes } = stage;
    const seen: (number | undefined)[][] = [];
    stage.checkBytes = (...args) => {
      seen.push([memory.words[Control.currentPhase], memory.words[Control.currentRecord]]);
      checkBytes.apply(stage, args);
    };
    pipeline.run(batchOf(...values));
    return { seen, after: memory.words[Control.currentPhase] };
  }

  test("that reading what a guest returned is in the guest's time", async () => {
    // The time is that of all records together, for any of them may have made it long.
    expect(await whileReading("ma", "mb")).toEqual({ seen: [[Phase.execute, -1]], after: Phase.idle });
    expect(await whileReading("ma")).toEqual({ seen: [[Phase.execute, 0]], after: Phase.idle });
  });

  test("that records are chosen and put together by the host, for the stage whose condition it is", async () => {
    const when: ConditionSpec = { t: "key", match: { t: "exists" } };
    const pipeline = await localPipeline([{ source: "program" }, { source: "program", when }]);
    const { memory, runner } = pipeline;
    const { selection } = (runner.stages[1] as StageRunner).context;
    const seen: (number | undefined)[][] = [];
    const look = () =>
      seen.push([memory.words[Control.currentPhase], memory.words[memory.slot(0) + Slot.stagesBegun]]);
    for (const act of ["select", "gather", "merge"] as const) {
      const original = selection[act] as (...args: unknown[]) => unknown;
      selection[act] = ((...args: unknown[]) => {
        look();
        return original.apply(selection, args);
      }) as never;
    }
    const batch = batchOf("ma", "mmb");
    Object.assign(batch.records[1] ?? {}, { key: Buffer.from("k") });
    expect(pipeline.run(batch).results.map(valuesOf)).toEqual([["a", "b"]]);
    expect(seen).toEqual([
      [Phase.host, 2],
      [Phase.host, 2],
      [Phase.host, 2],
    ]);
  });
});

describe("instances", () => {
  test("that have grown over half of their limit give their memory back", async () => {
    // Grows by 20 pages a call, from one; the limit is 64.
    const grows = guest("", "(drop (memory.grow (i32.const 20))) (i64.const 0)");
    const pipeline = await localPipeline([{ source: grows, memoryBytes: 64 * 65_536 }]);
    const made = Array.from({ length: 6 }, () => pipeline.run(batchOf()).instances[0]);
    // The second call of each instance takes it to 41 pages.
    expect(made).toEqual([1, 0, 1, 0, 1, 0]);
  });

  test("are dropped with their pipeline", async () => {
    const pipeline = await localPipeline([{ source: "marked" }, { source: "marked" }]);
    pipeline.run(batchOf("a"));
    expect(pipeline.runner.stages.map((stage) => stage.live)).toEqual([true, true]);
    pipeline.runner.discard();
    expect(pipeline.runner.stages.map((stage) => stage.live)).toEqual([false, false]);
    const [result] = pipeline.run(batchOf("+")).results;
    expect(result && valuesOf(result)).toEqual(["1"]);
  });
});
