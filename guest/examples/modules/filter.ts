// Keeps the records for whose JSON value an expression is true, and drops the others.
//
//     magnitude >= 4.5 && type == "earthquake"
//     !has(deleted) && (`IMDB Rating` > 7 || contains(title, "Land")) && tags[0] != null
//
// Configuration:
//   expression   string, required
//   invalid      "fail" (default) or "drop": what becomes of a record whose value is no JSON; it fails with `invalid_json`
//   tombstones   "pass" (default) or "drop"
//
// In an expression:
//   a.b, tags[0]         fields; a name that is no word stands in backticks; null where there is none
//   "text" 'text' 4.5 true false null
//   == != < <= > >=      of two numbers, two texts (by code point), two booleans or nulls. Values of different kinds are unequal, and neither
//                        is less: `>=` is false, too. Objects and arrays equal nothing
//   && || ! ( )          `!` binds strongest, then comparisons, then `&&`, then `||`
//   has(field)           whether the field is there and not null
//   contains(a, b), startsWith(a, b)   of texts; false for anything else
// What is not a comparison counts as true only if it is the boolean true. A mistake refuses the configuration and names the column, from 1.

import { Bytes, Config, Json, Out, Record } from "@leat/assemblyscript";
import { Expression, isTrue } from "./expression/evaluate";
import { ExpressionParser } from "./expression/parse";

let expression: Expression | null = null;
let failInvalid: bool = true;
let passTombstones: bool = true;

export function configure(config: Config): void {
  const text = config.string("expression");
  failInvalid = config.oneOf("invalid", ["fail", "drop"], "fail") == "fail";
  passTombstones = config.oneOf("tombstones", ["pass", "drop"], "pass") == "pass";
  const parser = new ExpressionParser(Bytes.of(text));
  expression = parser.parse();
  if (parser.problem != "") {
    config.refuse("'expression' is malformed: " + parser.problem + " at column " + parser.column.toString());
  }
}

export function transform(record: Record, out: Out): void {
  if (!record.hasValue) {
    if (passTombstones) out.pass(record);
    return;
  }
  const json = Json.parse(record.value);
  if (!json) {
    if (failInvalid) out.failJson();
    return;
  }
  if (isTrue(expression as Expression, json)) out.pass(record);
}
