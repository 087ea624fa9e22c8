import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LeatError } from "../errors.ts";
import { resolveLimits } from "../limits.ts";
import { Stats } from "../telemetry/stats.ts";
import { Admission } from "./admission.ts";

function setUp() {
  const { admission: stats } = new Stats();
  const limits = resolveLimits({
    maxAdmittedBatches: 3,
    maxAdmittedBytes: 100,
    maxBatchBytes: 100,
    maxStreams: 2,
  });
  return { stats, admission: new Admission(limits, stats) };
}

function thrownBy(act: () => void): LeatError {
  try {
    act();
  } catch (error) {
    if (error instanceof LeatError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("the budget", () => {
  test("bounds batches and bytes, and comes back with each release", () => {
    const { admission, stats } = setUp();
    expect([admission.tryAdmit(60), admission.tryAdmit(41), admission.tryAdmit(40)]).toEqual([
      true,
      false,
      true,
    ]);
    expect([stats.batches, stats.bytes]).toEqual([2, 100]);
    expect(admission.tryAdmit(0)).toBe(true);
    expect(admission.tryAdmit(0)).toBe(false);
    admission.release(60);
    expect([stats.batches, stats.bytes, admission.tryAdmit(60)]).toEqual([2, 40, true]);
  });

  test("is never exceeded and never below nothing, in any order of events", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.integer({ min: 0, max: 100 }), fc.constant("release" as const))),
        (events) => {
          const { admission, stats } = setUp();
          const admitted: number[] = [];
          for (const event of events) {
            if (event === "release") {
              const bytes = admitted.shift();
              if (bytes !== undefined) admission.release(bytes);
            } else if (admission.tryAdmit(event)) {
              admitted.push(event);
            }
            expect(stats.batches).toBe(admitted.length);
            expect(stats.bytes).toBe(admitted.reduce((sum, bytes) => sum + bytes, 0));
            expect(stats.batches).toBeLessThanOrEqual(3);
            expect(stats.bytes).toBeLessThanOrEqual(100);
          }
        },
      ),
    );
  });

  test("does not let more be released than was admitted", () => {
    const { admission } = setUp();
    expect(() => admission.release(1)).toThrow(/more was released/);
  });
});

describe("a refusal", () => {
  test("names the limit on batches or the one on bytes, whichever it was", () => {
    const { admission, stats } = setUp();
    admission.admit(90);
    expect(thrownBy(() => admission.admit(11))).toMatchObject({
      reason: "QUEUE_FULL",
      metadata: { limit: "maxAdmittedBytes", value: "100", measured: "101" },
    });
    admission.admit(1);
    admission.admit(1);
    const error = thrownBy(() => admission.admit(1));
    expect(error).toMatchObject({ metadata: { limit: "maxAdmittedBatches", value: "3", measured: "3" } });
    expect(error.retryAfterMs).toBeGreaterThan(0);
    expect(stats.refused).toBe(2);
  });
});

describe("those who wait for room", () => {
  test("are called one a release, in turn, once", () => {
    const { admission } = setUp();
    for (let n = 0; n < 3; n++) admission.admit(10);
    const called: string[] = [];
    for (const name of ["a", "b", "c"]) admission.whenRoom(() => called.push(name));
    admission.release(10);
    expect(called).toEqual(["a"]);
    admission.release(10);
    admission.release(10);
    expect(called).toEqual(["a", "b", "c"]);
  });

  test("may be called in vain, and wait again behind the others", () => {
    const { admission } = setUp();
    admission.admit(50);
    admission.admit(50);
    const admitted: string[] = [];
    const wait = (name: string, bytes: number): void => {
      if (admission.tryAdmit(bytes)) admitted.push(name);
      else admission.whenRoom(() => wait(name, bytes));
    };
    wait("large", 100);
    wait("small", 50);
    admission.release(50);
    expect(admitted).toEqual([]);
    admission.release(50);
    expect(admitted).toEqual(["small"]);
    admission.release(50);
    expect(admitted).toEqual(["small", "large"]);
  });

  test("are not called when they were forgotten, and the turn is another's", () => {
    const { admission } = setUp();
    admission.admit(100);
    const called: string[] = [];
    const first = () => called.push("first");
    admission.whenRoom(first);
    admission.whenRoom(() => called.push("second"));
    admission.forget(first);
    admission.release(100);
    expect(called).toEqual(["second"]);
  });
});

test("streams are counted, bounded, and named when there are too many", () => {
  const { admission, stats } = setUp();
  admission.openStream();
  admission.openStream();
  expect(thrownBy(() => admission.openStream())).toMatchObject({
    reason: "TOO_MANY_STREAMS",
    metadata: { limit: "maxStreams", value: "2" },
  });
  admission.closeStream();
  admission.openStream();
  expect(stats.streams).toBe(2);
});

describe("a call that would wait", () => {
  const waiting = (expectedMs: number, leftMs: number) => () => {
    const { admission } = setUp();
    admission.checkWait(expectedMs, leftMs);
  };

  test("for at most half of the time to its deadline, and no longer than the limit, is let in", () => {
    expect(waiting(100, 200)).not.toThrow();
    expect(waiting(1_000, Number.POSITIVE_INFINITY)).not.toThrow();
  });

  test("for longer is refused, and told how long and what it was measured by", () => {
    const late = thrownBy(waiting(101, 200));
    expect(late).toMatchObject({
      reason: "QUEUE_TOO_LONG",
      metadata: { limit: "half of the call's deadline", value: "100", measured: "101" },
    });
    expect(thrownBy(waiting(1_200, 60_000)).metadata).toMatchObject({
      limit: "maxQueueDelayMs",
      value: "1000",
      measured: "1200",
    });
    expect(thrownBy(waiting(1, -5)).metadata).toMatchObject({ value: "0" });
  });
});
