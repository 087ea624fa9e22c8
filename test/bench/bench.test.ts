import { createHash } from "node:crypto";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, StreamTransformRequestSchema } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { parseBenchArguments, UsageError } from "./arguments.ts";
import { corpus } from "./corpus.ts";
import { summarizeProfile } from "./cpu-profile.ts";
import { makeBatch, makeBatchBytes, uppercased } from "./fixtures.ts";
import { afterSequence, BatchRequests } from "./load/stream-messages.ts";
import { median, summarize } from "./statistics.ts";

describe("fixtures", () => {
  test("a batch has the same bytes on every machine", () => {
    const digest = createHash("sha256").update(makeBatchBytes()).digest("hex");
    expect(digest.slice(0, 16)).toBe("0eb7a1a5b8fcc2c4");
    expect(makeBatchBytes()).toHaveLength(27_900);
  });

  test("upper case touches ASCII letters and nothing else", () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const expected = Buffer.from(
      Buffer.from(bytes)
        .toString("latin1")
        .replaceAll(/[a-z]/g, (c) => c.toUpperCase()),
      "latin1",
    );
    expect(Buffer.from(uppercased(bytes))).toEqual(expected);
  });
});

describe("stream requests", () => {
  test("each carries its own sequence and the whole batch, round after round of the ring", () => {
    const requests = new BatchRequests(2);
    for (let n = 1; n <= 9; n++) {
      const { message } = fromBinary(StreamTransformRequestSchema, requests.nth(n));
      if (message.case !== "batch") throw new Error(`a request with ${message.case}`);
      expect(message.value.sequence).toBe(BigInt(afterSequence + n));
      expect(toBinary(RecordBatchSchema, message.value.batch ?? makeBatch(0))).toEqual(makeBatchBytes());
    }
  });
});

describe("corpus", () => {
  test("every case is named after its group and uses only its group's runs, and every run is used", () => {
    for (const group of corpus) {
      const runs = group.runs.map(({ name }) => name);
      expect(new Set(runs).size).toBe(runs.length);
      expect(new Set(group.cases.flatMap((one) => one.runs))).toEqual(new Set(runs));
      for (const { name } of group.cases) expect(name.split("/")[0]).toBe(group.name);
    }
  });
});

describe("arguments", () => {
  test("a case brings only the runs that it needs", () => {
    const options = parseBenchArguments(["--case", "stream/connect"]);
    if (options === "help") throw new Error("unexpected");
    expect(options.groups.map(({ name }) => name)).toEqual(["stream"]);
    expect(options.groups[0]?.runs.map(({ name }) => name)).toEqual(["stream:leat", "stream:connect"]);
  });

  test.each([
    [["--case", "nothing"], /--case is 'nothing'; it must be one of stream, /],
    [["--rounds", "0"], /--rounds is '0'; it must be a whole number above 0/],
    [["--rounds", "1.5"], /--rounds is '1.5'/],
    [["--seconds", "soon"], /--seconds is 'soon'; it must be a number above 0/],
    [["--fast"], /Unknown option '--fast'/],
  ])("%j is refused with what is allowed", (args, message) => {
    expect(() => parseBenchArguments(args)).toThrow(UsageError);
    expect(() => parseBenchArguments(args)).toThrow(message);
  });
});

describe("statistics", () => {
  test("the median is the middle value, or the mean of the two in the middle", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(summarize([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(() => median([])).toThrow("no values");
  });
});

describe("profile", () => {
  test("own time is summed by function, idling is told apart, and paths are relative", () => {
    const node = (id: number, functionName: string, url = "") => ({
      id,
      callFrame: { functionName, url, lineNumber: 9 },
    });
    const profile = {
      nodes: [
        node(1, "(idle)"),
        node(2, "run", "file:///repo/server/a.ts"),
        node(3, "run", "file:///repo/server/a.ts"),
      ],
      samples: [1, 2, 3, 2],
      timeDeltas: [0, 5_000, 2_000, 3_000],
    };
    expect(summarizeProfile(JSON.stringify(profile), true, new URL("file:///repo/"))).toEqual({
      totalMs: 10,
      idleMs: 5,
      main: true,
      functions: [{ what: "run server/a.ts:10", selfMs: 5 }],
    });
  });
});
