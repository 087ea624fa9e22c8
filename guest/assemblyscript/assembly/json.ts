import { nextBlock, take } from "./arena";
import { Bytes } from "./bytes";
import { unescape } from "./json-string";
import { parseNumber, scanNumber, scanProblem } from "./number";
import { sequenceLength } from "./utf8";
import { findStringBreak } from "./vector";

/** What a `Json` node is. */
export enum JsonKind {
  Null,
  False,
  True,
  Number,
  String,
  Array,
  Object,
}

/** How deeply arrays and objects may be nested unless the caller says otherwise. */
export const JSON_MAX_DEPTH: i32 = 128;

/** How many values a text may hold: they take 32 bytes each. */
export const JSON_MAX_VALUES: i32 = 1_000_000;

/**
 * A value in a JSON text. `Json.parse` checks the whole text (RFC 8259, UTF-8) and lays one small node a value into the arena, in the
 * order of the text; the nodes point into the text, so numbers and strings are read, if at all, where they stand.
 */
@unmanaged
export class Json {
  /** The value as it is written, with the quotes if it is a string. */
  ptr: usize;
  end: usize;
  /** The name of this member as it is written, without its quotes; 0 when the value is no member of an object. */
  keyPtr: usize;
  keyEnd: usize;
  /** The node behind this one and all that is in it. */
  after: usize;
  kind: JsonKind;
  /** Whether there are escapes in the string, or in the name. */
  escaped: bool;
  keyEscaped: bool;

  /** Why the latest `parse` gave null. */
  static problem: string = "";
  /** The byte at which it stopped, from 0. */
  static problemAt: i32 = 0;

  /** The value that fills `text`, or null when the text is no JSON; `Json.problem` then says why. */
  static parse(text: Bytes, maxDepth: i32 = JSON_MAX_DEPTH): Json | null {
    start = text.ptr;
    end = text.ptr + <usize>text.length;
    left = JSON_MAX_VALUES;
    const root = changetype<Json>(take(offsetof<Json>()));
    root.keyPtr = 0;
    root.keyEnd = 0;
    root.keyEscaped = false;
    let at = parseValue(root, skipSpace(start), maxDepth);
    if (at == 0) return null;
    at = skipSpace(at);
    if (at != end) {
      refuse("unexpected text after the value", at);
      return null;
    }
    return root;
  }

  // @ts-ignore: decorator
  @inline
  get isObject(): bool {
    return this.kind == JsonKind.Object;
  }

  // @ts-ignore: decorator
  @inline
  get isArray(): bool {
    return this.kind == JsonKind.Array;
  }

  // @ts-ignore: decorator
  @inline
  get isString(): bool {
    return this.kind == JsonKind.String;
  }

  // @ts-ignore: decorator
  @inline
  get isNumber(): bool {
    return this.kind == JsonKind.Number;
  }

  // @ts-ignore: decorator
  @inline
  get isBool(): bool {
    return this.kind == JsonKind.True || this.kind == JsonKind.False;
  }

  // @ts-ignore: decorator
  @inline
  get isNull(): bool {
    return this.kind == JsonKind.Null;
  }

  /** The value as it is written. */
  raw(): Bytes {
    return Bytes.at(this.ptr, <i32>(this.end - this.ptr));
  }

  /** What a string says, without quotes and escapes. A view unless there are escapes. For other kinds, what is written. */
  text(): Bytes {
    if (this.kind != JsonKind.String) return this.raw();
    return this.escaped ? unescape(this.ptr + 1, this.end - 1) : Bytes.at(this.ptr + 1, <i32>(this.end - this.ptr) - 2);
  }

  /** The member's name, without escapes. */
  key(): Bytes {
    return this.keyEscaped ? unescape(this.keyPtr, this.keyEnd) : Bytes.at(this.keyPtr, <i32>(this.keyEnd - this.keyPtr));
  }

  /** The value of a number; NaN for other kinds. */
  number(): f64 {
    return this.kind == JsonKind.Number ? parseNumber(this.ptr, this.end) : NaN;
  }

  /** The elements of an array or the members of an object, to go through; none for other kinds. */
  items(): JsonItems {
    const items = changetype<JsonItems>(take(offsetof<JsonItems>()));
    items.upcoming = changetype<usize>(this) + NODE_BYTES;
    items.end = this.kind >= JsonKind.Array ? this.after : items.upcoming;
    return items;
  }

  /** The member of that name, or null. Of several, the last one counts, as in JavaScript. */
  get(name: Bytes): Json | null {
    if (this.kind != JsonKind.Object) return null;
    let found: Json | null = null;
    const members = this.items();
    while (members.next()) {
      if (members.item.isNamed(name)) found = members.item;
    }
    return found;
  }

  /** The same by text. */
  getText(name: string): Json | null {
    return this.get(Bytes.of(name));
  }

  /** The element at `index`, or null. */
  element(index: i32): Json | null {
    if (this.kind != JsonKind.Array) return null;
    const items = this.items();
    while (items.next()) if (index-- == 0) return items.item;
    return null;
  }

  /** Whether this member has that name. */
  isNamed(name: Bytes): bool {
    if (this.keyEscaped) return this.key().equals(name);
    const length = <i32>(this.keyEnd - this.keyPtr);
    return length == name.length && memory.compare(this.keyPtr, name.ptr, <usize>length) == 0;
  }

  /** What the value is, for messages. */
  kindName(): string {
    switch (this.kind) {
      case JsonKind.Null: return "null";
      case JsonKind.Number: return "a number";
      case JsonKind.String: return "a string";
      case JsonKind.Array: return "an array";
      case JsonKind.Object: return "an object";
      default: return "a boolean";
    }
  }
}

/**
 * Goes through what is in an array or an object:
 *
 *     const items = value.items();
 *     while (items.next()) use(items.item);
 */
@unmanaged
export class JsonItems {
  /** The current one. Set by `next`. */
  item: Json;
  upcoming: usize;
  end: usize;

  /** Moves to the next one; says whether there is one. */
  // @ts-ignore: decorator
  @inline
  next(): bool {
    if (this.upcoming == this.end) return false;
    this.item = changetype<Json>(this.upcoming);
    this.upcoming = this.item.after;
    return true;
  }
}

/** Nodes lie behind each other in the arena, at this distance. */
const NODE_BYTES: usize = 32;

/** The text that is parsed. */
let start: usize = 0;
let end: usize = 0;
/** How many more values there may be. */
let left: i32 = 0;

function refuse(problem: string, at: usize): usize {
  Json.problem = problem;
  Json.problemAt = <i32>(min(at, end) - start);
  return 0;
}

// @ts-ignore: decorator
@inline
function skipSpace(at: usize): usize {
  while (at < end) {
    const byte = load<u8>(at);
    if (byte != 0x20 && byte != 0x0a && byte != 0x0d && byte != 0x09) break;
    at++;
  }
  return at;
}

/** Parses the value at `at` into `node`; returns the address behind it, or 0. */
function parseValue(node: Json, at: usize, depth: i32): usize {
  if (at >= end) return refuse("unexpected end", at);
  if (--left < 0) return refuse("too many values", at);
  node.ptr = at;
  node.escaped = false;
  const byte = load<u8>(at);
  if (byte == 0x22) {
    node.kind = JsonKind.String;
    at = scanString(at);
    node.escaped = sawEscape;
  } else if (byte == 0x7b || byte == 0x5b) {
    if (depth == 0) return refuse("nested too deeply", at);
    node.kind = byte == 0x7b ? JsonKind.Object : JsonKind.Array;
    at = parseItems(at + 1, depth - 1, byte == 0x7b);
  } else if (byte == 0x2d || <u8>(byte - 0x30) < 10) {
    node.kind = JsonKind.Number;
    const after = scanNumber(at, end);
    if (after == 0) return refuse("malformed number", scanProblem);
    at = after;
  } else {
    at = parseWord(node, at);
  }
  if (at == 0) return 0;
  node.end = at;
  node.after = nextBlock();
  return at;
}

/** Parses the elements or members from behind the opening bracket; returns the address behind the closing one, or 0. */
function parseItems(at: usize, depth: i32, named: bool): usize {
  const close: u8 = named ? 0x7d : 0x5d;
  at = skipSpace(at);
  if (at < end && load<u8>(at) == close) return at + 1;
  while (true) {
    const item = changetype<Json>(take(offsetof<Json>()));
    item.keyPtr = 0;
    item.keyEnd = 0;
    item.keyEscaped = false;
    if (named) {
      at = parseName(item, at);
      if (at == 0) return 0;
    }
    at = parseValue(item, at, depth);
    if (at == 0) return 0;
    at = skipSpace(at);
    if (at >= end) return refuse("unexpected end", at);
    const byte = load<u8>(at);
    if (byte == close) return at + 1;
    if (byte != 0x2c) return refuse(named ? "expected ',' or '}'" : "expected ',' or ']'", at);
    at = skipSpace(at + 1);
  }
}

function parseName(item: Json, at: usize): usize {
  if (at >= end) return refuse("unexpected end", at);
  if (load<u8>(at) != 0x22) return refuse("expected a member's name", at);
  const after = scanString(at);
  if (after == 0) return 0;
  item.keyPtr = at + 1;
  item.keyEnd = after - 1;
  item.keyEscaped = sawEscape;
  at = skipSpace(after);
  if (at >= end) return refuse("unexpected end", at);
  if (load<u8>(at) != 0x3a) return refuse("expected ':'", at);
  return skipSpace(at + 1);
}

function parseWord(node: Json, at: usize): usize {
  const left = end - at;
  if (left >= 4) {
    const word = load<u32>(at);
    if (word == 0x65757274) {
      node.kind = JsonKind.True;
      return at + 4;
    }
    if (word == 0x6c6c756e) {
      node.kind = JsonKind.Null;
      return at + 4;
    }
    if (left >= 5 && word == 0x736c6166 && load<u8>(at + 4) == 0x65) {
      node.kind = JsonKind.False;
      return at + 5;
    }
  }
  return refuse("expected a value", at);
}

/** Whether the string that was scanned last has escapes. */
let sawEscape: bool = false;

/** Scans the string whose opening quote is at `at`; returns the address behind the closing one, or 0. */
function scanString(at: usize): usize {
  sawEscape = false;
  at++;
  while (true) {
    at = findStringBreak(at, end);
    if (at >= end) return refuse("unterminated string", at);
    const byte = load<u8>(at);
    if (byte == 0x22) return at + 1;
    if (byte == 0x5c) {
      sawEscape = true;
      at = scanEscape(at);
      if (at == 0) return 0;
    } else if (byte < 0x20) {
      return refuse("control character in a string", at);
    } else {
      const length = sequenceLength(at, end);
      if (length == 0) return refuse("malformed UTF-8", at);
      at += length;
    }
  }
}

function scanEscape(at: usize): usize {
  if (at + 1 >= end) return refuse("unterminated string", at);
  switch (load<u8>(at + 1)) {
    case 0x22: case 0x5c: case 0x2f: case 0x62: case 0x66: case 0x6e: case 0x72: case 0x74:
      return at + 2;
    case 0x75: {
      for (let i: usize = 2; i < 6; i++) {
        if (at + i >= end) return refuse("unterminated string", at);
        const digit = load<u8>(at + i);
        if (<u8>(digit - 0x30) >= 10 && <u8>((digit | 0x20) - 0x61) >= 6) return refuse("malformed escape", at);
      }
      return at + 6;
    }
    default:
      return refuse("malformed escape", at);
  }
}
