import { fromBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { Leat, RecordSchema, TransformService } from "@leat/sdk";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { DeadLetterDraft, DeadLetterSink } from "../../server/store/dead-letter-store.ts";
import { failureOf } from "../kit/call-error.ts";
import { request, shapeOf } from "../kit/records.ts";
import { SilentProxy } from "../kit/silent-proxy.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

/** Keeps letters in an array, or refuses them. */
class Drawer implements DeadLetterSink {
  letters: DeadLetterDraft[] = [];
  broken = false;
  /** Called when letters are kept, before their batch is answered. */
  onKept: () => void = () => {};

  async write(letters: readonly DeadLetterDraft[]): Promise<void> {
    if (this.broken) throw new Error("the drawer is stuck");
    const known = new Set(this.letters.map(({ id }) => id));
    this.letters.push(...letters.filter(({ id }) => !known.has(id)));
    this.onKept();
  }
}

let kit: TestServer;
const drawer = new Drawer();

beforeAll(async () => {
  kit = await startTestServer({
    http: true,
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
  drawer.onKept = () => {};
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

test("a producer that starts anew under the same stream's name loses no letter", async () => {
  const ids = new Set<string>();
  for (const value of ["x", "xx", "x"]) {
    for await (const result of kit.leat.stream("kept", [[{ value }]], { streamId: "orders" }))
      ids.add(result.failures[0]?.deadLetterId ?? "");
  }
  expect(drawer.letters.map(({ record }) => recordValue(record))).toEqual(["x", "xx"]);
  expect([...ids]).toEqual(drawer.letters.map(({ id }) => id));
});

test("a unary call whose connection breaks between letter and answer makes one letter", async () => {
  await using proxy = new SilentProxy(kit.address);
  await using leat = new Leat(await proxy.listen());
  let written = 0;
  drawer.onKept = () => {
    if (written++ === 0) proxy.cut();
  };
  const { failures } = await leat.transform("kept", [{ value: "a1" }, { value: "x" }]);
  expect(written).toBe(2);
  expect(drawer.letters.map(({ id }) => id)).toEqual([failures[0]?.deadLetterId]);
  expect(drawer.letters[0]).toMatchObject({ streamId: "", sequence: 0, index: 1 });
  // The same once more is another call.
  await leat.transform("kept", [{ value: "a1" }, { value: "x" }]);
  expect(drawer.letters).toHaveLength(2);
});

test("a call's id counts through both doors, within its bound", async () => {
  const { transform } = createClient(
    TransformService,
    createConnectTransport({ baseUrl: kit.url, httpVersion: "1.1" }),
  );
  await transform(request("kept", "x"), { headers: { "leat-call-id": "a" } });
  await kit.raw.transform(request("kept", "x"), { metadata: { "leat-call-id": "a" } });
  expect(drawer.letters).toHaveLength(1);
  await kit.raw.transform(request("kept", "x"), { metadata: { "leat-call-id": "b".repeat(128) } });
  expect(drawer.letters).toHaveLength(2);
  const refused = { reason: "REQUEST_INVALID", metadata: { field: "leat-call-id" } };
  const long = { "leat-call-id": "b".repeat(129) };
  expect(await failureOf(kit.raw.transform(request("kept", "x"), { metadata: long }))).toMatchObject(refused);
  await expect(transform(request("kept", "x"), { headers: long })).rejects.toThrow(
    /leat-call-id: longer than/,
  );
  expect(drawer.letters).toHaveLength(2);
});

test("where the letter cannot be kept, the record fails without one, and is not lost", async () => {
  drawer.broken = true;
  const result = await kit.raw.transform(request("kept", "a1", "x"));
  expect(shapeOf(result, 2)).toEqual({ values: ["1"], fanout: [1, 0], failures: ["1 refused@program"] });
  expect(result.failures[0]?.deadLetterId).toBe("");
  expect(kit.server.stats.lettersLost).toBe(1);
});
