import { expect, test } from "vitest";
import { withTables } from "./operating-tables.ts";
import { textOf } from "./source-files.ts";

test("the tables of keys and limits in docs/operating.md say what the code does", () => {
  const text = textOf("docs/operating.md");
  expect(text).toBe(withTables(text));
});
