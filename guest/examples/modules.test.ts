/** Every example module over good and dirty input. */

import { LocalHost, type RecordInit } from "@leat/assemblyscript/local-host";
import type { TransformResult } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { type ExampleName, loadExample } from "./index.ts";

async function start(name: ExampleName, config?: unknown): Promise<LocalHost> {
  return LocalHost.start(await loadExample(name), { config });
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** What stands beside the value, to see that it stays. */
const beside: RecordInit = { key: utf8("k"), headers: [{ key: "h", value: utf8("1") }], timestampMs: 7n };

function record(value?: string): RecordInit {
  return value === undefined ? beside : { ...beside, value: utf8(value) };
}

/** Runs values through a module; what comes out is their texts, after a check that everything beside them stayed. */
function run(host: LocalHost, ...inputs: (string | undefined)[]): (string | undefined)[] {
  const result = host.transform(inputs.map(record));
  expect(codes(result)).toEqual([]);
  return texts(result);
}

function texts(result: TransformResult): (string | undefined)[] {
  return (result.batch?.records ?? []).map((output) => {
    expect(output).toMatchObject(beside);
    return output.value && new TextDecoder().decode(output.value);
  });
}

function codes(result: TransformResult): [index: number, code: string, message: string][] {
  return result.failures.map(({ index, code, message }) => [index, code, message]);
}

/** The one failure of a value. */
function failure(host: LocalHost, value: string): string {
  const result = host.transform([record(value)]);
  expect(result.fanout).toEqual([0]);
  return codes(result)
    .map(([, code, message]) => `${code}: ${message}`)
    .join();
}

describe("record-counter", () => {
  test("counts records, bytes and tombstones and changes nothing", async () => {
    const host = await start("record-counter", { name: "seen" });
    expect(run(host, "abc", undefined, "", "ü")).toEqual(["abc", undefined, "", "ü"]);
    run(host, "x");
    expect(Object.fromEntries(host.counters)).toEqual({ seen: 5, seen_bytes: 6, seen_tombstones: 1 });
  });
});

describe("ndjson-split", () => {
  test("gives a record a line, each with what stood beside the whole", async () => {
    const host = await start("ndjson-split");
    const result = host.transform([
      record('{"a":1}\n\r\n [2] \r\n3'),
      record("\n\n"),
      record(undefined),
      record("4\n"),
    ]);
    expect(texts(result)).toEqual(['{"a":1}', "[2]", "3", undefined, "4"]);
    expect(result.fanout).toEqual([3, 0, 1, 1]);
  });

  test("fails the whole when a line is no JSON, and tells line and byte", async () => {
    const host = await start("ndjson-split");
    expect(failure(host, '1\n\n  {"a" 1}\n2')).toBe("invalid_json: expected ':' in line 3 at byte 7");
  });

  test("does not look into lines when told so", async () => {
    const host = await start("ndjson-split", { validate: false });
    expect(run(host, "a\n b \nc")).toEqual(["a", "b", "c"]);
  });

  test("splits thousands of lines in one record", async () => {
    const host = await start("ndjson-split");
    const lines = Array.from({ length: 20_000 }, (_, index) => JSON.stringify({ index }));
    expect(run(host, lines.join("\n"))).toEqual(lines);
  });
});

describe("memory", () => {
  const fourMiB = 4 * 1_024 * 1_024;

  test("of one record that becomes very many is that of its input and output", async () => {
    const ndjson = await start("ndjson-split");
    const line = `[${"1,".repeat(300)}1]\n`;
    expect(run(ndjson, line.repeat(fourMiB / line.length))).toHaveLength(Math.floor(fourMiB / line.length));
    const csv = await start("csv-to-json", { columns: ["a", "b"] });
    const row = `"${'""'.repeat(100)}",${"x".repeat(100)}\n`;
    expect(run(csv, row.repeat(fourMiB / row.length))).toHaveLength(Math.floor(fourMiB / row.length));
    for (const host of [ndjson, csv]) expect(host.memoryBytes).toBeLessThan(6 * fourMiB);
  });

  test("of a document with millions of values is bounded: it fails", async () => {
    const host = await start("filter", { expression: "true" });
    expect(failure(host, `[${"1,".repeat(fourMiB / 2 - 2)}1]`)).toBe(
      "invalid_json: too many values at byte 1999999",
    );
  });
});

describe("csv-to-json", () => {
  const columns = ["name", "age", "member"];
  const types = { age: "number", member: "boolean" };

  test("converts rows by the configured columns and types", async () => {
    const host = await start("csv-to-json", { columns, types });
    const result = host.transform([
      record('Ann,41,true\r\n"B, ""Bob""\nson", 7 ,FALSE\n\n,,\n'),
      record(""),
      record(undefined),
    ]);
    expect(texts(result)).toEqual([
      '{"name":"Ann","age":41,"member":true}',
      '{"name":"B, \\"Bob\\"\\nson","age":7,"member":false}',
      '{"name":"","age":null,"member":null}',
      undefined,
    ]);
    expect(result.fanout).toEqual([3, 0, 1]);
  });

  test("takes the columns from the first row when none are configured", async () => {
    const host = await start("csv-to-json", { delimiter: ";", types: { b: "number" }, trim: true });
    expect(run(host, '\uFEFFa; b ;"c"\n 1 ; 2 ;" 3 "\n')).toEqual(['{"a":"1","b":2,"c":" 3 "}']);
  });

  test.each([
    ["Ann,41", "csv_columns: row 1 has 2 fields, expected 3"],
    ["Ann,41,true\nBob,1,true,x", "csv_columns: row 2 has 4 fields, expected 3"],
    ["Ann,old,true", "invalid_number: row 1, column age is no number: old"],
    ["Ann,007,true", "invalid_number: row 1, column age is no number: 007"],
    ["Ann,1,yes", "invalid_boolean: row 1, column member is no boolean: yes"],
    ['"Ann,1,true', "invalid_csv: the quote at byte 0 is not closed"],
    ['Ann,"1"2,true', "invalid_csv: text behind a closing quote at byte 7"],
  ])("%j fails as %s", async (value, expected) => {
    expect(failure(await start("csv-to-json", { columns, types }), value)).toBe(expected);
  });

  test("fails what is not UTF-8", async () => {
    const host = await start("csv-to-json", { columns });
    const result = host.transform([{ value: Uint8Array.from([0x61, 0xff]) }]);
    expect(codes(result)).toEqual([[0, "invalid_utf8", "the value is not UTF-8"]]);
  });

  test.each([
    [{ delimiter: "ab" }, "'delimiter' must be one ASCII character"],
    [{ columns: "a" }, "'columns' must be a list of strings, but is a string"],
    [{ columns: ["a"], types: { b: "number" } }, "'types.b' is no column"],
    [
      { columns: ["a"], types: { a: "date" } },
      "'types.a' must be one of string, number, boolean, but is date",
    ],
  ])("refuses the configuration %j", async (config, reason) => {
    await expect(start("csv-to-json", config)).rejects.toThrow(reason);
  });
});

describe("filter", () => {
  const quake = JSON.stringify({
    magnitude: 4.6,
    type: "earthquake",
    place: "5km N of Ä",
    felt: null,
    tags: ["a", { b: true }],
    "IMDB Rating": 7.5,
    alert: false,
    nested: { deep: { er: -1e3 } },
  });

  test.each([
    ['magnitude >= 4.5 && type == "earthquake"', true],
    ["magnitude >= 4.5 && type == 'quarry blast'", false],
    ["magnitude < 4.5 || !(type != 'earthquake')", true],
    ["magnitude == 4.60", true],
    ["magnitude > 4.6 || magnitude < 4.6", false],
    ["magnitude <= 4.6", true],
    ["nested.deep.er == -1000 && nested.deep.er < 0", true],
    ["nested.deep", false],
    ["nested == nested", false],
    ["nested != nested", true],
    ["tags[0] == 'a' && tags[1].b && tags[2] == null && tags[0].x == null", true],
    ["`IMDB Rating` > 7 && nested.`deep`.er < 0", true],
    ["felt == null && missing == null && !has(felt) && !has(missing) && has(magnitude)", true],
    ["felt != null || missing != null", false],
    ["alert == false && !alert", true],
    ["type < 'f' && type > 'Z' && type >= 'earthquake'", true],
    ["magnitude > '4' || magnitude < '4' || magnitude == '4.6'", false],
    ["missing < 1 || missing >= 1 || null >= null", false],
    ["contains(place, 'of Ä') && startsWith(place, '5km') && !contains(magnitude, '4')", true],
    ["(magnitude > 4) == true", true],
    ["true && !false && !!true", true],
    ["type == \"earth\\x71uake\" || type == 'earth\\quake'", true],
    ["1 < 2", true],
    ["false || true && false", false],
  ])("%s is %s", async (expression, expected) => {
    const host = await start("filter", { expression });
    expect(run(host, quake)).toEqual(expected ? [quake] : []);
  });

  test("fails or drops what is no JSON, and passes or drops tombstones", async () => {
    expect(failure(await start("filter", { expression: "true" }), "{")).toBe(
      "invalid_json: unexpected end at byte 1",
    );
    const lenient = await start("filter", { expression: "true", invalid: "drop", tombstones: "drop" });
    expect(run(lenient, "{", undefined, "1")).toEqual(["1"]);
    expect(run(await start("filter", { expression: "false" }), undefined, "1")).toEqual([undefined]);
  });

  test("of a member that occurs several times the last one counts, as in JavaScript", async () => {
    const host = await start("filter", { expression: "a == 2" });
    expect(run(host, '{"a":1,"\\u0061":2}', '{"a":2,"a":1}')).toEqual(['{"a":1,"\\u0061":2}']);
  });

  test.each([
    ["", "expected a value at column 1"],
    ["a ==", "expected a value at column 5"],
    ["a = 1", "unexpected text at column 3"],
    ["(a == 1", "expected ) at column 8"],
    ["a == 'x", "text without an end at column 6"],
    ["a == 1.2.3", "malformed number at column 6"],
    ["a && size(b) > 1", "unknown function size; there are has, contains and startsWith at column 6"],
    ["has(1)", "has() wants a field at column 6"],
    ["contains(a)", "expected , at column 11"],
    ["a[x]", "expected an index at column 3"],
    ["a..b", "expected a name at column 3"],
    ["`a", "name without an end at column 1"],
    ["a == 1 2", "unexpected text at column 8"],
    [`${"(".repeat(100)}a`, "nested too deeply at column"],
    [Array.from({ length: 600 }, () => "a").join("&&"), "more than 500 operands at column"],
  ])("refuses the expression %s", async (expression, reason) => {
    await expect(start("filter", { expression })).rejects.toThrow(`'expression' is malformed: ${reason}`);
  });
});

describe("json-redact", () => {
  const person =
    '{ "name":"Ann", "email" : "ann@x.y","age":41.50,"users":[{"email":"b@x.y","id":1},{"id":2}]}';

  test("masks fields and leaves the rest of the text as it is", async () => {
    const host = await start("json-redact", { fields: ["email", "users[].email"] });
    expect(run(host, person)).toEqual([
      '{ "name":"Ann", "email" : "***","age":41.50,"users":[{"email":"***","id":1},{"id":2}]}',
    ]);
  });

  test("removes fields with their commas", async () => {
    const host = await start("json-redact", { fields: ["a", "b.c", "d[]"], action: "remove" });
    const inputs = [
      '{"a":1,"x":2}',
      '{"x":2, "a":1 }',
      '{"x":2,"a":1,"y":3}',
      '{ "a":1 }',
      '{"a":1,"a":2,"a":3}',
      '{"a":1,"a":2,"x":3,"a":4,"y":5}',
      '{"b":{"c":1,"d":2},"d":[1,2],"a":0}',
      '{"b":{"c":1}}',
    ];
    const outputs = run(host, ...inputs);
    expect(outputs.map((text) => JSON.parse(text ?? ""))).toEqual([
      { x: 2 },
      { x: 2 },
      { x: 2, y: 3 },
      {},
      {},
      { x: 3, y: 5 },
      { b: { d: 2 }, d: [] },
      { b: {} },
    ]);
    expect(outputs[1]).toBe('{"x":2 }');
  });

  test("hashes with a salt: what a string says, or the text of another value", async () => {
    const { createHash } = await import("node:crypto");
    const hash = (text: string) => `sha256:${createHash("sha256").update(`salt${text}`).digest("hex")}`;
    const host = await start("json-redact", { fields: ["a", "b"], action: "hash", salt: "salt" });
    expect(run(host, '{"a":"x\\u0079","b":[1, 2]}')).toEqual([
      `{"a":"${hash("xy")}","b":"${hash("[1, 2]")}"}`,
    ]);
  });

  test("finds a field however its name is escaped, and every one of several", async () => {
    const host = await start("json-redact", { fields: ["email", "dotted\\.name", "q[]"], mask: '"' });
    expect(run(host, '{"em\\u0061il":1,"email":2,"dotted.name":3,"dotted":{"name":4},"q":[5,[6]]}')).toEqual([
      '{"em\\u0061il":"\\"","email":"\\"","dotted.name":"\\"","dotted":{"name":4},"q":["\\"","\\""]}',
    ]);
  });

  test("reaches into arrays of arrays and into a value that is an array itself", async () => {
    const host = await start("json-redact", { fields: ["[].a", "m[][].b"] });
    expect(run(host, '[{"a":1},2,{"a":[3]}]', '{"m":[[{"b":1}],[]],"a":2}')).toEqual([
      '[{"a":"***"},2,{"a":"***"}]',
      '{"m":[[{"b":"***"}],[]],"a":2}',
    ]);
  });

  test("passes on what has none of the fields, byte by byte", async () => {
    const host = await start("json-redact", { fields: ["secret"] });
    expect(run(host, ' [1 , "a"] ', "null", undefined, '{"a":{"secret":1}}')).toEqual([
      ' [1 , "a"] ',
      "null",
      undefined,
      '{"a":{"secret":1}}',
    ]);
  });

  test("fails what is no JSON rather than letting it through", async () => {
    const host = await start("json-redact", { fields: ["a"] });
    expect(failure(host, '{"a":1')).toBe("invalid_json: unexpected end at byte 6");
    expect(failure(host, "")).toBe("invalid_json: unexpected end at byte 0");
  });

  test.each([
    [{}, "'fields' is required"],
    [{ fields: [] }, "'fields' must name one field at least"],
    [{ fields: ["a..b"] }, "'fields' holds the malformed path a..b"],
    [{ fields: [""] }, "malformed path"],
    [{ fields: ["a."] }, "malformed path"],
    [{ fields: ["a[0]"] }, "malformed path"],
    [{ fields: ["a]"] }, "malformed path"],
    [{ fields: ["a[]b"] }, "malformed path"],
    [{ fields: ["a.[]"] }, "malformed path"],
    [{ fields: ["a\\"] }, "malformed path"],
    [{ fields: ["a"], action: "blur" }, "'action' must be one of mask, hash, remove, but is blur"],
  ])("refuses the configuration %j", async (config, reason) => {
    await expect(start("json-redact", config)).rejects.toThrow(reason);
  });
});

describe("normalize", () => {
  const config = {
    rename: { Title: "title", "US Gross": "us_gross", "Release Date": "released" },
    text: ["Title"],
    number: ["US Gross"],
    date: ["Release Date"],
    null_if: ["N/A", ""],
    remove: ["junk"],
    required: ["Title", "US Gross"],
  };

  test("trims, renames, converts and removes, and leaves other fields as they are", async () => {
    const host = await start("normalize", config);
    expect(
      run(
        host,
        '{"Title":1776,"US Gross":" $1,234.50 ","junk":0,"Release Date":"Nov 09 1972","x":" y ","n":1.0,"s":"a\\u0062"}',
        '{"Title":" \\tUp\\u00e9 ","US Gross":5e3,"Release Date":"N/A","x":"  ","deep":{"Title":" "}}',
        undefined,
      ),
    ).toEqual([
      '{"title":"1776","us_gross":1234.50,"released":"1972-11-09","x":"y","n":1.0,"s":"a\\u0062"}',
      `{"title":"${"\\tUpé".slice(2)}","us_gross":5e3,"released":null,"x":null,"deep":{"Title":" "}}`,
      undefined,
    ]);
  });

  test("keeps strings whole when told so", async () => {
    expect(run(await start("normalize", { trim: false }), '{"a":" b "}')).toEqual(['{"a":" b "}']);
  });

  test.each([
    ["1998-06-12", "1998-06-12"],
    ["1998/6/2", "1998-06-02"],
    ["June 12, 1998", "1998-06-12"],
    ["12 Jun 1998", "1998-06-12"],
    ["12-JUN-1998", "1998-06-12"],
    ["1998-06-12T10:00:00Z", "1998-06-12"],
    ["Feb 29 2000", "2000-02-29"],
  ])("reads %s as a date", async (text, expected) => {
    const host = await start("normalize", { date: ["d"] });
    expect(run(host, JSON.stringify({ d: text }))).toEqual([JSON.stringify({ d: expected })]);
  });

  test.each([
    ['{"US Gross":1}', "missing_field: Title is absent or null"],
    ['{"Title":" N/A ","US Gross":1}', "missing_field: Title is absent or null"],
    ['{"Title":"x","US Gross":null}', "missing_field: US Gross is absent or null"],
    ['{"Title":"x","US Gross":"many"}', 'invalid_number: US Gross is no number: "many"'],
    ['{"Title":"x","US Gross":true}', "invalid_number: US Gross is no number: true"],
    [
      '{"Title":"x","US Gross":1,"Release Date":"Feb 30 1999"}',
      'invalid_date: Release Date is no date: "Feb 30 1999"',
    ],
    [
      '{"Title":"x","US Gross":1,"Release Date":"06/12/1998"}',
      'invalid_date: Release Date is no date: "06/12/1998"',
    ],
    [
      '{"Title":"x","US Gross":1,"Release Date":"Jun 12 98"}',
      'invalid_date: Release Date is no date: "Jun 12 98"',
    ],
    ['{"Title":"x","US Gross":1,"Release Date":1998}', "invalid_date: Release Date is no date: 1998"],
    ["[1]", "invalid_json: the value is an array, not an object, at byte 0"],
    ['{"Title":', "invalid_json: unexpected end at byte 9"],
  ])("%s fails as %s", async (value, expected) => {
    expect(failure(await start("normalize", config), value)).toBe(expected);
  });

  test.each([
    [{ number: ["a"], date: ["a"] }, "'date' names the field a a second time"],
    [{ rename: { a: 1 } }, "'rename.a' must be a string, but is a number"],
    [{ requires: ["a"] }, "'requires' is no key of this module's configuration"],
  ])("refuses the configuration %j", async (bad, reason) => {
    await expect(start("normalize", bad)).rejects.toThrow(reason);
  });
});
