import { describe, expect, test } from "vitest";
import { type Decision, type Ending, isAbort, RestartPolicy } from "./restart-policy.ts";

const limits = { maxRestarts: 5, restartWindowMs: 60_000 };

function ending(differences: Partial<Ending> = {}): Ending {
  return {
    code: null,
    signal: "SIGKILL",
    nowMs: 100_000,
    servingSinceMs: 0,
    asked: false,
    blamed: false,
    ...differences,
  };
}

/** Decides about endings of one server. */
function decide(...endings: readonly Partial<Ending>[]): Decision[] {
  const policy = new RestartPolicy();
  return endings.map((each) => policy.ended(ending(each), limits));
}

const atOnce = { t: "restart", delayMs: 0 };

describe("a server process is started again at once", () => {
  test.each(["SIGKILL", "SIGABRT", "SIGSEGV"])("after %s", (signal) => {
    expect(decide({ signal })).toEqual([atOnce]);
  });

  test("after a failure once it has served", () => {
    expect(decide({ signal: null, code: 7 })).toEqual([atOnce]);
  });

  test("after an abort at its start when the culprit was found", () => {
    expect(decide({ signal: "SIGABRT", servingSinceMs: undefined, blamed: true })).toEqual([atOnce]);
  });
});

describe("a server process is not started again", () => {
  test("when it was asked to end, however it ended", () => {
    expect(decide({ asked: true, signal: "SIGABRT" })).toEqual([{ t: "end", code: 1 }]);
    expect(decide({ asked: true, signal: null, code: 0 })).toEqual([{ t: "end", code: 0 }]);
  });

  test("when somebody ended it in earnest", () => {
    expect(decide({ signal: null, code: 0 })).toEqual([{ t: "end", code: 0 }]);
    expect(decide({ signal: "SIGTERM" })).toEqual([{ t: "end", code: 1 }]);
  });

  test("when it never served, and its exit code is passed on", () => {
    expect(decide({ signal: null, code: 2, servingSinceMs: undefined })).toEqual([{ t: "end", code: 2 }]);
    expect(decide({ signal: "SIGABRT", servingSinceMs: undefined })).toEqual([{ t: "end", code: 1 }]);
  });
});

test("waits twice as long each time that it dies soon, and not at all once it has lasted", () => {
  const soon = { nowMs: 500, servingSinceMs: 0 };
  const failedStart = { signal: null, code: 1, servingSinceMs: undefined, nowMs: 500 };
  expect(decide(soon, soon, failedStart, { nowMs: 2_000, servingSinceMs: 1_000 }, soon)).toEqual([
    atOnce,
    { t: "restart", delayMs: 100 },
    { t: "restart", delayMs: 200 },
    atOnce,
    atOnce,
  ]);
});

test("gives up after too many restarts in the window, and counts no older ones", () => {
  const at = (nowMs: number): Partial<Ending> => ({ nowMs, servingSinceMs: nowMs - 5_000 });
  const often = [10_000, 20_000, 30_000, 40_000, 50_000, 60_000].map(at);
  expect(decide(...often).at(-1)).toEqual({ t: "give-up", restarts: 5 });
  const seldom = [10_000, 20_000, 30_000, 40_000, 50_000, 70_000].map(at);
  expect(decide(...seldom).at(-1)).toEqual(atOnce);
});

test("only signals of a broken process are aborts", () => {
  expect(["SIGABRT", "SIGSEGV", "SIGILL", "SIGBUS", "SIGTRAP"].every(isAbort)).toBe(true);
  expect(["SIGKILL", "SIGTERM", null].some(isAbort)).toBe(false);
});
