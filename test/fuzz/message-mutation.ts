/**
 * Breaks encoded protobuf messages along their structure: fields, tags, lengths, numbers, and bytes.
 *
 * @module
 */

import type { Random } from "./random.ts";

function varint(value: number, minimum = 1): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push(rest % 128);
    rest = Math.floor(rest / 128);
  } while (rest > 0 || bytes.length < minimum);
  return bytes.map((byte, index) => (index < bytes.length - 1 ? byte | 0x80 : byte));
}

/** A field as it stands in the bytes. */
interface Field {
  readonly start: number;
  readonly contentStart: number;
  readonly end: number;
  readonly wireType: number;
}

function readVarint(bytes: Uint8Array, at: number): { value: number; end: number; whole: boolean } {
  let value = 0;
  let end = at;
  for (let scale = 1; end < bytes.length && end < at + 10; scale *= 128) {
    const byte = bytes[end++] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value, end, whole: true };
  }
  return { value, end, whole: false };
}

/** The fields of what may be a message; where it is none, what was read up to there. */
function fieldsOf(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = readVarint(bytes, at);
    const wireType = tag.value % 8;
    const content = readVarint(bytes, tag.end);
    const fixed = wireType === 1 ? 8 : wireType === 5 ? 4 : 0;
    if (wireType === 3 || wireType === 4 || wireType > 5) break;
    if (!tag.whole || (fixed === 0 && !content.whole)) break;
    const contentStart = wireType === 2 ? content.end : tag.end;
    const end = wireType === 2 ? content.end + content.value : wireType === 0 ? content.end : tag.end + fixed;
    if (end > bytes.length) break;
    fields.push({ start: at, contentStart, end, wireType });
    at = end;
  }
  return fields;
}

function splice(bytes: Uint8Array, start: number, end: number, ...put: Iterable<number>[]): Uint8Array {
  return Buffer.concat([
    bytes.subarray(0, start),
    ...put.map((part) => Uint8Array.from(part)),
    bytes.subarray(end),
  ]);
}

const numbers = [0, 1, 2, 127, 128, 255, 10_000, 10_001, 4 * 2 ** 20, 2 ** 31, 2 ** 32 - 1, 2 ** 53, 2 ** 62];
const tags = [0x08, 0x0a, 0x0b, 0x0c, 0x0d, 0x10, 0x12, 0x15, 0x18, 0x1a, 0x20, 0x22, 0x2a, 0x00, 0x07, 0xff];

type Change = (random: Random, bytes: Uint8Array, field: Field) => Uint8Array;

const changes: readonly Change[] = [
  (_, bytes, { start, end }) => splice(bytes, start, end),
  (_, bytes, { start, end }) => splice(bytes, end, end, bytes.subarray(start, end)),
  (random, bytes, { start }) => splice(bytes, start, start + 1, [random.pick(tags)]),
  // Another length than the content has.
  (random, bytes, { start, contentStart }) =>
    splice(bytes, start + 1, contentStart, varint(random.pick(numbers), random.between(1, 3))),
  // The same length in more bytes than needed.
  (random, bytes, { contentStart, end, start }) =>
    splice(bytes, start + 1, contentStart, varint(end - contentStart, random.between(2, 10))),
  (random, bytes, { start }) =>
    splice(bytes, start, start, varint(random.pick(numbers)), varint(random.pick(numbers))),
  (random, bytes, { contentStart, end }) =>
    splice(bytes, contentStart, end, random.bytes(end - contentStart)),
  (random, bytes) => bytes.slice(0, random.below(bytes.length + 1)),
  (random, bytes) => {
    const at = random.below(bytes.length);
    return splice(bytes, at, at + 1, [(bytes[at] ?? 0) ^ (1 << random.below(8))]);
  },
  (random, bytes) =>
    splice(bytes, random.below(bytes.length + 1), bytes.length, random.bytes(random.below(20))),
];

/** Changes one field, at any depth; what contains it keeps saying the right lengths. */
function changeOnce(random: Random, bytes: Uint8Array): Uint8Array {
  const fields = fieldsOf(bytes);
  if (fields.length === 0) return splice(bytes, 0, 0, random.bytes(random.below(8)));
  const field = random.pick(fields);
  const { start, contentStart, end, wireType } = field;
  if (wireType === 2 && end > contentStart && random.chance(0.7)) {
    const inner = changeOnce(random, bytes.subarray(contentStart, end));
    const tagEnd = readVarint(bytes, start).end;
    return splice(bytes, tagEnd, end, varint(inner.length), inner);
  }
  return random.pick(changes)(random, bytes, field);
}

/** Breaks a message one to three times. */
export function mutateMessage(random: Random, message: Uint8Array): Uint8Array {
  let bytes = message;
  for (let count = random.between(1, 3); count > 0; count--) bytes = changeOnce(random, bytes);
  return bytes;
}

/** The wire types that fields should have, by their numbers; those of a message inside, its fields'. */
export interface WireTypes {
  readonly [field: number]: number | WireTypes;
}

/** A message without the fields that have another wire type than they should. Fields that are not named are kept. */
export function withoutMistyped(bytes: Uint8Array, types: WireTypes): Uint8Array {
  const fields = fieldsOf(bytes);
  const readEnd = fields.at(-1)?.end ?? 0;
  const kept = fields.flatMap(({ start, contentStart, end, wireType }) => {
    const type = types[Math.floor(readVarint(bytes, start).value / 8)] ?? wireType;
    if (wireType !== (typeof type === "number" ? type : 2)) return [];
    if (typeof type === "number") return [bytes.subarray(start, end)];
    const inner = withoutMistyped(bytes.subarray(contentStart, end), type);
    return [
      bytes.subarray(start, readVarint(bytes, start).end),
      Uint8Array.from(varint(inner.length)),
      inner,
    ];
  });
  return Buffer.concat([...kept, bytes.subarray(readEnd)]);
}
