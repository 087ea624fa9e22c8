import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { moduleBytes } from "../../test/kit/modules.ts";
import { LeatError } from "../errors.ts";
import { resolveLimits } from "../limits.ts";
import { configSchemaSection, readConfigSchema, withConfigSchema } from "./config-schema.ts";
import { inspectModule } from "./inspect.ts";

const limits = resolveLimits();
const plain = await moduleBytes("program");

function withSchema(schema: unknown): Uint8Array {
  return withConfigSchema(plain, Buffer.from(JSON.stringify(schema)), limits);
}

/** What is said of a schema; empty when nothing is. */
function refusal(schema: unknown): string {
  return refusalOf(() => readConfigSchema(Buffer.from(JSON.stringify(schema)), limits));
}

function refusalOf(read: () => unknown): string {
  try {
    read();
    return "";
  } catch (error) {
    if (error instanceof LeatError) return `${error.reason}: ${error.message}`;
    throw error;
  }
}

describe("a module's schema", () => {
  test("is found by inspection, and replaced by another", () => {
    expect(inspectModule(plain, limits).configSchema).toBe("");
    const first = withSchema({ type: "object" });
    expect(inspectModule(first, limits).configSchema).toBe('{"type":"object"}');
    const second = withConfigSchema(first, Buffer.from("true"), limits);
    expect(inspectModule(second, limits).configSchema).toBe("true");
    expect(second.length).toBe(plain.length + 2 + 1 + configSchemaSection.length + 4);
  });

  test("comes once", () => {
    const twice = Buffer.concat([withSchema(true), withSchema(false).subarray(plain.length)]);
    expect(refusalOf(() => inspectModule(twice, limits))).toMatch(/^MODULE_SCHEMA_INVALID: .*more than one/);
  });

  test.each([
    ["not UTF-8", Uint8Array.of(0x22, 0xff, 0x22), "it is not UTF-8"],
    ["not JSON", Buffer.from("{"), "it is not JSON: "],
    ["empty", new Uint8Array(0), "it is not JSON: "],
  ])("that is %s is refused", (_, bytes, problem) => {
    expect(refusalOf(() => readConfigSchema(bytes, limits))).toContain(`MODULE_SCHEMA_INVALID`);
    expect(refusalOf(() => readConfigSchema(bytes, limits))).toContain(`#: ${problem}`);
  });

  test("has its bounds", () => {
    expect(refusal({ description: "a".repeat(16 * 1024) })).toMatch(
      /^MODULE_LIMIT_EXCEEDED: .*section leat_config_schema.* the limit maxConfigSchemaBytes is 16384$/,
    );
    const nested = (depth: number): unknown => (depth === 0 ? {} : { not: nested(depth - 1) });
    expect(refusal(nested(32))).toBe("");
    expect(refusal(nested(33))).toContain("maxConfigSchemaDepth, which is 32");
    const deep = Buffer.from(`{"enum":${"[".repeat(8_000)}${"]".repeat(8_000)}}`);
    expect(refusalOf(() => readConfigSchema(deep, limits))).toContain("maxConfigSchemaDepth");
  });
});

describe("a schema that is none is refused with the place", () => {
  test.each<[unknown, string, string]>([
    [[], "#", "a schema is a mapping, true or false"],
    [{ type: "text" }, "#/type", "give one of string"],
    [{ type: [] }, "#/type", "give one of string"],
    [{ properties: { mode: 1 } }, "#/properties/mode", "a schema is a mapping"],
    [{ properties: [] }, "#/properties", "give a mapping"],
    [{ properties: { "a/b~": { enum: [] } } }, "#/properties/a~1b~0/enum", "give a list of values"],
    [{ required: "mode" }, "#/required", "give a list of names"],
    [{ items: [{}, 1] }, "#/items/1", "a schema is a mapping"],
    [{ anyOf: [] }, "#/anyOf", "give a list of schemas"],
    [{ minLength: -1 }, "#/minLength", "a whole number"],
    [{ maximum: "9" }, "#/maximum", "give a number"],
    [{ multipleOf: 0 }, "#/multipleOf", "above 0"],
    [{ uniqueItems: "yes" }, "#/uniqueItems", "true or false"],
    [{ pattern: "(" }, "#/pattern", "Invalid regular expression"],
    [{ patternProperties: { "[": true } }, "#/patternProperties", "Invalid regular expression"],
    [{ dependentRequired: { a: [1] } }, "#/dependentRequired/a", "give a list of names"],
    [{ $ref: "https://example.com/schema" }, "#/$ref", "only parts of the schema itself"],
    [{ $ref: "#/$defs/none" }, "#/$ref", "it leads to no schema"],
    [{ $ref: "#/properties" }, "#/$ref", "it leads to no schema"],
    [{ $dynamicRef: "#x" }, "#/$dynamicRef", "it is not known here"],
    [{ $schema: "http://json-schema.org/draft-03/schema#" }, "#/$schema", "draft-07, 2019-09 and 2020-12"],
    [{ __absolute_ref__: "x" }, "#/__absolute_ref__", "two underscores"],
    [{ properties: { a: { $id: "b" } } }, "#/properties/a/$id", "only the whole schema"],
  ])("%j", (schema, at, problem) => {
    expect(refusal(schema)).toContain(`MODULE_SCHEMA_INVALID`);
    expect(refusal(schema)).toContain(` ${at}: `);
    expect(refusal(schema)).toContain(problem);
  });

  test("and one with all that is known is none", () => {
    const schema = {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      $id: "https://example.com/mine",
      title: "mine",
      type: ["object", "null"],
      properties: {
        "a/b": { $ref: "#/$defs/a~1b" },
        c: { $ref: "#named" },
        d: { $ref: "#" },
        e: { $ref: "#/$defs/%C3%A9" },
      },
      patternProperties: { "^x-": true },
      dependentRequired: { c: ["d"] },
      $defs: { "a/b": { pattern: "^a" }, n: { $anchor: "named", minimum: 1 }, é: false },
      "x-mine": { anything: [1] },
      default: { type: "nonsense" },
    };
    expect(refusal(schema)).toBe("");
  });
});

test("whatever JSON a schema is, it is taken or refused", () => {
  const keyword = fc.constantFrom(
    "type",
    "properties",
    "items",
    "$ref",
    "enum",
    "pattern",
    "allOf",
    "$defs",
    "__proto__",
    "required",
  );
  const json = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.constantFrom<unknown>(null, true, 0, -1, "object", "#", "#/$defs/type", "^("),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(keyword, tie("value"), { maxKeys: 4 }),
    ),
  })).value;
  fc.assert(
    fc.property(json, (schema) => {
      expect(refusal(schema)).toMatch(/^(?:|MODULE_SCHEMA_INVALID: .*)$/);
    }),
    { numRuns: 1_000 },
  );
});
