import { expect, test } from "vitest";
import type { Crossing } from "./crossing.ts";
import { LaneWorker } from "./lane-worker.ts";
import type { WorkerHandle } from "./worker-handle.ts";

/** What the lane asks of a worker, noted. */
class Worker {
  hasRoom = true;
  queued = 0;
  stalled = false;
  readonly told: string[] = [];
  readonly cpu = { yieldToOthers: () => this.told.push("yield") };

  submit(): void {
    this.queued++;
    this.told.push("submit");
  }

  wake(): void {}

  stop(reason: string): void {
    this.told.push(`stop: ${reason}`);
  }
}

function setUp(...workers: Worker[]) {
  const lane = new LaneWorker({ maxExtraWorkers: 1 }, () => workers.shift() as unknown as WorkerHandle);
  return { lane, crossing: {} as Crossing };
}

test("the lane's worker stands back once a call in it becomes long, and not before", () => {
  const worker = new Worker();
  const { lane, crossing } = setUp(worker);
  expect(lane.worker).toBeUndefined();
  expect(lane.makeRoom()).toBe(true);
  lane.submit(crossing);
  lane.submit(crossing);
  expect(worker.told).toEqual(["submit", "submit"]);
  for (let call = 0; call < 2; call++) expect(lane.stalled(worker as unknown as WorkerHandle)).toBe(true);
  expect(worker.told).toEqual(["submit", "submit", "yield"]);
  expect(worker.stalled).toBe(true);
});

test("a long call in another worker is no matter of the lane's", () => {
  const [worker, other] = [new Worker(), new Worker()];
  const { lane } = setUp(worker);
  expect(lane.makeRoom()).toBe(true);
  expect(lane.stalled(other as unknown as WorkerHandle)).toBe(false);
  expect([worker.told, other.told, other.stalled]).toEqual([[], [], false]);
});

test("one that was stopped is replaced, and the next has its rank until it stalls as well", () => {
  const [first, second] = [new Worker(), new Worker()];
  const { lane, crossing } = setUp(first, second);
  expect(lane.makeRoom()).toBe(true);
  lane.submit(crossing);
  lane.stalled(first as unknown as WorkerHandle);
  lane.gone(first as unknown as WorkerHandle);
  expect(lane.worker).toBeUndefined();
  expect(lane.makeRoom()).toBe(true);
  lane.submit(crossing);
  expect(second.told).toEqual(["submit"]);
  lane.stalled(second as unknown as WorkerHandle);
  expect(second.told).toEqual(["submit", "yield"]);
});

test("nothing is handed over where there is no worker: it would be lost", () => {
  const { lane, crossing } = setUp();
  expect(lane.makeRoom()).toBe(false);
  expect(() => lane.submit(crossing)).toThrow("no worker");
});

test("there is no room while it starts, and none is to be had", () => {
  const starting = new Worker();
  starting.hasRoom = false;
  expect(setUp(starting).lane.makeRoom()).toBe(false);
  expect(setUp().lane.makeRoom()).toBe(false);
});

test("it ends after its last batch when nobody is confined any more", () => {
  const worker = new Worker();
  const { lane, crossing } = setUp(worker);
  expect(lane.makeRoom()).toBe(true);
  lane.submit(crossing);
  lane.rest();
  expect(worker.told).not.toContain("stop: shutdown");
  worker.queued = 0;
  lane.endUnused();
  expect(worker.told.at(-1)).toBe("stop: shutdown");
  expect(lane.worker).toBeUndefined();
});

test("it goes on when somebody is confined again before it has ended", () => {
  const worker = new Worker();
  const { lane, crossing } = setUp(worker);
  expect(lane.makeRoom()).toBe(true);
  lane.submit(crossing);
  lane.rest();
  expect(lane.makeRoom()).toBe(true);
  worker.queued = 0;
  lane.endUnused();
  expect(worker.told).not.toContain("stop: shutdown");
});
