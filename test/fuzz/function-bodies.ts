/**
 * Makes function bodies operator by operator, so that it is known where each begins and whether a module may have it.
 *
 * V8 finds nearly all of them valid: every operator stands behind an `unreachable`, after which any operands will do.
 * Indexes and constants are by preference bytes that could be operators, in numbers that are longer than they must be.
 *
 * @module
 */

import { leb, section, wasm } from "../kit/wat.ts";
import type { Random } from "./random.ts";

/** A module with one made body. */
export interface MadeModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where the body's operators begin and end in the module. */
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** Where the first operator stands that must be refused, and where it ends; undefined when all may be there. */
  readonly refused: { readonly start: number; readonly end: number; readonly name: string } | undefined;
}

/** An operator with all that follows it. */
interface Operator {
  readonly bytes: readonly number[];
  /** Why it must be refused. */
  readonly refused?: string | undefined;
  /** Opens a block, which ends in this way. */
  readonly opens?: "end" | "else" | "catch";
}

/** Functions, types, globals, segments: so many of each that bytes of operators are indexes. */
const count = 24;
const tables = 3;
const tags = 3;
const locals = 24;

const unreachable = 0x00;
const end = 0x0b;

/** Bytes that are something else where a reader has lost step: tail calls, ends, blocks, prefixes. */
const telling = [0x12, 0x13, 0x15, 0x0b, 0x02, 0x03, 0x0e, 0x10, 0x00, 0x05];

const plainTypes = [0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f];
const refusedTypes = [0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x71, 0x72, 0x73, 0x74];

/** A number below `below`, as LEB128 of up to five bytes. */
function index(random: Random, below: number): number[] {
  const fitting = telling.filter((value) => value < below);
  const value = random.chance(0.7) ? random.pick(fitting) : random.below(below);
  const bytes = leb(value);
  if (random.chance(0.8)) return bytes;
  const padded = [...bytes];
  const longer = random.between(1, 5 - bytes.length);
  padded[padded.length - 1] = (padded.at(-1) ?? 0) | 0x80;
  for (let more = 1; more < longer; more++) padded.push(0x80);
  return [...padded, 0x00];
}

/** Bytes of a constant, of which each could be an operator. */
function constant(random: Random, length: number): number[] {
  return Array.from({ length }, () => (random.chance(0.7) ? random.pick(telling) : random.below(256)));
}

function signed(random: Random, maxBytes: number): number[] {
  const length = random.between(1, maxBytes);
  const bytes = constant(random, length).map((byte) => byte | 0x80);
  // The last byte of a number of full length has few bits of its own.
  bytes[length - 1] = length === maxBytes ? 0x00 : random.pick(telling);
  return bytes;
}

/** A type of one byte, or seldom one that must be refused: by itself, or as a reference with its heap type behind it. */
function valueType(random: Random, refusing: boolean): { bytes: number[]; refused?: string } {
  if (!refusing) return { bytes: [random.pick(plainTypes)] };
  if (random.chance(0.3)) return { bytes: [random.pick(refusedTypes)], refused: "a type" };
  const heap = random.chance(0.6) ? index(random, count) : [random.pick([0x70, 0x6f, ...refusedTypes])];
  return { bytes: [random.pick([0x63, 0x64, 0x63]), ...heap], refused: "a typed reference" };
}

function blockType(random: Random, refusing: boolean): { bytes: number[]; refused?: string } {
  if (refusing) return valueType(random, true);
  return {
    bytes: random.pick([() => [0x40], () => [random.pick(plainTypes)], () => index(random, count)])(),
  };
}

/** How a body is made. */
interface Style {
  /** Whether it may have what must be refused. */
  readonly refusing: boolean;
  /** Whether exceptions are the former ones: V8 takes no module with both. */
  readonly legacy: boolean;
}

function block(random: Random, refusing: boolean, legacy: boolean, depth: number): Operator {
  const type = blockType(random, refusing);
  return random.pick<() => Operator>([
    () => ({ bytes: [0x02, ...type.bytes], refused: type.refused, opens: "end" }),
    () => ({ bytes: [0x03, ...type.bytes], refused: type.refused, opens: "end" }),
    () => ({ bytes: [0x04, ...type.bytes], refused: type.refused, opens: "else" }),
    () =>
      legacy
        ? { bytes: [0x06, ...type.bytes], refused: type.refused, opens: "catch" }
        : tryTable(random, type, depth),
  ])();
}

/** Catches go to the end of the function, which takes nothing. */
function tryTable(random: Random, type: { bytes: number[]; refused?: string }, depth: number): Operator {
  const catches = Array.from({ length: random.below(4) }, () => {
    const all = random.chance(0.5);
    return all ? [0x02, ...leb(depth)] : [0x00, ...index(random, tags), ...leb(depth)];
  });
  return {
    bytes: [0x1f, ...type.bytes, ...leb(catches.length), ...catches.flat()],
    refused: type.refused,
    opens: "end",
  };
}

function memoryArgument(random: Random): number[] {
  const memory = random.chance(0.3) ? [0x40, 0x00] : [0x00];
  return [...memory, ...index(random, 2 ** 31)];
}

const plain: readonly ((random: Random) => number[])[] = [
  (random) => [0x01, ...(random.chance(0.5) ? [0x01] : [])],
  () => [0x0f],
  (random) => [0x08, ...index(random, tags)],
  (random) => [0x0c, 0x00, ...(random.chance(0.5) ? [0x01] : [])],
  () => [0x0d, 0x00],
  (random) => {
    const labels = random.below(25);
    return [0x0e, ...leb(labels), ...Array<number>(labels + 1).fill(0x00)];
  },
  (random) => [0x10, ...index(random, count)],
  (random) => [0x11, ...index(random, count), ...index(random, 2)],
  () => [0x1a],
  () => [0x1b],
  (random) => [0x1c, 0x01, random.pick(plainTypes)],
  (random) => [random.between(0x20, 0x22), ...index(random, locals)],
  (random) => [random.between(0x23, 0x24), ...index(random, count)],
  (random) => [random.between(0x25, 0x26), ...index(random, tables)],
  (random) => [random.between(0x28, 0x3e), ...memoryArgument(random)],
  (random) => [random.between(0x3f, 0x40), 0x00],
  (random) => [0x41, ...signed(random, 5)],
  (random) => [0x42, ...signed(random, 10)],
  (random) => [0x43, ...constant(random, 4)],
  (random) => [0x44, ...constant(random, 8)],
  (random) => [random.between(0x45, 0xc4)],
  (random) => [0xd0, random.pick([0x70, 0x6f])],
  () => [0xd1],
  (random) => [0xd2, ...index(random, count)],
  (random) => [0xfc, random.between(0, 7)],
  (random) => [0xfc, 0x08, ...index(random, count), 0x00],
  (random) => [0xfc, 0x09, ...index(random, count)],
  () => [0xfc, 0x0a, 0x00, 0x00],
  () => [0xfc, 0x0b, 0x00],
  (random) => [0xfc, 0x0c, ...index(random, count), ...index(random, 2)],
  (random) => [0xfc, 0x0d, ...index(random, count)],
  (random) => [0xfc, 0x0e, ...index(random, 2), ...index(random, 2)],
  (random) => [0xfc, random.between(0x0f, 0x11), ...index(random, tables)],
  (random) => [0xfd, random.pick([0, 4, 11, 92, 93]), ...memoryArgument(random)],
  (random) => [0xfd, 0x0c, ...constant(random, 16)],
  (random) => [0xfd, 0x0d, ...constant(random, 16).map((byte) => byte % 32)],
  (random) => [0xfd, random.pick([14, 15, 20, 78, 96, 110])],
  (random) => [0xfd, ...leb(random.pick([0x80, 0xa0, 0xae, 0xe0, 0x100, 0x101, 0x113]))],
  (random) => [0xfd, random.between(21, 34), random.below(2)],
  (random) => [0xfd, random.between(84, 91), ...memoryArgument(random), random.below(2)],
  (_random) => [0xfe, 0x03, 0x00],
  (random) => [0xfe, 0x10, 0x02, ...index(random, 2 ** 31)],
];

const refusedPlain: readonly ((random: Random) => readonly [string, number[]])[] = [
  (random) => ["a tail call", [0x12, ...index(random, count)]],
  (random) => ["a tail call", [0x13, ...index(random, count), ...index(random, 2)]],
  (random) => ["a tail call", [0x15, ...index(random, count)]],
  (random) => ["a call of a reference", [0x14, ...index(random, count)]],
  () => ["the throw of a reference", [0x0a]],
  (random) => ["a reference made sure of", [random.pick([0xd3, 0xd4])]],
  () => ["a branch on a reference", [0xd5, 0x00]],
  (random) => ["a select of two", [0x1c, 0x01, ...valueType(random, true).bytes]],
  (random) => ["a null of another heap", [0xd0, ...index(random, count)]],
  (random) => ["a null of another heap", [0xd0, random.pick(refusedTypes)]],
  () => ["garbage collection", [0xfb, 0x1c]],
  (random) => ["garbage collection", [0xfb, random.pick([0x14, 0x15, 0x16, 0x17]), ...index(random, count)]],
];

/** A catch with a reference, in a block that takes one. */
function catchingReference(random: Random): readonly Operator[] {
  const catches = random.pick([() => [0x03, 0x00], () => [0x01, ...index(random, tags), 0x00]])();
  return [
    { bytes: [0x02, 0x69], refused: "a block of an exception reference", opens: "end" },
    { bytes: [0x1f, 0x40, 0x01, ...catches], refused: "a catch of a reference", opens: "end" },
  ];
}

function operators(random: Random, style: Style, depth: number): readonly Operator[] {
  const refuses = style.refusing && random.chance(0.2);
  if (random.chance(0.3)) {
    if (refuses && random.chance(0.3)) return catchingReference(random);
    return [block(random, refuses, style.legacy, depth)];
  }
  if (!refuses) return [{ bytes: random.pick(plain)(random) }];
  const [refused, bytes] = random.pick(refusedPlain)(random);
  return [{ bytes, refused }];
}

/** The rest of a block: what its kind asks for, and its end. */
function closing(random: Random, opens: NonNullable<Operator["opens"]>): number[][] {
  if (opens === "else") return [[0x05], [unreachable], [end]];
  if (opens === "end") return [[end]];
  return random.pick([
    () => [[0x19], [unreachable], [end]],
    () => [[0x19], [0x09, 0x00], [end]],
    () => [[0x07, ...index(random, tags)], [unreachable], [end]],
    () => [[0x18, 0x00]],
  ])();
}

/** Operators up to the end of the body. */
function body(random: Random, refusing: boolean): Operator[] {
  const made: Operator[] = [];
  const open: NonNullable<Operator["opens"]>[] = [];
  const style = { refusing, legacy: random.chance(0.5) };
  const close = (opens: NonNullable<Operator["opens"]>): void => {
    made.push({ bytes: [unreachable] });
    for (const bytes of closing(random, opens)) made.push({ bytes });
  };
  for (let left = random.between(1, 40); left > 0; left--) {
    made.push({ bytes: [unreachable] });
    for (const operator of operators(random, style, open.length)) {
      made.push(operator);
      if (operator.opens === undefined) continue;
      made.push({ bytes: [unreachable] });
      open.push(operator.opens);
    }
    if (open.length > 0 && random.chance(0.3)) close(open.pop() ?? "end");
  }
  for (let opens = open.pop(); opens !== undefined; opens = open.pop()) close(opens);
  return [...made, { bytes: [unreachable] }, { bytes: [end] }];
}

const trap = [3, 0, unreachable, end];
const repeated = (entry: readonly number[], times = count): number[] =>
  Array<readonly number[]>(times).fill(entry).flat();
const functionType = [0x60, 0, 0];

/** What stands before the bodies: of all that has an index there is enough. */
const before = [
  section(1, count, repeated(functionType)),
  section(3, count, repeated([0])),
  section(4, tables, 0x70, 0, 2, 0x70, 0, 2, 0x6f, 0, 2),
  section(5, 1, 0, 1),
  section(13, tags, repeated([0, 0], tags)),
  section(6, count, repeated([0x7f, 1, 0x41, 0, end])),
  // Declarative, so that each function may be referred to.
  section(9, count, repeated([3, 0, count, ...Array.from({ length: count }, (_, each) => each)])),
  section(12, count),
];

/** Makes a module of one body, with `refusing` one that may have what must be refused. */
export function makeModule(random: Random, refusing: boolean): MadeModule {
  const made = body(random, refusing);
  const groups = [2, locals / 2, random.pick(plainTypes), locals / 2, random.pick(plainTypes)];
  const code = made.flatMap(({ bytes }) => bytes);
  const bodyBytes = [...leb(groups.length + code.length), ...groups, ...code];
  const bodies = section(10, count, bodyBytes, repeated(trap, count - 1));
  const after = section(11, count, repeated([1, 0]));
  const bytes = Uint8Array.from(wasm(...before, bodies, after));
  const bodyEnd = bytes.length - after.length - trap.length * (count - 1);
  const bodyStart = bodyEnd - code.length;
  let at = bodyStart;
  for (const { bytes: its, refused } of made) {
    if (refused !== undefined)
      return { bytes, bodyStart, bodyEnd, refused: { start: at, end: at + its.length, name: refused } };
    at += its.length;
  }
  return { bytes, bodyStart, bodyEnd, refused: undefined };
}
