import { expect, test } from "vitest";
import { clockOf } from "../../../test/kit/clocks.ts";
import { resolveLimits } from "../../limits.ts";
import type { StoreStatus } from "../../store/dead-letter-store.ts";
import { HealthBoard, type HealthParts } from "./board.ts";
import { HealthWatches } from "./watches.ts";

/** A server without pipelines, of which a test sets the state. */
function boardOf({ needsStore = false } = {}) {
  const state = { nowMs: 1_000, readyWorkers: 1, store: { t: "ok" } as StoreStatus };
  const registry = {
    pipelines: { stored: () => undefined, list: () => [] },
    quarantined: () => [],
    signatures: { refusals: () => [] },
  } as unknown as HealthParts["registry"];
  const limits = resolveLimits({ maxWorkerlessMs: 5_000 });
  const clock = clockOf(() => state.nowMs);
  const board = new HealthBoard({
    registry,
    limits,
    clock,
    needsStore,
    refusedUntilMs: () => undefined,
    confined: () => undefined,
    storeStatus: () => state.store,
    readyWorkers: () => state.readyWorkers,
  });
  return { board, state, watches: new HealthWatches(board, limits, clock) };
}

function blockingCodes(board: HealthBoard, name = ""): string[] {
  return (board.of(name)?.reasons ?? []).filter(({ blocking }) => blocking).map(({ code }) => code);
}

test("a server serves from when it is said until it drains", () => {
  const { board } = boardOf();
  expect(blockingCodes(board)).toEqual(["starting"]);
  board.serving();
  expect(board.of("")?.serving).toBe(true);
  board.drain();
  expect(blockingCodes(board)).toEqual(["draining"]);
  expect(board.of("leat.v1.MetricsService")?.serving).toBe(false);
});

test("a server without a worker is out after a while, and one whose workers are replaced is not", () => {
  const { board, state } = boardOf();
  board.serving();
  for (let stop = 0; stop < 10; stop++) {
    board.workerStopped();
    state.readyWorkers = 0;
    expect(board.of("")?.serving).toBe(true);
    state.nowMs += 1_000;
    state.readyWorkers = 1;
  }
  board.workerStopped();
  state.readyWorkers = 0;
  state.nowMs += 4_999;
  expect(board.of("")).toMatchObject({ serving: true, untilMs: state.nowMs + 1 });
  // Another that dies in its start makes the wait no longer.
  board.workerStopped();
  state.nowMs += 1;
  expect(blockingCodes(board)).toEqual(["no_worker"]);
  state.readyWorkers = 1;
  expect(board.of("")?.serving).toBe(true);
});

test("a store that is down is a remark, unless the server needs it", () => {
  const { board, state } = boardOf();
  board.serving();
  state.store = { t: "failed", reason: "the disk is full" };
  expect(board.of("")).toMatchObject({ serving: true, reasons: [{ code: "store_down", blocking: false }] });
  expect(blockingCodes(board, "leat.v1.DeadLetterService")).toEqual(["store_down"]);
  const needing = boardOf({ needsStore: true });
  needing.board.serving();
  needing.state.store = state.store;
  expect(blockingCodes(needing.board)).toEqual(["store_down"]);
});

test("a watcher is told each status once, and the last one when the server drains", async () => {
  const { board, state, watches } = boardOf({ needsStore: true });
  const told: string[] = [];
  const follow = async (): Promise<void> => {
    for await (const status of watches.follow("", new AbortController().signal)) told.push(status);
  };
  const followed = follow();
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  await turn();
  board.serving();
  await turn();
  board.changed();
  board.changed();
  await turn();
  state.store = { t: "failed", reason: "the disk is full" };
  board.changed();
  await turn();
  state.store = { t: "ok" };
  board.changed();
  await turn();
  expect(told).toEqual(["not_serving", "serving", "not_serving", "serving"]);
  expect(watches.open).toBe(1);
  board.drain();
  await followed;
  expect(told.at(-1)).toBe("not_serving");
  expect(watches.open).toBe(0);
});
