import { afterEach, describe, expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { idlePipeline, idleStage, jobOf } from "../../test/kit/jobs.ts";
import { SlotMemory } from "../bridge/channel.ts";
import { Control, layoutFor, Phase } from "../bridge/layout.ts";
import { resolveLimits } from "../limits.ts";
import { Crossing } from "./crossing.ts";
import { type Overrun, Watchdog } from "./watchdog.ts";
import type { WorkerHandle } from "./worker-handle.ts";

const limits = resolveLimits({
  maxInitMs: 50,
  maxCancelGraceMs: 30,
  maxStallMs: 15,
  maxFaultsPerBatch: 3,
  maxRecordExecutionMs: 100,
  maxBatchExecutionMs: 400,
});

const watchdogs: Watchdog[] = [];

afterEach(() => {
  for (const watchdog of watchdogs.splice(0)) watchdog.close();
});

/** One worker in which a guest is said to run, and a watchdog that looks at it when told to. */
function setUp() {
  let nowMs = 1_000;
  let cpuMs: number | undefined;
  const memory = new SlotMemory(layoutFor(limits));
  const { words } = memory;
  const stage = idleStage({ batchTimeoutMs: 400, recordTimeoutMs: 100 });
  const crossing = new Crossing([jobOf(idlePipeline([stage], undefined, limits))]);
  const worker = {
    memory,
    queued: 1,
    stalled: false,
    state: { t: "ready" },
    current: crossing,
    cpu: { usedMs: () => cpuMs },
  };
  const seen: Overrun[] = [];
  const stalls: number[] = [];
  const ran: number[] = [];
  const watchdog = new Watchdog(
    limits,
    clockOf(() => nowMs),
    () => [worker as unknown as WorkerHandle],
    (_, of, overrun, { ranMs }) => {
      expect(of).toBe(crossing);
      seen.push(overrun);
      ran.push(ranMs);
    },
    () => {
      worker.stalled = true;
      stalls.push(nowMs);
    },
  );
  watchdogs.push(watchdog);
  const enter = (phase: number, record = -1): void => {
    words[Control.guestCalls] = (words[Control.guestCalls] ?? 0) + 1;
    words[Control.currentRecord] = record;
    words[Control.currentPhase] = phase;
  };
  /** Time goes by in small steps, with a look at each. */
  const pass = (ms: number, share = 1): void => {
    for (let step = 0; step < ms; step++) {
      nowMs++;
      if (cpuMs !== undefined) cpuMs += share;
      if (seen.length === 0) watchdog.look();
    }
  };
  /** From now on the system tells how long the thread had a processor. */
  const tellCpu = (): void => {
    cpuMs = 70;
  };
  words[Control.begun] = 1;
  return {
    ran,
    tellCpu,
    words,
    worker,
    crossing,
    watchdog,
    seen,
    stalls,
    enter,
    pass,
    nowMs: () => nowMs,
  };
}

describe("the watchdog", () => {
  test("stops a record at its limit, and not before", () => {
    const { enter, pass, seen } = setUp();
    enter(Phase.execute, 4);
    pass(101);
    expect(seen).toEqual([]);
    pass(5);
    expect(seen).toEqual([{ t: "record", stage: 0, record: 4 }]);
  });

  test("gives each record its own time", () => {
    const { words, enter, pass, seen } = setUp();
    enter(Phase.execute, 0);
    for (let record = 1; record <= 3; record++) {
      pass(90);
      words[Control.currentRecord] = record;
    }
    expect(seen).toEqual([]);
    pass(110);
    expect(seen).toEqual([{ t: "record", stage: 0, record: 3 }]);
  });

  test("stops a batch of which no record is named at the limit for batches", () => {
    const { enter, pass, seen } = setUp();
    enter(Phase.execute);
    pass(400);
    expect(seen).toEqual([]);
    pass(5);
    expect(seen).toEqual([{ t: "batch", stage: 0 }]);
  });

  test("gives each call its own time, and all of a run together five batches'", () => {
    const { enter, pass, seen, nowMs } = setUp();
    const startMs = nowMs();
    for (let call = 0; call < 100 && seen.length === 0; call++) {
      enter(Phase.execute, call);
      pass(90);
    }
    expect(seen).toEqual([{ t: "run", stage: 0 }]);
    expect(nowMs() - startMs).toBeGreaterThan(2_000);
    expect(nowMs() - startMs).toBeLessThan(2_200);
  });

  test("counts a new batch from its own beginning", () => {
    const { words, enter, pass, seen } = setUp();
    for (let batch = 0; batch < 10; batch++) {
      words[Control.begun] = batch;
      for (let call = 0; call < 5; call++) {
        enter(Phase.execute, call);
        pass(90);
      }
    }
    expect(seen).toEqual([]);
  });

  test("stops a start at its own limit", () => {
    const { enter, pass, seen } = setUp();
    enter(Phase.init);
    pass(60);
    expect(seen).toEqual([{ t: "init", stage: 0 }]);
  });

  test("stops a guest that goes on after everybody has gone, when the grace is over", () => {
    const { crossing, enter, pass, seen, nowMs } = setUp();
    enter(Phase.execute, 0);
    pass(20);
    crossing.jobs[0]?.cancel(nowMs());
    pass(30);
    expect(seen).toEqual([]);
    pass(5);
    expect(seen).toEqual([{ t: "cancelled" }]);
  });

  test("lets the host's own work take its time, and tells of it and stops it like a guest's", () => {
    const { words, crossing, stalls, pass, seen, nowMs } = setUp();
    words[Control.currentPhase] = Phase.host;
    pass(3_000);
    expect(seen).toEqual([]);
    expect(stalls).toHaveLength(1);
    crossing.jobs[0]?.cancel(nowMs());
    pass(30);
    expect(seen).toEqual([]);
    pass(5);
    expect(seen).toEqual([{ t: "cancelled" }]);
  });

  test("takes no wait for a processor for a stall, while the host works", () => {
    const { tellCpu, words, pass, stalls } = setUp();
    tellCpu();
    words[Control.currentPhase] = Phase.host;
    pass(60, 0.2);
    expect(stalls).toEqual([]);
    pass(60, 0.2);
    expect(stalls).toHaveLength(1);
  });

  test("does not take the host's work on a new batch for a long call of the one before", () => {
    const { words, enter, stalls, pass } = setUp();
    enter(Phase.execute, 0);
    pass(10);
    for (let batch = 2; batch < 10; batch++) {
      words[Control.begun] = batch;
      words[Control.currentPhase] = Phase.host;
      pass(10);
    }
    expect(stalls).toEqual([]);
  });

  test("looks away while there is no batch", () => {
    const { words, pass, seen } = setUp();
    words[Control.currentPhase] = Phase.idle;
    pass(5_000);
    expect(seen).toEqual([]);
  });

  test("tells once of a call that holds its worker up", () => {
    const { enter, pass, stalls } = setUp();
    enter(Phase.execute, 0);
    pass(14);
    expect(stalls).toEqual([]);
    pass(60);
    expect(stalls).toHaveLength(1);
  });

  test("lets a record go on whose thread waited for a processor, until it has had half of its time", () => {
    const { tellCpu, enter, pass, seen, ran } = setUp();
    tellCpu();
    enter(Phase.execute, 4);
    pass(150, 0.3);
    expect(seen).toEqual([]);
    pass(10, 0.6);
    expect(seen).toEqual([{ t: "record", stage: 0, record: 4 }]);
    // It is held to have run for its limit at least, or a batch of such records would have more runs than its time allows.
    expect(ran[0]).toBeGreaterThanOrEqual(100);
    expect(ran[0]).toBeLessThan(110);
  });

  test("stops a guest that hardly runs by the clock, after a multiple of its limit", () => {
    const { tellCpu, enter, pass, seen, ran } = setUp();
    tellCpu();
    enter(Phase.execute, 4);
    pass(400, 0.1);
    expect(seen).toEqual([]);
    pass(5, 0.1);
    expect(seen).toEqual([{ t: "record", stage: 0, record: 4 }]);
    expect(ran[0]).toBeGreaterThanOrEqual(100);
  });

  test("lends no record the processor time of the one before", () => {
    const { tellCpu, words, enter, pass, seen } = setUp();
    tellCpu();
    enter(Phase.execute, 0);
    for (let record = 1; record <= 3; record++) {
      pass(90);
      words[Control.currentRecord] = record;
    }
    pass(110, 0.4);
    expect(seen).toEqual([]);
  });

  test("does not take two calls for one because the second is at the same record", () => {
    const { enter, pass, seen } = setUp();
    for (let call = 0; call < 4; call++) {
      enter(Phase.execute, 2);
      pass(80);
    }
    expect(seen).toEqual([]);
  });
});
