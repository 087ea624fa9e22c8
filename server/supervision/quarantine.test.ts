import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Quarantine } from "./quarantine.ts";
import { judge } from "./quarantine-book.ts";
import { readBook, writeBook } from "./quarantine-file.ts";

const digest = `sha256:${"a".repeat(64)}`;

let folder: string;
let path: string;
const clock = { ms: 0, aheadMs: 0, nowMs: () => clock.ms, wallMs: () => clock.ms + clock.aheadMs };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "leat-quarantine-"));
  path = join(folder, "data", "quarantine.json");
  clock.ms = 1_000;
  clock.aheadMs = 0;
  const rows = [{ row: 1, exact: false, digests: [digest] }];
  writeBook(path, judge(new Map(), rows, "SIGABRT", clock.ms).book, clock);
});

afterEach(() => rmSync(folder, { recursive: true }));

test("a module in the book is refused with since when, until when and why, and runs on probation after that", () => {
  const quarantine = new Quarantine(path, clock);
  expect(() => quarantine.check(digest, "redact@1")).toThrow(
    "module redact@1 is in quarantine since 1970-01-01T00:00:01.000Z until 1970-01-01T00:01:01.000Z: " +
      "the server process was ended by SIGABRT while this module ran alone",
  );
  clock.ms = 61_000;
  quarantine.check(digest, "redact@1");
  expect(quarantine.list()).toEqual([]);
  expect(quarantine.probationUntilMs(digest)).toBe(661_000);
});

test("a release holds for the next process, too", () => {
  const quarantine = new Quarantine(path, clock);
  expect(quarantine.release(digest)).toBe(true);
  expect(quarantine.release(digest)).toBe(false);
  quarantine.check(digest, "redact@1");
  expect(new Quarantine(path, clock).probationUntilMs(digest)).toBe(0);
});

test("without a file nothing is held", () => {
  expect(new Quarantine(undefined, clock).list()).toEqual([]);
  expect(new Quarantine(join(folder, "none"), clock)).toMatchObject({ problem: undefined });
});

test.each(["", "{}", "[]", '{"modules":[{"digest":"x"}]}'])(
  "a file that is no book (%j) holds nothing, and is told",
  (text) => {
    writeFileSync(path, text);
    expect(readBook(path, clock)).toEqual({ book: new Map(), problem: expect.stringContaining(path) });
    expect(readFileSync(path, "utf8")).toBe(text);
  },
);

test("a clock that is set changes nothing while the process lives, and the next process counts by the clock as it is then", () => {
  const hourMs = 3_600_000;
  const quarantine = new Quarantine(path, clock);
  const other = `sha256:${"b".repeat(64)}`;
  clock.aheadMs = hourMs;
  expect(quarantine.held(digest)).toBeDefined();
  quarantine.hold(other, "it breaks");
  // The next process begins when half of the minute is over, with a clock that was right from its start.
  const next = { nowMs: () => hourMs + 31_000, wallMs: () => hourMs + 31_000 };
  expect(new Quarantine(path, next).held(other)).toMatchObject({
    sinceMs: hourMs + 1_000,
    heldUntilMs: hourMs + 61_000,
  });
  expect(() => quarantine.check(other, "b@1")).toThrow(
    "since 1970-01-01T01:00:01.000Z until 1970-01-01T01:01:01.000Z",
  );
});
