import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fakePool } from "../../test/kit/fake-link.ts";
import { idlePipeline, jobOf } from "../../test/kit/jobs.ts";
import { defaultLimits } from "../limits.ts";
import { Crossing } from "./crossing.ts";
import { isHopeless } from "./recovery.ts";
import { watchIntervalMs } from "./watchdog.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
});

afterEach(() => {
  vi.useRealTimers();
});

test("workers that have served are replaced at once, however many end together", () => {
  const { pool, links } = fakePool({ maxWorkers: 8, maxSpareWorkers: 1 });
  void pool.start();
  for (const link of [...links]) link.ready();
  const served = links.slice(0, 8);
  for (const link of served) link.end();
  // One in each one's place: the spare, and seven that start.
  expect(links).toHaveLength(9 + 7);
  // The next spare, once they have had the processors.
  vi.advanceTimersByTime(100);
  expect(links).toHaveLength(9 + 8);
  expect(vi.getTimerCount()).toBe(0);
});

describe("when those that help out do not start, though the others are healthy", () => {
  test("a spare is tried again, ever later, until there is one", async () => {
    const { pool, links } = fakePool({ maxWorkers: 1, maxSpareWorkers: 1 });
    void pool.start();
    links[0]?.ready();
    const borrowed = pool.borrow();
    for (let start = 1; start <= 5; start++) links[start]?.end();
    expect(links).toHaveLength(6);
    for (const delayMs of [100, 200, 400]) {
      vi.advanceTimersByTime(delayMs - 1);
      const before = links.length;
      vi.advanceTimersByTime(1);
      expect(links).toHaveLength(before + 1);
      if (delayMs < 400) links.at(-1)?.end();
    }
    links.at(-1)?.ready();
    expect((await borrowed).state.t).toBe("ready");
  });

  test("so is the worker of the lane, where no spares are kept", () => {
    const asked = vi.fn();
    const { pool, links } = fakePool({ maxWorkers: 1, maxSpareWorkers: 0 }, { room: asked });
    void pool.start();
    links[0]?.ready();
    for (let start = 1; start <= 5; start++) {
      expect(pool.lane?.makeRoom()).toBe(false);
      links[start]?.end();
    }
    expect(pool.lane?.makeRoom()).toBe(false);
    expect(links).toHaveLength(6);
    asked.mockClear();
    vi.advanceTimersByTime(100);
    expect(asked).toHaveBeenCalled();
    expect(pool.lane?.makeRoom()).toBe(false);
    expect(links).toHaveLength(7);
    links[6]?.ready();
    expect(pool.lane?.makeRoom()).toBe(true);
  });
});

test("a batch whose workers end with nobody named is given up in the end, and those behind it are not", () => {
  const again: Crossing[] = [];
  const { pool, links } = fakePool(
    { maxWorkers: 1, maxSpareWorkers: 0 },
    { again: (crossing) => again.unshift(crossing) },
  );
  void pool.start();
  const [fatal, behind] = [new Crossing([jobOf(idlePipeline())]), new Crossing([jobOf(idlePipeline())])];
  let ended = 0;
  for (again.push(fatal, behind); !isHopeless(fatal, defaultLimits); ended++) {
    const link = links.at(-1);
    if (link === undefined || ended > 1_000) throw new Error("it goes on without end");
    link.onSlots = () => link.end();
    link.ready();
    for (const crossing of again.splice(0)) pool.dispatch(crossing);
    pool.wake();
    expect(again).toEqual([fatal, behind]);
  }
  expect(ended).toBe(fatal.losses);
  expect(behind.losses).toBe(0);
});

test("a batch that has completed is answered although its worker does not tell, having begun a long one", () => {
  const completed: Crossing[] = [];
  const { pool, links } = fakePool(
    { maxWorkers: 1, maxSpareWorkers: 0 },
    { completed: (_, crossing) => completed.push(crossing) },
  );
  void pool.start();
  const [link] = links;
  link?.ready();
  const [short, long] = [new Crossing([jobOf(idlePipeline())]), new Crossing([jobOf(idlePipeline())])];
  if (link !== undefined) link.onSlots = ([slot]) => link.complete(slot as number);
  for (const crossing of [short, long]) pool.dispatch(crossing);
  pool.wake();
  expect(completed).toEqual([]);
  vi.advanceTimersByTime(watchIntervalMs);
  expect(completed).toEqual([short]);
});
