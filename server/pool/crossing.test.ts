import { describe, expect, test } from "vitest";
import { idlePipeline, jobOf } from "../../test/kit/jobs.ts";
import { LeatError } from "../errors.ts";
import { Crossing } from "./crossing.ts";

function running(jobs: number) {
  const pipeline = idlePipeline();
  const cancelled: number[] = [];
  const answers: unknown[] = [];
  const all = Array.from({ length: jobs }, () =>
    jobOf(pipeline, { settled: (outcome) => answers.push(outcome) }),
  );
  const crossing = new Crossing(all);
  crossing.running({ cancelSlot: (slot) => cancelled.push(slot) }, 3, 1);
  return { crossing, all, cancelled, answers };
}

describe("a crossing", () => {
  test("is cancelled in its worker when the last of its callers has gone, once", () => {
    const { all, cancelled, crossing, answers } = running(3);
    all[0]?.cancel(10);
    all[2]?.cancel(11);
    expect(cancelled).toEqual([]);
    all[1]?.cancel(12);
    all[1]?.cancel(13);
    expect(cancelled).toEqual([3]);
    expect(crossing.cancelledMs).toBe(12);
    // They are answered when the guest has stopped.
    expect(answers).toEqual([]);
  });

  test("that waits again cancels nobody who has its former slot", () => {
    const { all, cancelled, crossing } = running(1);
    crossing.waits();
    all[0]?.cancel(10);
    expect(cancelled).toEqual([]);
    expect(crossing.cancelledMs).toBe(10);
  });

  test("forgets what an earlier run reported", () => {
    const { crossing } = running(1);
    crossing.report = { failures: [], samples: [], matters: [] };
    crossing.running({ cancelSlot: () => {} }, 4, 2);
    expect(crossing.report).toBeUndefined();
    expect(crossing.attempts).toBe(2);
  });
});

describe("a batch", () => {
  test("that waits is answered at once when it is cancelled, and only once", () => {
    const answers: unknown[] = [];
    const job = jobOf(idlePipeline(), { settled: (outcome) => answers.push(outcome) });
    job.cancel(1);
    job.cancel(2);
    expect(answers).toHaveLength(1);
    expect((answers[0] as LeatError).reason).toBe("CANCELLED");
    expect(() => job.settle(new LeatError("CANCELLED", "", {}))).toThrow(/answered twice/);
  });

  test("holds its pipeline until it is answered", () => {
    const unused: unknown[] = [];
    const pipeline = idlePipeline(undefined, (each) => unused.push(each));
    const jobs = [jobOf(pipeline), jobOf(pipeline)];
    pipeline.retire();
    pipeline.retire();
    expect(unused).toEqual([]);
    jobs[0]?.cancel(0);
    expect(unused).toEqual([]);
    jobs[1]?.cancel(0);
    expect(unused).toEqual([pipeline]);
  });

  test("leaves a pipeline alone that was not retired", () => {
    const unused: unknown[] = [];
    const pipeline = idlePipeline(undefined, (each) => unused.push(each));
    jobOf(pipeline).cancel(0);
    expect(unused).toEqual([]);
    pipeline.retire();
    expect(unused).toEqual([pipeline]);
  });
});
