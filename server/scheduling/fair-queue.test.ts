import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { idlePipeline, idleStage, jobOf } from "../../test/kit/jobs.ts";
import type { BatchJob } from "../pool/batch-job.ts";
import { Crossing } from "../pool/crossing.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";
import { FairQueue } from "./fair-queue.ts";

const bounds = { maxCoalescedCalls: 4, maxCoalescedBytes: 100, maxCoalescedMs: 2 };

/** Takes all there is, as the jobs of each crossing. */
function takeAll(queue: FairQueue): (readonly BatchJob[])[] {
  const taken: (readonly BatchJob[])[] = [];
  for (let crossing = queue.take(); crossing !== undefined; crossing = queue.take())
    taken.push(crossing.jobs);
  expect(queue.empty).toBe(true);
  return taken;
}

describe("turns", () => {
  test("go round the pipelines that have something, one crossing each", () => {
    const queue = new FairQueue(bounds);
    const [a, b, c] = [idlePipeline(), idlePipeline(), idlePipeline()];
    for (let n = 0; n < 4; n++) queue.push(jobOf(a));
    queue.push(jobOf(b));
    for (let n = 0; n < 2; n++) queue.push(jobOf(c));
    const names = new Map([
      [a, "a"],
      [b, "b"],
      [c, "c"],
    ]);
    expect(takeAll(queue).map(([job]) => job && names.get(job.pipeline))).toEqual([
      "a",
      "b",
      "c",
      "a",
      "c",
      "a",
      "a",
    ]);
  });

  test("are kept by a pipeline that has run dry and comes back: it queues behind the others", () => {
    const queue = new FairQueue(bounds);
    const [a, b] = [idlePipeline(), idlePipeline()];
    queue.push(jobOf(a));
    queue.take();
    queue.push(jobOf(b));
    queue.push(jobOf(a));
    expect(takeAll(queue).map(([job]) => job?.pipeline)).toEqual([b, a]);
  });

  test("serve every pipeline within as many crossings as there are pipelines, and each in its order", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 80 }), (pushes) => {
        const queue = new FairQueue(bounds);
        const pipelines = Array.from({ length: 5 }, () => idlePipeline());
        const jobs = pushes.map((index) => jobOf(pipelines[index] ?? idlePipeline()));
        for (const job of jobs) queue.push(job);
        const taken = takeAll(queue).flat();
        expect(taken).toHaveLength(jobs.length);
        for (const pipeline of pipelines) {
          expect(taken.filter((job) => job.pipeline === pipeline)).toEqual(
            jobs.filter((job) => job.pipeline === pipeline),
          );
        }
        // While a pipeline has something, no other is served twice before it.
        const left = pipelines.map((pipeline) => jobs.filter((job) => job.pipeline === pipeline).length);
        const since = pipelines.map(() => 0);
        for (const job of taken) {
          const served = pipelines.indexOf(job.pipeline);
          pipelines.forEach((_, index) => {
            since[index] = index === served || left[index] === 0 ? 0 : (since[index] ?? 0) + 1;
            expect(since[index]).toBeLessThan(pipelines.length);
          });
          left[served] = (left[served] ?? 0) - 1;
        }
      }),
    );
  });
});

describe("small calls of one pipeline", () => {
  test("share a crossing up to the number of calls", () => {
    const queue = new FairQueue(bounds);
    const pipeline = idlePipeline();
    for (let n = 0; n < 9; n++) queue.push(jobOf(pipeline, { mergeable: true }));
    expect(takeAll(queue).map((jobs) => jobs.length)).toEqual([4, 4, 1]);
  });

  test("and up to the number of bytes", () => {
    const queue = new FairQueue(bounds);
    const pipeline = idlePipeline();
    for (const bytes of [60, 40, 1, 99, 100, 30]) queue.push(jobOf(pipeline, { mergeable: true, bytes }));
    expect(takeAll(queue).map((jobs) => jobs.map((job) => job.byteLength))).toEqual([
      [60, 40],
      [1, 99],
      [100],
      [30],
    ]);
  });

  test("and up to the time that they take, by what those before them took", () => {
    const queue = new FairQueue(bounds);
    const pipeline = idlePipeline();
    const sizes = () => {
      for (let n = 0; n < 4; n++) queue.push(jobOf(pipeline, { mergeable: true }));
      return takeAll(queue).map((jobs) => jobs.length);
    };
    expect(sizes()).toEqual([4]);
    pipeline.pace.ran(1, 0.9);
    expect(sizes()).toEqual([2, 2]);
    for (let n = 0; n < 40; n++) pipeline.pace.ran(1, 10);
    expect(sizes()).toEqual([1, 1, 1, 1]);
  });

  test("but never with one that may not be merged, on either side", () => {
    const queue = new FairQueue(bounds);
    const pipeline = idlePipeline();
    const kinds = [true, true, false, true, false, false, true, true];
    for (const mergeable of kinds) queue.push(jobOf(pipeline, { mergeable }));
    expect(takeAll(queue).map((jobs) => jobs.map((job) => job.mergeable))).toEqual([
      [true, true],
      [false],
      [true],
      [false],
      [false],
      [true, true],
    ]);
  });
});

describe("what is taken", () => {
  test("leaves cancelled batches out", () => {
    const queue = new FairQueue(bounds);
    const pipeline = idlePipeline();
    const jobs = Array.from({ length: 5 }, () => jobOf(pipeline));
    for (const job of jobs) queue.push(job);
    for (const index of [0, 2, 4]) jobs[index]?.cancel(0);
    expect(takeAll(queue).flat()).toEqual([jobs[1], jobs[3]]);
  });

  test("is nothing when all were cancelled", () => {
    const queue = new FairQueue(bounds);
    const job = jobOf(idlePipeline());
    queue.push(job);
    job.cancel(0);
    expect(queue.empty).toBe(false);
    expect(takeAll(queue)).toEqual([]);
  });

  test("is first what has to run again, the last put back first", () => {
    const queue = new FairQueue(bounds);
    const pipeline = idlePipeline();
    const waiting = jobOf(pipeline);
    queue.push(waiting);
    const [first, second] = [new Crossing([jobOf(pipeline)]), new Crossing([jobOf(pipeline)])];
    queue.again(second);
    queue.again(first);
    expect([queue.take(), queue.take(), queue.take()?.jobs]).toEqual([first, second, [waiting]]);
  });

  test("comes in order from a line of thousands, pushed and taken by turns", () => {
    const queue = new FairQueue(bounds);
    const pipeline = idlePipeline();
    const pushed: BatchJob[] = [];
    const taken: BatchJob[] = [];
    for (let round = 0; round < 5_000; round++) {
      for (let n = 0; n < (round < 3_000 ? 2 : 0); n++) {
        const job = jobOf(pipeline);
        pushed.push(job);
        queue.push(job);
      }
      const [job] = queue.take()?.jobs ?? [];
      if (job !== undefined) taken.push(job);
    }
    taken.push(...takeAll(queue).flat());
    expect(taken.every((job, index) => job === pushed[index])).toBe(true);
    expect(taken).toHaveLength(6_000);
  });
});

describe("batches that are cancelled while they wait", () => {
  /** A job that is in the queue, and leaves it when it is cancelled. */
  const pushed = (queue: FairQueue, pipeline: ServingPipeline, bytes?: number): BatchJob => {
    const job = jobOf(pipeline, bytes === undefined ? {} : { bytes });
    job.onWithdrawn = (withdrawn) => queue.withdraw(withdrawn);
    queue.push(job);
    return job;
  };

  test("let go of their bytes and their owners at once", () => {
    const queue = new FairQueue(bounds);
    const pipeline = idlePipeline();
    const [kept, gone] = [pushed(queue, pipeline), pushed(queue, pipeline, 1_000_000)];
    const { owner } = gone;
    gone.cancel(0);
    expect(gone.bytes).toHaveLength(0);
    expect(gone.owner).not.toBe(owner);
    expect(gone.byteLength).toBe(1_000_000);
    expect(takeAll(queue)).toEqual([[kept]]);
  });

  test("keep no turn where no other waits, and a pipeline that is retired then is forgotten", () => {
    const queue = new FairQueue(bounds);
    const forgotten = vi.fn(({ spec }: ServingPipeline) => queue.forget(spec.id));
    const pipeline = idlePipeline([idleStage()], forgotten);
    const jobs = Array.from({ length: 5 }, () => pushed(queue, pipeline));
    pipeline.retire();
    for (const job of jobs) {
      expect(queue.empty).toBe(false);
      job.cancel(0);
    }
    expect(queue.empty).toBe(true);
    expect(queue.waitsBeside(0, () => false)).toBe(false);
    expect(forgotten).toHaveBeenCalledOnce();
  });

  test("leave the others their order, whatever is pushed, cancelled and taken", () => {
    const act = fc.record({ kind: fc.constantFrom("push", "cancel", "cancel", "take"), at: fc.nat(50) });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 200 }), (acts) => {
        const queue = new FairQueue(bounds);
        const pipeline = idlePipeline();
        let waiting: BatchJob[] = [];
        for (const { kind, at } of acts) {
          if (kind === "push") waiting.push(pushed(queue, pipeline));
          const job = waiting[at % Math.max(1, waiting.length)];
          if (kind === "cancel" && job !== undefined) {
            waiting = waiting.filter((other) => other !== job);
            job.cancel(0);
          }
          if (kind === "take") expect(queue.take()?.jobs[0]).toBe(waiting.shift());
          expect(queue.empty).toBe(waiting.length === 0);
        }
        expect(takeAll(queue).flat()).toEqual(waiting);
      }),
      { numRuns: 1_000 },
    );
  });
});

test("a pipeline is forgotten only when it has nothing left", () => {
  const queue = new FairQueue(bounds);
  const pipeline = idlePipeline();
  const job = jobOf(pipeline);
  queue.push(job);
  queue.forget(pipeline.spec.id);
  expect(queue.take()?.jobs).toEqual([job]);
  queue.forget(pipeline.spec.id);
  queue.push(jobOf(pipeline));
  expect(takeAll(queue)).toHaveLength(1);
});
