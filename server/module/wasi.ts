/**
 * WASI preview 1, locked down: no arguments, no environment, no files, no sockets. Writing to
 * standard output and error goes to the log, the clock has the resolution of a millisecond, and
 * `proc_exit` ends the run as a trap does.
 *
 * `random_get` is cryptographic, not seeded: hash maps of guests draw their keys from it, and a
 * key that producers could foresee lets them choose colliding records. A transform must not let its
 * output depend on it, since a batch may be run twice.
 *
 * Own code, because the well-kept shim (@bjorn3/browser_wasi_shim 0.4) is made to offer files: it keeps
 * no pointer inside the memory but by the RangeError of a DataView, copies what the guest writes without
 * a bound, and lets a guest catch the exception behind `proc_exit`.
 *
 * @module
 */

import { systemClock } from "../clock.ts";
import { guestLogLevels, wasiFunctions } from "./abi.ts";
import type { GuestMemory } from "./guest-memory.ts";
import type { GuestHost } from "./host-functions.ts";
import { LogLines } from "./log-lines.ts";
import { raise } from "./raise.ts";
import { HostCallError } from "./trap.ts";

/** Error numbers. Source: `errno` of the preview 1 specification. */
const errno = { success: 0, badFileDescriptor: 8, fault: 21, invalid: 28, notImplemented: 52 } as const;

const standardOutput = 1;
const standardError = 2;

/** A `ciovec`: pointer and length. */
const ioVectorBytes = 8;
/** An `fdstat`: file type, flags, two sets of rights. */
const fdStatBytes = 24;
const characterDevice = 2;
const rightToWrite = 1 << 6;

const clockRealtime = 0;
const clockMonotonic = 1;
const nanosPerMilli = 1_000_000n;

/** Most bytes that `crypto.getRandomValues` gives at once. Source: Web Cryptography, 10.1.1. */
const maxRandomBytes = 65_536;

const notImplemented = () => errno.notImplemented;
const noSuchDescriptor = () => errno.badFileDescriptor;

/** Every function that is only there to say that there is nothing: no descriptor is open, so all who want one fail. */
const absent: Readonly<Record<string, () => number>> = Object.fromEntries(
  Object.keys(wasiFunctions).map((name) => [
    name,
    /^(fd|path)_/.test(name) ? noSuchDescriptor : notImplemented,
  ]),
);

/** One instance's WASI. */
export class Wasi {
  readonly #memory: GuestMemory;
  readonly #host: GuestHost;
  readonly #output: LogLines;
  readonly #errors: LogLines;

  constructor(memory: GuestMemory, host: GuestHost, maxLogLineBytes: number) {
    this.#memory = memory;
    this.#host = host;
    this.#output = new LogLines(maxLogLineBytes, (line) => host.log(guestLogLevels.info, line));
    this.#errors = new LogLines(maxLogLineBytes, (line) => host.log(guestLogLevels.warn, line));
  }

  /** Logs what was written without a line end. */
  flush(): void {
    this.#output.flush();
    this.#errors.flush();
  }

  /** The functions to import. */
  imports(): Record<string, WebAssembly.ImportValue> {
    const noneOf = (count: number, bytes: number) => this.#writeU32s([count, 0], [bytes, 0]);
    const own: Record<string, (...args: never[]) => unknown> = {
      args_get: () => errno.success,
      args_sizes_get: noneOf,
      environ_get: () => errno.success,
      environ_sizes_get: noneOf,
      clock_res_get: (id: number, pointer: number) =>
        isClock(id) ? this.#writeU64(pointer, nanosPerMilli) : errno.invalid,
      clock_time_get: (id: number, _precision: bigint, pointer: number) =>
        isClock(id) ? this.#writeU64(pointer, BigInt(this.#clockMs(id)) * nanosPerMilli) : errno.invalid,
      fd_write: (fd: number, vectors: number, count: number, written: number) =>
        this.#write(fd, vectors >>> 0, count >>> 0, written),
      fd_fdstat_get: (fd: number, pointer: number) => this.#describe(fd, pointer >>> 0),
      random_get: (pointer: number, length: number) => this.#random(pointer >>> 0, length >>> 0),
      sched_yield: () => errno.success,
      proc_exit: (code: number) => raise(new HostCallError(`the module called proc_exit(${code >>> 0})`)),
    };
    return { ...absent, ...own };
  }

  #linesOf(fd: number): LogLines | undefined {
    if (fd === standardOutput) return this.#output;
    return fd === standardError ? this.#errors : undefined;
  }

  #write(fd: number, vectors: number, count: number, written: number): number {
    const lines = this.#linesOf(fd);
    if (lines === undefined) return errno.badFileDescriptor;
    const memory = this.#memory;
    if (!memory.has(vectors, count * ioVectorBytes)) return errno.fault;
    let total = 0;
    try {
      for (let index = 0; index < count; index += 1) {
        const pointer = this.#readU32(vectors + index * ioVectorBytes);
        const length = this.#readU32(vectors + index * ioVectorBytes + 4);
        if (!memory.has(pointer, length)) return errno.fault;
        lines.write(memory.bytes.subarray(pointer, pointer + length));
        total += length;
      }
    } catch (reason) {
      raise(reason);
    }
    return this.#writeU32s([written, total % 2 ** 32]);
  }

  /** Standard output and error are terminals, as far as a C library asks: it then flushes at each line. */
  #describe(fd: number, pointer: number): number {
    if (this.#linesOf(fd) === undefined) return errno.badFileDescriptor;
    if (!this.#memory.has(pointer, fdStatBytes)) return errno.fault;
    const { bytes } = this.#memory;
    bytes.fill(0, pointer, pointer + fdStatBytes);
    bytes[pointer] = characterDevice;
    bytes[pointer + 8] = rightToWrite;
    return errno.success;
  }

  #random(pointer: number, length: number): number {
    if (!this.#memory.has(pointer, length)) return errno.fault;
    const end = pointer + length;
    for (let start = pointer; start < end; start += maxRandomBytes) {
      const part = this.#memory.bytes.subarray(start, Math.min(start + maxRandomBytes, end));
      crypto.getRandomValues(part as Uint8Array<ArrayBuffer>);
    }
    return errno.success;
  }

  #clockMs(id: number): number {
    return Math.floor(id === clockRealtime ? this.#host.nowMs() : systemClock.nowMs());
  }

  #readU32(pointer: number): number {
    const { bytes } = this.#memory;
    let value = 0;
    for (let index = 3; index >= 0; index -= 1) value = value * 256 + (bytes[pointer + index] ?? 0);
    return value;
  }

  #writeU32s(...entries: [pointer: number, value: number][]): number {
    for (const [pointer] of entries) if (!this.#memory.has(pointer >>> 0, 4)) return errno.fault;
    for (const [pointer, value] of entries) this.#put(pointer >>> 0, BigInt(value), 4);
    return errno.success;
  }

  #writeU64(pointer: number, value: bigint): number {
    if (!this.#memory.has(pointer >>> 0, 8)) return errno.fault;
    this.#put(pointer >>> 0, value, 8);
    return errno.success;
  }

  #put(pointer: number, value: bigint, length: number): void {
    const { bytes } = this.#memory;
    for (let index = 0; index < length; index += 1) {
      bytes[pointer + index] = Number((value >> BigInt(index * 8)) & 0xffn);
    }
  }
}

function isClock(id: number): boolean {
  return id === clockRealtime || id === clockMonotonic;
}
