/**
 * Conditions of stages for property tests: random ones, and what they mean, said plainly.
 *
 * @module
 */

import fc from "fast-check";
import type { ConditionSpec, TextMatch } from "../../server/bridge/pipeline-spec.ts";

/** What a condition is asked of. */
export interface PlainRecord {
  readonly key: string | undefined;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

const text = fc.string({ unit: fc.constantFrom("a", "b", "é"), maxLength: 3 });

const match: fc.Arbitrary<TextMatch> = fc.oneof(
  fc.constant<TextMatch>({ t: "exists" }),
  text.filter((prefix) => prefix !== "").map((prefix): TextMatch => ({ t: "prefix", text: prefix })),
  fc.array(text, { minLength: 1, maxLength: 3 }).map((anyOf): TextMatch => ({ t: "equals", anyOf })),
);

/** Conditions of all kinds, some of them deep. */
export const anyCondition: fc.Arbitrary<ConditionSpec> = fc.letrec<{ condition: ConditionSpec }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    match.map((of): ConditionSpec => ({ t: "key", match: of })),
    fc
      .tuple(fc.constantFrom("h", "é", "hh"), match)
      .map(([name, of]): ConditionSpec => ({ t: "header", name, match: of })),
    tie("condition").map((of): ConditionSpec => ({ t: "not", of })),
    fc
      .tuple(
        fc.constantFrom("all" as const, "any" as const),
        fc.array(tie("condition"), { minLength: 1, maxLength: 3 }),
      )
      .map(([t, of]): ConditionSpec => ({ t, of })),
  ),
})).condition;

/** Keys and headers of which conditions hold now and then. */
export const anyRecord: fc.Arbitrary<PlainRecord> = fc.record({
  key: fc.option(text, { nil: undefined }),
  headers: fc.array(fc.tuple(fc.constantFrom("h", "é", "hh", ""), text), { maxLength: 3 }),
});

/** What a condition says of a record. */
export function holds(condition: ConditionSpec, record: PlainRecord): boolean {
  switch (condition.t) {
    case "key":
      return record.key !== undefined && fits(condition.match, record.key);
    case "header":
      return record.headers.some(([name, value]) => name === condition.name && fits(condition.match, value));
    case "not":
      return !holds(condition.of, record);
    case "all":
      return condition.of.every((each) => holds(each, record));
    case "any":
      return condition.of.some((each) => holds(each, record));
  }
}

function fits(match: TextMatch, found: string): boolean {
  if (match.t === "exists") return true;
  return match.t === "prefix" ? found.startsWith(match.text) : match.anyOf.includes(found);
}
