/**
 * Reads the TransformResult that a guest returned, and writes the one that goes to the caller.
 *
 * @module
 */

import { isUtf8 } from "node:buffer";
import { walkBatch } from "./batch.ts";
import { type Cursor, varintSize, WireError, writeVarint } from "./wire.ts";

const batchTag = (1 << 3) | 2;
const fanoutTag = (2 << 3) | 0;
const packedFanoutTag = (2 << 3) | 2;
const failuresTag = (3 << 3) | 2;

/** Where the parts of a guest's result lie, and what they say. Reused from result to result. */
export class ResultView {
  /** What the result was read from: usually a guest's memory. */
  bytes: Uint8Array = nothing;
  /** Where the encoded RecordBatch begins and ends in the bytes that were read. */
  batchStart = 0;
  batchEnd = 0;
  /** Records in that batch. */
  records = 0;
  /** Whether the guest said how many outputs each input gave. */
  hasFanout = false;
  /** Outputs of each input, valid for as many inputs as there were, when `hasFanout`. */
  fanout = new Uint32Array(1024);
  /** What the guest failed, ascending. */
  failures: GuestFailure[] = [];

  /** Makes room for so many inputs. */
  reserve(inputs: number): void {
    if (this.fanout.length < inputs) this.fanout = new Uint32Array(roomFor(inputs));
  }
}

const nothing = new Uint8Array(0);

/** How large a growing table gets for so many entries: the next power of two. */
export function roomFor(entries: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(entries, 1024)));
}

/** A failure as a guest reports it. */
export interface GuestFailure {
  index: number;
  code: string;
  message: string;
  retryable: boolean;
}

/** A result with more in it than the bounds allow. */
export class ResultTooLargeError extends Error {
  override readonly name = "ResultTooLargeError";
}

/** The bounds that a guest's result must keep. */
export interface ResultBounds {
  readonly maxResultRecords: number;
  readonly maxFailureTextBytes: number;
  /** Failures beyond so many lose their message. */
  readonly maxFailureMessages: number;
}

/**
 * Reads a guest's result for a batch of so many inputs and checks all of it: the shape of the batch,
 * that the fanout adds up, that failures name inputs in ascending order which gave no outputs.
 *
 * @throws WireError when anything is amiss, ResultTooLargeError when there is too much of it; either is the module's fault
 */
export function readResult(cursor: Cursor, inputs: number, bounds: ResultBounds, view: ResultView): void {
  view.bytes = cursor.bytes;
  view.batchStart = view.batchEnd = cursor.position;
  view.records = 0;
  view.hasFanout = false;
  // Setting the length of an empty array costs a call into V8's runtime.
  if (view.failures.length > 0) view.failures.length = 0;
  view.reserve(inputs);
  let fanouts = 0;
  let batches = 0;
  const end = cursor.end;
  while (cursor.position < end) {
    const tag = cursor.tag();
    switch (tag) {
      case batchTag:
        if (++batches > 1) throw new WireError("more than one batch");
        readBatch(cursor, bounds, view);
        break;
      case fanoutTag:
        if (fanouts === inputs) throw new WireError(`fanout of more than the ${inputs} inputs`);
        view.fanout[fanouts++] = cursor.uint32();
        break;
      case packedFanoutTag:
        fanouts = readPackedFanout(cursor, inputs, view, fanouts);
        break;
      case failuresTag:
        if (view.failures.length === inputs) throw new WireError(`more failures than the ${inputs} inputs`);
        view.failures.push(readFailure(cursor, inputs, bounds, view.failures.length));
        break;
      default:
        throw new WireError(`unknown field ${tag >>> 3} of a result`);
    }
  }
  checkAccount(view, inputs, fanouts);
}

/**
 * How many failures an answer has at most, unless it has more inputs. It leaves none out: where records that failed, and those
 * that still may, would become more, a stage may not make several of one any more.
 */
export function mostFailures({ maxResultRecords }: Pick<ResultBounds, "maxResultRecords">): number {
  return 2 * maxResultRecords;
}

/**
 * Reads a result as a pipeline gives it to the caller, and checks that it is one that a host writes: every input is accounted
 * for, there is no field beside those, and whoever decodes it can. Unlike a guest's, an input that a stage has split may have
 * outputs and failures, also several.
 *
 * @throws WireError when anything is amiss, ResultTooLargeError when there is too much of it
 */
export function readOutgoing(cursor: Cursor, inputs: number, bounds: ResultBounds, view: ResultView): void {
  view.records = 0;
  view.failures.length = 0;
  view.reserve(inputs);
  let fanouts = 0;
  let last = 0;
  let previous = 0;
  const end = cursor.end;
  while (cursor.position < end) {
    const tag = cursor.tag();
    // In the order of their numbers, and but for failures once.
    if (tag < last || (tag === last && tag !== failuresTag))
      throw new WireError(`field ${tag >>> 3} out of order`);
    last = tag;
    if (tag === batchTag) readBatch(cursor, bounds, view);
    else if (tag === packedFanoutTag) fanouts = readPackedFanout(cursor, inputs, view, fanouts);
    else if (tag === failuresTag && view.failures.length < Math.max(inputs, mostFailures(bounds))) {
      const failure = readFailure(cursor, inputs, bounds, view.failures.length, checkHostField);
      if (failure.index < previous) throw new WireError("failures out of order");
      previous = failure.index;
      view.failures.push(failure);
    } else throw new WireError(`field ${tag >>> 3} of a result`);
  }
  let outputs = 0;
  for (let index = 0; index < fanouts; index++) outputs += view.fanout[index] as number;
  if (fanouts === 0 ? view.records !== inputs : fanouts !== inputs || outputs !== view.records)
    throw new WireError(`${view.records} records for ${inputs} inputs, and a fanout of ${fanouts}`);
}

function readBatch(cursor: Cursor, bounds: ResultBounds, view: ResultView): void {
  const end = cursor.end;
  const length = cursor.length();
  view.batchStart = cursor.position;
  view.batchEnd = cursor.position + length;
  cursor.end = view.batchEnd;
  view.records = walkBatch(cursor);
  cursor.end = end;
  if (view.records > bounds.maxResultRecords) {
    throw new ResultTooLargeError(
      `${view.records} records in a result, the limit maxResultRecords is ${bounds.maxResultRecords}`,
    );
  }
}

function readPackedFanout(cursor: Cursor, inputs: number, view: ResultView, already: number): number {
  const packedEnd = cursor.length() + cursor.position;
  let fanouts = already;
  while (cursor.position < packedEnd) {
    if (fanouts === inputs) throw new WireError(`fanout of more than the ${inputs} inputs`);
    view.fanout[fanouts++] = cursor.uint32();
  }
  if (cursor.position !== packedEnd) throw new WireError("fanout beyond its length");
  return fanouts;
}

function checkAccount(view: ResultView, inputs: number, fanouts: number): void {
  view.hasFanout = fanouts > 0;
  if (!view.hasFanout) {
    if (view.failures.length > 0) throw new WireError("failures without a fanout");
    if (view.records !== inputs)
      throw new WireError(`${view.records} outputs for ${inputs} inputs, and no fanout`);
    return;
  }
  if (fanouts !== inputs) throw new WireError(`fanout of ${fanouts} for ${inputs} inputs`);
  let outputs = 0;
  for (let index = 0; index < inputs; index++) outputs += view.fanout[index] as number;
  if (outputs !== view.records)
    throw new WireError(`fanout adds up to ${outputs}, the batch has ${view.records} records`);
  let previous = -1;
  for (const { index } of view.failures) {
    if (index <= previous) throw new WireError("failures out of order");
    if (view.fanout[index] !== 0) throw new WireError(`input ${index} failed and has outputs`);
    previous = index;
  }
}

/**
 * @param before - how many failures the result had before this one
 * @param other - passes over a field that no guest has a say in. The host fills in `stage`, `attempts` and `dead_letter_id`;
 *   what a guest puts there is ignored
 */
function readFailure(
  cursor: Cursor,
  inputs: number,
  bounds: ResultBounds,
  before: number,
  other: (cursor: Cursor, tag: number) => void = skipField,
): GuestFailure {
  const messageBytes = before < bounds.maxFailureMessages ? bounds.maxFailureTextBytes : 0;
  const end = cursor.end;
  cursor.end = cursor.length() + cursor.position;
  const failure: GuestFailure = { index: 0, code: "failed", message: "", retryable: false };
  let seen = 0;
  while (!cursor.done) {
    const tag = cursor.tag();
    switch (tag) {
      case (1 << 3) | 0:
        seen = once(seen, 1);
        failure.index = cursor.uint32();
        break;
      case (2 << 3) | 2:
        seen = once(seen, 2);
        failure.code = readCode(cursor, bounds.maxFailureTextBytes);
        break;
      case (3 << 3) | 2:
        seen = once(seen, 3);
        failure.message = readText(cursor, messageBytes);
        break;
      case (6 << 3) | 0:
        seen = once(seen, 6);
        failure.retryable = cursor.uint32() !== 0;
        break;
      default:
        other(cursor, tag);
    }
  }
  cursor.end = end;
  if (failure.index >= inputs)
    throw new WireError(`a failure of input ${failure.index}, there are ${inputs}`);
  return failure;
}

/** Each text costs a string: a result could have millions for the price of one failure. */
function once(seen: number, field: number): number {
  if ((seen & (1 << field)) !== 0) throw new WireError(`field ${field} of a failure comes twice`);
  return seen | (1 << field);
}

function skipField(cursor: Cursor, tag: number): void {
  cursor.skip(tag);
}

/** Passes over what the worker's side of the host writes into a failure beside what the guest said. */
function checkHostField(cursor: Cursor, tag: number): void {
  if (tag === ((4 << 3) | 2)) readText(cursor, 0);
  else if (tag === ((5 << 3) | 0)) cursor.uint32();
  else throw new WireError(`field ${tag >>> 3} of a failure`);
}

function readCode(cursor: Cursor, maxBytes: number): string {
  const code = readText(cursor, maxBytes);
  if (!/^[a-z][a-z0-9_]{0,63}$/.test(code)) {
    throw new WireError(
      "a failure code must be 1 to 64 lower case letters, digits and _, beginning with a letter",
    );
  }
  return code;
}

const decoder = new TextDecoder();

function readText(cursor: Cursor, maxBytes: number): string {
  const length = cursor.length();
  const start = cursor.position;
  cursor.advance(length);
  // A text may be all of a result, and Node walks it 20 times as fast as we do, for a view that a failure may cost.
  if (!isUtf8(cursor.bytes.subarray(start, start + length))) throw new WireError("text that is not UTF-8");
  if (maxBytes === 0) return "";
  // Cutting may split a character; the decoder then puts U+FFFD, which is valid again.
  return decoder.decode(cursor.bytes.slice(start, start + Math.min(length, maxBytes)));
}

/** A failure as it goes to the caller. */
export interface Failure {
  /** The input's position in the batch of the call. */
  index: number;
  code: string;
  message: string;
  stage: string;
  attempts: number;
  retryable: boolean;
}

const encoder = new TextEncoder();

/** Encodes one failure as a field of TransformResult. For the path of failures only: it allocates. */
export function encodeFailure(failure: Failure): Uint8Array {
  const code = encoder.encode(failure.code);
  const message = encoder.encode(failure.message);
  const stage = encoder.encode(failure.stage);
  const bytes = new Uint8Array(64 + code.length + message.length + stage.length);
  let position = 0;
  if (failure.index !== 0) {
    bytes[position++] = (1 << 3) | 0;
    position = writeVarint(bytes, position, failure.index);
  }
  position = writeField(bytes, position, 2, code);
  position = writeField(bytes, position, 3, message);
  position = writeField(bytes, position, 4, stage);
  bytes[position++] = (5 << 3) | 0;
  position = writeVarint(bytes, position, failure.attempts);
  if (failure.retryable) {
    bytes[position++] = (6 << 3) | 0;
    bytes[position++] = 1;
  }
  const field = new Uint8Array(1 + varintSize(position) + position);
  field[0] = failuresTag;
  field.set(bytes.subarray(0, position), writeVarint(field, 1, position));
  return field;
}

function writeField(bytes: Uint8Array, position: number, field: number, content: Uint8Array): number {
  if (content.length === 0) return position;
  bytes[position] = (field << 3) | 2;
  const start = writeVarint(bytes, position + 1, content.length);
  bytes.set(content, start);
  return start + content.length;
}

/**
 * How many bytes a result takes: the batch, the fanout when there is one, the encoded failures.
 *
 * @param fanoutBytes - the packed fanout's size from {@link packedFanoutSize}, or 0 for none
 */
export function resultSize(batchBytes: number, fanoutBytes: number, failureBytes: number): number {
  const fanout = fanoutBytes === 0 ? 0 : 1 + varintSize(fanoutBytes) + fanoutBytes;
  return 1 + varintSize(batchBytes) + batchBytes + fanout + failureBytes;
}

/** How many bytes the numbers of a packed fanout take. */
export function packedFanoutSize(fanout: Uint32Array, start: number, end: number): number {
  let size = 0;
  for (let index = start; index < end; index++) size += varintSize(fanout[index] as number);
  return size;
}

/** Writes the field head of the batch; the batch's bytes follow at the position returned. */
export function writeBatchHead(target: Uint8Array, position: number, batchBytes: number): number {
  target[position] = batchTag;
  return writeVarint(target, position + 1, batchBytes);
}

/** Writes the packed fanout of the inputs `[start, end)` and returns the position behind it. */
export function writeFanout(
  target: Uint8Array,
  position: number,
  fanout: Uint32Array,
  start: number,
  end: number,
  fanoutBytes: number,
): number {
  target[position] = packedFanoutTag;
  position = writeVarint(target, position + 1, fanoutBytes);
  for (let index = start; index < end; index++)
    position = writeVarint(target, position, fanout[index] as number);
  return position;
}
