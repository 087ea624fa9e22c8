import { afterAll, beforeAll, expect, test } from "vitest";
import { numbered, open } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { ...holdingLimits, maxStreamWindow: 6 },
    modules: { marked: "marked", program: "program" },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

test.each([
  { asked: 0, given: 6 },
  { asked: 4, given: 4 },
  { asked: 1, given: 1 },
  { asked: 4_000_000_000, given: 6 },
])(
  "a client that asks for a window of $asked has at most $given unanswered batches",
  async ({ asked, given }) => {
    const held = await kit.hold();
    const { admission } = kit.server.stats;
    const stream = kit.raw.stream();
    stream.write(open("program", { window: asked }));
    expect(await stream.next()).toMatchObject({ case: "opened", value: { window: given } });
    for (let sequence = 1; sequence <= 50; sequence++) stream.write(numbered(sequence, "m"));
    await until(() => admission.batches === 1 + given, "the window is full");
    // What comes after on the same connection is answered, so the server has read all that it will.
    await kit.raw.call("/grpc.health.v1.Health/Check", new Uint8Array(0)).response;
    expect(admission.batches).toBe(1 + given);

    await held.release();
    stream.halfClose();
    let answered = 0;
    for (let message = await stream.next(); message !== undefined; message = await stream.next()) {
      expect(admission.batches).toBeLessThanOrEqual(given);
      if (message.case === "result") answered++;
    }
    expect(answered).toBe(50);
    expect(await stream.ended).toEqual({ t: "ok" });
  },
);

test("a full window of one stream does not hold another", async () => {
  const held = await kit.hold();
  const { admission } = kit.server.stats;
  const streams = [kit.raw.stream(), kit.raw.stream()];
  for (const stream of streams) {
    stream.write(open("program", { window: 2 }));
    for (let sequence = 1; sequence <= 10; sequence++) stream.write(numbered(sequence, "m"));
    stream.halfClose();
  }
  await until(() => admission.batches === 5, "both windows are full");
  await held.release();
  for (const stream of streams) expect(await stream.rest()).toHaveLength(11);
});
