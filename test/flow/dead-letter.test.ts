import { fromBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "@leat/sdk";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { DeadLetterDraft, DeadLetterSink } from "../../server/store/dead-letter-store.ts";
import { request, shapeOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

/** Keeps letters in an array, or refuses them. */
class Drawer implements DeadLetterSink {
  letters: DeadLetterDraft[] = [];
  broken = false;

  async write(letters: readonly DeadLetterDraft[]): Promise<void> {
    if (this.broken) throw new Error("the drawer is stuck");
    const known = new Set(this.letters.map(({ id }) => id));
    this.letters.push(...letters.filter(({ id }) => !known.has(id)));
  }
}

let kit: TestServer;
const drawer = new Drawer();

beforeAll(async () => {
  kit = await startTestServer({
    modules: { program: "program" },
    pipelines: {
      kept: [
        { module: "program", onFailure: 4, retry: { attempts: 2, initialBackoffMs: 1, maxBackoffMs: 1 } },
      ],
      second: ["program", { module: "program", onFailure: 4 }],
    },
    deadLetters: drawer,
  });
});

beforeEach(() => {
  drawer.letters = [];
  drawer.broken = false;
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

function recordValue(bytes: Uint8Array | undefined): string {
  return Buffer.from(fromBinary(RecordSchema, bytes ?? new Uint8Array()).value ?? []).toString();
}

test("a record that fails for good is kept, and its failure names the letter", async () => {
  const result = await kit.raw.transform(request("kept", "a1", "x", "y", "b2"));
  expect(shapeOf(result, 4).failures).toEqual(["1 refused@program", "2 later@program"]);
  expect(drawer.letters.map(({ id }) => id)).toEqual(result.failures.map(({ deadLetterId }) => deadLetterId));
  expect(drawer.letters).toMatchObject([
    { code: "refused", attempts: 1, index: 1, pipeline: "kept", stage: "program", module: "program" },
    { code: "later", attempts: 2, index: 2 },
  ]);
  expect(drawer.letters.map(({ record }) => recordValue(record))).toEqual(["x", "y"]);
  expect((await kit.pipelineMetrics("kept")).stages[0]?.deadLetters).toBeGreaterThanOrEqual(2n);
});

test("a letter keeps what the failing stage was given beside the record that came in", async () => {
  const result = await kit.raw.transform(request("second", "ax", "2bxcx"));
  expect(result.failures.map(({ deadLetterId }) => deadLetterId)).not.toContain("");
  expect(drawer.letters.map(({ record }) => recordValue(record))).toEqual(
    ["ax", "2bxcx", "2bxcx"].slice(0, drawer.letters.length),
  );
  expect(drawer.letters.map(({ stageInput }) => recordValue(stageInput))).toContain("x");
});

test("a record of a named stream has the same letter however often it is sent", async () => {
  async function* source() {
    yield [{ value: "a1" }, { value: "x" }];
  }
  for (let time = 0; time < 2; time++) {
    for await (const result of kit.leat.stream("kept", source(), { streamId: "orders" })) {
      expect(result.failures[0]?.deadLetterId).toBe(drawer.letters[0]?.id);
    }
  }
  expect(drawer.letters).toHaveLength(1);
  expect(drawer.letters[0]).toMatchObject({ streamId: "orders", sequence: 1, index: 1 });
});

test("where the letter cannot be kept, the record fails without one, and is not lost", async () => {
  drawer.broken = true;
  const result = await kit.raw.transform(request("kept", "a1", "x"));
  expect(shapeOf(result, 2)).toEqual({ values: ["1"], fanout: [1, 0], failures: ["1 refused@program"] });
  expect(result.failures[0]?.deadLetterId).toBe("");
  expect(kit.server.stats.lettersLost).toBe(1);
});
