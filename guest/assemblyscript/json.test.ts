import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { LocalHost } from "./local-host.ts";
import { command, failures, startProbe, utf8, values } from "./test/probe.ts";

let host: LocalHost;
beforeAll(async () => {
  host = await startProbe();
});

/** What the probe prints for a value: the members of objects and the elements of arrays, each ended by a semicolon. */
function printed(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => `${printed(item)};`).join("")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(wellFormed(value));
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(wellFormed(key))}:${printed(item)};`)
    .join("")}}`;
}

function wellFormed(value: unknown): unknown {
  return typeof value === "string" ? value.toWellFormed() : value;
}

function parse(text: string): string | undefined {
  const result = host.transform([command("json", text)]);
  return result.failures.length > 0 ? undefined : values(result)[0];
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// `__proto__` is a member like any other, but not in a JavaScript literal.
const documents = fc
  .jsonValue({ maxDepth: 6, stringUnit: "binary" })
  .filter((value) => !JSON.stringify(value).includes("__proto__"));

describe("JSON", () => {
  test("any document is read as JavaScript reads it", () => {
    fc.assert(
      fc.property(documents, fc.constantFrom(undefined, 1, "\t", "\r\n  "), (value, space) => {
        const text = JSON.stringify(value, undefined, space);
        // Numbers are printed as they are written, which is what JSON.stringify writes.
        expect(parse(text)).toBe(printed(JSON.parse(text)));
      }),
      { numRuns: 300 },
    );
  });

  test("a text is refused exactly when JavaScript refuses it", () => {
    const pieces = fc.constantFrom(
      ...'{}[]:,"\\ntrue false null -0.1e+5 \u0001 a \\u12 \\ud83d é'.split(""),
      "\\u00e9",
      "null",
      "1",
      '"a":',
    );
    const broken = fc.tuple(documents, fc.nat(), fc.nat(3), pieces).map(([value, at, removed, inserted]) => {
      const text = JSON.stringify(value);
      const start = at % (text.length + 1);
      return (text.slice(0, start) + inserted + text.slice(start + removed)).toWellFormed();
    });
    fc.assert(
      fc.property(
        fc.oneof(
          broken,
          fc.array(pieces, { maxLength: 8 }).map((parts) => parts.join("")),
        ),
        (text) => {
          expect(parse(text) !== undefined).toBe(isJson(text));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test.each([
    ["", "unexpected end at byte 0"],
    ["  ", "unexpected end at byte 2"],
    ["{", "unexpected end at byte 1"],
    ['{"a" 1}', "expected ':' at byte 5"],
    ['{"a":1,}', "expected a member's name at byte 7"],
    ["[1 2]", "expected ',' or ']' at byte 3"],
    ['{"a":1 "b":2}', "expected ',' or '}' at byte 7"],
    ["[tru]", "expected a value at byte 1"],
    ["01", "unexpected text after the value at byte 1"],
    ["-", "malformed number at byte 1"],
    ["1.", "malformed number at byte 2"],
    ["[1e+]", "malformed number at byte 4"],
    ['"ab', "unterminated string at byte 3"],
    ['"a\nb"', "control character in a string at byte 2"],
    ['"\\x"', "malformed escape at byte 1"],
    ['"\\u12g4"', "malformed escape at byte 1"],
    ["{} {}", "unexpected text after the value at byte 3"],
  ])("%j fails with the reason and the byte", (text, message) => {
    expect(failures(host.transform([command("json", text)]))).toEqual([[0, "invalid_json", message, false]]);
  });

  test.each([
    ["a stray continuation", [0x80], 1],
    ["an overlong form", [0xc0, 0xaf], 1],
    ["a surrogate", [0xed, 0xa0, 0x80], 1],
    ["more than U+10FFFF", [0xf4, 0x90, 0x80, 0x80], 1],
    ["a cut sequence", [0x61, 0xe2, 0x82], 2],
  ])("%s is no UTF-8 and so no JSON", (_name, bytes, at) => {
    const value = Uint8Array.from([0x22, ...bytes, 0x22]);
    const result = host.transform([{ key: utf8("json"), value }]);
    expect(failures(result)).toEqual([[0, "invalid_json", `malformed UTF-8 at byte ${at}`, false]]);
  });

  test("nesting is bounded", () => {
    const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    expect(parse(nested(64))).toBeDefined();
    expect(failures(host.transform([command("json", nested(65))]))).toEqual([
      [0, "invalid_json", "nested too deeply at byte 64", false],
    ]);
  });

  test("numbers keep their text", () => {
    for (const text of ["0", "-0", "1e400", "12345678901234567890.1234567890", "1E-7"])
      expect(parse(text)).toBe(text);
  });
});

describe("numbers", () => {
  function read(texts: readonly string[]): number[] {
    const result = host.transform(texts.map((text) => command("number", text)));
    return (result.batch?.records ?? []).map(({ value }) =>
      new DataView(value?.buffer ?? new ArrayBuffer(8), value?.byteOffset).getFloat64(0, true),
    );
  }

  test("are the nearest double, like JavaScript's", () => {
    const digits = (maxLength: number) =>
      fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength }).map((list) => list.join(""));
    const written = fc
      .tuple(fc.constantFrom("", "-"), digits(25), digits(25), fc.integer({ min: -345, max: 330 }))
      .map(([sign, whole, fraction, exponent]) => `${sign}${BigInt(whole)}.${fraction}e${exponent}`);
    const doubles = fc
      .double({ noNaN: true, noDefaultInfinity: true })
      .map((number) => JSON.stringify(number));
    fc.assert(
      fc.property(fc.array(fc.oneof(written, doubles), { minLength: 1 }), (texts) => {
        expect(read(texts)).toEqual(texts.map(Number));
      }),
      { numRuns: 300 },
    );
  });

  test("at the edges of doubles are right", () => {
    const texts = [
      "0",
      "-0",
      "0.000e5",
      "9007199254740993",
      "9007199254740992.99999999999999999999999999",
      "9007199254740993.00000000000000000000000001",
      "1.7976931348623157e308",
      "1.7976931348623159e308",
      "4.9e-324",
      "2.4703282292062327e-324",
      "2.4703282292062328e-324",
      "2.2250738585072011e-308",
      "2.2250738585072014e-308",
      "1e400",
      "-1e999999999999",
      "1e-999999999999",
      `0.${"0".repeat(400)}1e401`,
      `${"9".repeat(400)}e-390`,
      `1${"0".repeat(900)}1e-900`,
      `0.5${"0".repeat(1_000)}1`,
    ];
    expect(read(texts)).toEqual(texts.map(Number));
  });

  test("that JSON does not know are none", () => {
    const texts = ["", " 1", "1 ", "+1", "01", ".5", "5.", "0x10", "Infinity", "NaN", "1e", "1,5", "--1"];
    expect(read(texts)).toEqual(texts.map(() => NaN));
  });
});
