import { OnFailure } from "@leat/proto";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

const hourMs = 3_600_000;
let aheadMs = 0;
let kit: TestServer;

/** Sets the wall clock, for the server and the client. */
function setAhead(ms: number): void {
  aheadMs = ms;
}

beforeAll(async () => {
  const { now } = Date;
  vi.spyOn(Date, "now").mockImplementation(() => now() + aheadMs);
  const retry = { attempts: 3, initialMs: 20, factor: 1, jitter: 0 };
  const breaker = { faults: 2, window: 4, openMs: 60_000, probes: 1 };
  kit = await startTestServer({
    modules: { program: "program", strict: "marked" },
    pipelines: {
      kept: [{ module: "program", onFailure: OnFailure.DEAD_LETTER, retry, breaker: { disabled: true } }],
      strict: [{ module: "strict", breaker }],
    },
  });
});

afterAll(async () => {
  vi.restoreAllMocks();
  await kit[Symbol.asyncDispose]();
});

test("a retry waits its time, and a letter has the wall clock's, whichever way the clock is set", async () => {
  for (const ms of [hourMs, -hourMs, 0]) {
    const result = kit.leat.transform("kept", [{ value: "ma" }, { value: "t" }]);
    setAhead(ms);
    const { failures, records } = await result;
    expect(records).toHaveLength(1);
    expect(failures).toMatchObject([{ index: 1, code: "trap" }]);
    const { deadLetter } = await kit.leat.deadLetters.getDeadLetter({
      id: failures[0]?.deadLetterId ?? "",
    });
    const seconds = Number(deadLetter?.time?.seconds ?? 0n);
    expect(Math.abs(seconds - Date.now() / 1_000)).toBeLessThan(60);
  }
  await kit.server.deadLetters.retain();
  expect((await kit.leat.deadLetters.listDeadLetters({})).deadLetters).toHaveLength(3);
});

test("a breaker stays open for its time, whichever way the clock is set", async () => {
  for (let fault = 0; fault < 2; fault++) await kit.leat.transform("strict", [{ value: "%" }]);
  for (const ms of [hourMs, -hourMs, 0]) {
    setAhead(ms);
    await expect(kit.leat.modules.listModules({})).resolves.toBeDefined();
    expect((await kit.pipelineMetrics("strict")).stages[0]?.breaker).toBe("open");
  }
});

test("a stream with a deadline ends neither early nor late, whichever way the clock is set", async () => {
  async function* source(): AsyncGenerator<{ value: string }> {
    for (const ms of [hourMs, -hourMs, 0]) {
      setAhead(ms);
      yield { value: "ma" };
    }
  }
  let results = 0;
  for await (const { outcomes } of kit.leat.stream("kept", source(), { timeoutMs: 60_000, batchRecords: 1 }))
    results += outcomes.length;
  expect(results).toBe(3);
});
