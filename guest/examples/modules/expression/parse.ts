// Parses a filter's expression: precedence climbing over the text itself.

import { Bytes } from "@leat/assemblyscript";
import { Expression, Kind, Operation, PathStep } from "./evaluate";

/** How deeply expressions may be nested: parsing and evaluating recurse. */
const MAX_DEPTH: i32 = 64;
/** How many operands an expression may have: evaluating `a && b && c` recurses as well. */
const MAX_OPERANDS: i32 = 500;

export class ExpressionParser {
  /** The first mistake, or "". */
  problem: string = "";
  /** Where it is, from 1. */
  column: i32 = 0;

  private at: i32 = 0;
  private depth: i32 = 0;
  private operands: i32 = 0;

  constructor(private text: Bytes) {}

  /** The expression. Of no use when `problem` is set afterwards. */
  parse(): Expression {
    const expression = this.parseOr();
    this.skipSpace();
    if (this.problem == "" && this.at < this.text.length) this.refuse("unexpected text");
    return expression;
  }

  private parseOr(): Expression {
    if (++this.depth > MAX_DEPTH) this.refuse("nested too deeply");
    let left = this.parseAnd();
    while (this.problem == "" && this.accept("||")) left = join(Operation.Or, left, this.parseAnd());
    this.depth--;
    return left;
  }

  private parseAnd(): Expression {
    let left = this.parseComparison();
    while (this.problem == "" && this.accept("&&")) left = join(Operation.And, left, this.parseComparison());
    return left;
  }

  private parseComparison(): Expression {
    const left = this.parseUnary();
    if (this.problem != "") return left;
    const operation = this.comparison();
    return operation < 0 ? left : join(operation as Operation, left, this.parseUnary());
  }

  /** The comparison that comes next, or -1. */
  private comparison(): i32 {
    if (this.accept("==")) return Operation.Equal;
    if (this.accept("!=")) return Operation.NotEqual;
    if (this.accept("<=")) return Operation.LessOrEqual;
    if (this.accept(">=")) return Operation.GreaterOrEqual;
    if (this.accept("<")) return Operation.Less;
    if (this.accept(">")) return Operation.Greater;
    return -1;
  }

  private parseUnary(): Expression {
    let negations = 0;
    // `!=` can not stand here, so that every `!` is a negation.
    while (this.accept("!")) negations++;
    const operand = this.parseOperand();
    if (negations == 0) return operand;
    const negation = join(Operation.Not, operand, null);
    return negations % 2 == 1 ? negation : join(Operation.Not, negation, null);
  }

  private parseOperand(): Expression {
    if (++this.operands > MAX_OPERANDS) return this.refuse("more than " + MAX_OPERANDS.toString() + " operands");
    this.skipSpace();
    const byte = this.peek();
    if (this.problem != "" || byte == 0) return this.refuse("expected a value");
    if (this.accept("(")) {
      const inner = this.parseOr();
      this.expect(")");
      return inner;
    }
    if (byte == 0x22 || byte == 0x27) return this.parseText(byte);
    if (byte == 0x2d || isDigit(byte)) return this.parseNumber();
    if (byte == 0x60 || isWordStart(byte)) return this.parseWord();
    return this.refuse("expected a value");
  }

  private parseText(quote: u8): Expression {
    const start = this.at++;
    const content = Bytes.alloc(this.text.length);
    let length = 0;
    while (this.peek() != quote) {
      if (this.peek() == 0x5c) this.at++;
      if (this.at >= this.text.length) {
        this.at = start;
        return this.refuse("text without an end");
      }
      content[length++] = this.text[this.at++];
    }
    this.at++;
    const literal = new Expression(Operation.Literal);
    literal.kind = Kind.Text;
    literal.text = content.slice(0, length);
    return literal;
  }

  private parseNumber(): Expression {
    const start = this.at;
    while (isNumberPart(this.peek())) this.at++;
    const literal = new Expression(Operation.Literal);
    literal.kind = Kind.Number;
    literal.number = this.text.slice(start, this.at).toNumber();
    if (isNaN(literal.number)) {
      this.at = start;
      return this.refuse("malformed number");
    }
    return literal;
  }

  /** A word of the language, a function or a field. */
  private parseWord(): Expression {
    const start = this.at;
    const isQuoted = this.peek() == 0x60;
    const name = this.parseName();
    if (this.problem != "") return new Expression(Operation.Literal);
    if (!isQuoted) {
      const literal = word(name);
      if (literal) return literal;
      this.skipSpace();
      if (this.peek() == 0x28) return this.parseCall(name, start);
    }
    const field = new Expression(Operation.Field);
    field.path.push(new PathStep(name, 0));
    while (this.problem == "") {
      if (this.peek() == 0x2e) {
        this.at++;
        field.path.push(new PathStep(this.parseName(), 0));
      } else if (this.peek() == 0x5b) {
        this.at++;
        field.path.push(new PathStep(null, this.parseIndex()));
      } else {
        break;
      }
    }
    return field;
  }

  private parseName(): Bytes {
    const start = this.at;
    if (this.peek() == 0x60) {
      const close = this.text.indexOf(0x60, start + 1);
      if (close < 0) this.refuse("name without an end");
      else this.at = close + 1;
      return this.text.slice(start + 1, close);
    }
    if (!isWordStart(this.peek())) this.refuse("expected a name");
    else while (isWordPart(this.peek())) this.at++;
    return this.text.slice(start, this.at);
  }

  private parseIndex(): i32 {
    let index: i64 = 0;
    const start = this.at;
    while (isDigit(this.peek()) && index < i32.MAX_VALUE) index = index * 10 + (this.text[this.at++] - 0x30);
    if (this.at == start || index > i32.MAX_VALUE) this.refuse("expected an index");
    else this.expect("]");
    return <i32>index;
  }

  private parseCall(name: Bytes, start: i32): Expression {
    let operation = Operation.Has;
    if (name.equalsText("contains")) {
      operation = Operation.Contains;
    } else if (name.equalsText("startsWith")) {
      operation = Operation.StartsWith;
    } else if (!name.equalsText("has")) {
      this.at = start;
      return this.refuse("unknown function " + name.toString() + "; there are has, contains and startsWith");
    }
    this.expect("(");
    const first = this.parseOr();
    if (operation == Operation.Has && first.operation != Operation.Field) this.refuse("has() wants a field");
    let second: Expression | null = null;
    if (operation != Operation.Has) {
      this.expect(",");
      second = this.parseOr();
    }
    this.expect(")");
    return join(operation, first, second);
  }

  private peek(): u8 {
    return this.at < this.text.length ? this.text[this.at] : 0;
  }

  private skipSpace(): void {
    while (this.peek() == 0x20 || this.peek() == 0x09 || this.peek() == 0x0a || this.peek() == 0x0d) this.at++;
  }

  /** Passes over `token` if it comes next; says whether it did. */
  private accept(token: string): bool {
    this.skipSpace();
    if (!this.text.slice(this.at, this.at + token.length).equalsText(token)) return false;
    this.at += token.length;
    return true;
  }

  private expect(token: string): void {
    if (this.problem == "" && !this.accept(token)) this.refuse("expected " + token);
  }

  private refuse(problem: string): Expression {
    if (this.problem == "") {
      this.problem = problem;
      this.column = this.at + 1;
    }
    // Nothing more is looked at.
    this.at = this.text.length;
    return new Expression(Operation.Literal);
  }
}

function join(operation: Operation, left: Expression, right: Expression | null): Expression {
  const joined = new Expression(operation);
  joined.left = left;
  joined.right = right;
  return joined;
}

/** The literal that a word stands for, or null. */
function word(name: Bytes): Expression | null {
  const isTrue = name.equalsText("true");
  if (!isTrue && !name.equalsText("false") && !name.equalsText("null")) return null;
  const literal = new Expression(Operation.Literal);
  literal.kind = name.equalsText("null") ? Kind.Null : Kind.Boolean;
  literal.number = isTrue ? 1 : 0;
  return literal;
}

function isDigit(byte: u8): bool {
  return byte >= 0x30 && byte <= 0x39;
}

function isNumberPart(byte: u8): bool {
  return isDigit(byte) || byte == 0x2e || byte == 0x2d || byte == 0x2b || (byte | 0x20) == 0x65;
}

function isWordStart(byte: u8): bool {
  return <u8>((byte | 0x20) - 0x61) < 26 || byte == 0x5f || byte == 0x24 || byte >= 0x80;
}

function isWordPart(byte: u8): bool {
  return isWordStart(byte) || isDigit(byte);
}
