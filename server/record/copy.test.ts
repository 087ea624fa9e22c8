import fc from "fast-check";
import { expect, test } from "vitest";
import { copyBytes } from "./copy.ts";

test("copies exactly the range, whatever its size and place", () => {
  fc.assert(
    fc.property(fc.nat(5_000), fc.nat(50), fc.nat(50), fc.boolean(), (length, from, to, shared) => {
      const source = Uint8Array.from({ length: from + length + 7 }, (_, index) => (index * 37) & 0xff);
      const memory = shared ? new SharedArrayBuffer(to + length + 9) : new ArrayBuffer(to + length + 9);
      const target = new Uint8Array(memory).fill(0xee);
      copyBytes(source, from, from + length, target, to);
      expect(Buffer.compare(target.slice(to, to + length), source.slice(from, from + length))).toBe(0);
      expect(target.subarray(0, to).every((byte) => byte === 0xee)).toBe(true);
      expect(target.subarray(to + length).every((byte) => byte === 0xee)).toBe(true);
    }),
  );
});
