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
const clock = { ms: 0, nowMs: () => clock.ms, wallMs: () => clock.ms };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "leat-quarantine-"));
  path = join(folder, "data", "quarantine.json");
  clock.ms = 1_000;
  const rows = [{ row: 1, exact: false, digests: [digest] }];
  writeBook(path, judge(new Map(), rows, "SIGABRT", clock.ms).book);
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
    expect(readBook(path)).toEqual({ book: new Map(), problem: expect.stringContaining(path) });
    expect(readFileSync(path, "utf8")).toBe(text);
  },
);
