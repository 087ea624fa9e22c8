import { extend, protectBatch, take } from "./arena";
import { copyLoose } from "./vector";
import { BATCH_RECORD, RECORD_VALUE, lengthBytes, writeLength } from "./wire";

/** Room kept behind the limit, so that a vector's overshoot never needs a check. */
const MARGIN: usize = 64;

/** A tag of one byte and a length, at their longest. */
export const HEAD: usize = 6;

/** Room before the first record for the tag and the length of the batch, which are known last. */
const FRONT: usize = 16;

/** Bytes that grow at their end and live until the batch does. */
@unmanaged
export class Growing {
  /** The block. 0 when nothing was written in this batch. */
  base: usize;
  /** Where the next byte goes. */
  pos: usize;
  /** `pos` plus what is to be written must not pass this. */
  limit: usize;

  /** Begins anew with room for `size` bytes. */
  // @ts-ignore: decorator
  @inline
  start(size: usize): void {
    this.base = take(size + MARGIN);
    this.limit = this.base + size;
    this.pos = this.base;
    protectBatch();
  }

  /** Makes sure that `size` bytes fit behind `pos`. Addresses inside may change. */
  // @ts-ignore: decorator
  @inline
  ensure(size: usize): void {
    // In 64 bits, where no sum of two addresses wraps.
    if (<u64>this.pos + <u64>size > <u64>this.limit) this.grow(size);
  }

  grow(size: usize): void {
    assert(size <= 1 << 30, "the output of one batch is too large");
    const used = this.pos - this.base;
    const room = max(used + size, (this.limit - this.base) << 1);
    if (!extend(this.base, room + MARGIN)) {
      const moved = take(room + MARGIN);
      memory.copy(moved, this.base, used);
      this.base = moved;
      this.pos = moved + used;
    }
    this.limit = this.base + room;
    // The block may lie above what the author made for this record: that then lives as long.
    protectBatch();
  }
}

/** The encoded records of this batch's output. Positions other than `pos` are kept as offsets from `base`. */
@unmanaged
export class Sink extends Growing {
  /** Where the outputs of the current input begin. */
  mark: usize;
  /** The body of the record that is being written, and the value in it; 0 when none is. */
  body: usize;
  value: usize;
  /** How many bytes were left free for the length of each; `close` moves what it guessed wrong. */
  bodyGuess: usize;
  valueGuess: usize;
  /** What comes behind the value when it is complete. */
  tail: usize;
  tailLength: usize;

  /** Begins a batch whose output is guessed to take `expected` bytes. */
  // @ts-ignore: decorator
  @inline
  begin(expected: usize): void {
    this.start(FRONT + expected);
    this.pos += FRONT;
    this.mark = FRONT;
    this.body = 0;
    this.value = 0;
  }

  /** The address of the first record. */
  // @ts-ignore: decorator
  @inline
  get first(): usize {
    return this.base + FRONT;
  }

  /** Writes the tag and length of a record whose body is `length` bytes long; returns where the body goes. */
  // @ts-ignore: decorator
  @inline
  head(length: usize): usize {
    store<u8>(this.pos, BATCH_RECORD);
    return writeLength(this.pos + 1, length);
  }

  /** Opens a record of unknown length, with the length guessed to be about `guess`. */
  openBody(guess: usize): void {
    this.ensure(HEAD);
    this.bodyGuess = lengthBytes(guess);
    this.pos += 1 + this.bodyGuess;
    this.body = this.pos - this.base;
  }

  /** Opens a value of unknown length in the open record. */
  openValue(guess: usize, tail: usize, tailLength: usize): void {
    this.ensure(HEAD);
    this.valueGuess = lengthBytes(guess);
    store<u8>(this.pos, RECORD_VALUE);
    this.pos += 1 + this.valueGuess;
    this.value = this.pos - this.base;
    this.tail = tail;
    this.tailLength = tailLength;
  }

  /** Completes the value that is open. */
  closeValue(): void {
    this.ensure(HEAD + this.tailLength);
    this.fill(this.base + this.value, this.valueGuess);
    this.value = 0;
    copyLoose(this.pos, this.tail, this.tailLength);
    this.pos += this.tailLength;
  }

  /** Completes the record that is open. */
  close(): void {
    if (this.value != 0) this.closeValue();
    this.ensure(HEAD);
    const body = this.base + this.body;
    store<u8>(body - this.bodyGuess - 1, BATCH_RECORD);
    this.fill(body, this.bodyGuess);
    this.body = 0;
  }

  /** Writes the length of what was written from `start` on into the `guess` bytes before it. May need up to `HEAD` bytes behind `pos`. */
  private fill(start: usize, guess: usize): void {
    const length = this.pos - start;
    const size = lengthBytes(length);
    if (size != guess) {
      memory.copy(start - guess + size, start, length);
      this.pos = start - guess + size + length;
    }
    writeLength(start - guess, length);
  }
}

/** The one output. */
export const sink = changetype<Sink>(memory.data(offsetof<Sink>(), 16));
