import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { LocalHost } from "./local-host.ts";
import { command, failures, startProbe, utf8, values } from "./test/probe.ts";

let host: LocalHost;
beforeAll(async () => {
  host = await startProbe();
}, 180_000);

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

  function written(numbers: readonly number[]): string[] {
    const value = new Uint8Array(Float64Array.from(numbers).buffer);
    return (values(host.transform([{ key: utf8("spell"), value }]))[0] ?? "").trimEnd().split(" ");
  }

  test("are written in JavaScript's forms", () => {
    const numbers = [
      0,
      -0,
      1.5,
      -1e15,
      1e15,
      2 ** 53,
      1e20,
      123_456_789_012_345_680_000,
      1e21,
      -1.5e300,
      1e-7,
    ];
    expect(written(numbers)).toEqual(numbers.map(String));
    expect(written([NaN, Infinity, -Infinity])).toEqual(["null", "null", "null"]);
  });

  test("are written so that they read back as the same double, in JSON", () => {
    const doubles = fc
      .double({ noNaN: true, noDefaultInfinity: true })
      .filter((number) => !Object.is(number, -0));
    const large = fc.double({ noNaN: true, min: 1e14, max: 1e22 });
    fc.assert(
      fc.property(fc.array(fc.oneof(doubles, large, fc.maxSafeInteger()), { minLength: 1 }), (numbers) => {
        const texts = written(numbers);
        expect(texts.map((text) => JSON.parse(text))).toEqual(numbers);
        expect(texts.filter((text) => text.includes(".0e") || text.endsWith(".0"))).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test("that are long take no memory each", async () => {
    const fresh = await startProbe();
    const list = Array.from({ length: 50_000 }, () => "1234567890.1234567890");
    const result = fresh.transform([command("sum", `[${list.join(",")}]`)]);
    expect(Number(values(result)[0])).toBeCloseTo(50_000 * 1_234_567_890.123, -3);
    expect(fresh.memoryBytes).toBeLessThan(16 * 1024 * 1024);
  });

  test("that JSON does not know are none", () => {
    const texts = ["", " 1", "1 ", "+1", "01", ".5", "5.", "0x10", "Infinity", "NaN", "1e", "1,5", "--1"];
    expect(read(texts)).toEqual(texts.map(() => NaN));
  });
});

/** What a browser makes of the bytes. */
function decoded(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** What the kit makes of them, as text and in the message of a failure. */
function read(value: Uint8Array): (string | undefined)[] {
  const result = host.transform([
    { key: utf8("text"), value },
    { key: utf8("fail"), value },
  ]);
  return [values(result)[0], failures(result)[0]?.[2].replace(/^because /, "")];
}

describe("bytes that are made text", () => {
  test.each([
    ["a sequence that ASCII breaks off", [0xf0, 0x22, 0x2c, 0x22]],
    ["an overlong form of ASCII", [0xc0, 0xbc]],
    ["an overlong form of three bytes", [0xe0, 0x80, 0xaf]],
    ["a surrogate", [0xed, 0xa0, 0x80]],
    ["more than U+10FFFF", [0xf4, 0x90, 0x80, 0x80]],
    ["a cut tail of each length", [0x61, 0xe2, 0x82, 0x62, 0xf0, 0x9f, 0x92, 0x63, 0xf0, 0x9f, 0x64, 0xc3]],
    ["lone continuations", [0x80, 0xbf, 0x61, 0x80]],
    ["bytes that begin nothing", [0xff, 0xfe, 0xf5, 0xc1]],
    ["a good sequence behind a broken one", [0xe2, 0x82, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x92, 0xa9, 0xf0]],
  ])("%s gives as many U+FFFD as in a browser", (_name, bytes) => {
    const value = Uint8Array.from(bytes);
    expect(read(value)).toEqual([decoded(value), decoded(value)]);
  });

  test("any bytes give what a browser makes of them", () => {
    const sequences = fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => [...utf8(text)]);
    const cut = fc
      .tuple(sequences, fc.nat(80), fc.nat(3))
      .map(([bytes, at, removed]) => bytes.toSpliced(at, removed));
    const leads = fc.constantFrom(
      0x22,
      0x7f,
      0x80,
      0x8f,
      0x90,
      0x9f,
      0xa0,
      0xbf,
      0xc2,
      0xe0,
      0xed,
      0xef,
      0xf0,
      0xf4,
    );
    const noise = fc.array(fc.oneof(leads, fc.nat(255)), { maxLength: 12 });
    const bytes = fc
      .array(fc.oneof(sequences, cut, noise), { maxLength: 6 })
      .map((parts) => Uint8Array.from(parts.flat()));
    fc.assert(
      fc.property(bytes, (value) => {
        expect(read(value)).toEqual([decoded(value), decoded(value)]);
      }),
      { numRuns: 3_000 },
    );
  });
});
