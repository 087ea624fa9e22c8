/**
 * Breaks JSON along its structure: values, names, and text.
 *
 * @module
 */

import type { JsonValue } from "@bufbuild/protobuf";
import type { Random } from "./random.ts";

/** What stands where something else should. */
const strangers: readonly JsonValue[] = [
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  1e300,
  "",
  "NaN",
  "9".repeat(400),
  "AAA",
  "%%%%",
  "\ud800",
  [],
  [null],
  {},
  { __proto__: null, constructor: 1 },
];
const names = ["pipeline", "inline", "records", "value", "__proto__", "constructor", ""];
/** Deeper than anything that is meant, and than some parsers like. */
const depth = 2_000;

function isObject(value: JsonValue): value is { [name: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Changes one value at any depth. */
function changeValue(random: Random, value: JsonValue): JsonValue {
  if (random.chance(0.7)) {
    if (Array.isArray(value) && value.length > 0) {
      const at = random.below(value.length);
      return value.map((item, index) => (index === at ? changeValue(random, item) : item));
    }
    if (isObject(value) && Object.keys(value).length > 0) {
      const name = random.pick(Object.keys(value));
      const other = random.chance(0.2) ? random.pick(names) : name;
      const entries = Object.entries(value).map(([each, item]): [string, JsonValue] =>
        each === name ? [other, changeValue(random, item)] : [each, item],
      );
      return Object.fromEntries(entries);
    }
  }
  return random.pick([...strangers, [value, value], { value }]);
}

type Change = (random: Random, text: string, at: number) => string;

const textChanges: readonly Change[] = [
  (_, text, at) => text.slice(0, at),
  (_, text, at) => text.slice(0, at) + text.slice(at + 1),
  (random, text, at) => text.slice(0, at) + random.pick([...'{}[]",:\\0e-\0\ufeff']) + text.slice(at),
  // The same name twice.
  (_, text) => text.replace("{", `{${text.slice(1, -1)},`),
  (_, text) => text.replace(/(?<=:)/, `${"[".repeat(depth)}${"]".repeat(depth)}`),
  (_, text) => text + text,
];

/** Breaks a JSON text one to three times. */
export function mutateJson(random: Random, text: string): string {
  let changed = text;
  for (let count = random.between(1, 3); count > 0; count--) {
    changed = random.chance(0.6)
      ? mutateParsed(random, changed)
      : random.pick(textChanges)(random, changed, random.below(changed.length + 1));
  }
  return changed;
}

function mutateParsed(random: Random, text: string): string {
  try {
    return JSON.stringify(changeValue(random, JSON.parse(text) as JsonValue));
  } catch {
    return `${text}x`;
  }
}
