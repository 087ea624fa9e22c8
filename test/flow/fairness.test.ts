import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { numbered, open, request } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

const maxWorkerQueue = 2;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { ...holdingLimits, maxWorkerQueue },
    modules: { marked: "marked", program: "program" },
    pipelines: { flooded: ["program"], quiet: ["program"], rare: ["program"] },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** The pipelines of the batches that the server answers from now on, in the order in which it does. */
function watchCompletions(): string[] {
  const order: string[] = [];
  for (const pipeline of ["flooded", "quiet", "rare"]) {
    vi.spyOn(kit.server.stats.pipeline(pipeline).success, "add").mockImplementation(() => {
      order.push(pipeline);
    });
  }
  return order;
}

/** Too large to share a crossing. */
const large = `m${"v".repeat(20_000)}`;

test("a flood on one pipeline lets the batches of others through in turns", async () => {
  const { admission } = kit.server.stats;
  const held = await kit.hold();
  const order = watchCompletions();
  const calls = Array.from({ length: 60 }, () => kit.raw.transform(request("flooded", large)));
  await until(() => admission.batches === 61, "the flood waits");
  calls.push(kit.raw.transform(request("quiet", large)), kit.raw.transform(request("rare", "m")));
  await until(() => admission.batches === 63, "the others wait behind it");
  await held.release();
  await Promise.all(calls);
  // What was handed to the worker before they came, and one turn each.
  expect(order.indexOf("quiet")).toBeLessThanOrEqual(maxWorkerQueue + 1);
  expect(order.indexOf("rare")).toBeLessThanOrEqual(maxWorkerQueue + 2);
  expect(order).toHaveLength(62);
});

test("so do streams with full windows", async () => {
  const { admission } = kit.server.stats;
  const held = await kit.hold();
  const floods = Array.from({ length: 4 }, () => {
    const stream = kit.raw.stream();
    stream.write(open("flooded"));
    for (let sequence = 1; sequence <= 40; sequence++) stream.write(numbered(sequence, "m"));
    stream.halfClose();
    return stream;
  });
  await until(() => admission.batches === 1 + 4 * 32, "all windows are full");
  const order = watchCompletions();
  const quiet = kit.raw.transform(request("quiet", "m"));
  await until(() => admission.batches === 2 + 4 * 32, "the quiet call waits");
  await held.release();
  const rest = Promise.all(floods.map((stream) => stream.rest()));
  await quiet;
  for (const messages of await rest) expect(messages).toHaveLength(41);
  expect(order.indexOf("quiet")).toBeLessThanOrEqual(maxWorkerQueue + 1);
  expect(order).toHaveLength(161);
});
