/**
 * Holds a configuration against a module's schema, and says what is wrong with it as people write configurations.
 * Runs in a thread of its own only: a schema may ask for work without end.
 *
 * @module
 */

import { type Schema, Validator } from "@cfworker/json-schema";
import type { ConfigProblem } from "./config-checker.ts";

interface Failure {
  readonly keyword: string;
  readonly keywordLocation: string;
  readonly instanceLocation: string;
  readonly error: string;
}

/** Problems of one configuration that are told. */
const maxProblems = 3;

/** Says nothing by itself: what is below it does. */
const containers: ReadonlySet<string> = new Set([
  "properties",
  "patternProperties",
  "additionalProperties",
  "unevaluatedProperties",
  "items",
  "prefixItems",
  "additionalItems",
  "unevaluatedItems",
  "allOf",
  "$ref",
  "if",
  "dependentSchemas",
]);
/** Says all: what is below it is about the ways in which it might have been right. */
const choices: ReadonlySet<string> = new Set(["anyOf", "oneOf", "propertyNames", "contains"]);

/** What is wrong with a configuration; empty where nothing is. */
export function problemsOf(schemaJson: string, configJson: string): ConfigProblem[] {
  const schema = JSON.parse(schemaJson) as Schema | boolean;
  const config = JSON.parse(configJson) as unknown;
  const { valid, errors } = new Validator(schema, draftOf(schema)).validate(config);
  if (valid) return [];
  const told = errors.filter(
    (error) =>
      !containers.has(error.keyword) && !errors.some((other) => other !== error && covers(other, error)),
  );
  const problems: ConfigProblem[] = [];
  for (const error of told.length === 0 ? errors : told) {
    const problem = describe(error, valueAt(schema, error.keywordLocation), config);
    const path = pathOf(error, config);
    // What is missing is told together.
    if (problems.some((other) => other.path === path && other.problem === problem)) continue;
    if (problems.push({ path, problem }) === maxProblems) break;
  }
  return problems;
}

function draftOf(schema: Schema | boolean): "7" | "2019-09" | "2020-12" {
  const named = typeof schema === "object" ? (schema.$schema ?? "") : "";
  return named.includes("draft-07") ? "7" : named.includes("2019-09") ? "2019-09" : "2020-12";
}

function covers(choice: Failure, error: Failure): boolean {
  if (!choices.has(choice.keyword)) return false;
  // The validator gives `false` the place in the configuration in place of that in the schema.
  if (error.keyword === "false")
    return `${error.instanceLocation}/`.startsWith(`${choice.instanceLocation}/`);
  return error.keywordLocation.startsWith(`${choice.keywordLocation}/`);
}

function describe({ keyword, error, instanceLocation }: Failure, wanted: unknown, config: unknown): string {
  switch (keyword) {
    case "type":
      return `must be ${[wanted]
        .flat()
        .map((type) => typeNames[String(type)] ?? type)
        .join(" or ")}`;
    case "enum":
      return `must be one of ${(Array.isArray(wanted) ? wanted : []).map(shown).join(", ")}`;
    case "const":
      return `must be ${shown(wanted)}`;
    case "false":
      return "is not known";
    case "required":
      return `needs ${missing(wanted, at(config, segmentsOf(instanceLocation)))}`;
    case "pattern":
      return `must match ${String(wanted)}`;
    case "format":
      return `must be a ${String(wanted)}`;
    case "anyOf":
      return "is none of what it may be";
    case "propertyNames":
      return "has a name that it may not have";
    case "uniqueItems":
      return "has an entry twice";
    default:
      return bounds[keyword]?.replace("N", shown(wanted)) ?? error;
  }
}

const typeNames: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  integer: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  null: "null",
};

const bounds: Readonly<Record<string, string>> = {
  minimum: "must be at least N",
  maximum: "must be at most N",
  exclusiveMinimum: "must be above N",
  exclusiveMaximum: "must be below N",
  multipleOf: "must be a multiple of N",
  minLength: "must have at least N characters",
  maxLength: "must have at most N characters",
  minItems: "must have at least N entries",
  maxItems: "must have at most N entries",
  minProperties: "must have at least N keys",
  maxProperties: "must have at most N keys",
};

function missing(wanted: unknown, found: unknown): string {
  const has = (name: unknown): boolean =>
    typeof found === "object" && found !== null && Object.hasOwn(found, String(name));
  return (Array.isArray(wanted) ? wanted : []).filter((name) => !has(name)).join(", ");
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "";
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function segmentsOf(location: string): string[] {
  return location
    .split("/")
    .slice(1)
    .map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"));
}

function at(root: unknown, segments: readonly string[]): unknown {
  let found = root;
  for (const segment of segments) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, segment)) return undefined;
    found = (found as Record<string, unknown>)[segment];
  }
  return found;
}

/** What a keyword says that failed: its location goes through references. */
function valueAt(schema: unknown, location: string): unknown {
  let found = schema;
  for (const segment of segmentsOf(location)) {
    const next = at(found, [segment]);
    found = segment === "$ref" && typeof next === "string" ? at(schema, segmentsOf(next)) : next;
  }
  return found;
}

function pathOf({ instanceLocation }: Failure, config: unknown): string {
  let path = "";
  let found = config;
  for (const segment of segmentsOf(instanceLocation)) {
    path += Array.isArray(found) ? `[${segment}]` : `.${segment}`;
    found = at(found, [segment]);
  }
  return path;
}
