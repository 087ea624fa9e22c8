/**
 * Checks that a module's configuration schema is one: that keywords have values of their kinds, and that references lead
 * somewhere. What it says of configurations is for a validator.
 *
 * Source: JSON Schema, drafts 7, 2019-09 and 2020-12.
 *
 * @module
 */

/** What is wrong with a schema, and where, as a pointer such as `#/properties/mode`. */
export interface SchemaProblem {
  readonly at: string;
  readonly problem: string;
}

type Json = unknown;
type Mapping = Readonly<Record<string, Json>>;

const types = ["string", "number", "integer", "boolean", "array", "object", "null"];
const drafts = /^https?:\/\/json-schema\.org\/(?:draft-07|draft\/2019-09|draft\/2020-12)\/schema#?$/;

/** What must be written under a keyword. Keywords that are not here say nothing about a configuration. */
const kinds: Readonly<Record<string, (visit: Visit, value: Json, at: string) => void>> = {
  ...forAll(
    ["additionalProperties", "unevaluatedProperties", "propertyNames", "not", "if", "then", "else"],
    schema,
  ),
  ...forAll(["contains", "unevaluatedItems", "additionalItems"], schema),
  ...forAll(["allOf", "anyOf", "oneOf", "prefixItems"], schemas),
  ...forAll(["properties", "dependentSchemas", "$defs", "definitions"], schemaMap),
  ...forAll(["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"], count),
  ...forAll(["minContains", "maxContains"], count),
  ...forAll(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], number),
  ...forAll(["title", "description", "$comment", "format", "$id"], text),
  ...forAll(["$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"], refused),
  items: (visit, value, at) => (Array.isArray(value) ? schemas : schema)(visit, value, at),
  patternProperties: (visit, value, at) => {
    for (const key of Object.keys(mapping(value, at))) pattern(visit, key, at);
    schemaMap(visit, value, at);
  },
  pattern,
  multipleOf: (_, value, at) => expect(typeof value === "number" && value > 0, at, "give a number above 0"),
  uniqueItems: (_, value, at) => expect(typeof value === "boolean", at, "give true or false"),
  enum: (_, value, at) => expect(Array.isArray(value) && value.length > 0, at, "give a list of values"),
  type: (_, value, at) =>
    expect(
      [value].flat().length > 0 && [value].flat().every((each) => types.includes(each as string)),
      at,
      `give one of ${types.join(", ")}, or a list of them`,
    ),
  required: (_, value, at) => names(value, at),
  dependentRequired: (_, value, at) => {
    for (const [key, list] of Object.entries(mapping(value, at))) names(list, `${at}/${escaped(key)}`);
  },
  dependencies: (visit, value, at) => {
    for (const [key, entry] of Object.entries(mapping(value, at)))
      (Array.isArray(entry) ? (_: Visit, list: Json, of: string) => names(list, of) : schema)(
        visit,
        entry,
        `${at}/${escaped(key)}`,
      );
  },
  $anchor: (visit, value, at) => {
    text(visit, value, at);
    visit.found.add(`#${value}`);
  },
  $ref: (visit, value, at) => {
    expect(
      typeof value === "string" && value.startsWith("#"),
      at,
      "only parts of the schema itself, as #/$defs/NAME",
    );
    visit.references.push({ at, to: value as string });
  },
};

interface Visit {
  /** Where schemas are. */
  readonly found: Set<string>;
  readonly references: { readonly at: string; readonly to: string }[];
}

class ShapeError extends Error {
  readonly at: string;
  constructor(at: string, problem: string) {
    super(problem);
    this.at = at;
  }
}

/**
 * What is wrong with a schema; undefined where nothing is.
 *
 * @param root - parsed JSON
 * @param maxDepth - how deep it may nest
 */
export function schemaProblem(root: Json, maxDepth: number): SchemaProblem | undefined {
  const visit: Visit = { found: new Set(), references: [] };
  try {
    checkDepth(root, maxDepth);
    const draft = typeof root === "object" && root !== null ? (root as Mapping)["$schema"] : undefined;
    expect(
      draft === undefined || (typeof draft === "string" && drafts.test(draft)),
      "#/$schema",
      "draft-07, 2019-09 and 2020-12 of json-schema.org are known",
    );
    schema(visit, root, "#");
    for (const { at, to } of visit.references)
      expect(visit.found.has(decoded(to)), at, "it leads to no schema");
  } catch (error) {
    if (error instanceof ShapeError) return { at: error.at, problem: error.message };
    throw error;
  }
  return undefined;
}

function checkDepth(root: Json, maxDepth: number): void {
  let level: Json[] = [root];
  for (let depth = 0; level.length > 0; depth++) {
    expect(depth <= maxDepth, "#", `it nests deeper than maxConfigSchemaDepth, which is ${maxDepth}`);
    level = level.flatMap((each) => (typeof each === "object" && each !== null ? Object.values(each) : []));
  }
}

function schema(visit: Visit, value: Json, at: string): void {
  visit.found.add(at);
  if (typeof value === "boolean") return;
  for (const [keyword, entry] of Object.entries(mapping(value, at, "a schema is a mapping, true or false"))) {
    const where = `${at}/${escaped(keyword)}`;
    expect(!keyword.startsWith("__"), where, "no keyword begins with two underscores");
    expect(keyword !== "$id" || at === "#", where, "only the whole schema may have an $id");
    if (Object.hasOwn(kinds, keyword)) kinds[keyword]?.(visit, entry, where);
  }
}

function schemas(visit: Visit, value: Json, at: string): void {
  expect(Array.isArray(value) && value.length > 0, at, "give a list of schemas");
  (value as Json[]).forEach((each, index) => {
    schema(visit, each, `${at}/${index}`);
  });
}

function schemaMap(visit: Visit, value: Json, at: string): void {
  for (const [key, entry] of Object.entries(mapping(value, at)))
    schema(visit, entry, `${at}/${escaped(key)}`);
}

function pattern(_: Visit, value: Json, at: string): void {
  expect(typeof value === "string", at, "give a regular expression");
  try {
    new RegExp(value as string, "u");
  } catch (error) {
    throw new ShapeError(at, (error as Error).message);
  }
}

function count(_: Visit, value: Json, at: string): void {
  expect(Number.isSafeInteger(value) && (value as number) >= 0, at, "give a whole number of at least 0");
}

function number(_: Visit, value: Json, at: string): void {
  expect(typeof value === "number", at, "give a number");
}

function text(_: Visit, value: Json, at: string): void {
  expect(typeof value === "string", at, "give text");
}

function refused(_: Visit, __: Json, at: string): void {
  throw new ShapeError(at, "it is not known here; use $ref");
}

function names(value: Json, at: string): void {
  expect(Array.isArray(value) && value.every((each) => typeof each === "string"), at, "give a list of names");
}

function mapping(value: Json, at: string, problem = "give a mapping"): Mapping {
  expect(typeof value === "object" && value !== null && !Array.isArray(value), at, problem);
  return value as Mapping;
}

function forAll<Kind>(keywords: readonly string[], kind: Kind): Record<string, Kind> {
  return Object.fromEntries(keywords.map((keyword) => [keyword, kind]));
}

function expect(holds: boolean, at: string, problem: string): void {
  if (!holds) throw new ShapeError(at, problem);
}

function escaped(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}

/** A reference as pointers are written here. */
function decoded(reference: string): string {
  try {
    const found = decodeURIComponent(reference);
    return found === "#/" ? "#" : found;
  } catch {
    return reference;
  }
}
