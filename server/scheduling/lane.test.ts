import { expect, test } from "vitest";
import { idlePipeline, jobOf } from "../../test/kit/jobs.ts";
import { Crossing } from "../pool/crossing.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";
import { Lane } from "./lane.ts";

const crossing = () => new Crossing([jobOf(idlePipeline())]);
const newLane = () => new Lane({ empty: false, confines: () => true });

test("the lane's own worker has a crossing that runs and one behind it", () => {
  const lane = newLane();
  const [first, second] = [crossing(), crossing()];
  lane.enter(first);
  expect(lane.free).toBe(true);
  lane.enter(second);
  expect(lane.free).toBe(false);
  expect(lane.worker).toBeUndefined();
  lane.leave(first);
  expect(lane.free).toBe(true);
});

test("a worker that serves others as well has one of its crossings", () => {
  const lane = newLane();
  const worker = {} as WorkerHandle;
  const taken = crossing();
  lane.enter(taken, worker);
  expect([lane.free, lane.worker]).toEqual([false, worker]);
  lane.leave(crossing());
  expect(lane.free).toBe(false);
  lane.leave(taken);
  expect([lane.free, lane.worker]).toEqual([true, undefined]);
});

test("a crossing that comes back twice leaves once", () => {
  const lane = newLane();
  const [first, second] = [crossing(), crossing()];
  lane.enter(first);
  lane.enter(second);
  lane.leave(first);
  lane.leave(first);
  lane.enter(crossing());
  expect(lane.free).toBe(false);
});
