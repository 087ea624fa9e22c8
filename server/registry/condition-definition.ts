/**
 * Checks a stage's condition as a client or a file gives it.
 *
 * @module
 */

import type { Condition, HeaderCondition, KeyCondition } from "@leat/proto";
import type { ConditionSpec, TextMatch } from "../bridge/pipeline-spec.ts";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { overLimit } from "./beyond-limit.ts";

/** @throws LeatError PIPELINE_INVALID naming the field */
export function readCondition(
  condition: Condition | undefined,
  path: string,
  limits: Readonly<Limits>,
): ConditionSpec | undefined {
  return condition === undefined ? undefined : new Reading(path, limits).read(condition, path, 1);
}

/** The reading of one stage's condition, which counts what is in it. */
class Reading {
  readonly #path: string;
  readonly #limits: Readonly<Limits>;
  #terms = 0;
  #bytes = 0;

  constructor(path: string, limits: Readonly<Limits>) {
    this.#path = path;
    this.#limits = limits;
  }

  read({ condition }: Condition, path: string, depth: number): ConditionSpec {
    this.#bound("maxConditionDepth", depth, path);
    this.#count(1);
    switch (condition.case) {
      case "header":
        return this.#header(condition.value, `${path}.header`);
      case "key":
        return negated({ t: "key", match: this.#match(condition.value, `${path}.key`) }, condition.value);
      case "not":
        return { t: "not", of: this.read(condition.value, `${path}.not`, depth + 1) };
      case "all":
      case "any": {
        const { conditions } = condition.value;
        if (conditions.length === 0) invalid(`${path}.${condition.case}`, "give at least 1 condition");
        const of = conditions.map((each, index) =>
          this.read(each, `${path}.${condition.case}[${index}]`, depth + 1),
        );
        return { t: condition.case, of };
      }
      default:
        return invalid(path, "give a condition: header, key, not, all or any");
    }
  }

  #header(header: HeaderCondition, path: string): ConditionSpec {
    if (header.name === "") invalid(path, "name a header");
    this.#weigh(header.name);
    return negated({ t: "header", name: header.name, match: this.#match(header, path) }, header);
  }

  #match({ match }: HeaderCondition | KeyCondition, path: string): TextMatch {
    switch (match.case) {
      case "exists":
        return { t: "exists" };
      case "equals":
        this.#weigh(match.value);
        return { t: "equals", anyOf: [match.value] };
      case "prefix":
        if (match.value === "") invalid(`${path}.prefix`, "give at least 1 character, or use exists");
        this.#weigh(match.value);
        return { t: "prefix", text: match.value };
      case "in": {
        const { texts } = match.value;
        if (texts.length === 0) invalid(`${path}.in`, "give at least 1 text");
        this.#count(texts.length);
        for (const text of texts) this.#weigh(text);
        return { t: "equals", anyOf: texts };
      }
      default:
        return invalid(path, "give equals, prefix, in or exists");
    }
  }

  #count(terms: number): void {
    this.#terms += terms;
    this.#bound("maxConditionTerms", this.#terms, this.#path);
  }

  #weigh(text: string): void {
    this.#bytes += Buffer.byteLength(text);
    this.#bound("maxConditionBytes", this.#bytes, this.#path);
  }

  #bound(
    limit: "maxConditionDepth" | "maxConditionTerms" | "maxConditionBytes",
    measured: number,
    path: string,
  ): void {
    const value = this.#limits[limit];
    if (measured > value) throw overLimit(path, measured, limit, value);
  }
}

/** `exists: false` is the opposite of `exists: true`. */
function negated(spec: ConditionSpec, { match }: HeaderCondition | KeyCondition): ConditionSpec {
  return match.case === "exists" && !match.value ? { t: "not", of: spec } : spec;
}

function invalid(field: string, problem: string): never {
  throw leatError("PIPELINE_INVALID", { field, problem });
}
