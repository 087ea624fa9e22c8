import { describe, expect, test } from "vitest";
import { type LocalPipeline, type LocalStage, localPipeline } from "../../test/kit/local-pipeline.ts";
import { batchOf, failuresOf, shapeOf } from "../../test/kit/records.ts";
import type { ConditionSpec } from "../bridge/pipeline-spec.ts";
import { collectGarbage } from "../thread/collect.ts";

/** The memory that outputs lie in when they are used, one a batch. */
function watchMemory({ runner }: LocalPipeline): WeakRef<ArrayBufferLike>[] {
  const seen: WeakRef<ArrayBufferLike>[] = [];
  const { release } = runner;
  runner.release = () => {
    seen.push(new WeakRef(runner.bytes.buffer));
    release.call(runner);
  };
  return seen;
}

/** What the collector has left of them. References are let go at the end of a turn at the earliest. */
async function kept(memory: readonly WeakRef<ArrayBufferLike>[]): Promise<boolean[]> {
  await new Promise(setImmediate);
  collectGarbage();
  return memory.map((each) => each.deref() !== undefined);
}

const sometimes: ConditionSpec = { t: "key", match: { t: "exists" } };

describe("a batch leaves nothing behind in its worker", () => {
  test("of an instance that broke", async () => {
    const pipeline = await localPipeline([{ source: "program" }]);
    const memory = watchMemory(pipeline);
    pipeline.run(batchOf("ma"));
    expect(await kept(memory)).toEqual([true]);
    // The instance of before traps; all records fail, so that no other is made.
    pipeline.run(batchOf("t"));
    expect((await kept(memory))[0]).toBe(false);
  });

  test("of an instance that gave way to another's", async () => {
    const stages: LocalStage[] = [{ source: "program" }, { source: "marked" }];
    const pipeline = await localPipeline(stages, { maxInstancesPerWorker: 1 });
    const [first] = pipeline.runner.stages;
    const memory: WeakRef<ArrayBufferLike>[] = [];
    const evict = first?.evict;
    if (first === undefined || evict === undefined) throw new Error("no stage");
    first.evict = () => {
      memory.push(new WeakRef(first.output.bytes.buffer));
      evict.call(first);
    };
    pipeline.run(batchOf("ma"));
    expect(await kept(memory)).toEqual([false]);
  });

  const settings = {
    "that ran through": {},
    "whose failures go on": { onFailure: "pass" },
    "whose failures are kept": { onFailure: "dead_letter" },
    "of which some passed the stage by": { when: sometimes },
  } as const;
  test.each(Object.entries(settings))("%s", async (_, stage) => {
    const pipeline = await localPipeline([{ source: "program", ...stage }]);
    const batch = batchOf("ma", "x", "t", "mb");
    Object.assign(batch.records[0] ?? {}, { key: Buffer.from("k") });
    for (const values of [batch, batchOf("x".repeat(500_000), "ma")]) {
      pipeline.run(values);
      const { runner } = pipeline;
      const [{ output, lastFault } = { output: undefined, lastFault: undefined }] = runner.stages;
      expect([runner.bytes.length, output?.bytes.length]).toEqual([0, 0]);
      expect([output?.failed, output?.failures, lastFault]).toEqual([[], [], undefined]);
      const { failures, failureCounts, samples, matters } = runner;
      expect([failures, failureCounts, samples, matters]).toEqual([[], [], [], []]);
    }
  });

  test("even where traces are told of no failure", async () => {
    const pipeline = await localPipeline([{ source: "program", onFailure: "dead_letter" }], {
      maxFailureEventsPerTrace: 0,
    });
    const first = pipeline.run(batchOf("x", "t"));
    expect(first.results.map(failuresOf)).toEqual([["0 refused@s1", "1 trap@s1"]]);
    expect(first.messages).toMatchObject([{ type: "report", matters: [{ index: 0 }, { index: 1 }] }]);
    const [second] = pipeline.run(batchOf("ma")).results;
    expect(second && shapeOf(second, 1)).toEqual({ values: ["a"], fanout: [1], failures: [] });
  });
});
