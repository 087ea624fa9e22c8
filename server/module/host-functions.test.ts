import { describe, expect, test } from "vitest";
import { create, faultOf, limits, RecordingHost, run } from "../../test/kit/guest.ts";
import { wat } from "../../test/kit/wat.ts";
import { HostAbort } from "./trap.ts";

const calls = (imports: string, body: string, more = "") =>
  wat(`(module ${imports} (memory (export "memory") 1) ${more}
    (func (export "leat_alloc") (param i32) (result i32) (i32.const 0))
    (func $go (export "leat_transform") (param i32 i32) (result i64) ${body}))`);
const log = `(import "leat" "log" (func $log (param i32 i32 i32)))`;
const begin = `(import "leat" "begin_record" (func $begin (param i32)))`;
const count = `(import "leat" "counter_add" (func $count (param i32 i32 f64)))`;
const now = `(import "leat" "now_ms" (func $now (result i64)))`;
const logged = (level: number, pointer: number, length: number, data: string) => {
  const host = new RecordingHost();
  const call = `(call $log (i32.const ${level}) (i32.const ${pointer}) (i32.const ${length})) (i64.const 0)`;
  run(calls(log, call, `(data (i32.const 0) "${data}")`), host);
  return host.lines;
};

test("log passes text on, its level held to the four there are", () => {
  expect(logged(2, 0, 5, "hello")).toEqual([[2, "hello"]]);
  expect(logged(-7, 0, 5, "hello")).toEqual([[0, "hello"]]);
  expect(logged(99, 0, 5, "hello")).toEqual([[3, "hello"]]);
});

test("log makes do with bytes that are no UTF-8", () => {
  expect(logged(1, 0, 3, "a\\ffb")).toEqual([[1, "a\ufffdb"]]);
});

test("log cuts at maxLogLineBytes", () => {
  expect(logged(1, 0, 60_000, "x")[0]?.[1]).toHaveLength(limits.maxLogLineBytes);
});

test.each([
  ["-1", -1, 4],
  ["beyond the memory", 65_536, 1],
  ["with a length of -1", 8, -1],
])("log with a pointer %s is a trap that names the function", (_, pointer, length) => {
  const fault = faultOf(() => logged(1, pointer, length, "x"));
  expect(fault.code).toBe("trap");
  expect(fault.message).toContain(
    `leat.log: ${length >>> 0} bytes at ${pointer >>> 0} are outside the memory of 65536 bytes in go (function 2`,
  );
});

test("log reads memory that the guest has just grown", () => {
  const host = new RecordingHost();
  const body = `(drop (memory.grow (i32.const 1))) (i32.store8 (i32.const 70000) (i32.const 65))
    (call $log (i32.const 1) (i32.const 70000) (i32.const 1)) (i64.const 0)`;
  run(calls(log, body), host);
  expect(host.lines).toEqual([[1, "A"]]);
});

describe("in the start function, while the host has no memory of the guest, a failed start that names the cause is", () => {
  test.each([
    ["log", log, "(call $log (i32.const 1) (i32.const 0) (i32.const 1))"],
    ["counter_add", count, "(call $count (i32.const 0) (i32.const 1) (f64.const 1))"],
  ])("%s", (name, imported, call) => {
    const bytes = calls(imported, "(i64.const 0)", `(func $s ${call}) (start $s)`);
    expect(faultOf(() => create(bytes)).message).toContain(
      `leat.${name}: the host has no memory of the module before its start section has ended`,
    );
  });
});

test("begin_record passes an unsigned index on", () => {
  const host = new RecordingHost();
  run(calls(begin, "(call $begin (i32.const 5)) (call $begin (i32.const -1)) (i64.const 0)"), host);
  expect(host.records).toEqual([5, 4_294_967_295]);
});

test("now_ms gives whole milliseconds", () => {
  const host = new RecordingHost();
  const body = "(if (i64.ne (call $now) (i64.const 1700000000123)) (then unreachable)) (i64.const 0)";
  expect(() => run(calls(now, body), host)).not.toThrow();
});

test("counter_add counts, cuts names, and says once what it ignores", () => {
  const host = new RecordingHost();
  const add = (length: number, delta: string) =>
    `(call $count (i32.const 0) (i32.const ${length}) (f64.const ${delta}))`;
  run(
    calls(
      count,
      `${add(4, "2.5")} ${add(200, "1")} ${add(4, "nan")} ${add(4, "-1")} ${add(4, "inf")} ${add(4, "0")} (i64.const 0)`,
      `(data (i32.const 0) "rows${"x".repeat(200)}")`,
    ),
    host,
  );
  expect(host.counts).toEqual([
    ["rows", 2.5],
    [`rows${"x".repeat(60)}`, 1],
  ]);
  expect(host.lines).toEqual([[2, "leat.counter_add: NaN is no addition to the counter rows; ignored"]]);
});

test("counter_add with a bad pointer is a trap", () => {
  const body = "(call $count (i32.const -4) (i32.const 8) (f64.const 1)) (i64.const 0)";
  expect(faultOf(() => run(calls(count, body))).message).toContain("leat.counter_add: 8 bytes at 4294967292");
});

const catching = (call: string) => `(try (do ${call}) (catch_all)) (i64.const 0)`;

test("a HostAbort comes out as it was thrown, and no catch_all of the guest holds it", () => {
  const abort = new HostAbort("cancelled");
  const host = new RecordingHost();
  host.beginRecord = () => {
    throw abort;
  };
  let caught: unknown;
  try {
    run(calls(begin, catching("(call $begin (i32.const 0))")), host);
  } catch (thrown) {
    caught = thrown;
  }
  expect(caught).toBe(abort);
});

test("nor does a catch_all hold a host function's complaint", () => {
  const fault = faultOf(() =>
    run(calls(log, catching("(call $log (i32.const 0) (i32.const -1) (i32.const 1))"))),
  );
  expect(fault.message).toContain("leat.log");
});

test("an abort while the guest starts comes out as it was thrown", () => {
  const host = new RecordingHost();
  const abort = new HostAbort("cancelled");
  host.log = () => {
    throw abort;
  };
  let caught: unknown;
  try {
    create(init0(), host);
  } catch (thrown) {
    caught = thrown;
  }
  expect(caught).toBe(abort);
});

function init0(): Uint8Array {
  return calls(
    log,
    "(i64.const 0)",
    `(func (export "_initialize") (call $log (i32.const 0) (i32.const 0) (i32.const 0)))`,
  );
}

test("a host function that fails for a reason of its own is a trap with that reason", () => {
  const host = new RecordingHost();
  host.nowMs = () => {
    throw new Error("no clock");
  };
  expect(faultOf(() => run(calls(now, "(call $now)"), host)).message).toContain("no clock");
});
