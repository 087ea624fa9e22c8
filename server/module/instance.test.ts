import { describe, expect, test } from "vitest";
import { create, faultOf, limits, RecordingHost, run } from "../../test/kit/guest.ts";
import { guest, wat } from "../../test/kit/wat.ts";
import { GuestInstance } from "./instance.ts";

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
