/**
 * Finds the records that a module cannot digest and runs the others without them.
 *
 * A fault names its record by `begin_record`; that record fails and the rest is run again in a fresh
 * instance. A fault that names none is found by halving. After `maxFaultsPerBatch` such records the rest runs
 * record by record, so the cost is bounded: at most that many runs of the whole batch (times the halvings,
 * log2 of its records) and one call for each record.
 *
 * @module
 */

import { unknownRecord, wholeStage } from "../bridge/layout.ts";
import { type GuestFault, HostAbort } from "../module/trap.ts";
import { recordTag } from "../record/batch.ts";
import { ResultView } from "../record/result.ts";
import { Cursor } from "../record/wire.ts";
import type { Exclusion, StageFailure, StageInput } from "./stage-io.ts";
import type { StageRunner } from "./stage-runner.ts";

/** Records that ran together: which, what came out, how many of each. */
interface Piece {
  readonly chosen: Uint32Array;
  readonly batch: Uint8Array;
  readonly records: number;
  /** Undefined: one each. */
  readonly fanout: Uint32Array | undefined;
}

/**
 * Runs a stage's input so that records that fault fail alone. The result is in `runner.output`.
 *
 * @param exclusions - records that failed before and must not be run
 * @param first - the fault that made this necessary, when it has just happened
 * @throws HostAbort when the batch was cancelled
 */
export function isolate(
  runner: StageRunner,
  input: StageInput,
  exclusions: readonly Exclusion[],
  first: GuestFault | undefined,
): void {
  const isolation = new Isolation(runner, input);
  isolation.exclude(exclusions);
  if (first?.code === "init_failed") isolation.failAll(first.code, first.message);
  else isolation.attempt(isolation.remaining(), first, runner.context.currentRecord);
  isolation.finish();
}

class Isolation {
  readonly #runner: StageRunner;
  readonly #input: StageInput;
  /** Where each record's tag begins, and the end. */
  readonly #starts: Uint32Array;
  readonly #failed = new Map<number, StageFailure>();
  readonly #pieces: Piece[] = [];
  readonly #view = new ResultView();
  /** Of all pieces together. */
  #bytes = 0;
  #outputs = 0;
  /** Failures that the module itself told of. */
  #told = 0;
  #poisonous = 0;
  #stepwise = false;

  constructor(runner: StageRunner, input: StageInput) {
    this.#runner = runner;
    this.#input = input;
    this.#starts = recordStarts(input.bytes, input.start, input.end, input.records);
  }

  exclude(exclusions: readonly Exclusion[]): void {
    for (const { record, code, message } of exclusions) {
      if (record === wholeStage) this.failAll(code, message);
      else if (record === unknownRecord) this.#stepwise = true;
      else if (record < this.#input.records) this.#fail(record, code, message);
    }
    this.#poisonous = this.#failed.size;
  }

  failAll(code: string, message: string): void {
    for (let index = 0; index < this.#input.records; index++) this.#fail(index, code, message);
  }

  remaining(): Uint32Array {
    const indexes: number[] = [];
    for (let index = 0; index < this.#input.records; index++)
      if (!this.#failed.has(index)) indexes.push(index);
    return Uint32Array.from(indexes);
  }

  /** Runs the chosen records until each has come out or failed. */
  attempt(chosen: Uint32Array, known: GuestFault | undefined, knownRecord: number): void {
    let fault = known;
    let record = knownRecord;
    let rest = chosen;
    while (rest.length > 0) {
      if (fault === undefined) {
        if (rest.length > 1 && this.#stepByStep) {
          this.#each(rest);
          return;
        }
        fault = this.#run(rest);
        if (fault === undefined) return;
        record = this.#runner.context.currentRecord;
      }
      if (fault.code === "init_failed") {
        this.#failRest(rest, fault);
        return;
      }
      const position = rest.indexOf(record);
      if (position < 0 && rest.length > 1) {
        this.#halve(rest);
        return;
      }
      const poison = position < 0 ? (rest[0] as number) : record;
      this.#fail(poison, fault.code, fault.message);
      this.#poisonous++;
      rest = rest.filter((index) => index !== poison);
      fault = undefined;
    }
  }

  get #stepByStep(): boolean {
    return this.#stepwise || this.#poisonous >= this.#runner.context.limits.maxFaultsPerBatch;
  }

  #halve(rest: Uint32Array): void {
    const middle = rest.length >>> 1;
    this.attempt(rest.subarray(0, middle), undefined, -1);
    this.attempt(rest.subarray(middle), undefined, -1);
  }

  #each(rest: Uint32Array): void {
    for (let position = 0; position < rest.length; position++) {
      const one = rest.subarray(position, position + 1);
      const fault = this.#run(one);
      if (fault?.code === "init_failed") {
        this.#failRest(rest.subarray(position), fault);
        return;
      }
      if (fault !== undefined) this.#fail(one[0] as number, fault.code, fault.message);
    }
  }

  #failRest(rest: Uint32Array, fault: GuestFault): void {
    for (const index of rest) this.#fail(index, fault.code, fault.message);
  }

  #run(chosen: Uint32Array): GuestFault | undefined {
    const view = this.#view;
    const runner = this.#runner;
    try {
      if (runner.context.cancelled) throw new HostAbort("cancelled");
      runner.callSome(chosen, this.#gather(chosen), view);
      this.#checkTotal(view);
    } catch (thrown) {
      return runner.fault(thrown);
    }
    runner.room -= runner.grownBy(view, chosen.length);
    const { maxFailureMessages } = runner.context.limits;
    for (const failure of view.failures) {
      const index = chosen[failure.index] as number;
      const message = this.#told++ < maxFailureMessages ? failure.message : "";
      this.#failed.set(index, { ...failure, index, message });
    }
    this.#pieces.push({
      chosen,
      batch: view.bytes.slice(view.batchStart, view.batchEnd),
      records: view.records,
      fanout: view.hasFanout ? view.fanout.slice(0, chosen.length) : undefined,
    });
    return undefined;
  }

  /**
   * The pieces together keep the bounds of one result; what no longer fits fails.
   *
   * @throws GuestFault output_too_large
   */
  #checkTotal({ batchStart, batchEnd, records }: ResultView): void {
    const bytes = this.#bytes + batchEnd - batchStart;
    const outputs = this.#outputs + records;
    this.#runner.checkBytes(bytes, " in all");
    this.#runner.checkRecords(outputs, " in all");
    this.#bytes = bytes;
    this.#outputs = outputs;
  }

  #gather(chosen: Uint32Array): Uint8Array {
    const starts = this.#starts;
    let length = 0;
    for (const index of chosen) length += (starts[index + 1] as number) - (starts[index] as number);
    const gathered = new Uint8Array(length);
    let position = 0;
    for (const index of chosen) {
      const record = this.#input.bytes.subarray(starts[index], starts[index + 1]);
      gathered.set(record, position);
      position += record.length;
    }
    return gathered;
  }

  #fail(index: number, code: string, message: string): void {
    this.#failed.set(index, { index, code, message, retryable: false });
  }

  /** Puts the pieces together in the order of the inputs. */
  finish(): void {
    const output = this.#runner.output;
    const { records } = this.#input;
    output.reserve(records);
    output.fanout.fill(0, 0, records);
    this.#pieces.sort((a, b) => (a.chosen[0] as number) - (b.chosen[0] as number));
    for (const piece of this.#pieces) {
      piece.chosen.forEach((index, position) => {
        output.fanout[index] = piece.fanout?.[position] ?? 1;
      });
    }
    const batch = new Uint8Array(this.#bytes);
    let position = 0;
    for (const piece of this.#pieces) {
      batch.set(piece.batch, position);
      position += piece.batch.length;
    }
    output.assign(batch, this.#outputs);
    for (const index of [...this.#failed.keys()].sort((a, b) => a - b)) {
      output.failed.push(this.#failed.get(index) as StageFailure);
    }
  }
}

/** Where each record's tag begins in a batch that was checked before, and where the batch ends. */
export function recordStarts(bytes: Uint8Array, start: number, end: number, records: number): Uint32Array {
  const starts = new Uint32Array(records + 1);
  const cursor = new Cursor();
  cursor.reset(bytes, start, end);
  for (let index = 0; index < records; index++) {
    starts[index] = cursor.position;
    if (cursor.tag() !== recordTag) throw new Error("a checked batch holds something other than records");
    cursor.advance(cursor.length());
  }
  starts[records] = end;
  return starts;
}

/** A copy of one record of a batch, without its tag and length. */
export function recordBody(bytes: Uint8Array, starts: Uint32Array, index: number): Uint8Array {
  const cursor = new Cursor();
  cursor.reset(bytes, starts[index] as number, starts[index + 1] as number);
  cursor.advance(1);
  const length = cursor.length();
  return Uint8Array.from(bytes.subarray(cursor.position, cursor.position + length));
}
