import { describe, expect, test } from "vitest";
import { idlePipeline, idleStage, jobOf } from "../../test/kit/jobs.ts";
import { ExclusionCode, maxExclusions, unknownRecord, wholeStage } from "../bridge/layout.ts";
import { defaultLimits } from "../limits.ts";
import { Crossing } from "./crossing.ts";
import { afterLoss, afterOverrun, isHopeless, mayBeInnocent } from "./recovery.ts";

const stages = [
  idleStage({ name: "a", batchTimeoutMs: 100, recordTimeoutMs: 20 }),
  idleStage({ name: "b", batchTimeoutMs: 100, recordTimeoutMs: 20 }),
];

function crossing(): Crossing {
  return new Crossing([jobOf(idlePipeline(stages))]);
}

/** What is not to be run again, as `stage:record`. */
function excluded({ exclusions }: Crossing): string[] {
  const names = new Map([
    [wholeStage, "all"],
    [unknownRecord, "one by one"],
  ]);
  return exclusions.map(({ stage, record }) => `${stage}:${names.get(record) ?? record}`);
}

/** What a run of so many milliseconds has taken; its record was stopped after 60 ms, of which it ran 40. */
const spent = (ranMs: number) => ({ ranMs, measured: { wallMs: 60, cpuMs: 40 } });

describe("after an overrun", () => {
  test("of a record, that record is left out", () => {
    const each = crossing();
    afterOverrun(each, { t: "record", stage: 1, record: 7 }, spent(20));
    expect(excluded(each)).toEqual(["1:7"]);
    expect(each.exclusions[0]?.code).toBe(ExclusionCode.timeout);
  });

  test("of a batch, its records run one by one", () => {
    const each = crossing();
    afterOverrun(each, { t: "batch", stage: 0 }, spent(20));
    afterOverrun(each, { t: "batch", stage: 0 }, spent(20));
    expect(excluded(each)).toEqual(["0:one by one"]);
  });

  test("of three records, the rest runs one by one", () => {
    const each = crossing();
    for (const record of [2, 5, 9]) afterOverrun(each, { t: "record", stage: 0, record }, spent(20));
    expect(excluded(each)).toEqual(["0:2", "0:5", "0:9", "0:one by one"]);
  });

  test("of a start, the stage is given up", () => {
    const each = crossing();
    afterOverrun(each, { t: "init", stage: 1 }, spent(20));
    expect(excluded(each)).toEqual(["1:all"]);
    expect(each.exclusions[0]?.code).toBe(ExclusionCode.initTimeout);
  });

  test("of a whole run, and of the time that a batch may cost in stopped workers, the stage is given up", () => {
    const run = crossing();
    afterOverrun(run, { t: "run", stage: 1 }, spent(20));
    expect(excluded(run)).toEqual(["1:all"]);
    const costly = crossing();
    for (let record = 0; record < 30 && !excluded(costly).includes("0:all"); record++)
      afterOverrun(costly, { t: "record", stage: 0, record }, spent(25));
    // Five batches of 100 ms at 25 ms a record.
    expect(costly.spentMs).toBe(525);
    expect(excluded(costly).at(-1)).toBe("0:all");
  });

  test("of the same record again, the stage is given up: leaving it out has not helped", () => {
    const each = crossing();
    afterOverrun(each, { t: "record", stage: 0, record: 3 }, spent(20));
    afterOverrun(each, { t: "record", stage: 0, record: 3 }, spent(20));
    expect(excluded(each)).toContain("0:all");
  });

  test("that was a cancellation, nothing is blamed", () => {
    const each = crossing();
    afterOverrun(each, { t: "cancelled" }, spent(20));
    expect(excluded(each)).toEqual([]);
  });
});

describe("after the loss of a worker", () => {
  test("the record that was named is left out", () => {
    const each = crossing();
    afterLoss(each, 1, 4);
    expect(excluded(each)).toEqual(["1:4"]);
    expect(each.exclusions[0]?.code).toBe(ExclusionCode.workerLost);
  });

  test("with none named they run one by one, and with none named again the stage is given up", () => {
    const each = crossing();
    afterLoss(each, 0, -1);
    expect(excluded(each)).toEqual(["0:one by one"]);
    afterLoss(each, 0, -1);
    expect(excluded(each)).toEqual(["0:one by one", "0:all"]);
  });

  test("for its heap, nothing is blamed at first: others' instances may have filled it", () => {
    const each = crossing();
    const heap = { t: "dead", reason: "out_of_memory" } as const;
    expect(mayBeInnocent(each, { t: "dead", reason: "crash" })).toBe(false);
    expect(mayBeInnocent(each, heap)).toBe(true);
    expect(each.losses).toBe(1);
    expect(mayBeInnocent(each, heap)).toBe(false);
    expect(excluded(each)).toEqual([]);
  });

  test("a crossing under which workers die without end is given up once nothing is left to leave out", () => {
    const limits = { ...defaultLimits, maxStages: 2 };
    const each = crossing();
    for (let loss = 0; loss < maxExclusions + 2; loss++) afterLoss(each, 0, loss);
    expect(isHopeless(each, limits)).toBe(false);
    afterLoss(each, 0, -1);
    expect(isHopeless(each, limits)).toBe(true);
  });

  test("what open breakers leave out for a run takes no place of what is remembered", () => {
    const each = crossing();
    for (let record = 0; record < 70; record++) {
      const open = [0, 1].map((stage) => ({ stage, record: wholeStage, code: ExclusionCode.breakerOpen }));
      each.exclusions = [...each.exclusions, ...open];
      afterLoss(each, 0, record);
      expect(each.exclusions.map(({ code }) => code)).not.toContain(ExclusionCode.breakerOpen);
      expect(each.exclusions.length).toBe(Math.min(record + 1, maxExclusions));
    }
  });

  test("what can be remembered is bounded, and the last place gives the stage up", () => {
    const each = crossing();
    for (let record = 0; record < 200; record++) afterLoss(each, 0, record);
    expect(each.exclusions).toHaveLength(maxExclusions);
    expect(excluded(each).at(-1)).toBe("0:all");
  });
});
