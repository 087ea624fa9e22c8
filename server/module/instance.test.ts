import { describe, expect, test } from "vitest";
import { guest, wat } from "../../test/kit/wat.ts";
import { resolveLimits } from "../limits.ts";
import { checkAbi } from "./abi.ts";
import { inspectModule } from "./inspect.ts";
import { type GuestHost, GuestInstance } from "./instance.ts";
import { GuestFault, HostAbort } from "./trap.ts";

const limits = resolveLimits({ maxGuestMemoryBytes: 80 * 65_536 });

class RecordingHost implements GuestHost {
  readonly records: number[] = [];
  readonly lines: [level: number, text: string][] = [];
  readonly counts: [name: string, delta: number][] = [];
  beginRecord(index: number): void {
    this.records.push(index);
  }
  log(level: number, text: string): void {
    this.lines.push([level, text]);
  }
  nowMs(): number {
    return 1_700_000_000_123.9;
  }
  counterAdd(name: string, delta: number): void {
    this.counts.push([name, delta]);
  }
}

function create(bytes: Uint8Array, host: GuestHost = new RecordingHost(), config = ""): GuestInstance {
  const inspected = inspectModule(bytes, limits);
  checkAbi(inspected);
  const module = new WebAssembly.Module(inspected.clamped);
  const { codeSectionShiftBytes } = inspected;
  return GuestInstance.create(module, config, host, { ...limits, codeSectionShiftBytes });
}

function faultOf(act: () => unknown): GuestFault {
  try {
    act();
  } catch (thrown) {
    if (thrown instanceof GuestFault) return thrown;
    throw thrown;
  }
  throw new Error("there was no fault");
}

/** A module with these functions in place of the ABI's. */
function custom(functions: string): Uint8Array {
  const alloc = `(func $alloc (export "leat_alloc") (param i32) (result i32) (i32.const 64))`;
  const transform = `(func $transform (export "leat_transform") (param i32 i32) (result i64) (i64.const 0))`;
  return wat(`(module
    (import "leat" "log" (func $log (param i32 i32 i32)))
    (import "leat" "begin_record" (func $begin (param i32)))
    (memory (export "memory") 1)
    ${functions.includes(`"leat_alloc"`) ? "" : alloc}
    ${functions.includes(`"leat_transform"`) ? "" : transform}
    ${functions})`);
}

const transform = (body: string) =>
  custom(
    `(func $transform (export "leat_transform") (param $ptr i32) (param $len i32) (result i64) ${body})`,
  );
const run = (bytes: Uint8Array, host?: GuestHost) => create(bytes, host).transform(0, 0);

describe("a guest's run", () => {
  test("takes input where the guest allocates it and leaves output where the guest says", () => {
    // Returns the input without its first byte.
    const instance = create(
      transform(`(i64.or
        (i64.shl (i64.extend_i32_u (i32.add (local.get $ptr) (i32.const 1))) (i64.const 32))
        (i64.extend_i32_u (i32.sub (local.get $len) (i32.const 1))))`),
    );
    const pointer = instance.alloc(3);
    instance.bytes.set([7, 8, 9], pointer);
    instance.transform(pointer, 3);
    expect([
      ...instance.bytes.subarray(instance.outputOffset, instance.outputOffset + instance.outputLength),
    ]).toEqual([8, 9]);
  });

  test("sees the whole memory after the guest has grown it", () => {
    const instance = create(
      transform(`(drop (memory.grow (i32.const 2)))
        (i32.store8 (i32.const 196607) (i32.const 42)) (i64.const 0x0002ffff_00000001)`),
    );
    const before = instance.bytes;
    instance.transform(0, 0);
    expect(before.length).toBe(0);
    expect(instance.memoryBytes()).toBe(3 * 65_536);
    expect(instance.bytes[instance.outputOffset]).toBe(42);
  });

  test("keeps one view of the memory as long as it does not grow", () => {
    const instance = create(guest());
    const before = instance.bytes;
    instance.alloc(10);
    instance.transform(0, 0);
    expect(instance.bytes).toBe(before);
  });

  test("may use all of the memory, to its last byte", () => {
    const instance = create(transform("(i64.const 0x00000000_00010000)"));
    instance.transform(0, 0);
    expect(instance.outputLength).toBe(65_536);
  });
});

describe("a hostile pointer is a malformed output:", () => {
  const returns = (pointer: string, length: string) =>
    faultOf(() => run(transform(`(i64.const ${BigInt(pointer) * 2n ** 32n + BigInt(length)})`)));

  test.each([
    ["the last of all addresses", "4294967295", "1"],
    ["the address behind the memory", "65536", "1"],
    ["a length that reaches one byte beyond", "65535", "2"],
    ["a length of 4 GiB", "0", "4294967295"],
    ["a sum that overflows 32 bits", "4294967295", "4294967295"],
  ])("%s", (_, pointer, length) => {
    const fault = returns(pointer, length);
    expect(fault.code).toBe("malformed_output");
    expect(fault.message).toBe(
      `leat_transform returned ${length} bytes at ${pointer}, outside the memory of 65536 bytes`,
    );
  });

  test("nothing at the end of the memory is no fault", () => {
    const instance = create(transform("(i64.const 0x00010000_00000000)"));
    instance.transform(0, 0);
    expect(instance.outputLength).toBe(0);
  });

  test.each([
    ["-1", -1],
    ["beyond the memory", 65_537],
    ["too near its end", 65_530],
  ])("leat_alloc returns a place %s", (_, pointer) => {
    const bytes = custom(`(func (export "leat_alloc") (param i32) (result i32) (i32.const ${pointer}))`);
    const fault = faultOf(() => create(bytes).alloc(10));
    expect(fault.code).toBe("malformed_output");
    expect(fault.message).toContain(`leat_alloc returned 10 bytes at ${pointer >>> 0}`);
  });
});

describe("a trap", () => {
  test("names the function, its index and the byte in the file as it was given", () => {
    const bytes = custom(`
      (func $parse_header unreachable)
      (func $read (call $parse_header))
      (func $main (export "leat_transform") (param i32 i32) (result i64) (call $read) (i64.const 0))
      (func (export "other"))`);
    const fault = faultOf(() => run(bytes));
    expect(fault.code).toBe("trap");
    const [, index, byte] =
      /^unreachable in parse_header \(function (\d+), byte (\d+)\)$/.exec(fault.message) ?? [];
    expect(index).toBe("3");
    // One body of 3 bytes: no locals, unreachable, end.
    expect([...bytes.subarray(Number(byte) - 2, Number(byte) + 2)]).toEqual([3, 0, 0x00, 0x0b]);
    expect(fault.guestStack?.split("\n").map((frame) => frame.replace(/, byte \d+/, ""))).toEqual([
      "parse_header (function 3)",
      "read (function 4)",
      "main (function 5)",
    ]);
  });

  test.each([
    ["divide by zero", "(drop (i32.div_u (i32.const 1) (i32.const 0)))"],
    ["memory access out of bounds", "(drop (i32.load (i32.const -1)))"],
    ["float unrepresentable in integer range", "(drop (i32.trunc_f64_s (f64.const nan)))"],
  ])("tells V8's text: %s", (text, body) => {
    const fault = faultOf(() => run(transform(`${body} (i64.const 0)`)));
    expect(fault.code).toBe("trap");
    expect(fault.message).toContain(text);
  });

  test("is what an exception is that the guest does not catch", () => {
    const fault = faultOf(() =>
      run(custom(`(tag $t) (func (export "leat_transform") (param i32 i32) (result i64) (throw $t))`)),
    );
    expect(fault.code).toBe("trap");
    expect(fault.message).toMatch(/^uncaught WebAssembly exception/);
  });

  test("has its message and its stack cut to the limit", () => {
    const name = "n".repeat(3_000);
    const fault = faultOf(() =>
      run(custom(`(func $${name} (export "leat_transform") (param i32 i32) (result i64) unreachable)`)),
    );
    expect(Buffer.byteLength(fault.message)).toBeLessThanOrEqual(limits.maxFailureTextBytes);
    expect(Buffer.byteLength(fault.guestStack ?? "")).toBeLessThanOrEqual(limits.maxFailureTextBytes);
    expect(fault.message).toMatch(/^unreachable in n+$/);
  });
});

test("endless recursion is a stack overflow", () => {
  const fault = faultOf(() =>
    run(
      custom(`(func $again (export "leat_transform") (param i32 i32) (result i64)
      (i64.add (i64.const 1) (call $again (local.get 0) (local.get 1))))`),
    ),
  );
  expect(fault.code).toBe("stack_overflow");
  expect(fault.message).toContain("Maximum call stack size exceeded in again");
});

test("endless recursion that logs on its way is a stack overflow, wherever the stack ends", () => {
  const fault = faultOf(() =>
    run(
      custom(`(func $again (export "leat_transform") (param i32 i32) (result i64)
      (call $log (i32.const 0) (i32.const 0) (i32.const 0)) (call $begin (i32.const 1))
      (i64.add (i64.const 1) (call $again (local.get 0) (local.get 1))))`),
    ),
  );
  expect(fault.code).toBe("stack_overflow");
});

describe("a guest that gives up is called out of memory", () => {
  const growThenTrap = (pages: number, trap = "unreachable") =>
    faultOf(() => run(transform(`(drop (memory.grow (i32.const ${pages}))) ${trap} (i64.const 0)`)));

  test("when its memory grew to its maximum", () => {
    const fault = growThenTrap(79);
    expect(fault.code).toBe("out_of_memory");
    expect(fault.message).toMatch(
      /^unreachable in transform .*; its memory had grown to 5242880 bytes of at most 5242880$/,
    );
  });

  test("but not when it could have had more: the message tells how far it had grown", () => {
    const fault = growThenTrap(10);
    expect(fault.code).toBe("trap");
    expect(fault.message).toContain("its memory had grown to 720896 bytes of at most 5242880");
  });

  test("nor when it never grew, for then a full memory is no evidence", () => {
    const fixed = wat(`(module (memory (export "memory") 1 1)
      (func (export "leat_alloc") (param i32) (result i32) (i32.const 0))
      (func (export "leat_transform") (param i32 i32) (result i64) unreachable))`);
    expect(faultOf(() => run(fixed)).code).toBe("trap");
  });

  test("nor for another trap in a full memory", () => {
    expect(growThenTrap(79, "(drop (i32.div_u (i32.const 1) (i32.const 0)))").code).toBe("trap");
  });
});

describe("the start of a guest", () => {
  const init = (body: string, more = "") =>
    custom(
      `${more} (func $init (export "leat_init") (param $ptr i32) (param $len i32) (result i64) ${body})`,
    );

  test("runs the start function, then _initialize, then leat_init", () => {
    const host = new RecordingHost();
    create(
      init(
        "(call $begin (i32.const 3)) (i64.const 0)",
        `(func $s (call $begin (i32.const 1))) (start $s) (func (export "_initialize") (call $begin (i32.const 2)))`,
      ),
      host,
    );
    expect(host.records).toEqual([1, 2, 3]);
  });

  test("hands over the configuration, and {} for an empty one", () => {
    const logsConfig = init("(call $log (i32.const 1) (local.get $ptr) (local.get $len)) (i64.const 0)");
    for (const [config, received] of [
      [`{"field":"ü"}`, `{"field":"ü"}`],
      ["", "{}"],
    ] as const) {
      const host = new RecordingHost();
      create(logsConfig, host, config);
      expect(host.lines).toEqual([[1, received]]);
    }
  });

  test("fails with the text that leat_init returns", () => {
    const bytes = init("(i64.const 0x00000080_0000000a)", `(data (i32.const 128) "no field x")`);
    const fault = faultOf(() => create(bytes));
    expect(fault.code).toBe("init_failed");
    expect(fault.message).toBe("no field x");
  });

  test.each([
    ["its start function traps", custom("(func $boot unreachable) (start $boot)"), "unreachable in boot"],
    ["_initialize traps", custom(`(func $up (export "_initialize") unreachable)`), "unreachable in up"],
    ["leat_init traps", init("unreachable"), "unreachable in init"],
    [
      "leat_init returns a text outside the memory",
      init("(i64.const -1)"),
      "4294967295 bytes at 4294967295 are outside",
    ],
    ["a segment does not fit the memory", custom(`(data (i32.const 65536) "x")`), "data segment"],
    [
      "there is no room for the configuration",
      custom(`(func (export "leat_alloc") (param i32) (result i32) (i32.const -1))
        (func (export "leat_init") (param i32 i32) (result i64) (i64.const 0))`),
      "leat_alloc returned 2 bytes at 4294967295",
    ],
    [
      "the stack overflows",
      init("(call $r) (i64.const 0)", "(func $r (call $r))"),
      "Maximum call stack size exceeded",
    ],
  ])("fails when %s", (_, bytes, text) => {
    const fault = faultOf(() => create(bytes));
    expect(fault.code).toBe("init_failed");
    expect(fault.message).toContain(text);
  });

  test("fails when the module's memory may be larger than the stage allows", () => {
    const module = new WebAssembly.Module(guest());
    const fault = faultOf(() =>
      GuestInstance.create(module, "", new RecordingHost(), { ...limits, maxGuestMemoryBytes: 1_000 }),
    );
    expect(fault.message).toContain("65536 bytes is above maxGuestMemoryBytes, 1000");
  });

  test("refuses a module that was not checked", () => {
    const module = new WebAssembly.Module(wat("(module)"));
    expect(faultOf(() => GuestInstance.create(module, "", new RecordingHost(), limits)).code).toBe(
      "init_failed",
    );
    const imports = new WebAssembly.Module(wat(`(module (import "env" "launch" (func)))`));
    const fault = faultOf(() => GuestInstance.create(imports, "", new RecordingHost(), limits));
    expect(fault.code).toBe("init_failed");
    expect(fault.message).toContain("env");
  });
});

describe("host functions", () => {
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

  test("log in the start function, before the memory is known, is a failed start", () => {
    const bytes = calls(
      log,
      "(i64.const 0)",
      "(func $s (call $log (i32.const 1) (i32.const 0) (i32.const 1))) (start $s)",
    );
    expect(faultOf(() => create(bytes)).message).toContain("outside the memory of 0 bytes");
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
    expect(faultOf(() => run(calls(count, body))).message).toContain(
      "leat.counter_add: 8 bytes at 4294967292",
    );
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
});
