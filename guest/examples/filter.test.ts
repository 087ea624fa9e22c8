import { describe, expect, test } from "vitest";
import { failure, run, start } from "./test/run.ts";

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
