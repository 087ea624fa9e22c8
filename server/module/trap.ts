/**
 * Turns what a guest's call threw into a fault with a stable code.
 *
 * When is a trap an out of memory? A guest that cannot have more memory gets -1 from `memory.grow`,
 * which the host does not see; what it sees is what the allocator does next, and that is
 * `unreachable` in AssemblyScript, Rust and most others. Yet `unreachable` is also how they end on a failed
 * assertion. So three things must come together: the trap is `unreachable`, the memory stands at its
 * maximum, and it grew to there during the instance's life (a memory declared with its maximum as
 * initial size is always full, which proves nothing). Where one is missing it is a `trap`, whose
 * message tells how far the memory had grown. An assertion that fails in a guest which has used
 * all of its memory is still called out of memory; a large request that fails well below the maximum is called
 * a trap. Both are faults of the module and are handled alike; only the code differs.
 *
 * @module
 */

import type { RecordFailureCode } from "../errors.ts";
import { printable } from "./printable.ts";
import { carriedReason } from "./raise.ts";

/** A guest broke: the instance must not be used again. */
export class GuestFault extends Error {
  override readonly name = "GuestFault";
  /** Which kind. */
  readonly code: RecordFailureCode;
  /** The guest's own frames, innermost first, one a line. */
  readonly guestStack: string | undefined;

  constructor(code: RecordFailureCode, message: string, guestStack?: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.guestStack = guestStack;
  }
}

/** Ends a guest's run from within a host function for a reason that is not the guest's, such as cancellation. */
export class HostAbort extends Error {
  override readonly name = "HostAbort";
}

/** A guest called a host function in a way that it must not; the message tells how. */
export class HostCallError extends Error {
  override readonly name = "HostCallError";
}

/** What is known about the guest whose call threw. */
export interface FaultContext {
  /** How far clamping moved the code section, in bytes. Default 0. */
  codeSectionShiftBytes?: number;
  /** Where to cut the message and the stack, in bytes each. Default: not. */
  maxFailureTextBytes?: number;
  /** The guest's memory when it threw. Without it nothing is called out of memory. */
  memoryBytes?: number;
  /** The guest's memory when it was instantiated. Default 0. */
  initialMemoryBytes?: number;
  /** The most that its memory may have. */
  maxMemoryBytes?: number;
}

/** Stack text that is looked at; the names in it are the guest's and may be long. */
const maxStackCharacters = 16_384;

/**
 * Makes a fault of what a guest's call threw.
 *
 * @throws HostAbort, untouched, where that is what was thrown
 */
export function faultFrom(thrown: unknown, context: FaultContext = {}): GuestFault {
  const reason = carriedReason(thrown);
  if (reason instanceof HostAbort) throw reason;
  if (reason instanceof GuestFault) return reason;
  const frames = guestFrames(reason, context.codeSectionShiftBytes ?? 0);
  const code = codeOf(reason, context);
  const maxBytes = context.maxFailureTextBytes ?? Number.POSITIVE_INFINITY;
  const where = frames[0] === undefined ? "" : ` in ${frames[0]}`;
  const message = `${problemOf(reason)}${where}${memoryNote(reason, context)}`;
  const stack = frames.length === 0 ? undefined : cutText(frames.join("\n"), maxBytes);
  return new GuestFault(code, cutText(message, maxBytes), stack, { cause: thrown });
}

/** Cuts text to `maxBytes` of UTF-8, between characters. */
export function cutText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes));
  return text.slice(0, read);
}

function isUnreachable(reason: unknown): boolean {
  return reason instanceof WebAssembly.RuntimeError && reason.message === "unreachable";
}

function codeOf(reason: unknown, context: FaultContext): RecordFailureCode {
  if (reason instanceof RangeError) {
    // V8's texts. The second: no address space for a memory; the third: a memory at its maximum.
    if (/call stack/i.test(reason.message)) return "stack_overflow";
    if (/out of memory|memory size exceeded/i.test(reason.message)) return "out_of_memory";
    return "trap";
  }
  const { memoryBytes, initialMemoryBytes = 0, maxMemoryBytes } = context;
  if (memoryBytes === undefined || maxMemoryBytes === undefined || !isUnreachable(reason)) return "trap";
  return memoryBytes >= maxMemoryBytes && memoryBytes > initialMemoryBytes ? "out_of_memory" : "trap";
}

function memoryNote(
  reason: unknown,
  { memoryBytes, initialMemoryBytes = 0, maxMemoryBytes }: FaultContext,
): string {
  if (memoryBytes === undefined || memoryBytes <= initialMemoryBytes || !isUnreachable(reason)) return "";
  const maximum = maxMemoryBytes === undefined ? "" : ` of at most ${maxMemoryBytes}`;
  return `; its memory had grown to ${memoryBytes} bytes${maximum}`;
}

function problemOf(reason: unknown): string {
  if (reason instanceof WebAssembly.Exception) return "uncaught WebAssembly exception";
  if (reason instanceof HostCallError) return reason.message;
  if (reason instanceof Error) return printable(reason.message);
  return printable(String(reason));
}

/** The guest's frames in V8's stack text, as `name (function 3, byte 415)`. Frames of the host are left out. */
function guestFrames(reason: unknown, shiftBytes: number): string[] {
  const stack = reason instanceof Error || reason instanceof WebAssembly.Exception ? reason.stack : undefined;
  if (stack === undefined) return [];
  const frames: string[] = [];
  for (const line of stack.slice(0, maxStackCharacters).split("\n")) {
    const place = /wasm-function\[(\d+)\]:0x([0-9a-f]+)\)?$/.exec(line);
    if (place === null) continue;
    const name = /^ {4}at (.+) \(wasm:\/\//.exec(line)?.[1];
    const byte = Number.parseInt(place[2] ?? "", 16) - shiftBytes;
    const position = `function ${place[1]}, byte ${byte}`;
    frames.push(name === undefined ? position : `${printable(name)} (${position})`);
  }
  return frames;
}
