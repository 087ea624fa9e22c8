import { describe, expect, test } from "vitest";
import { guest, wat } from "../../test/kit/wat.ts";
import { LeatError } from "../errors.ts";
import { resolveLimits } from "../limits.ts";
import { checkAbi, hostFunctions, wasiFunctions } from "./abi.ts";
import { inspectModule } from "./inspect.ts";

const check = (bytes: Uint8Array) => checkAbi(inspectModule(bytes, resolveLimits()));

function refusal(bytes: Uint8Array): LeatError {
  try {
    check(bytes);
  } catch (thrown) {
    if (thrown instanceof LeatError) return thrown;
    throw thrown;
  }
  throw new Error("the module was accepted");
}

const memory = `(memory (export "memory") 1)`;
const alloc = `(func (export "leat_alloc") (param i32) (result i32) (i32.const 0))`;
const transform = `(func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0))`;

/** The text of a function type, as parameters and results of a function in WebAssembly text. */
function typeUse(type: string): string {
  const [parameters = "", results = ""] = type.replace(/[(),]/g, " ").split("->");
  return `(param ${parameters}) (result ${results})`;
}

describe("a missing export is refused by name:", () => {
  test.each([
    ["memory", `(module ${alloc} ${transform})`, "a memory"],
    ["leat_alloc", `(module ${memory} ${transform})`, "a function (i32) -> i32"],
    ["leat_transform", `(module ${memory} ${alloc})`, "a function (i32, i32) -> i64"],
  ])("%s", (name, text, expected) => {
    const error = refusal(wat(text));
    expect(error.reason).toBe("MODULE_EXPORT_MISSING");
    expect(error.metadata).toEqual({ export: name, expected });
  });
});

describe("an export of the wrong type is refused, telling both types:", () => {
  test.each([
    ["memory", `(module (func (export "memory")) ${alloc} ${transform})`, "a function () -> ()"],
    ["leat_alloc", `(module ${memory} ${transform} (func (export "leat_alloc")))`, "a function () -> ()"],
    [
      "leat_transform",
      `(module ${memory} ${alloc} (func (export "leat_transform") (param i32 i32) (result i32) (i32.const 0)))`,
      "a function (i32, i32) -> i32",
    ],
    [
      "leat_init",
      `(module ${memory} ${alloc} ${transform} (global (export "leat_init") i32 (i32.const 0)))`,
      "a i32 global",
    ],
    [
      "_initialize",
      `(module ${memory} ${alloc} ${transform} (func (export "_initialize") (param i32)))`,
      "a function (i32) -> ()",
    ],
  ])("%s", (name, text, found) => {
    const error = refusal(wat(text));
    expect(error.reason).toBe("MODULE_EXPORT_MISMATCH");
    expect(error.metadata).toMatchObject({ export: name, found });
  });
});

describe("a forbidden import is refused by name:", () => {
  test.each([
    ["env.abort", `(import "env" "abort" (func))`, "only functions of leat and wasi_snapshot_preview1"],
    ["leat.launch", `(import "leat" "launch" (func))`, "there are begin_record, log, now_ms, counter_add"],
    ["leat.toString", `(import "leat" "toString" (func))`, "there is no such function"],
    [
      "leat.now_ms",
      `(import "leat" "now_ms" (func (result i32)))`,
      "its type is () -> i32, expected () -> i64",
    ],
    [
      "wasi_snapshot_preview1.sock_send",
      `(import "wasi_snapshot_preview1" "sock_send" (func))`,
      "not among the functions of WASI preview 1",
    ],
    ["wasi_unstable.fd_write", `(import "wasi_unstable" "fd_write" (func))`, "only functions of leat"],
  ])("%s", (name, text, problem) => {
    const error = refusal(guest(text));
    expect(error.reason).toBe("MODULE_IMPORT_FORBIDDEN");
    expect(error.metadata["import"]).toBe(name);
    expect(error.metadata["problem"]).toContain(problem);
  });
});

test("every function on the allow-list may be imported with its type", () => {
  const imports = [
    ...Object.entries(hostFunctions).map(
      ([name, type]) => `(import "leat" "${name}" (func ${typeUse(type)}))`,
    ),
    ...Object.entries(wasiFunctions).map(
      ([name, type]) => `(import "wasi_snapshot_preview1" "${name}" (func ${typeUse(type)}))`,
    ),
  ].join("\n");
  expect(check(guest(imports))).toEqual({ acceptsConfig: false, namesRecords: true });
});

test("a start section, an initialiser and exports beyond the ABI are allowed", () => {
  const abi = check(
    guest(`
      (func $s) (start $s) (func (export "_initialize")) (func (export "anything") (param f64))
      (func (export "leat_init") (param i32 i32) (result i64) (i64.const 0))`),
  );
  expect(abi).toEqual({ acceptsConfig: true, namesRecords: false });
});
