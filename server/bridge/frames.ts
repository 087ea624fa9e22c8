/**
 * The stream of frames between the server's process and a worker in a process of its own, which share no memory.
 *
 * ```
 * frame    u32 length of the payload │ u32 type │ payload
 * ```
 *
 * Numbers are little-endian. Both sides lay their slots out alike, so a slot has the same number on both.
 *
 * @module
 */

/** The file descriptors of a worker's process. */
export const childFiles = {
  /** Frames, both ways. */
  frames: 3,
  /** What is run, before it is run: {@link witnessWords} numbers each time. */
  witness: 4,
} as const;

/** What frames to the worker's process say. */
export const ToChild = {
  /** {@link ChildStart} as JSON. The first frame. */
  start: 1,
  /** Pipeline, stage, and the module's binary. */
  module: 2,
  /** A pipeline as JSON, but for the code of its stages, which has come before. */
  load: 3,
  /** A pipeline's id. */
  drop: 4,
  /** A slot: see `submitHead`. */
  submit: 5,
  /** A slot that nobody waits for any more. */
  cancel: 6,
  /** Asks for all slots that were not begun. */
  recall: 7,
  /** The limits that hold from now on, as JSON. */
  limits: 8,
} as const;

/** What frames from the worker's process say. */
export const FromChild = {
  /** The worker waits for slots. */
  ready: 101,
  /** A slot: see `completedHead`. */
  completed: 102,
  /** A slot that was asked back and not begun. It completes later, empty. */
  returned: 103,
  /** A report, log line or counters, as JSON. */
  message: 104,
  /** The control words. */
  control: 105,
  /** What ended the worker, as JSON: {@link ChildProblem}. */
  problem: 106,
} as const;

/** Numbers of one entry in the witness stream: count of batches begun, slot, stage, record. */
export const witnessWords = 4;

/** Bytes before each payload. */
export const frameHeadBytes = 8;

/** What ended a worker in its process. */
export interface ChildProblem {
  readonly reason: "crash" | "out_of_memory";
  readonly problem: string;
}

/** A frame with room for so many bytes of payload, to be filled from {@link frameHeadBytes} on. */
export function newFrame(type: number, payloadBytes: number): Buffer {
  const frame = Buffer.allocUnsafe(frameHeadBytes + payloadBytes);
  frame.writeUInt32LE(payloadBytes, 0);
  frame.writeUInt32LE(type, 4);
  return frame;
}

/** A frame of a few numbers. */
export function wordsFrame(type: number, ...words: readonly number[]): Buffer {
  const frame = newFrame(type, words.length * 4);
  for (const [index, word] of words.entries()) frame.writeInt32LE(word, frameHeadBytes + index * 4);
  return frame;
}

/** A frame of JSON. */
export function jsonFrame(type: number, value: unknown): Buffer {
  const text = JSON.stringify(value);
  const frame = newFrame(type, Buffer.byteLength(text));
  frame.write(text, frameHeadBytes);
  return frame;
}

/** A peer that sends what it must not. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

/** Cuts a stream of chunks into frames. */
export class FrameReader {
  readonly #maxBytes: () => number;
  readonly #onFrame: (type: number, payload: Buffer) => void;
  #chunks: Buffer[] = [];
  #waiting = 0;
  /** How many bytes must be there before anything can be done. */
  #wanted = frameHeadBytes;

  /** @param maxBytes - payload of one frame, at most */
  constructor(maxBytes: () => number, onFrame: (type: number, payload: Buffer) => void) {
    this.#maxBytes = maxBytes;
    this.#onFrame = onFrame;
  }

  /** @throws FrameError when a frame is too large, and what `onFrame` throws; the stream cannot be read on then */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#waiting += chunk.length;
    if (this.#waiting < this.#wanted) return;
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    let position = 0;
    this.#wanted = frameHeadBytes;
    while (bytes.length - position >= frameHeadBytes) {
      const length = bytes.readUInt32LE(position);
      const maxBytes = this.#maxBytes();
      if (length > maxBytes)
        throw new FrameError(`a frame of ${length} bytes, at most ${maxBytes} are expected`);
      if (bytes.length - position < frameHeadBytes + length) {
        this.#wanted = frameHeadBytes + length;
        break;
      }
      const start = position + frameHeadBytes;
      position = start + length;
      this.#onFrame(bytes.readUInt32LE(start - 4), bytes.subarray(start, position));
    }
    const rest = bytes.subarray(position);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#waiting = rest.length;
  }
}
