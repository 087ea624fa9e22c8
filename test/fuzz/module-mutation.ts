/**
 * Breaks WebAssembly modules along their structure: sections, counts, numbers, types, and bytes.
 *
 * @module
 */

import type { Random } from "./random.ts";

interface Section {
  id: number;
  body: Uint8Array;
  /** What is said of the body's size; undefined says the truth. */
  saidBytes?: number;
}

const headerBytes = 8;
const typeBytes = [0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f, 0x6e, 0x69, 0x64, 0x63, 0x60, 0x5f, 0x50, 0x40];
const tellingNumbers = [
  0,
  1,
  2,
  3,
  4,
  5,
  7,
  8,
  100,
  127,
  128,
  1_000,
  1_001,
  10_000,
  65_535,
  65_536,
  65_537,
  100_000,
  100_001,
  1e7,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];

/** A number as unsigned LEB128 of at least `minimum` bytes. */
function leb(value: number, minimum = 1): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push(rest % 128);
    rest = Math.floor(rest / 128);
  } while (rest > 0 || bytes.length < minimum);
  return bytes.map((byte, index) => (index < bytes.length - 1 ? byte | 0x80 : byte));
}

/** The number at `at`, and where it ends. */
function readLeb(bytes: Uint8Array, at: number): { value: number; end: number } {
  let value = 0;
  let end = at;
  for (let scale = 1; end < bytes.length && end < at + 5; scale *= 128) {
    const byte = bytes[end++] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
  }
  return { value, end };
}

function replace(
  bytes: Uint8Array,
  start: number,
  end: number,
  put: Iterable<number>,
): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...bytes.subarray(0, start), ...put, ...bytes.subarray(end)]);
}

/** Takes a valid module apart. */
function parse(bytes: Uint8Array): Section[] {
  const sections: Section[] = [];
  for (let at = headerBytes; at < bytes.length; ) {
    const { value, end } = readLeb(bytes, at + 1);
    sections.push({ id: bytes[at] ?? 0, body: bytes.subarray(end, end + value) });
    at = end + value;
  }
  return sections;
}

function assemble(sections: readonly Section[]): Uint8Array<ArrayBuffer> {
  const parts = sections.flatMap(({ id, body, saidBytes }) => [
    Uint8Array.from([id, ...leb(saidBytes ?? body.length)]),
    body,
  ]);
  return Buffer.concat([Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0), ...parts]);
}

/** Other numbers for a LEB128 at `at`: close ones, telling ones, and the same in more bytes than needed. */
function changeNumber(random: Random, body: Uint8Array, at: number): Uint8Array {
  const { value, end } = readLeb(body, at);
  const put = random.pick([
    () => leb(Math.min(value + 1, 2 ** 32 - 1)),
    () => leb(Math.max(value - 1, 0)),
    () => leb(random.pick(tellingNumbers)),
    () => leb(value, random.between(2, 6)),
    () => [0xff, 0xff, 0xff, 0xff, random.below(256)],
  ])();
  return replace(body, at, end, put);
}

/** Changes within one section, by what they do. */
const bodyChanges: readonly ((random: Random, body: Uint8Array) => Uint8Array)[] = [
  // The count with which nearly every section begins.
  (random, body) => changeNumber(random, body, 0),
  (random, body) => changeNumber(random, body, random.below(body.length || 1)),
  (random, body) => {
    const places = [...body.keys()].filter((at) => typeBytes.includes(body[at] ?? 0));
    const at = places.length === 0 ? 0 : random.pick(places);
    return replace(body, at, at + 1, [random.pick(typeBytes)]);
  },
  (random, body) => body.slice(0, random.below(body.length + 1)),
  (random, body) => {
    const at = random.below(body.length + 1);
    return replace(body, at, at + random.below(4), random.bytes(random.below(5)));
  },
  (random, body) => {
    const at = random.below(body.length || 1);
    return replace(body, at, at + 1, [(body[at] ?? 0) ^ (1 << random.below(8))]);
  },
  // A piece of it again, as one function, export or segment more.
  (random, body) => {
    const start = random.below(body.length + 1);
    const piece = body.slice(start, start + random.below(64));
    return replace(body, start, start, piece);
  },
];

/** Declarations that cost much or are odd, for sections that are but declarations. */
function declaration(random: Random): Section {
  const size = () => leb(random.pick(tellingNumbers));
  const flags = random.pick([0, 1, 1, 1, 2, 3, 4, 5, 7, 8]);
  const memory = [flags, ...size(), ...size()];
  const table = [random.pick(typeBytes), ...memory];
  return random.pick<() => Section>([
    () => ({ id: 5, body: Uint8Array.from([1, ...memory]) }),
    () => ({ id: 5, body: Uint8Array.from([2, ...memory, ...memory]) }),
    () => ({ id: 4, body: Uint8Array.from([1, ...table]) }),
    () => ({ id: 4, body: Uint8Array.from([5, ...Array.from({ length: 5 }, () => table).flat()]) }),
    () => ({ id: 8, body: Uint8Array.from(size()) }),
    () => ({ id: 13, body: Uint8Array.from([1, 0, ...size()]) }),
    () => ({ id: 12, body: Uint8Array.from(size()) }),
    () => ({ id: random.below(20), body: random.bytes(random.below(12)) }),
    () => ({ id: 0, body: Uint8Array.from([...size(), ...random.bytes(4)]) }),
  ])();
}

function changeSections(random: Random, sections: Section[], others: readonly Section[]): void {
  const at = random.below(sections.length || 1);
  const chosen = sections[at] ?? declaration(random);
  const change = random.below(14);
  if (change === 0) sections.splice(random.below(sections.length + 1), 0, chosen);
  else if (change === 1) sections.splice(at, 1);
  else if (change === 2) {
    sections.splice(at, 1);
    sections.splice(random.below(sections.length + 1), 0, chosen);
  } else if (change === 3) sections.splice(at, 1, random.pick(others));
  else if (change === 4) {
    const made = declaration(random);
    const place = sections.findIndex(({ id }) => id === made.id);
    sections.splice(place < 0 ? at : place, place < 0 ? 0 : 1, made);
  } else if (change === 5) {
    sections[at] = { ...chosen, saidBytes: random.pick([chosen.body.length + 1, 0, ...tellingNumbers]) };
  } else sections[at] = { ...chosen, body: random.pick(bodyChanges)(random, chosen.body) };
}

/** Breaks a module one to four times; once in every second. */
export function mutateModule(random: Random, seeds: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const sections = parse(random.pick(seeds));
  const others = parse(random.pick(seeds));
  for (let count = random.chance(0.5) ? 1 : random.between(2, 4); count > 0; count--)
    changeSections(random, sections, others);
  const bytes = assemble(sections);
  if (random.chance(0.1)) return bytes.slice(0, random.below(bytes.length));
  if (random.chance(0.1)) {
    const at = random.below(bytes.length);
    return replace(bytes, at, at + 1, [random.below(256)]);
  }
  return bytes;
}
