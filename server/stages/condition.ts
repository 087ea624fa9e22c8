/**
 * Asks of a record on the wire whether a stage's condition holds for it. Nothing is decoded, and nothing is
 * allocated: a record's fields are walked once, and each test remembers whether it was met.
 *
 * @module
 */

import type { ConditionSpec, TextMatch } from "../bridge/pipeline-spec.ts";
import { Cursor } from "../record/wire.ts";

const keyTag = (1 << 3) | 2;
const headersTag = (3 << 3) | 2;
const headerKeyTag = (1 << 3) | 2;
const headerValueTag = (2 << 3) | 2;

/** A test of a text: of headers of a name, or of the key. */
interface Test {
  /** The header's name; undefined for the key. */
  readonly name: Uint8Array | undefined;
  readonly kind: TextMatch["t"];
  readonly texts: readonly Uint8Array[];
}

type Node =
  | { readonly t: "test"; readonly index: number }
  | { readonly t: "not"; readonly of: Node }
  | { readonly t: "all" | "any"; readonly of: readonly Node[] };

/** One stage's condition, ready to be asked. */
export class Condition {
  readonly #tests: Test[] = [];
  readonly #root: Node;
  readonly #met: Uint8Array;
  readonly #readsHeaders: boolean;
  readonly #cursor = new Cursor();

  constructor(spec: ConditionSpec) {
    this.#root = this.#compile(spec);
    this.#met = new Uint8Array(this.#tests.length);
    this.#readsHeaders = this.#tests.some(({ name }) => name !== undefined);
  }

  #compile(spec: ConditionSpec): Node {
    switch (spec.t) {
      case "not":
        return { t: "not", of: this.#compile(spec.of) };
      case "all":
      case "any":
        return { t: spec.t, of: spec.of.map((each) => this.#compile(each)) };
      case "header":
      case "key":
        this.#tests.push(testOf(spec));
        return { t: "test", index: this.#tests.length - 1 };
    }
  }

  /** Whether it holds for the encoded Record in `[start, end)`, which was checked before. */
  holdsFor(bytes: Uint8Array, start: number, end: number): boolean {
    const cursor = this.#cursor;
    this.#met.fill(0);
    cursor.reset(bytes, start, end);
    // As in any decoder, the last of several keys is the key.
    let keyStart = -1;
    let keyEnd = -1;
    while (cursor.position < end) {
      const tag = cursor.tag();
      if (tag === keyTag) {
        const length = cursor.length();
        keyStart = cursor.position;
        keyEnd = keyStart + length;
        cursor.advance(length);
      } else if (tag === headersTag && this.#readsHeaders) {
        this.#askOfHeader(cursor);
      } else {
        cursor.skip(tag);
      }
    }
    if (keyStart >= 0) this.#ask(bytes, -1, -1, keyStart, keyEnd);
    return this.#holds(this.#root);
  }

  #askOfHeader(cursor: Cursor): void {
    const recordEnd = cursor.end;
    const headerEnd = cursor.length() + cursor.position;
    cursor.end = headerEnd;
    let nameStart = 0;
    let nameEnd = 0;
    let valueStart = 0;
    let valueEnd = 0;
    while (cursor.position < headerEnd) {
      const tag = cursor.tag();
      if (tag === headerKeyTag) {
        const length = cursor.length();
        nameStart = cursor.position;
        nameEnd = nameStart + length;
        cursor.advance(length);
      } else if (tag === headerValueTag) {
        const length = cursor.length();
        valueStart = cursor.position;
        valueEnd = valueStart + length;
        cursor.advance(length);
      } else {
        cursor.skip(tag);
      }
    }
    cursor.end = recordEnd;
    this.#ask(cursor.bytes, nameStart, nameEnd, valueStart, valueEnd);
  }

  /** Puts a header's value, or without a name the key, to the tests that are about it. */
  #ask(bytes: Uint8Array, nameStart: number, nameEnd: number, start: number, end: number): void {
    const tests = this.#tests;
    for (let index = 0; index < tests.length; index++) {
      if (this.#met[index] === 1) continue;
      const { name, kind, texts } = tests[index] as Test;
      const about =
        name === undefined ? nameStart < 0 : nameStart >= 0 && isAt(bytes, nameStart, nameEnd, name);
      if (!about) continue;
      if (kind === "exists" || isOneOf(bytes, start, end, kind, texts)) this.#met[index] = 1;
    }
  }

  #holds(node: Node): boolean {
    switch (node.t) {
      case "test":
        return this.#met[node.index] === 1;
      case "not":
        return !this.#holds(node.of);
      case "all":
        for (let index = 0; index < node.of.length; index++)
          if (!this.#holds(node.of[index] as Node)) return false;
        return true;
      case "any":
        for (let index = 0; index < node.of.length; index++)
          if (this.#holds(node.of[index] as Node)) return true;
        return false;
    }
  }
}

function testOf(spec: ConditionSpec & { t: "header" | "key" }): Test {
  const encoder = new TextEncoder();
  const { match } = spec;
  const texts = match.t === "equals" ? match.anyOf : match.t === "prefix" ? [match.text] : [];
  return {
    name: spec.t === "header" ? encoder.encode(spec.name) : undefined,
    kind: match.t,
    texts: texts.map((text) => encoder.encode(text)),
  };
}

function isOneOf(
  bytes: Uint8Array,
  start: number,
  end: number,
  kind: "equals" | "prefix",
  texts: readonly Uint8Array[],
): boolean {
  for (let index = 0; index < texts.length; index++) {
    const text = texts[index] as Uint8Array;
    if (kind === "equals" ? isAt(bytes, start, end, text) : beginsAt(bytes, start, end, text)) return true;
  }
  return false;
}

function isAt(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
  return end - start === text.length && beginsAt(bytes, start, end, text);
}

function beginsAt(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
  if (end - start < text.length) return false;
  for (let index = 0; index < text.length; index++) if (bytes[start + index] !== text[index]) return false;
  return true;
}
