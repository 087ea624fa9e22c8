import { toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { type LocalPipeline, type LocalStage, localPipeline } from "../../test/kit/local-pipeline.ts";
import { batchOf, failuresOf, shapeOf } from "../../test/kit/records.ts";

const passing: LocalStage = { source: "program", onFailure: "pass" };

function run(pipeline: LocalPipeline, ...values: string[]) {
  const [result] = pipeline.run(batchOf(...values)).results;
  if (result === undefined) throw new Error("no result");
  return { ...shapeOf(result, values.length), messages: result.failures.map(({ message }) => message) };
}

describe("what failed and goes on as it came in keeps the bounds of one result", () => {
  test("in records: what no longer fits fails for the caller", async () => {
    const pipeline = await localPipeline([passing], { maxResultRecords: 5 });
    const limit = "6 records would go on, the limit maxResultRecords is 5";
    expect(run(pipeline, "4", "x", "t", "y")).toEqual({
      values: ["", "", "", "", "x"],
      fanout: [4, 1, 0, 0],
      failures: ["2 output_too_large@s1", "3 output_too_large@s1"],
      messages: [
        `failed with trap, and there is no room to pass it on: ${limit}`,
        `failed with later, and there is no room to pass it on: ${limit}`,
      ],
    });
  });

  test("in bytes, and a smaller one behind it still goes on", async () => {
    const pipeline = await localPipeline([passing], { maxResultBytes: 1_000 });
    const done = run(pipeline, `m${"a".repeat(500)}`, `x${"b".repeat(500)}`, "x");
    expect(done).toMatchObject({ fanout: [1, 0, 1], failures: ["1 output_too_large@s1"] });
    expect(done.messages[0]).toMatch(/: \d+ bytes would go on, the limit maxResultBytes is 1000$/);
  });

  test("together with what passes the stage by", async () => {
    const when = { t: "key", match: { t: "exists" } } as const;
    const pipeline = await localPipeline([{ ...passing, when }], { maxResultRecords: 4 });
    const batch = batchOf("b", "2", "xq", "b");
    for (const at of [1, 2]) Object.assign(batch.records[at] ?? {}, { key: Buffer.from("k") });
    const [result] = pipeline.run(batch).results;
    expect(result && shapeOf(result, 4)).toEqual({
      values: ["b", "", "", "b"],
      fanout: [1, 2, 0, 1],
      failures: ["2 output_too_large@s1"],
    });
  });

  test("for each of the calls that share a crossing: they run apart", async () => {
    const pipeline = await localPipeline([passing], { maxResultRecords: 5 });
    const batches = [batchOf("4"), batchOf("x", "x")].map((batch) => toBinary(RecordBatchSchema, batch));
    expect(pipeline.runTogether(batches).outcome).toBe("apart");
    expect(run(pipeline, "x", "x")).toMatchObject({ values: ["x", "x"], failures: [] });
  });
});

test("an answer has a bounded number of failures, and tells of each", async () => {
  // Each stage makes eight records of the one that is left, of which the next fails seven.
  const stages = Array.from({ length: 6 }, (): LocalStage => ({ source: "program" }));
  const pipeline = await localPipeline(stages, { maxResultRecords: 10 });
  const [result] = pipeline.run(batchOf("8xxxxxxx".repeat(7))).results;
  // A third stage that made eight of one would have 22 records and failures.
  expect(result && failuresOf(result)).toEqual([
    ...new Array(7).fill("0 refused@s2"),
    ...new Array(7).fill("0 refused@s3"),
    "0 output_too_large@s3",
  ]);
  expect(result?.failures.at(-1)?.message).toContain(
    "7 records more of the batch, which has room for 5: records and failures may be twice maxResultRecords together, which is 10",
  );
});

test("an input of which several records are to be tried again is named once at a stage", async () => {
  const retry = { attempts: 2, initialBackoffMs: 0, maxBackoffMs: 0, factor: 1, jitter: 0, faults: false };
  const pipeline = await localPipeline([{ source: "program" }, { source: "program", retry }]);
  const { messages } = pipeline.run(batchOf("3yyyy", "mma", "2yyy"));
  expect(messages).toMatchObject([
    {
      type: "report",
      matters: [
        { index: 0, stage: 1, retry: true },
        { index: 2, stage: 1, retry: true },
      ],
    },
  ]);
});
