import { describe, expect, test } from "vitest";
import { failure, run, start } from "./test/run.ts";

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
