import type { MessageInitShape } from "@bufbuild/protobuf";
import { fromBinary } from "@bufbuild/protobuf";
import { type ConditionSchema, RecordSchema } from "@leat/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parsePipelines } from "../../server/config/pipelines-file.ts";
import type { DeadLetterDraft } from "../../server/store/dead-letter-store.ts";
import { pipelineTarget, shapeOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;
const letters: DeadLetterDraft[] = [];

/** The record says itself whether it is run. */
const marked: MessageInitShape<typeof ConditionSchema> = {
  condition: { case: "header", value: { name: "run", match: { case: "equals", value: "yes" } } },
};

beforeAll(async () => {
  kit = await startTestServer({
    spans: true,
    limits: { maxRecordExecutionMs: 100, maxWorkerStops: 0 },
    modules: { program: "program", marked: "marked", breaks: "program" },
    pipelines: {
      picky: ["program", { module: "program", when: marked }, "program"],
      slow: [{ module: "marked", when: marked }],
      letters: [
        {
          name: "keeps",
          module: "program",
          when: marked,
          onFailure: 4,
          retry: { attempts: 2, initialBackoffMs: 1 },
        },
      ],
      later: ["program", { name: "keeps", module: "program", when: marked, onFailure: 4 }],
      breaking: [
        { module: "breaks", when: marked, breaker: { faults: 1, window: 1, openMs: 3_600_000, probes: 1 } },
      ],
    },
    deadLetters: { write: async (written) => void letters.push(...written) },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** Runs values; those with a `!` before them have the header that the stage asks for. */
async function run(pipeline: string, ...values: string[]) {
  const records = values.map((value) => ({
    value: Buffer.from(value.replace("!", "")),
    headers: value.startsWith("!") ? [{ key: "run", value: Buffer.from("yes") }] : [],
  }));
  const result = await kit.raw.transform({ target: pipelineTarget(pipeline), batch: { records } });
  return shapeOf(result, values.length);
}

test("a stage with a condition runs the records that match, and the others pass it by at their places", async () => {
  expect(await run("picky", "abc", "!def", "x", "!mxg", "ghi", "!m2uvw")).toEqual({
    values: ["c", "", "i", "vw", "w"],
    fanout: [1, 1, 0, 0, 1, 2],
    failures: ["2 refused@s1", "3 refused@s2"],
  });
});

test("figures and spans tell how many records passed a stage by", async () => {
  const skippedBefore = (await kit.pipelineMetrics("picky")).stages[1]?.recordsSkipped ?? 0n;
  kit.spans.reset();
  await run("picky", "aaa", "!bbb", "ccc");
  await run("picky", "aaa", "bbb");
  const { stages } = await kit.pipelineMetrics("picky");
  expect((stages[1]?.recordsSkipped ?? 0n) - skippedBefore).toBe(4n);
  expect(stages[0]?.recordsSkipped).toBe(0n);
  const skipped = kit.spans.spans
    .filter(({ name }) => name === "leat.stage s2")
    .map(({ attributes }) => [attributes["leat.records.in"], attributes["leat.records.skipped"]]);
  expect(skipped).toEqual([
    [1, 2],
    [0, 2],
  ]);
  expect(stages[1]?.execute?.count).toBe((stages[0]?.execute?.count ?? 0n) - 1n);
});

test("a record that runs too long in a stage with a condition fails alone, and by its own place", async () => {
  expect(await run("slow", "a", "!b", "c", "!!", "!d")).toEqual({
    values: ["a", "b", "c", "d"],
    fanout: [1, 1, 1, 0, 1],
    failures: ["3 timeout@marked"],
  });
});

test("a record that a stage with a condition fails is tried again and kept, with the right input", async () => {
  expect((await run("letters", "a", "!x", "b", "!mc", "!y")).failures).toEqual([
    "1 refused@keeps",
    "4 later@keeps",
  ]);
  expect((await run("later", "ma", "!mx", "mb")).failures).toEqual(["1 refused@keeps"]);
  const text = (bytes: Uint8Array | undefined) =>
    bytes && Buffer.from(fromBinary(RecordSchema, bytes).value ?? []).toString();
  expect(
    letters.map(({ index, attempts, record, stageInput }) => [
      index,
      attempts,
      text(record),
      text(stageInput),
    ]),
  ).toEqual([
    [1, 1, "x", undefined],
    [4, 2, "y", undefined],
    [1, 1, "mx", "x"],
  ]);
});

test("while a breaker is open, only records that the stage would run fail", async () => {
  expect((await run("breaking", "!t")).failures).toEqual(["0 trap@breaks"]);
  expect(await run("breaking", "a", "!b", "c")).toEqual({
    values: ["a", "c"],
    fanout: [1, 0, 1],
    failures: ["1 breaker_open@breaks"],
  });
  expect(await run("breaking", "a")).toMatchObject({ failures: [] });
});

test("a file and a call say the same", async () => {
  const [pipeline] = parsePipelines(
    "name: picky\nstages:\n  - { name: s1, module: program, breaker: { disabled: true } }\n  - { name: s2, module: program, breaker: { disabled: true }, when: { header: run, equals: yes } }\n  - { name: s3, module: program, breaker: { disabled: true } }\n",
    "file",
  );
  if (pipeline === undefined) throw new Error("no pipeline");
  expect(await kit.leat.pipelines.putPipeline({ pipeline })).toMatchObject({ unchanged: true });
});
