import { describe, expect, test } from "vitest";
import { wat } from "../../test/kit/wat.ts";
import { systemClock } from "../clock.ts";
import { resolveLimits } from "../limits.ts";
import { checkAbi, wasiFunctions } from "./abi.ts";
import { inspectModule } from "./inspect.ts";
import { type GuestHost, GuestInstance } from "./instance.ts";
import { GuestFault } from "./trap.ts";

const limits = resolveLimits({ maxLogLineBytes: 32 });

interface Run {
  readonly lines: readonly [level: number, text: string][];
  readonly bytes: Uint8Array;
  /** What the call returned. */
  readonly result: number;
}

/** Calls one function of WASI, with these arguments, in a guest with this data at address 0. */
function call(name: string, args: readonly (number | bigint)[], data = "", clock = [5_000.7]): Run {
  const lines: [number, string][] = [];
  const clockMs = [...clock];
  const host: GuestHost = {
    beginRecord: () => {},
    log: (level, text) => lines.push([level, text]),
    nowMs: () => clockMs.shift() ?? 0,
    counterAdd: () => {},
  };
  const values = args
    .map((arg) => (typeof arg === "bigint" ? `(i64.const ${arg})` : `(i32.const ${arg})`))
    .join(" ");
  const instance = create(
    `(i32.store (i32.const 1000) (call $wasi ${values}))
     ${clock.length > 1 ? `(i32.store (i32.const 1000) (call $wasi ${values}))` : ""}`,
    name,
    host,
    data,
  );
  instance.transform(0, 0);
  const { bytes } = instance;
  return { lines, bytes, result: new DataView(bytes.buffer).getInt32(1000, true) };
}

function typeUse(type: string): string {
  const [parameters = "", results = ""] = type.replace(/[(),]/g, " ").split("->");
  return `(param ${parameters}) (result ${results})`;
}

function create(body: string, name: string, host: GuestHost, data = ""): GuestInstance {
  const bytes = wat(`(module
    (import "wasi_snapshot_preview1" "${name}" (func $wasi ${typeUse(wasiFunctions[name] ?? "")}))
    (memory (export "memory") 2) (data (i32.const 0) "${data}")
    (func (export "leat_alloc") (param i32) (result i32) (i32.const 0))
    (func (export "leat_transform") (param i32 i32) (result i64) ${body} (i64.const 0)))`);
  const inspected = inspectModule(bytes, limits);
  checkAbi(inspected);
  return GuestInstance.create(new WebAssembly.Module(inspected.clamped), "", host, limits);
}

const view = ({ bytes }: Run) => new DataView(bytes.buffer);

/** Little-endian words as the escapes of a data segment. */
const words = (...values: number[]) =>
  values
    .map((value) =>
      [0, 8, 16, 24].map((shift) => `\\${((value >>> shift) & 255).toString(16).padStart(2, "0")}`).join(""),
    )
    .join("");

describe("writing to a standard stream goes to the log", () => {
  const text = (value: string) => `${words(16, value.length)}${words(0, 0)}${value.replaceAll("\n", "\\0a")}`;
  const written = (fd: number, value: string) => call("fd_write", [fd, 0, 1, 8], text(value));

  test("line by line, output as info and error as warning", () => {
    const run = written(1, "one\ntwo\n");
    expect(run.result).toBe(0);
    expect(view(run).getUint32(8, true)).toBe(8);
    expect(run.lines).toEqual([
      [1, "one"],
      [1, "two"],
    ]);
    expect(written(2, "oops\n").lines).toEqual([[2, "oops"]]);
  });

  test("the rest when the run ends, a long line cut, an empty one dropped", () => {
    expect(written(1, `${"x".repeat(40)}\n\nrest`).lines).toEqual([
      [1, "x".repeat(32)],
      [1, "rest"],
    ]);
  });

  test("several vectors make one line", () => {
    const run = call("fd_write", [1, 0, 2, 16], `${words(20, 2, 22, 3, 0)}ab\\c3\\a4\\0a`);
    expect(run.result).toBe(0);
    expect(run.lines).toEqual([[1, "abä"]]);
    expect(view(run).getUint32(16, true)).toBe(5);
  });

  test("also what was written before a trap", () => {
    const lines: string[] = [];
    const host: GuestHost = {
      beginRecord: () => {},
      log: (_, line) => lines.push(line),
      nowMs: () => 0,
      counterAdd: () => {},
    };
    const write = "(drop (call $wasi (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) unreachable";
    const instance = create(write, "fd_write", host, `${words(16, 4, 0, 0)}boom`);
    expect(() => instance.transform(0, 0)).toThrow(GuestFault);
    expect(lines).toEqual(["boom"]);
  });

  test.each([
    ["no such descriptor", [0, 0, 1, 8], "", 8],
    ["vectors outside the memory", [1, -8, 2, 8], "", 21],
    ["so many vectors that they end outside", [1, 0, -1, 8], "", 21],
    ["a text outside the memory", [1, 0, 1, 8], words(131_070, 3), 21],
    ["a text with a length that overflows", [1, 0, 1, 8], words(-1, -1), 21],
    ["a place for the count outside the memory", [1, 0, 0, -2], "", 21],
  ])("but not with %s", (_, args, data, errno) => {
    const run = call("fd_write", args, data);
    expect(run.result).toBe(errno);
    expect(run.lines).toEqual([]);
  });
});

describe("a guest finds", () => {
  test.each(["args_sizes_get", "environ_sizes_get"])("nothing by %s", (name) => {
    const run = call(name, [0, 4], words(7, 7));
    expect(run.result).toBe(0);
    expect([view(run).getUint32(0, true), view(run).getUint32(4, true)]).toEqual([0, 0]);
    expect(call(name, [0, -1]).result).toBe(21);
    expect(call(name, [131_069, 0]).result).toBe(21);
  });

  test("output and error to be terminals, so that C libraries flush at each line", () => {
    const run = call("fd_fdstat_get", [1, 0], words(-1, -1, -1, -1, -1, -1));
    expect(run.result).toBe(0);
    expect([...run.bytes.subarray(0, 24)]).toEqual([
      2,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      64,
      ...Array<number>(15).fill(0),
    ]);
    expect(call("fd_fdstat_get", [3, 0]).result).toBe(8);
    expect(call("fd_fdstat_get", [1, 131_049]).result).toBe(21);
  });

  test.each<[string, (number | bigint)[]]>([
    ["fd_prestat_get", [3, 0]],
    ["fd_read", [0, 0, 1, 8]],
    ["fd_close", [1]],
    ["fd_seek", [1, 0n, 0, 0]],
    ["path_open", [3, 0, 0, 4, 0, 0n, 0n, 0, 0]],
  ])("no file: %s fails with a bad descriptor", (name, args) => {
    expect(call(name, args).result).toBe(8);
  });

  test.each<[string, number[]]>([
    ["poll_oneoff", [0, 0, 0, 0]],
    ["proc_raise", [9]],
  ])("no %s", (name, args) => {
    expect(call(name, args).result).toBe(52);
  });

  test("a scheduler that does nothing", () => {
    expect(call("sched_yield", []).result).toBe(0);
  });
});

describe("the clock", () => {
  test("has whole milliseconds", () => {
    expect(view(call("clock_time_get", [0, 0n, 8])).getBigUint64(8, true)).toBe(5_000_000_000n);
    expect(view(call("clock_res_get", [1, 8])).getBigUint64(8, true)).toBe(1_000_000n);
  });

  test("never goes backwards where it is monotonic", () => {
    const beforeMs = systemClock.nowMs();
    const toldNs = view(call("clock_time_get", [1, 0n, 8], "", [9_000, 4_000])).getBigUint64(8, true);
    expect(Number(toldNs) / 1e6).toBeGreaterThanOrEqual(Math.floor(beforeMs));
    expect(view(call("clock_time_get", [0, 0n, 8], "", [9_000, 4_000])).getBigUint64(8, true)).toBe(
      4_000_000_000n,
    );
  });

  test("does not tell CPU times, nor write outside the memory", () => {
    expect(call("clock_time_get", [2, 0n, 8]).result).toBe(28);
    expect(call("clock_res_get", [7, 8]).result).toBe(28);
    expect(call("clock_time_get", [0, 0n, 131_065]).result).toBe(21);
  });
});

describe("random_get", () => {
  test("fills what it is given and nothing beside it", () => {
    const run = call("random_get", [1_100, 70_000]);
    expect(run.result).toBe(0);
    const part = (start: number, end: number) => run.bytes.subarray(start, end).some((byte) => byte !== 0);
    expect([part(1_004, 1_100), part(1_100, 1_164), part(71_000, 71_100), part(71_100, 71_200)]).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  test("gives other bytes each time", () => {
    const of = () => [...call("random_get", [0, 16]).bytes.subarray(0, 16)];
    expect(of()).not.toEqual(of());
  });

  test.each([
    [131_000, 100],
    [-1, 1],
    [0, -1],
  ])("refuses %i with %i bytes", (pointer, length) => {
    expect(call("random_get", [pointer, length]).result).toBe(21);
  });
});

test("proc_exit ends the run as a trap, which no catch_all holds", () => {
  const host: GuestHost = { beginRecord: () => {}, log: () => {}, nowMs: () => 0, counterAdd: () => {} };
  const instance = create("(try (do (call $wasi (i32.const 3))) (catch_all))", "proc_exit", host);
  let fault: unknown;
  try {
    instance.transform(0, 0);
  } catch (thrown) {
    fault = thrown;
  }
  expect(fault).toMatchObject({
    code: "trap",
    message: expect.stringContaining("the module called proc_exit(3) in function 2"),
  });
});
