/**
 * Random numbers that come again from their seed.
 *
 * @module
 */

/** A generator (sfc32) of which one seed and one index always give the same numbers, so that each try can be replayed alone. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  /** @param index - which of the seed's sequences */
  constructor(seed: number, index = 0) {
    this.#a = seed | 0;
    this.#b = index | 0;
    this.#c = Math.floor(index / 2 ** 32) | 0;
    // The first numbers of close seeds are alike.
    for (let i = 0; i < 12; i++) this.#next();
  }

  #next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** A whole number from 0 up to, without, `end`. */
  below(end: number): number {
    return Math.floor((this.#next() / 2 ** 32) * end);
  }

  /** A whole number from `first` to `last`. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  /** True so often, from 0 to 1. */
  chance(probability: number): boolean {
    return this.#next() < probability * 2 ** 32;
  }

  /** One of them. @throws Error when there is none */
  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error("there is nothing to pick from");
    return item;
  }

  /** So many bytes, which more often than not mean something in the formats that are attacked. */
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => (this.chance(0.5) ? this.pick(telling) : this.below(256)));
  }
}

/** Tags, types, lengths and ends of numbers. */
const telling = [0x00, 0x01, 0x02, 0x0a, 0x0b, 0x12, 0x1a, 0x40, 0x60, 0x70, 0x7f, 0x80, 0xff];
