import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Cursor, isUtf8, varintSize, WireError, writeVarint } from "./wire.ts";

function cursorOver(bytes: Uint8Array): Cursor {
  const cursor = new Cursor();
  cursor.reset(bytes, 0, bytes.length);
  return cursor;
}

function varint(value: number): Uint8Array {
  const bytes = new Uint8Array(10);
  return bytes.subarray(0, writeVarint(bytes, 0, value));
}

describe("varints", () => {
  test("of 32 bits are read as they were written, in the size that was foretold", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (value) => {
        const bytes = varint(value);
        const cursor = cursorOver(bytes);
        expect(cursor.uint32()).toBe(value);
        expect(cursor.done).toBe(true);
        expect(varintSize(value)).toBe(bytes.length);
      }),
    );
  });

  test("of 53 bits, too", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const bytes = varint(value);
        expect(cursorOver(bytes).uint53()).toBe(value);
        expect(varintSize(value)).toBe(bytes.length);
      }),
    );
    expect(varintSize(Number.MAX_SAFE_INTEGER)).toBe(8);
  });

  test.each([
    ["nothing", []],
    ["no last byte", [0x80]],
    ["33 bits", [0xff, 0xff, 0xff, 0xff, 0x1f]],
    ["six bytes", [0x80, 0x80, 0x80, 0x80, 0x80, 0x00]],
  ])("of %s are no 32 bits", (_, bytes) => {
    expect(() => cursorOver(Uint8Array.from(bytes)).uint32()).toThrow(WireError);
  });

  test.each([
    ["2^53", [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]],
    ["2^64-1", [...new Array<number>(9).fill(0xff), 0x01]],
    ["eleven bytes", [...new Array<number>(10).fill(0x80), 0x00]],
    ["no last byte", [0x80, 0x80]],
  ])("of %s are no safe number", (_, bytes) => {
    expect(() => cursorOver(Uint8Array.from(bytes)).uint53()).toThrow(WireError);
  });

  test("of ten bytes are passed over, of eleven refused", () => {
    const cursor = cursorOver(Uint8Array.from([...new Array<number>(9).fill(0xff), 0x01]));
    cursor.skipVarint();
    expect(cursor.done).toBe(true);
    expect(() => cursorOver(new Uint8Array(11).fill(0x80)).skipVarint()).toThrow(WireError);
  });
});

describe("a cursor", () => {
  test("stays within its range", () => {
    const bytes = Uint8Array.from([9, 9, 0x05, 1, 2, 3, 9, 9]);
    const cursor = new Cursor();
    cursor.reset(bytes, 2, 6);
    expect(() => cursor.length()).toThrow(/beyond the end/);
    cursor.reset(bytes, 3, 6);
    expect(() => cursor.advance(4)).toThrow(WireError);
    expect(() => cursor.reset(bytes, -1, 3)).toThrow(WireError);
    expect(() => cursor.reset(bytes, 0, 9)).toThrow(WireError);
    expect(() => cursor.reset(bytes, 4, 3)).toThrow(WireError);
  });

  test("refuses field number 0 and groups", () => {
    expect(() => cursorOver(Uint8Array.of(0x02)).tag()).toThrow(/field number 0/);
    for (const wireType of [3, 4, 6, 7]) {
      expect(() => cursorOver(new Uint8Array(8)).skip((1 << 3) | wireType)).toThrow(/wire type/);
    }
  });

  test("passes over a field of each wire type", () => {
    const cases: [number, number[]][] = [
      [0, [0x96, 0x01]],
      [1, [1, 2, 3, 4, 5, 6, 7, 8]],
      [2, [3, 1, 2, 3]],
      [5, [1, 2, 3, 4]],
    ];
    for (const [wireType, content] of cases) {
      const cursor = cursorOver(Uint8Array.from([...content, 0x77]));
      cursor.skip((1 << 3) | wireType);
      expect(cursor.position).toBe(content.length);
    }
  });
});

describe("UTF-8", () => {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  function decodes(bytes: Uint8Array): boolean {
    try {
      strict.decode(bytes);
      return true;
    } catch {
      return false;
    }
  }

  test("is what a strict decoder takes for it", () => {
    // Mostly bytes that begin or go on with something.
    const byte = fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(
        0x61,
        0x80,
        0x8f,
        0x90,
        0x9f,
        0xa0,
        0xbf,
        0xc0,
        0xc2,
        0xdf,
        0xe0,
        0xed,
        0xef,
        0xf0,
        0xf4,
        0xf5,
      ),
    );
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 8 }), (numbers) => {
        const bytes = Uint8Array.from(numbers);
        expect(isUtf8(bytes, 0, bytes.length)).toBe(decodes(bytes));
      }),
      { numRuns: 5_000 },
    );
  });

  test("of every string is accepted, at any place", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.nat(5), (text, before) => {
        const encoded = new TextEncoder().encode(text);
        const bytes = new Uint8Array(before + encoded.length + 3).fill(0xff);
        bytes.set(encoded, before);
        expect(isUtf8(bytes, before, before + encoded.length)).toBe(true);
      }),
    );
  });
});
