/**
 * What the SDK does with calls that a full server refuses.
 */

import { Code, Leat, text } from "@leat/sdk";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { ...holdingLimits, maxAdmittedBatches: 1 },
    modules: { marked: "marked", program: "program" },
  });
});

afterEach(() => kit.idle());

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

test("a call that finds the server full waits as told and gets its result once there is room", async () => {
  const { admission } = kit.server.stats;
  const refused = admission.refused;
  const held = await kit.hold();
  const result = kit.leat.transform("program", [{ value: "mlater" }], { timeoutMs: 60_000 });
  await until(() => admission.refused > refused, "the call is refused");
  await held.release();
  expect(new TextDecoder().decode((await result).records[0]?.value)).toBe("later");
});

test("one whose caller gives up while it waits ends at once, and the server hears no more of it", async () => {
  const { admission } = kit.server.stats;
  const refused = admission.refused;
  const held = await kit.hold();
  const controller = new AbortController();
  const result = kit.leat.transform("program", [{ value: "m" }], { signal: controller.signal });
  const outcome = expect(result).rejects.toMatchObject({ code: Code.Canceled, message: "enough" });
  await until(() => admission.refused > refused, "the call is refused");
  controller.abort(new Error("enough"));
  await outcome;
  await held.release();
});

test("one that may not be tried again, or has no time for it, fails with what the server said", async () => {
  const { admission } = kit.server.stats;
  const refused = admission.refused;
  const held = await kit.hold();
  const refusal = { code: Code.ResourceExhausted, reason: "QUEUE_FULL", retryAfterMs: 100 };
  await using plain = new Leat({ address: kit.address, retry: false });
  await expect(plain.transform("program", [{ value: "m" }])).rejects.toMatchObject(refusal);
  await using hurried = new Leat({ address: kit.address, retry: { maxRetryAfterMs: 99 } });
  await expect(hurried.transform("program", [{ value: "m" }])).rejects.toMatchObject(refusal);
  expect(admission.refused).toBe(refused + 2);
  await held.release();
});

test("a batcher's calls are held back by a full server, not refused, and run once there is room", async () => {
  const held = await kit.hold();
  await using batcher = kit.leat.batcher("program", { codec: text() });
  const outcome = batcher.transform("mheld");
  await until(() => kit.server.stats.admission.streams === 1, "the batcher's stream is open");
  await held.release();
  expect(await outcome).toMatchObject({ status: "ok", outputs: ["held"] });
});

test("a stream that finds too many streams open waits as told and opens later", async () => {
  await using small = await startTestServer({
    limits: { ...holdingLimits, maxStreams: 1 },
    modules: { program: "program" },
  });
  const first = small.leat.batcher("program", { codec: text() });
  expect(await first.transform("ma")).toMatchObject({ outputs: ["a"] });
  let attempts = 0;
  await using counted = new Leat({
    address: small.address,
    interceptors: [
      (next) => (call) => {
        attempts++;
        return next(call);
      },
    ],
  });
  const source = Array.from({ length: 3 }, (_, n) => ({ value: `m${n}` }));
  const results = Array.fromAsync(counted.stream("program", source));
  await until(() => attempts === 2, "the stream was refused and comes back");
  await first.close();
  expect((await results).flatMap(({ records }) => records)).toHaveLength(3);
});
