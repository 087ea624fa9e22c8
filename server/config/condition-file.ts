/**
 * A stage's condition as people write it in a pipelines file.
 *
 *     when: { header: type, equals: order }
 *     when: { key: { prefix: "eu-" } }
 *     when:
 *       all:
 *         - { header: type, in: [order, refund] }
 *         - { not: { header: test, exists: true } }
 *
 * @module
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConditionSchema } from "@leat/proto";
import { z } from "zod";
import { anyText, pattern, text, yesOrNo } from "./kinds.ts";
import { list, mapping, value } from "./validate.ts";

type ConditionInput = MessageInitShape<typeof ConditionSchema>;

interface WrittenMatch {
  exists?: boolean | undefined;
  equals?: string | undefined;
  prefix?: string | undefined;
  in?: string[] | undefined;
}

/** A condition as it is written. */
export interface WrittenCondition extends WrittenMatch {
  header?: string | undefined;
  key?: WrittenMatch | undefined;
  not?: WrittenCondition | undefined;
  all?: WrittenCondition[] | undefined;
  any?: WrittenCondition[] | undefined;
}

const matchKeys = ["exists", "equals", "prefix", "in"] as const;
const conditionKeys = ["header", "key", "not", "all", "any"] as const;

const notEmpty = pattern(/./s, "text of at least 1 character");

/** The bounds on conditions of a file. */
export interface ConditionBounds {
  readonly maxConditionDepth: number;
  readonly maxConditionTerms: number;
}

function matchShape({ maxConditionTerms }: ConditionBounds) {
  return {
    exists: value(yesOrNo).optional(),
    equals: value(anyText).optional(),
    prefix: value(notEmpty).optional(),
    in: list(value(anyText), "texts", maxConditionTerms).optional(),
  };
}

/** `when` of a stage. Deeper than the bound there is nothing that is allowed, so that no file can nest without end. */
export function conditionSchema(bounds: ConditionBounds, depth = 1): z.ZodType<WrittenCondition> {
  // One for all three places, so that what is made of it grows with the depth and not with a power of it.
  let made: z.ZodType<WrittenCondition> | undefined;
  const inner = (): z.ZodType<WrittenCondition> => {
    made ??=
      depth < bounds.maxConditionDepth
        ? conditionSchema(bounds, depth + 1)
        : z.never({ error: `conditions of at most ${bounds.maxConditionDepth} levels` });
    return made;
  };
  const listed = z.lazy(() => list(inner(), "conditions", bounds.maxConditionTerms));
  return mapping({
    header: value(text("the name of a header")).optional(),
    key: mapping(matchShape(bounds)).superRefine(checkMatch).optional(),
    not: z.lazy(inner).optional(),
    all: listed.optional(),
    any: listed.optional(),
    ...matchShape(bounds),
  }).superRefine((condition, context) => {
    const kinds = conditionKeys.filter((key) => condition[key] !== undefined);
    if (kinds.length !== 1) {
      context.addIssue({ code: "custom", message: `exactly one of ${conditionKeys.join(", ")}` });
    } else if (kinds[0] === "header") {
      checkMatch(condition, context);
    } else if (matchKeys.some((key) => condition[key] !== undefined)) {
      const message = `${kinds[0]} alone; ${matchKeys.join(", ")} go with header, or below key`;
      context.addIssue({ code: "custom", message });
    }
  });
}

function checkMatch(match: WrittenMatch, context: z.core.$RefinementCtx): void {
  if (matchKeys.filter((key) => match[key] !== undefined).length === 1) return;
  context.addIssue({ code: "custom", message: `exactly one of ${matchKeys.join(", ")}` });
}

/** The condition as a message. */
export function conditionInput(written: WrittenCondition): ConditionInput {
  const { header, key, not, all, any } = written;
  if (header !== undefined)
    return { condition: { case: "header", value: { name: header, match: matchInput(written) } } };
  if (key !== undefined) return { condition: { case: "key", value: { match: matchInput(key) } } };
  if (not !== undefined) return { condition: { case: "not", value: conditionInput(not) } };
  const conditions = (all ?? any ?? []).map(conditionInput);
  return { condition: { case: all === undefined ? "any" : "all", value: { conditions } } };
}

function matchInput({ exists, equals, prefix, in: texts }: WrittenMatch) {
  if (exists !== undefined) return { case: "exists", value: exists } as const;
  if (equals !== undefined) return { case: "equals", value: equals } as const;
  if (prefix !== undefined) return { case: "prefix", value: prefix } as const;
  return { case: "in", value: { texts: texts ?? [] } } as const;
}
