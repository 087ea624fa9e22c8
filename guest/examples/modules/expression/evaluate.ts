// What a filter's expression is, and its value for a record.

import { Bytes, Json, JsonKind } from "@leat/assemblyscript";

/** What an expression does with what is in it. */
export enum Operation {
  Literal,
  Field,
  Equal,
  NotEqual,
  Less,
  LessOrEqual,
  Greater,
  GreaterOrEqual,
  And,
  Or,
  Not,
  Has,
  Contains,
  StartsWith,
}

/** The kinds of values that can be compared; `Other` is an array or an object. */
export enum Kind {
  Null,
  Boolean,
  Number,
  Text,
  Other,
}

/** One step of a field's path: a member's name, or an element's index where there is no name. */
export class PathStep {
  constructor(
    public name: Bytes | null,
    public index: i32,
  ) {}
}

/** An expression. Made when the module starts; evaluating allocates nothing that stays. */
export class Expression {
  left: Expression | null = null;
  right: Expression | null = null;
  path: PathStep[] = [];
  kind: Kind = Kind.Null;
  number: f64 = 0;
  text: Bytes = Bytes.of("");

  constructor(public operation: Operation) {}
}

/** The value that was evaluated last. */
let kind: Kind = Kind.Null;
let number: f64 = 0;
let text: Bytes = Bytes.of("");

/** Whether an expression is true for a value. */
export function isTrue(expression: Expression, json: Json): bool {
  switch (expression.operation) {
    case Operation.And:
      return isTrue(expression.left as Expression, json) && isTrue(expression.right as Expression, json);
    case Operation.Or:
      return isTrue(expression.left as Expression, json) || isTrue(expression.right as Expression, json);
    case Operation.Not:
      return !isTrue(expression.left as Expression, json);
    case Operation.Has:
      evaluate(expression.left as Expression, json);
      return kind != Kind.Null;
    case Operation.Literal:
    case Operation.Field:
      evaluate(expression, json);
      return kind == Kind.Boolean && number == 1;
    default:
      return compare(expression, json);
  }
}

function compare(expression: Expression, json: Json): bool {
  evaluate(expression.left as Expression, json);
  const leftKind = kind;
  const leftNumber = number;
  const leftText = text;
  evaluate(expression.right as Expression, json);
  const same = leftKind == kind;
  switch (expression.operation) {
    case Operation.Contains:
      return same && kind == Kind.Text && leftText.indexOfBytes(text) >= 0;
    case Operation.StartsWith:
      return same && kind == Kind.Text && leftText.startsWith(text);
    case Operation.NotEqual:
      return !same || kind == Kind.Other || order(leftNumber, leftText) != 0;
    case Operation.Equal:
      return same && kind != Kind.Other && order(leftNumber, leftText) == 0;
    default:
      break;
  }
  if (!same || kind == Kind.Other || kind == Kind.Null) return false;
  const ordered = order(leftNumber, leftText);
  switch (expression.operation) {
    case Operation.Less:
      return ordered < 0;
    case Operation.LessOrEqual:
      return ordered <= 0;
    case Operation.Greater:
      return ordered > 0;
    default:
      return ordered >= 0;
  }
}

/** How a left value compares to the one that was evaluated last, which is of the same kind: negative, 0 or positive. */
function order(leftNumber: f64, leftText: Bytes): i32 {
  if (kind == Kind.Text) return leftText.compareTo(text);
  return leftNumber < number ? -1 : leftNumber > number ? 1 : 0;
}

/** Leaves the value of a literal, a field or a condition in `kind`, `number` and `text`. */
function evaluate(expression: Expression, json: Json): void {
  number = 0;
  if (expression.operation == Operation.Literal) {
    kind = expression.kind;
    number = expression.number;
    text = expression.text;
  } else if (expression.operation == Operation.Field) {
    read(find(expression.path, json));
  } else {
    const holds = isTrue(expression, json);
    kind = Kind.Boolean;
    number = holds ? 1 : 0;
  }
}

function find(path: PathStep[], json: Json): Json | null {
  let at: Json | null = json;
  for (let i = 0; i < path.length && at; i++) {
    const name = path[i].name;
    at = name ? at.get(name) : at.element(path[i].index);
  }
  return at;
}

function read(json: Json | null): void {
  if (!json) {
    kind = Kind.Null;
    return;
  }
  switch (json.kind) {
    case JsonKind.Null:
      kind = Kind.Null;
      break;
    case JsonKind.Number:
      kind = Kind.Number;
      number = json.number();
      break;
    case JsonKind.String:
      kind = Kind.Text;
      text = json.text();
      break;
    case JsonKind.False:
    case JsonKind.True:
      kind = Kind.Boolean;
      number = json.kind == JsonKind.True ? 1 : 0;
      break;
    default:
      kind = Kind.Other;
  }
}
