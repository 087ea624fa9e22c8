import { type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { afterEach, describe, expect, test, vi } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { idlePipeline, idleStage } from "../../test/kit/jobs.ts";
import {
  keepingWorker,
  lieNames,
  lyingWorker,
  refusingWorker,
  silentWorker,
  slowWorker,
  wordyWorker,
} from "../../test/kit/lying-worker.ts";
import { Control } from "../bridge/layout.ts";
import { systemClock } from "../clock.ts";
import { resolveLimits } from "../limits.ts";
import { BatchJob } from "./batch-job.ts";
import { childFlags } from "./child-process.ts";
import { Crossing } from "./crossing.ts";
import { processStarter } from "./process-link.ts";
import { type StopReason, type WorkerEvents, WorkerHandle } from "./worker-handle.ts";

const limits = resolveLimits({});
const pipes: SpawnOptions = { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] };

/** Nobody is told of anything. */
const silent: WorkerEvents = {
  ready: () => {},
  completed: () => {},
  drained: () => {},
  returned: () => {},
  guest: () => {},
  dead: () => {},
};

/** A batch of one record without key or value. */
const oneRecord = Buffer.from([0x0a, 0x00]);

/** A crossing of that batch. */
function crossingOfOne(): Crossing {
  const stage = idleStage({ code: { t: "binary", clamped: new Uint8Array(8) } });
  const batch = { bytes: oneRecord, start: 0, end: oneRecord.length };
  const job = new BatchJob(
    { settled: () => {} },
    idlePipeline([stage]),
    { ...batch, mergeable: false, sequence: 0, streamId: "" },
    0,
  );
  return new Crossing([job]);
}

/** A worker whose process is the lying one. */
async function workerOf(
  lie: string,
  events: Partial<WorkerEvents>,
  clock = systemClock,
): Promise<WorkerHandle> {
  const ready = Promise.withResolvers<void>();
  const startProcess = () => spawn(process.execPath, [lyingWorker, lie], pipes);
  const worker = new WorkerHandle(
    { limits, clock, ledger: undefined, start: processStarter(clock, startProcess) },
    { ...silent, ready: () => ready.resolve(), ...events },
  );
  await ready.promise;
  return worker;
}

/** Submits a batch of one record to a worker that lies, and tells how that ends. */
async function endOf(lie: string) {
  const dead = Promise.withResolvers<{ reason: StopReason; left: number }>();
  let completed = 0;
  const worker = await workerOf(lie, {
    completed: () => completed++,
    dead: (_, reason, left) => dead.resolve({ reason, left: left.length }),
  });
  worker.submit(crossingOfOne());
  worker.wake();
  const end = await dead.promise;
  return { ...end, completed, problem: worker.problem };
}

describe("a process that lies is ended, and what it had goes elsewhere", () => {
  test.each(lieNames)("%s", async (lie) => {
    const { reason, left, completed, problem } = await endOf(lie);
    expect(problem).toMatch(/^the worker's process broke the protocol: /);
    expect({ reason, completed }).toEqual({ reason: "crash", completed: 0 });
    expect(left).toBe(1);
  });
});

test("a process that has something to tell of each of very many batches is no attacker", async () => {
  const many = 6_000;
  const done = Promise.withResolvers<void>();
  let submitted = 0;
  let completed = 0;
  const fill = (worker: WorkerHandle): void => {
    for (; worker.hasRoom && submitted < many; submitted++) worker.submit(crossingOfOne());
    worker.wake();
  };
  // The second never ends, in which so much may be told.
  const worker = await workerOf(
    wordyWorker,
    {
      completed: (from, _, slot) => {
        from.holdSlot(slot, 1);
        from.releaseSlot(slot);
        if (++completed === many) done.resolve();
      },
      drained: fill,
      dead: () => done.reject(new Error(worker.problem)),
    },
    clockOf(() => 1_000),
  );
  fill(worker);
  await done.promise;
  worker.stop("shutdown");
  await worker.ended();
});

test("slots that come back from behind a slow batch are used again once each has completed, and nobody is blamed", async () => {
  const crossings = Array.from({ length: 16 }, () => crossingOfOne());
  const answered: Crossing[] = [];
  const waiting: Crossing[] = [];
  const done = Promise.withResolvers<void>();
  const worker = await workerOf(slowWorker, {
    returned: (crossing) => waiting.push(crossing),
    completed: (from, crossing, slot) => {
      from.holdSlot(slot, 1);
      from.releaseSlot(slot);
      answered.push(crossing);
      if (answered.length === crossings.length) done.resolve();
    },
    // All at once as soon as the slow batch has ended: the others' slots complete right behind it.
    drained: (from) => {
      for (const crossing of waiting.splice(0)) from.submit(crossing);
      from.wake();
    },
    dead: () => done.reject(new Error(worker.problem)),
  });
  for (const crossing of crossings) worker.submit(crossing);
  worker.wake();
  expect(worker.takeBack()).toEqual([]);
  await done.promise;
  expect(new Set(answered)).toEqual(new Set(crossings));
  expect(worker.slotsInUse).toBe(0);
  worker.stop("shutdown");
  await worker.ended();
});

describe("a process that keeps a batch beyond all time", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  /** More than a run may take, and a compilation before it. */
  const beyondMs = 10_000_000;

  test.each([
    ["and says nothing is ended, and the batch that it had first is blamed", silentWorker, 0],
    ["that it was asked for is ended as well, though it has given it back", keepingWorker, 1],
  ])("%s", async (_, kind, blamed) => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    const crossings = [crossingOfOne(), crossingOfOne()];
    const dead = Promise.withResolvers<{ left: readonly Crossing[]; running: Crossing | undefined }>();
    const returned = Promise.withResolvers<void>();
    let nowMs = 1_000;
    const worker = await workerOf(
      kind,
      { returned: () => returned.resolve(), dead: (_, __, left, running) => dead.resolve({ left, running }) },
      clockOf(() => nowMs),
    );
    for (const crossing of crossings) worker.submit(crossing);
    worker.wake();
    if (kind === keepingWorker) {
      worker.takeBack();
      await returned.promise;
    }
    vi.advanceTimersByTime(10_000);
    expect(worker.state.t).toBe("ready");
    nowMs += beyondMs;
    vi.advanceTimersByTime(1_000);
    const { left, running } = await dead.promise;
    expect(worker.problem).toBe("the worker's process does not answer what it was given");
    expect(running).toBe(crossings[0]);
    expect(left).toEqual(crossings.slice(0, 2 - blamed));
    expect(worker.memory.words[Control.currentRecord]).toBe(-1);
  });
});

test("what a process was about to run when it ended is blamed, though it had refused a module before", async () => {
  const [refused, fatal] = [crossingOfOne(), crossingOfOne()];
  const dead = Promise.withResolvers<Crossing | undefined>();
  const worker = await workerOf(refusingWorker, { dead: (_, __, ___, running) => dead.resolve(running) });
  worker.submit(refused);
  worker.submit(fatal);
  worker.wake();
  expect(await dead.promise).toBe(fatal);
});

test("a process that ends by itself, and one that cannot be started, are told as such", async () => {
  const reasons = await Promise.all(
    [
      () => spawn(process.execPath, ["-e", "process.exit(3)"], pipes),
      () => spawn("/nowhere/node", [], pipes),
    ].map((startProcess) => {
      const { promise, resolve } = Promise.withResolvers<string>();
      const worker = new WorkerHandle(
        { limits, clock: systemClock, ledger: undefined, start: processStarter(systemClock, startProcess) },
        {
          ready: () => {},
          completed: () => {},
          drained: () => {},
          returned: () => {},
          guest: () => {},
          dead: () => resolve(worker.problem),
        },
      );
      return promise;
    }),
  );
  expect(reasons).toEqual([
    "the worker's process exited with code 3",
    expect.stringMatching(/^the worker's process does not start: .*ENOENT/),
  ]);
});

test("that a process cannot be started is told once", async () => {
  const child = spawn("/nowhere/node", [], pipes);
  const closed = new Promise((resolve) => child.once("close", resolve));
  const dead = vi.fn();
  new WorkerHandle(
    { limits, clock: systemClock, ledger: undefined, start: processStarter(systemClock, () => child) },
    { ...silent, dead },
  );
  await closed;
  expect(dead).toHaveBeenCalledOnce();
});

test("under its flags a process has no files but the program's, no network and no children", () => {
  const probe = `
    const { connect } = await import("node:net");
    const { readFileSync, writeFileSync } = await import("node:fs");
    const { spawnSync } = await import("node:child_process");
    const tried = {
      read: () => readFileSync("/etc/hostname"),
      write: () => writeFileSync("/tmp/leat-probe", ""),
      children: () => spawnSync("true"),
    };
    for (const [name, go] of Object.entries(tried)) {
      try { go(); console.log(name, "allowed"); } catch (error) { console.log(name, error.code); }
    }
    connect(1, "127.0.0.1").on("error", (error) => console.log("network", error.code));`;
  const { stdout } = spawnSync(process.execPath, [...childFlags(), "--input-type=module", "-e", probe], {
    env: {},
    encoding: "utf8",
  });
  expect(stdout.trim().split("\n")).toEqual([
    "read ERR_ACCESS_DENIED",
    "write ERR_ACCESS_DENIED",
    "children ERR_ACCESS_DENIED",
    "network ERR_ACCESS_DENIED",
  ]);
});
