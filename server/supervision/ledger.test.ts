import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PipelineSpec, StageSpec } from "../bridge/pipeline-spec.ts";
import { defaultLimits } from "../limits.ts";
import { CrashLedger } from "../thread/crash-ledger.ts";
import { readLedger } from "./ledger-format.ts";
import { LedgerRows } from "./ledger-rows.ts";

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;

let folder: string;
let path: string;
let rows: LedgerRows;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "leat-ledger-"));
  path = join(folder, "ledger");
  rows = new LedgerRows(path, 3);
});

afterEach(() => {
  rows.close();
  rmSync(folder, { recursive: true });
});

/** What a worker that does not wait makes of a batch. */
const running = { begin: () => {}, cancelled: false };

function pipeline(letters: string, probationUntilMs = 0): PipelineSpec {
  const stages = [...letters].map((letter) => ({ digest: digest(letter) }) as StageSpec);
  return { id: 1, name: letters, stages, limits: defaultLimits, probationUntilMs };
}

test("a worker's row names the stages of the pipeline that it ran last, until it is cleared", () => {
  const ledger = new CrashLedger(rows.take());
  for (const letters of ["ab", "c"]) {
    ledger.begin(pipeline(letters), 0, running);
    ledger.end();
    expect(readLedger(path)).toEqual([{ row: 1, exact: false, digests: [...letters].map(digest) }]);
  }
  expect(ledger.clearAfterMs).toBe(1_000);
  ledger.clear();
  expect(readLedger(path)).toEqual([]);
  expect(ledger.clearAfterMs).toBeUndefined();
});

test("a pipeline on probation is named stage by stage, and no longer than it runs", () => {
  const ledger = new CrashLedger(rows.take());
  ledger.begin(pipeline("c"), 0, running);
  ledger.begin(pipeline("ab", Number.POSITIVE_INFINITY), 0, running);
  expect(readLedger(path)).toEqual([]);
  ledger.stage(1);
  expect(readLedger(path)).toEqual([{ row: 1, exact: true, digests: [digest("b")] }]);
  ledger.end();
  expect(readLedger(path)).toEqual([]);
});

test("a worker that ends on probation makes way for the next, and its row is free", () => {
  const [first, second] = [rows.take(), rows.take()];
  const suspect = pipeline("a", Number.POSITIVE_INFINITY);
  new CrashLedger(first).begin(suspect, 0, running);
  expect(new Int32Array(first.lane)[0]).toBe(1);
  rows.free(first);
  new CrashLedger(second).begin(suspect, 0, running);
  expect(new Int32Array(first.lane)[0]).toBe(2);
  expect(rows.take().row).toBe(1);
});

describe("a batch that waits for another on probation", () => {
  const suspect = pipeline("a", Number.POSITIVE_INFINITY);

  /** A second worker with such a batch in slot 7, which looks whether it was cancelled. */
  function waitBehind(first: CrashLedger, looks: () => boolean) {
    const seat = rows.take();
    const second = new CrashLedger(seat);
    const begun: number[] = [];
    first.begin(suspect, 0, running);
    second.begin(suspect, 7, {
      begin: (slot) => begun.push(slot),
      get cancelled() {
        return looks();
      },
    });
    return { second, begun, holder: new Int32Array(seat.lane) };
  }

  test("has begun for whoever watches the worker, and runs once the other has ended", () => {
    const first = new CrashLedger(rows.take());
    let looked = 0;
    const { second, begun, holder } = waitBehind(first, () => {
      if (++looked === 3) first.end();
      return false;
    });
    expect({ begun, looked, holder: holder[0] }).toEqual({ begun: [7], looked: 3, holder: 2 });
    second.stage(0);
    expect(readLedger(path)).toEqual([{ row: 2, exact: true, digests: [digest("a")] }]);
  });

  test("waits no more when it is cancelled, and leaves the other its turn", () => {
    const first = new CrashLedger(rows.take());
    let looked = 0;
    const { second, holder } = waitBehind(first, () => ++looked === 3);
    second.stage(0);
    second.end();
    expect(holder[0]).toBe(1);
    expect(readLedger(path)).toEqual([]);
  });
});

test("row 0 names what is being compiled", async () => {
  const compiling = Promise.withResolvers<void>();
  const both = [digest("a"), digest("b")].map((each) => rows.whileCompiling(each, () => compiling.promise));
  expect(readLedger(path)).toEqual([{ row: 0, exact: true, digests: [digest("a"), digest("b")] }]);
  compiling.resolve();
  await Promise.all(both);
  expect(readLedger(path)).toEqual([]);
});

test("a file that is missing, cut or something else names nothing", () => {
  expect(readLedger(join(folder, "missing"))).toEqual([]);
  for (const text of ["", "LEATLDG1", "something else".repeat(20)]) {
    writeFileSync(path, text);
    expect(readLedger(path)).toEqual([]);
  }
});
