import { describe, expect, test } from "vitest";
import { carriedReason, raise } from "./raise.ts";
import { cutText, faultFrom, GuestFault, HostAbort } from "./trap.ts";

describe("faultFrom", () => {
  test("passes a fault on as it is, and throws a HostAbort as it is", () => {
    const fault = new GuestFault("malformed_output", "x");
    expect(faultFrom(fault)).toBe(fault);
    const abort = new HostAbort("cancelled");
    expect(() => faultFrom(abort)).toThrow(abort);
  });

  test("calls a memory that cannot be had out of memory", () => {
    const noSpace = new RangeError(
      "WebAssembly.Instance(): Out of memory: Cannot allocate Wasm memory for new instance",
    );
    expect(faultFrom(noSpace).code).toBe("out_of_memory");
    const noGrowth = new RangeError("WebAssembly.Memory.grow(): Maximum memory size exceeded");
    expect(faultFrom(noGrowth).code).toBe("out_of_memory");
  });

  test("makes a trap of anything else that was thrown", () => {
    expect(faultFrom("odd")).toMatchObject({ code: "trap", message: "odd", guestStack: undefined });
    expect(faultFrom(undefined)).toMatchObject({ code: "trap", message: "undefined" });
    expect(faultFrom(new RangeError("Invalid typed array length"))).toMatchObject({ code: "trap" });
  });

  test("keeps frames of the host out, and control characters", () => {
    const error = new WebAssembly.RuntimeError("unreachable");
    error.stack = [
      "RuntimeError: unreachable",
      "    at evil\u001b[2J\u202e (wasm://wasm/0a:wasm-function[3]:0x19f)",
      "    at Runner.call (file:///srv/leat/server/stages/stage.ts:9:1)",
      "    at wasm://wasm/0a:wasm-function[12]:0x20",
    ].join("\n");
    expect(faultFrom(error, { codeSectionShiftBytes: 5 })).toMatchObject({
      message: "unreachable in evil\\u{1b}[2J\\u{202e} (function 3, byte 410)",
      guestStack: "evil\\u{1b}[2J\\u{202e} (function 3, byte 410)\nfunction 12, byte 27",
    });
  });
});

describe("cutText", () => {
  test.each([
    ["short", 10, "short"],
    ["exactly", 7, "exactly"],
    ["üüü", 5, "üü"],
    ["a😀b", 4, "a"],
    ["a😀b", 5, "a😀"],
    ["any", 0, ""],
  ])("%s at %i bytes", (text, maxBytes, cut) => {
    expect(cutText(text, maxBytes)).toBe(cut);
  });
});

test("what is raised is found again on what was caught", () => {
  const reason = new Error("why");
  let caught: unknown;
  try {
    raise(reason);
  } catch (thrown) {
    caught = thrown;
  }
  expect(caught).toBeInstanceOf(WebAssembly.RuntimeError);
  expect(carriedReason(caught)).toBe(reason);
  expect(carriedReason(reason)).toBe(reason);
});
