import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { idlePipeline, jobOf } from "../../test/kit/jobs.ts";
import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { BatchJob } from "../pool/batch-job.ts";
import { Crossing } from "../pool/crossing.ts";
import type { Pool } from "../pool/pool.ts";
import { Lane } from "./lane.ts";
import { Scheduler } from "./scheduler.ts";

/** A pool of so many places, which notes what it is told. */
class Places {
  room: number;
  readonly told: string[] = [];
  readonly dispatched: Crossing[] = [];

  constructor(room: number) {
    this.room = room;
  }

  get hasRoom(): boolean {
    return this.room > 0;
  }

  get hasFreeWorker(): boolean {
    return this.hasRoom;
  }

  dispatch(crossing: Crossing): object | undefined {
    if (this.room === 0) return undefined;
    this.room--;
    this.dispatched.push(crossing);
    this.told.push("dispatch");
    return this;
  }

  wake(): void {
    this.told.push("wake");
  }

  drain(): void {
    this.told.push("drain");
  }

  disarm(): void {
    this.told.push("disarm");
  }
}

function setUp(room: number, admit: (crossing: Crossing) => boolean = () => true) {
  const places = new Places(room);
  const withdrawn: BatchJob[] = [];
  const confined = new Set<PipelineSpec>();
  const lane = new Lane({
    get empty() {
      return confined.size === 0;
    },
    confines: (pipeline) => confined.has(pipeline),
  });
  const scheduler = new Scheduler(
    { maxCoalescedCalls: 8, maxCoalescedBytes: 1_000, maxCoalescedMs: 2 },
    () => places as unknown as Pool,
    admit,
    (job) => withdrawn.push(job),
    lane,
  );
  return { places, scheduler, withdrawn, confined, lane };
}

/** Lets the loop have as many turns as it may take for itself. */
async function turns(): Promise<void> {
  for (let n = 0; n < 10; n++) await turn();
}

describe("the scheduler", () => {
  test("hands what came together over together, then wakes the workers and reads what they completed", async () => {
    const { places, scheduler } = setUp(10);
    const pipeline = idlePipeline();
    for (let n = 0; n < 3; n++) scheduler.submit(jobOf(pipeline));
    expect(places.told).toEqual(["disarm"]);
    await turns();
    expect(places.told).toEqual(["disarm", "dispatch", "dispatch", "dispatch", "wake", "drain"]);
  });

  test("merges calls that came in several turns, and waits for no more than a few of them", async () => {
    const { places, scheduler } = setUp(10);
    const pipeline = idlePipeline();
    for (let n = 0; n < 20; n++) {
      scheduler.submit(jobOf(pipeline, { mergeable: true }));
      await turn();
    }
    await turns();
    const sizes = places.dispatched.map(({ jobs }) => jobs.length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(20);
    expect(sizes.length).toBeGreaterThan(3);
    expect(sizes.length).toBeLessThan(20);
  });

  test("tells a pipeline's backlog of a batch that finds a worker free, and of no other", async () => {
    const { places, scheduler, confined } = setUp(1);
    const pipeline = idlePipeline();
    const foundFree = vi.spyOn(pipeline.backlog, "foundFree");
    scheduler.submit(jobOf(pipeline));
    // The worker will run the one before it.
    scheduler.submit(jobOf(pipeline));
    await turns();
    scheduler.submit(jobOf(pipeline));
    expect(foundFree).toHaveBeenCalledTimes(1);
    places.room = 2;
    scheduler.room();
    await turns();
    places.room = 1;
    expect(scheduler.startsNow(pipeline.spec)).toBe(true);
    confined.add(pipeline.spec);
    expect(scheduler.startsNow(pipeline.spec)).toBe(false);
  });

  test("looks after the workers in the midst of a turn that calls make long, and not before", () => {
    const { places, scheduler } = setUp(10);
    // Jobs of these tests come at the time 0.
    scheduler.submit(jobOf(idlePipeline()));
    scheduler.keepUp(1.9);
    expect(places.told).toEqual(["disarm"]);
    scheduler.keepUp(2);
    expect(places.told).toEqual(["disarm", "drain", "dispatch", "wake"]);
    scheduler.submit(jobOf(idlePipeline()));
    scheduler.keepUp(1_000);
    expect(places.told.slice(4)).toEqual(["drain", "dispatch", "wake"]);
    // Nothing waits.
    scheduler.keepUp(2_000);
    expect(places.told).toHaveLength(7);
  });

  test("looks after the workers once, though what they have completed brings another call", () => {
    const { places, scheduler } = setUp(10);
    const pipeline = idlePipeline();
    scheduler.submit(jobOf(pipeline));
    let drained = 0;
    places.drain = () => {
      drained++;
      scheduler.submit(jobOf(pipeline));
      scheduler.keepUp(20 + drained * 10);
    };
    scheduler.keepUp(20);
    expect(drained).toBe(1);
    expect(places.dispatched).toHaveLength(2);
  });

  test("keeps what finds no room until there is some", async () => {
    const { places, scheduler } = setUp(1);
    const pipeline = idlePipeline();
    const jobs = Array.from({ length: 3 }, () => jobOf(pipeline));
    for (const job of jobs) scheduler.submit(job);
    await turns();
    expect(places.dispatched.flatMap((crossing) => crossing.jobs)).toEqual([jobs[0]]);
    places.room = 1;
    scheduler.room();
    expect(places.dispatched.flatMap((crossing) => crossing.jobs)).toEqual(jobs.slice(0, 2));
    expect(places.told.at(-1)).toBe("wake");
  });

  test("runs what has to run again before what waits", async () => {
    const { places, scheduler } = setUp(0);
    const pipeline = idlePipeline();
    scheduler.submit(jobOf(pipeline));
    const again = new Crossing([jobOf(pipeline)]);
    scheduler.again(again);
    await turns();
    places.room = 1;
    scheduler.room();
    expect(places.dispatched).toEqual([again]);
  });

  test("gives no worker what was answered instead, and goes on with the next", async () => {
    const refused: Crossing[] = [];
    const { places, scheduler } = setUp(10, (crossing) => {
      if (crossing.byteLength !== 1) return true;
      refused.push(crossing);
      return false;
    });
    const pipeline = idlePipeline();
    for (const bytes of [1, 5, 1, 6]) scheduler.submit(jobOf(pipeline, { bytes }));
    await turns();
    expect(places.dispatched.map(({ byteLength }) => byteLength)).toEqual([5, 6]);
    expect(refused).toHaveLength(2);
  });

  test("tells of each batch that is cancelled while it waits, before its owner is", async () => {
    const { scheduler, withdrawn } = setUp(0);
    const order: string[] = [];
    const job = jobOf(idlePipeline(), { settled: () => order.push(`settled after ${withdrawn.length}`) });
    scheduler.submit(job);
    await turns();
    job.cancel(5);
    expect(withdrawn).toEqual([job]);
    expect(order).toEqual(["settled after 1"]);
  });
});

describe("pipelines that are confined", () => {
  test("have one crossing under way between them, and the others theirs", async () => {
    const { places, scheduler, confined, lane } = setUp(100);
    const [bad, worse, good] = [idlePipeline(), idlePipeline(), idlePipeline()];
    confined.add(bad.spec).add(worse.spec);
    for (let n = 0; n < 3; n++) for (const pipeline of [bad, worse, good]) scheduler.submit(jobOf(pipeline));
    await turns();
    const dispatched = () => places.dispatched.map(({ pipeline }) => pipeline);
    expect(dispatched()).toEqual([bad, good, good, good]);
    // Each time that the lane is free the next goes, in turns.
    for (let n = 0; n < 5; n++) {
      const [crossing] = places.dispatched.filter(({ pipeline }) => pipeline !== good).slice(-1);
      if (crossing !== undefined) lane.leave(crossing);
      scheduler.room();
    }
    expect(dispatched().slice(4)).toEqual([worse, bad, worse, bad, worse]);
  });

  test("do not hold up what has to run again, nor do they run again before the lane is free", async () => {
    const { places, scheduler, confined, lane } = setUp(100);
    const [bad, good] = [idlePipeline(), idlePipeline()];
    confined.add(bad.spec);
    scheduler.submit(jobOf(bad));
    await turns();
    const [first] = places.dispatched;
    const [again, other] = [new Crossing([jobOf(bad)]), new Crossing([jobOf(good)])];
    scheduler.again(other);
    scheduler.again(again);
    await turns();
    expect(places.dispatched).toEqual([first, other]);
    if (first !== undefined) lane.leave(first);
    scheduler.room();
    expect(places.dispatched).toEqual([first, other, again]);
  });

  test("do not count as others that wait", async () => {
    const { scheduler, confined } = setUp(0);
    const [bad, good, better] = [idlePipeline(), idlePipeline(), idlePipeline()];
    confined.add(bad.spec);
    scheduler.submit(jobOf(bad));
    scheduler.submit(jobOf(good));
    expect(scheduler.othersWait(new Crossing([jobOf(good)]))).toBe(false);
    expect(scheduler.othersWait(new Crossing([jobOf(better)]))).toBe(true);
  });

  test("keep no batch that was given up while it waited for the lane", async () => {
    const { places, scheduler, confined, lane } = setUp(100);
    const bad = idlePipeline();
    confined.add(bad.spec);
    scheduler.submit(jobOf(bad));
    await turns();
    const waiting = Array.from({ length: 3 }, () => jobOf(bad));
    for (const job of waiting) scheduler.submit(job);
    await turns();
    for (const job of waiting) job.cancel(0);
    scheduler.room();
    expect(scheduler.idle).toBe(true);
    expect(places.dispatched).toHaveLength(1);
    expect(lane.free).toBe(false);
  });
});
