/** The smaller example modules over good and dirty input. */

import { describe, expect, test } from "vitest";
import { codes, failure, record, run, start, texts } from "./test/run.ts";

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
