import { describe, expect, test } from "vitest";
import type { LedgerRow } from "./ledger-format.ts";
import { type Book, isHeld, judge, memoryMs, probationMs, probationUntilMs } from "./quarantine-book.ts";

const minuteMs = 60_000;
const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const [a, b, c] = [digest("a"), digest("b"), digest("c")];

function rows(...digests: readonly (readonly string[])[]): LedgerRow[] {
  return digests.map((named, index) => ({ row: index + 1, exact: false, digests: named }));
}

function exactly(...named: readonly string[]): LedgerRow {
  return { row: 9, exact: true, digests: named };
}

function held(book: Book, nowMs: number): string[] {
  return [...book.values()].filter((entry) => isHeld(entry, nowMs)).map((entry) => entry.digest);
}

describe("an abort", () => {
  test("while one module ran quarantines it for 1, 5 and 30 minutes, then until it is released", () => {
    let book: Book = new Map();
    let nowMs = 1_000;
    for (const minutes of [1, 5, 30]) {
      book = judge(book, rows([a]), "SIGABRT", nowMs).book;
      expect(held(book, nowMs + minutes * minuteMs - 1)).toEqual([a]);
      expect(held(book, nowMs + minutes * minuteMs)).toEqual([]);
      nowMs += minutes * minuteMs;
    }
    book = judge(book, rows([a]), "SIGABRT", nowMs).book;
    expect(held(book, nowMs + 100 * memoryMs)).toEqual([a]);
    expect(book.get(a)?.why).toBe("the server process was ended by SIGABRT while this module ran alone");
  });

  test("while several ran holds none of them, but puts all on probation", () => {
    const verdict = judge(new Map(), rows([a, b], [c]), "SIGSEGV", 1_000);
    expect(verdict).toMatchObject({ quarantined: [], suspected: [a, b, c] });
    expect(held(verdict.book, 1_000)).toEqual([]);
    expect(probationUntilMs(verdict.book.get(c))).toBe(1_000 + probationMs);
  });

  test("on probation names the one that ran, and clears those that came under suspicion with it", () => {
    const first = judge(new Map(), rows([a], [b]), "SIGABRT", 1_000).book;
    const second = judge(first, [...rows([c]), exactly(b)], "SIGABRT", 2_000);
    expect(second.quarantined).toEqual([b]);
    expect([...second.book.keys()]).toEqual([b]);
  });

  test("that names several again quarantines all of them", () => {
    const first = judge(new Map(), rows([a], [b]), "SIGABRT", 1_000).book;
    const second = judge(first, rows([a], [b]), "SIGABRT", 2_000);
    expect(second.quarantined).toEqual([a, b]);
  });

  test("is forgotten after the probation, and a quarantine a day after its end", () => {
    const suspected = judge(new Map(), rows([a], [b]), "SIGABRT", 1_000).book;
    const later = judge(suspected, rows([a], [b]), "SIGABRT", 1_000 + probationMs);
    expect(later.suspected).toEqual([a, b]);
    const quarantined = judge(new Map(), rows([a]), "SIGABRT", 0).book;
    const nextDay = judge(quarantined, rows([a]), "SIGABRT", minuteMs + memoryMs).book;
    expect(nextDay.get(a)?.strikes).toBe(1);
  });
});
