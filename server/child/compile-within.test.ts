import { afterEach, expect, test, vi } from "vitest";
import { compileWithin } from "./compile-within.ts";

/** `(module)` */
const empty = Uint8Array.from([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);

afterEach(() => {
  vi.restoreAllMocks();
});

test("what compiles is compiled, and what does not says why", async () => {
  expect(await compileWithin(empty, 0, 60_000)).toBeInstanceOf(WebAssembly.Module);
  await expect(compileWithin(empty.subarray(0, 7), 0, 60_000)).rejects.toThrow("expected 4 bytes");
});

test("what does not end in its time is given up", async () => {
  vi.spyOn(WebAssembly, "compile").mockReturnValue(new Promise(() => {}));
  await expect(compileWithin(empty, 0, 1)).rejects.toThrow("longer than 1 ms, which maxCompileMs allows");
});
