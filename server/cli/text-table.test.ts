import { expect, test } from "vitest";
import { formatCount, formatFields, formatSize, formatTable } from "./text-table.ts";

test("columns line up under their headings, without space at the end of a line", () => {
  const table = formatTable(
    ["NAME", "N"],
    [
      ["redact", "1"],
      ["a", ""],
    ],
  );
  expect(table).toBe("NAME    N\nredact  1\na\n");
});

test("what modules say of themselves cannot steer the terminal", () => {
  expect(formatFields([["exports", "a\u001b[2Jb\u202ec"]])).toBe("exports:  a\\u001b[2Jb\\u202ec\n");
});

test("sizes and counts read easily", () => {
  expect([0, 1_023, 1_024, 1_572_864, 3 * 1024 ** 3].map(formatSize)).toEqual([
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 MiB",
    "3.0 GiB",
  ]);
  expect(formatCount(1_234_567.8)).toBe("1,234,568");
});
