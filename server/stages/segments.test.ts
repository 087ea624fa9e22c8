import { create, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { localPipeline } from "../../test/kit/local-pipeline.ts";
import { batchOf, shapeOf } from "../../test/kit/records.ts";
import { outputHeadroomBytes, SegmentWord, Slot } from "../bridge/layout.ts";

function encoded(...values: string[]): Uint8Array {
  return toBinary(RecordBatchSchema, batchOf(...values));
}

describe("calls that share a slot", () => {
  test("get their own records, failures and numbers back", async () => {
    const pipeline = await localPipeline([{ source: "program" }, { source: "program" }]);
    const run = pipeline.runTogether([
      encoded("mma", "mx"),
      encoded(),
      encoded("3mcd", "t", "mme"),
      encoded("0"),
      encoded("mmf"),
    ]);
    expect(run.results.map((result, index) => shapeOf(result, [2, 0, 3, 1, 1][index] ?? 0))).toEqual([
      { values: ["a"], fanout: [1, 0], failures: ["1 refused@s2"] },
      { values: [], fanout: [], failures: [] },
      { values: ["cd", "d", "", "e"], fanout: [3, 0, 1], failures: ["1 trap@s1"] },
      { values: [], fanout: [0], failures: [] },
      { values: ["f"], fanout: [1], failures: [] },
    ]);
  });

  test("are counted apart", async () => {
    const pipeline = await localPipeline([{ source: "program" }]);
    pipeline.runTogether([encoded("ma", "x"), encoded("3abc")]);
    const { memory } = pipeline;
    const counts = [0, 1].map((segment) => {
      const entry = memory.segment(0, segment);
      return [SegmentWord.recordsIn, SegmentWord.recordsOut, SegmentWord.recordsFailed].map(
        (word) => memory.words[entry + word],
      );
    });
    expect(counts).toEqual([
      [2, 1, 1],
      [1, 3, 0],
    ]);
    const base = memory.slot(0);
    expect(
      [Slot.recordsIn, Slot.recordsOut, Slot.recordsFailed].map((word) => memory.words[base + word]),
    ).toEqual([3, 4, 1]);
  });

  test("each have room before their result for the head of a response", async () => {
    const pipeline = await localPipeline([{ source: "program" }]);
    const { memory } = pipeline;
    memory.bytes.fill(0xee, memory.outputStart(0), memory.outputStart(0) + 10_000);
    pipeline.runTogether([encoded("ma"), encoded("mb"), encoded("mc")]);
    for (let segment = 0; segment < 3; segment++) {
      const start = memory.words[memory.segment(0, segment) + SegmentWord.outputStart] ?? 0;
      const room = memory.bytes.subarray(start - outputHeadroomBytes, start);
      expect(room.every((byte) => byte === 0xee)).toBe(true);
    }
  });

  test("have results beyond the slot moved, with the same room", async () => {
    const pipeline = await localPipeline([{ source: "program" }], {
      slotOutputBytes: 200,
      slotInputBytes: 65_536,
    });
    const long = "v".repeat(90);
    const run = pipeline.runTogether([encoded(`m${long}`), encoded("x", `2${long}`), encoded("mc")]);
    expect(run.results.map((result) => result.batch?.records.length)).toEqual([1, 2, 1]);
    expect(run.messages).toContainEqual(expect.objectContaining({ type: "output" }));
    expect(pipeline.memory.words[pipeline.memory.segment(0, 0) + SegmentWord.outputStart]).toBe(
      outputHeadroomBytes,
    );
  });
});

describe("what is no batch", () => {
  test("fails the slot as malformed and says why", async () => {
    const pipeline = await localPipeline([{ source: "program" }]);
    const run = pipeline.runTogether([Uint8Array.of(0x0a, 0x05)]);
    expect(run.outcome).toBe("malformed");
    expect(run.messages).toContainEqual(
      expect.objectContaining({ type: "report", problem: "length beyond the end" }),
    );
  });

  test("and too many records fail it as such, with their number", async () => {
    const pipeline = await localPipeline([{ source: "program" }], { maxBatchRecords: 10 });
    const run = pipeline.run(create(RecordBatchSchema, { records: new Array(11).fill({}) }));
    expect(run.outcome).toBe("tooManyRecords");
    expect(pipeline.memory.words[pipeline.memory.slot(0) + Slot.recordsIn]).toBe(11);
  });

  test("and the pipeline serves on", async () => {
    const pipeline = await localPipeline([{ source: "program" }]);
    pipeline.runTogether([Uint8Array.of(0xff)]);
    expect(pipeline.run(batchOf("ma")).outcome).toBe("result");
  });
});
