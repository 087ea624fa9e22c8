import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { turns } from "../test-kit/gates.ts";
import { retryPolicy } from "./options.ts";
import { Retrier, RetryBudget, type RetryTimes } from "./retry.ts";

/** A clock that moves when it is told to, and a lot that always draws the same. */
class FakeTimes implements RetryTimes {
  now = 1_000;
  drawn = 0;
  /** The waits that were asked for, in order. */
  readonly waits: number[] = [];
  #waiting: { readonly atMs: number; readonly callback: () => void }[] = [];

  nowMs(): number {
    return this.now;
  }

  random(): number {
    return this.drawn;
  }

  after(delayMs: number, callback: () => void): () => void {
    const wait = { atMs: this.now + delayMs, callback };
    this.waits.push(delayMs);
    this.#waiting.push(wait);
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== wait);
    };
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Lets time pass, and what follows from it happen. */
  async pass(ms: number): Promise<void> {
    this.now += ms;
    const due = this.#waiting.filter(({ atMs }) => atMs <= this.now);
    this.#waiting = this.#waiting.filter(({ atMs }) => atMs > this.now);
    for (const { callback } of due) callback();
    await turns(1);
  }
}

function refusal(code: Code, retryAfterMs?: number): ConnectError {
  const seconds = BigInt(Math.floor((retryAfterMs ?? 0) / 1000));
  const retryDelay = { seconds, nanos: ((retryAfterMs ?? 0) % 1000) * 1e6 };
  const details = retryAfterMs === undefined ? [] : [{ desc: RetryInfoSchema, value: { retryDelay } }];
  return new ConnectError("refused", code, undefined, details);
}

/** A call that fails with each of the errors, and then succeeds. */
function failing(...errors: ConnectError[]): { attempt: () => Promise<string>; tries: number } {
  const call = {
    tries: 0,
    attempt: async () => {
      const error = errors[call.tries++];
      if (error !== undefined) throw error;
      return "done";
    },
  };
  return call;
}

const unbounded = { deadline: undefined, signal: undefined };

function retrier(times: FakeTimes, retry = {}): Retrier {
  const policy = retryPolicy({ retry });
  if (policy === undefined) throw new Error("retries are on");
  return new Retrier(policy, times);
}

describe("a refused call", () => {
  test.each([Code.ResourceExhausted, Code.Unavailable])(
    "with code %i waits as long as the server says, and is tried again",
    async (code) => {
      const times = new FakeTimes();
      const call = failing(refusal(code, 1_250));
      const answer = retrier(times).run(unbounded, call.attempt);
      await turns(1);
      await times.pass(1_249);
      expect(call.tries).toBe(1);
      await times.pass(1);
      expect(await answer).toBe("done");
      expect(call.tries).toBe(2);
    },
  );

  test("never comes back earlier than told, and up to a fifth later", async () => {
    const times = new FakeTimes();
    times.drawn = 0.75;
    const answer = retrier(times).run(unbounded, failing(refusal(Code.ResourceExhausted, 1_000)).attempt);
    await turns(1);
    expect(times.waits).toEqual([1_150]);
    await times.pass(1_150);
    expect(await answer).toBe("done");
  });

  test("fails at once, as refused, when the wait would outlive its deadline", async () => {
    const times = new FakeTimes();
    const error = refusal(Code.ResourceExhausted, 500);
    const bounds = { deadline: new Date(times.now + 500), signal: undefined };
    await expect(retrier(times).run(bounds, failing(error).attempt)).rejects.toBe(error);
    expect(times.waits).toEqual([]);
  });

  test("fails at once when the server asks for more than maxRetryAfterMs", async () => {
    const times = new FakeTimes();
    const error = refusal(Code.Unavailable, 3_600_000);
    await expect(retrier(times).run(unbounded, failing(error).attempt)).rejects.toBe(error);
  });

  test("ends while it waits, as soon as its signal aborts", async () => {
    const times = new FakeTimes();
    const controller = new AbortController();
    const call = failing(refusal(Code.ResourceExhausted, 5_000));
    const answer = retrier(times).run({ deadline: undefined, signal: controller.signal }, call.attempt);
    await turns(1);
    controller.abort(new Error("enough"));
    await expect(answer).rejects.toMatchObject({ code: Code.Canceled, rawMessage: "enough" });
    expect([times.waiting, call.tries]).toEqual([0, 1]);
  });

  test("is tried maxAttempts times in all", async () => {
    const times = new FakeTimes();
    const error = refusal(Code.ResourceExhausted, 10);
    const call = failing(error, error, error, error);
    const answer = retrier(times, { maxAttempts: 3 }).run(unbounded, call.attempt);
    const outcome = expect(answer).rejects.toBe(error);
    for (let step = 0; step < 4; step++) {
      await turns(1);
      await times.pass(10);
    }
    await outcome;
    expect(call.tries).toBe(3);
  });
});

test("without a time from the server, the waits grow for UNAVAILABLE and any other code is final", async () => {
  const times = new FakeTimes();
  times.drawn = 0.5;
  const down = refusal(Code.Unavailable);
  const answer = retrier(times, { maxMs: 150 }).run(unbounded, failing(down, down, down).attempt);
  for (let step = 0; step < 3; step++) {
    await turns(1);
    await times.pass(150);
  }
  expect(await answer).toBe("done");
  expect(times.waits).toEqual([100, 150, 150]);
  for (const code of [Code.ResourceExhausted, Code.Internal, Code.InvalidArgument]) {
    const error = refusal(code);
    await expect(retrier(times).run(unbounded, failing(error).attempt)).rejects.toBe(error);
  }
  // A time to wait beside any other code says nothing about whether the call has run.
  const odd = refusal(Code.Aborted, 10);
  await expect(retrier(times).run(unbounded, failing(odd).attempt)).rejects.toBe(odd);
});

test("where most calls fail, nothing is tried again until calls succeed again", async () => {
  const times = new FakeTimes();
  const calls = retrier(times, { maxAttempts: 2, budget: { tokens: 4, perSuccess: 0.5 } });
  const error = refusal(Code.ResourceExhausted, 10);
  const fail = async (): Promise<number> => {
    const call = failing(error, error);
    const outcome = calls.run(unbounded, call.attempt).catch((thrown: unknown) => thrown);
    await turns(1);
    await times.pass(10);
    expect(await outcome).toBe(error);
    return call.tries;
  };
  // The first failure leaves three tokens of four, the second two, and that is half.
  expect([await fail(), await fail()]).toEqual([2, 1]);
  for (let success = 0; success < 6; success++) await calls.run(unbounded, failing().attempt);
  expect(await fail()).toBe(2);
});

test("a budget never exceeds its tokens, nor falls below none", () => {
  const budget = new RetryBudget({ tokens: 2, perSuccess: 1 });
  for (let success = 0; success < 10; success++) budget.succeeded();
  expect([budget.failed(), budget.failed(), budget.failed()]).toEqual([false, false, false]);
  budget.succeeded();
  budget.succeeded();
  budget.succeeded();
  expect(new RetryBudget({ tokens: 3, perSuccess: 1 }).failed()).toBe(true);
});

test("a method may be named alone or by its service", () => {
  const calls = retrier(new FakeTimes(), { methods: ["leat.v1.MetricsService", "a.B/C"] });
  expect(calls.repeats("leat.v1.MetricsService/Metrics")).toBe(true);
  expect(calls.repeats("a.B/C")).toBe(true);
  expect(calls.repeats("a.B/D")).toBe(false);
  expect(calls.repeats("leat.v1.TransformService/Transform")).toBe(false);
});
