import { afterEach, describe, expect, test } from "vitest";
import { liveThreads } from "../../test/kit/inventory.ts";
import { ConfigChecker } from "./config-checker.ts";

const checker = new ConfigChecker({ maxConfigCheckMs: 10_000 });

afterEach(() => {
  expect(liveThreads()).toEqual([]);
});

async function problemsOf(schema: unknown, config: unknown, by = checker): Promise<string[]> {
  const [problems = []] = await by.check([
    { schema: JSON.stringify(schema), configJson: JSON.stringify(config) },
  ]);
  return problems.map(({ path, problem }) => `${path}: ${problem}`);
}

test("what is wrong with a configuration is told with its path, as people write it", async () => {
  const cases: [schema: object, config: unknown, problems: string[]][] = [
    [
      { properties: { mode: { enum: ["mask", "hash"] } } },
      { mode: "x" },
      ['.mode: must be one of "mask", "hash"'],
    ],
    [{ required: ["a", "b", "c"] }, { b: 1 }, [": needs a, c"]],
    [{ additionalProperties: false, properties: { a: true } }, { a: 1, b: 2 }, [".b: is not known"]],
    [
      { properties: { l: { items: { type: ["string", "null"] } } } },
      { l: ["a", 1] },
      [".l[1]: must be text or null"],
    ],
    [
      { properties: { n: { $ref: "#/$defs/n" } }, $defs: { n: { minimum: 3 } } },
      { n: 1 },
      [".n: must be at least 3"],
    ],
    [{ properties: { n: { type: "integer" } } }, { n: 1.5 }, [".n: must be a whole number"]],
    [
      { properties: { o: { anyOf: [{ type: "string" }, { minimum: 3 }] } } },
      { o: 1 },
      [".o: is none of what it may be"],
    ],
    [{ properties: { "a.b": { maxLength: 1 } } }, { "a.b": "xy" }, [".a.b: must have at most 1 characters"]],
    [{ properties: { p: { pattern: "^a" } } }, { p: "b" }, [".p: must match ^a"]],
    [{ propertyNames: { maxLength: 1 } }, { long: 1 }, [": has a name that it may not have"]],
    [{ properties: { l: { uniqueItems: true } } }, { l: [1, 1] }, [".l: has an entry twice"]],
    [{ const: 1 }, {}, [": must be 1"]],
    [{ if: { required: ["a"] }, else: { required: ["b"] } }, { c: 1 }, [": needs b"]],
    [
      { $schema: "http://json-schema.org/draft-07/schema#", items: [{ type: "string" }] },
      [1],
      ["[0]: must be text"],
    ],
    [{ type: "object" }, {}, []],
  ];
  const found = await checker.check(
    cases.map(([schema, config]) => ({ schema: JSON.stringify(schema), configJson: JSON.stringify(config) })),
  );
  expect(found.map((problems) => problems.map(({ path, problem }) => `${path}: ${problem}`))).toEqual(
    cases.map(([, , problems]) => problems),
  );
});

test("a schema that refers to itself without end refuses", async () => {
  expect(await problemsOf({ $ref: "#" }, {})).toEqual([
    ": cannot be held against the module's schema: it refers to itself without end",
  ]);
});

describe("a schema that asks for work without end is ended after its time, and blames no other", () => {
  const doubled = Object.fromEntries(
    Array.from({ length: 40 }, (_, level) => [
      `d${level}`,
      level === 0 ? { type: "string" } : { allOf: [0, 1].map(() => ({ $ref: `#/$defs/d${level - 1}` })) },
    ]),
  );
  test.each([
    ["a pattern that tries all ways", { pattern: "^(a+)+$" }, `${"a".repeat(60)}b`],
    ["references that double", { $ref: "#/$defs/d39", $defs: doubled }, "x"],
  ])("%s", async (_, schema, config) => {
    const hasty = new ConfigChecker({ maxConfigCheckMs: 200 });
    const found = await hasty.check([
      { schema: "true", configJson: "{}" },
      { schema: JSON.stringify(schema), configJson: JSON.stringify(config) },
    ]);
    const problem =
      "cannot be held against the module's schema: that takes longer than maxConfigCheckMs, which is 200";
    expect(found).toEqual([[], [{ path: "", problem }]]);
  });
});

test("what was found right is not checked again, and what was not is", async () => {
  const started: unknown[] = [];
  const note = (thread: unknown): void => void started.push(thread);
  process.on("worker", note);
  for (let time = 0; time < 3; time++) {
    expect(await problemsOf({ type: "object" }, { again: 1 })).toEqual([]);
    expect(await problemsOf({ type: "string" }, { again: 1 })).toEqual([": must be text"]);
  }
  process.off("worker", note);
  expect(started).toHaveLength(4);
});
