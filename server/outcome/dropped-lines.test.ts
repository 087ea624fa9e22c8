import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DroppedLines } from "./dropped-lines.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function setUp() {
  const told: unknown[] = [];
  const logger = { warn: (fields: unknown) => told.push(fields) };
  const lines = new DroppedLines(logger as never, { droppedLinesIntervalMs: 10_000 });
  const note = (module: string, count: number) =>
    lines.note({ stage: "s", module, version: "1", digest: "sha256:00" }, count);
  return { told, lines, note };
}

test("a flood of lines is one line an interval, which tells how many there were and whose", () => {
  const { told, note } = setUp();
  for (let time = 0; time < 1_000; time++) note("a", 5);
  note("b", 1);
  expect(told).toEqual([]);
  vi.advanceTimersByTime(10_000);
  expect(told).toEqual([{ droppedLines: 5_001, modules: { "a@1": 5_000, "b@1": 1 } }]);
  vi.advanceTimersByTime(100_000);
  expect(told).toHaveLength(1);
  note("a", 2);
  vi.advanceTimersByTime(10_000);
  expect(told[1]).toEqual({ droppedLines: 2, modules: { "a@1": 2 } });
});

test("of many modules some are named, and all are in the total", () => {
  const { told, note, lines } = setUp();
  for (let module = 0; module < 100; module++) note(`m${module}`, 1);
  lines.tell();
  expect(told).toHaveLength(1);
  expect(told[0]).toMatchObject({ droppedLines: 100 });
  expect(Object.keys((told[0] as { modules: object }).modules)).toHaveLength(10);
});
