import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Cutter, DelimitedCutter, FramingError, LineCutter } from "./pieces.ts";

/** What a cutter makes of chunks. */
function cut(cutter: Cutter, chunks: readonly Uint8Array[]): (string | undefined)[] {
  const pieces = [...chunks.flatMap((chunk) => cutter.push(chunk)), ...cutter.end()];
  expect(pieces.map(({ number }) => number)).toEqual(pieces.map((_, place) => place + 1));
  return pieces.map(({ bytes }) => (bytes === undefined ? undefined : Buffer.from(bytes).toString("latin1")));
}

/** Bytes in chunks that end anywhere. */
function chunksOf(bytes: Uint8Array): fc.Arbitrary<Uint8Array[]> {
  return fc.array(fc.nat({ max: bytes.length })).map((ends) => {
    const all = [0, ...ends.sort((a, b) => a - b), bytes.length];
    return all.slice(1).map((end, place) => bytes.subarray(all[place], end));
  });
}

describe("lines", () => {
  test("are the same however the bytes come in", () => {
    const inputs = fc.array(fc.constantFrom("a", "bc", "\n", "\r\n", "\n\n")).map((parts) => parts.join(""));
    const chunked = inputs.chain((text) => fc.tuple(fc.constant(text), chunksOf(Buffer.from(text))));
    fc.assert(
      fc.property(chunked, ([text, chunks]) => {
        const lines = text.split("\n");
        if (lines.at(-1) === "") lines.pop();
        expect(cut(new LineCutter(100), chunks)).toEqual(lines);
      }),
    );
  });

  test("that are too long are passed over, and the next one is found", () => {
    const chunks = ["12345\n123456\n12", "345", "6", "78\n1"].map((text) => Buffer.from(text));
    expect(cut(new LineCutter(5), chunks)).toEqual(["12345", undefined, undefined, "1"]);
  });
});

describe("messages after their lengths", () => {
  test("are the same however the bytes come in", () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 });
    const chunked = messages.chain((all) => {
      const bytes = Buffer.concat(all.flatMap((message) => [varint(message.length), message]));
      return fc.tuple(fc.constant(all), chunksOf(bytes));
    });
    fc.assert(
      fc.property(chunked, ([all, chunks]) => {
        const expected = all.map((message) => Buffer.from(message).toString("latin1"));
        expect(cut(new DelimitedCutter(300), chunks)).toEqual(expected);
      }),
    );
  });

  test("must be complete", () => {
    expect(() => cut(new DelimitedCutter(300), [Uint8Array.of(1, 7, 5, 1, 2)])).toThrow(
      new FramingError("the input ends within record 2: 3 of 6 bytes"),
    );
    expect(() => cut(new DelimitedCutter(300), [Uint8Array.of(0x80)])).toThrow("ends within record 1");
  });

  test("must have a length that can be one", () => {
    expect(() => cut(new DelimitedCutter(300), [varint(301)])).toThrow("no length of at most 300");
    expect(() => cut(new DelimitedCutter(300), [new Uint8Array(9).fill(0xff)])).toThrow(FramingError);
  });
});

function varint(value: number): Uint8Array {
  return value < 0x80 ? Uint8Array.of(value) : Uint8Array.of((value % 0x80) | 0x80, Math.floor(value / 0x80));
}
