/**
 * Asks of a record on the wire whether a stage's condition holds for it. Nothing is decoded, and nothing is
 * allocated: a record's fields are walked once, and each test remembers whether it was met.
 *
 * @module
 */

import type { ConditionSpec, TextMatch } from "../bridge/pipeline-spec.ts";
import { Cursor } from "../record/wire.ts";

const keyTag = (1 << 3) | 2;
const valueTag = (2 << 3) | 2;
const headersTag = (3 << 3) | 2;
const headerKeyTag = (1 << 3) | 2;
const headerValueTag = (2 << 3) | 2;

/** A test of a text. */
interface Test {
  /** Its place among all tests of the condition. */
  readonly index: number;
  readonly kind: TextMatch["t"];
  readonly texts: readonly Uint8Array[];
}

/** The tests of headers of one name. */
interface HeaderTests {
  readonly name: Uint8Array;
  readonly tests: Test[];
}

type Node =
  | { readonly t: "test"; readonly index: number }
  | { readonly t: "not"; readonly of: Node }
  | { readonly t: "all" | "any"; readonly of: readonly Node[] };

/**
 * One stage's condition, ready to be asked. The usual fields (lengths of one or two bytes, a header's name before its value)
 * are read in place, as in `walkBatch`; whatever is less usual goes through a cursor.
 */
export class Condition {
  readonly #keyTests: Test[] = [];
  readonly #headerTests: HeaderTests[] = [];
  readonly #root: Node;
  /** 1 for each test that was met by the record that is asked of. */
  readonly #met: Uint8Array;
  readonly #cursor = new Cursor();
  #tests = 0;
  #keyStart = -1;
  #keyEnd = -1;

  constructor(spec: ConditionSpec) {
    this.#root = this.#compile(spec);
    this.#met = new Uint8Array(this.#tests);
  }

  #compile(spec: ConditionSpec): Node {
    switch (spec.t) {
      case "not":
        return { t: "not", of: this.#compile(spec.of) };
      case "all":
      case "any":
        return { t: spec.t, of: spec.of.map((each) => this.#compile(each)) };
      case "header":
      case "key": {
        const test = testOf(this.#tests++, spec.match);
        (spec.t === "key" ? this.#keyTests : this.#testsOf(spec.name)).push(test);
        return { t: "test", index: test.index };
      }
    }
  }

  #testsOf(header: string): Test[] {
    const name = Buffer.from(header);
    const known = this.#headerTests.find((other) => name.equals(other.name));
    if (known !== undefined) return known.tests;
    const made: HeaderTests = { name, tests: [] };
    this.#headerTests.push(made);
    return made.tests;
  }

  /** Whether it holds for the encoded Record in `[start, end)`, which was checked before. */
  holdsFor(bytes: Uint8Array, start: number, end: number): boolean {
    const met = this.#met;
    for (let index = 0; index < met.length; index++) met[index] = 0;
    this.#keyStart = -1;
    let position = start;
    while (position < end) {
      const tag = bytes[position] as number;
      const low = bytes[position + 1] as number;
      const high = bytes[position + 2] as number;
      const short = low < 0x80;
      const usual = tag === valueTag || tag === headersTag || tag === keyTag;
      if (usual && (short || high < 0x80)) {
        const from = short ? position + 2 : position + 3;
        position = short ? from + low : from + (low & 0x7f) + (high << 7);
        if (tag === headersTag) this.#header(bytes, from, position);
        else if (tag === keyTag) this.#key(from, position);
      } else {
        position = this.#unusualField(bytes, position, end);
      }
    }
    if (this.#keyStart >= 0) this.#ask(this.#keyTests, bytes, this.#keyStart, this.#keyEnd);
    return this.#holds(this.#root);
  }

  /** As in any decoder, the last of several keys is the key. */
  #key(start: number, end: number): void {
    this.#keyStart = start;
    this.#keyEnd = end;
  }

  #unusualField(bytes: Uint8Array, start: number, end: number): number {
    const cursor = this.#cursor;
    cursor.reset(bytes, start, end);
    const tag = cursor.tag();
    if (tag !== keyTag && tag !== headersTag) {
      cursor.skip(tag);
      return cursor.position;
    }
    const length = cursor.length();
    const from = cursor.position;
    if (tag === keyTag) this.#key(from, from + length);
    else this.#header(bytes, from, from + length);
    return from + length;
  }

  #header(bytes: Uint8Array, start: number, end: number): void {
    if (this.#headerTests.length === 0) return;
    let position = start;
    let nameEnd = start;
    if (bytes[position] === headerKeyTag && (bytes[position + 1] as number) < 0x80) {
      position += 2;
      nameEnd = position + (bytes[position - 1] as number);
    }
    const nameStart = position;
    position = nameEnd;
    let valueStart = position;
    if (position < end && bytes[position] === headerValueTag) {
      const low = bytes[position + 1] as number;
      const high = bytes[position + 2] as number;
      valueStart = low < 0x80 ? position + 2 : position + 3;
      position = low < 0x80 ? valueStart + low : high < 0x80 ? valueStart + (low & 0x7f) + (high << 7) : -1;
    }
    if (position === end) this.#askOfHeader(bytes, nameStart, nameEnd, valueStart, end);
    else this.#unusualHeader(bytes, start, end);
  }

  /** A header in another order, with a part that is missing or comes twice, or with more than there should be. */
  #unusualHeader(bytes: Uint8Array, start: number, end: number): void {
    const cursor = this.#cursor;
    cursor.reset(bytes, start, end);
    let nameStart = 0;
    let nameEnd = 0;
    let valueStart = 0;
    let valueEnd = 0;
    while (cursor.position < end) {
      const tag = cursor.tag();
      if (tag !== headerKeyTag && tag !== headerValueTag) {
        cursor.skip(tag);
        continue;
      }
      const length = cursor.length();
      if (tag === headerKeyTag) {
        nameStart = cursor.position;
        nameEnd = nameStart + length;
      } else {
        valueStart = cursor.position;
        valueEnd = valueStart + length;
      }
      cursor.advance(length);
    }
    this.#askOfHeader(bytes, nameStart, nameEnd, valueStart, valueEnd);
  }

  #askOfHeader(bytes: Uint8Array, nameStart: number, nameEnd: number, start: number, end: number): void {
    for (let index = 0; index < this.#headerTests.length; index++) {
      const { name, tests } = this.#headerTests[index] as HeaderTests;
      if (nameEnd - nameStart === name.length && beginsAt(bytes, nameStart, name)) {
        this.#ask(tests, bytes, start, end);
        return;
      }
    }
  }

  #ask(tests: readonly Test[], bytes: Uint8Array, start: number, end: number): void {
    for (let index = 0; index < tests.length; index++) {
      const test = tests[index] as Test;
      if (this.#met[test.index] === 0 && isMet(test, bytes, start, end)) this.#met[test.index] = 1;
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

function testOf(index: number, match: TextMatch): Test {
  const texts = match.t === "equals" ? match.anyOf : match.t === "prefix" ? [match.text] : [];
  return { index, kind: match.t, texts: texts.map((text) => new TextEncoder().encode(text)) };
}

function isMet({ kind, texts }: Test, bytes: Uint8Array, start: number, end: number): boolean {
  if (kind === "exists") return true;
  const length = end - start;
  const whole = kind === "equals";
  for (let index = 0; index < texts.length; index++) {
    const text = texts[index] as Uint8Array;
    if ((whole ? length === text.length : length >= text.length) && beginsAt(bytes, start, text)) return true;
  }
  return false;
}

function beginsAt(bytes: Uint8Array, start: number, text: Uint8Array): boolean {
  for (let index = 0; index < text.length; index++) if (bytes[start + index] !== text[index]) return false;
  return true;
}
