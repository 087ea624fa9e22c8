/**
 * One stage of one pipeline in one worker: its instance and its calls.
 *
 * @module
 */

import { Phase, StageWord } from "../bridge/layout.ts";
import type { StageSpec } from "../bridge/pipeline-spec.ts";
import { type GuestHost, GuestInstance } from "../module/instance.ts";
import { faultFrom, GuestFault, HostAbort } from "../module/trap.ts";
import { copyBytes } from "../record/copy.ts";
import { ResultTooLargeError, type ResultView, readResult } from "../record/result.ts";
import { Cursor, WireError } from "../record/wire.ts";
import { Condition } from "./condition.ts";
import { isolate } from "./isolate.ts";
import { RunApart, type RunContext } from "./run-context.ts";
import { type Exclusion, type StageFailure, type StageInput, StageOutput } from "./stage-io.ts";

const nothing = new Uint8Array(0);

/** Runs one stage. Its instance lives on from batch to batch unless the policy, a fault or the memory mark ends it. */
export class StageRunner {
  readonly spec: StageSpec;
  readonly index: number;
  readonly context: RunContext;
  readonly output = new StageOutput();
  /** The last fault in the current batch. */
  lastFault: GuestFault | undefined;
  /** Which records it runs; undefined for all. */
  readonly condition: Condition | undefined;
  /** Records that pass it by in the current batch, and their bytes: together with its output they keep the bounds of a result. */
  besideRecords = 0;
  besideBytes = 0;
  /** By how many the records of the batch may become more: any of them may fail later, and an answer has a bounded number of failures. */
  room = 0;
  /** When the instance was last used, as a count of uses in this worker. */
  lastUse = 0;
  /** Memory of instances that were dropped since somebody asked, in bytes: V8 has it until it collects. */
  givenUpBytes = 0;
  readonly #host: GuestHost;
  readonly #cursor = new Cursor();
  readonly #onCreate: (runner: StageRunner) => void;
  #instance: GuestInstance | undefined;
  #initialBytes = 0;
  /** How often the instance gave way to others since the last batch. */
  #evicted = 0;
  /** Records in the current call. */
  #records = 0;
  /** Maps the index that the guest sees to the one in the stage's input, while only some records are run. */
  #indexes: Uint32Array | undefined;

  /**
   * @param onCreate - is told before an instance is made, so that another can give way
   */
  constructor(
    spec: StageSpec,
    index: number,
    pipeline: number,
    context: RunContext,
    onCreate: (runner: StageRunner) => void,
  ) {
    this.spec = spec;
    this.index = index;
    this.context = context;
    this.condition = spec.when && new Condition(spec.when);
    this.#onCreate = onCreate;
    this.#host = {
      beginRecord: (record) => {
        this.#named(record);
        if (context.cancelled) throw new HostAbort("cancelled");
      },
      log: (level, text) => {
        const passed = context.sink.log(pipeline, index, level, text);
        context.count(index, passed ? StageWord.logLines : StageWord.logLinesDropped);
      },
      nowMs: () => Date.now(),
      counterAdd: (name, delta) => {
        const named = context.sink.count(pipeline, index, name, delta);
        context.count(index, StageWord.counterUpdates);
        if (!named) context.count(index, StageWord.counterUpdatesUnnamed);
      },
    };
  }

  /** The guest says which record it works on. A lone record needs no naming, and a lie about it changes nothing. */
  #named(record: number): void {
    const indexes = this.#indexes;
    if (indexes === undefined) this.context.record(record < this.#records ? record : -1);
    else if (indexes.length > 1) this.context.record(indexes[record] ?? -1);
  }

  /** Whether an instance is alive. */
  get live(): boolean {
    return this.#instance !== undefined;
  }

  /** The memory of the instance, in bytes; 0 while none is alive. */
  get memoryBytes(): number {
    return this.#instance?.memoryBytes() ?? 0;
  }

  /**
   * Runs the stage over a batch. What comes out is in `output`; records that fail are in `output.failed`.
   *
   * @param exclusions - records that must not be run again
   * @throws HostAbort when the batch was cancelled
   */
  run(input: StageInput, exclusions: readonly Exclusion[] | undefined): void {
    if (this.#evicted > 0) {
      this.context.count(this.index, StageWord.discardedEvicted, this.#evicted);
      this.#evicted = 0;
    }
    if (this.spec.fresh) this.#discardFor(StageWord.discardedFresh);
    if (exclusions === undefined) {
      try {
        this.#runWhole(input);
        return;
      } catch (thrown) {
        isolate(this, input, [], this.fault(thrown));
        return;
      }
    }
    isolate(this, input, exclusions, undefined);
  }

  #runWhole(input: StageInput): void {
    const output = this.output;
    this.call(input.bytes, input.start, input.end, input.records, output);
    for (let index = 0; index < output.failures.length; index++) {
      output.failed.push(output.failures[index] as StageFailure);
    }
  }

  /**
   * Calls the guest once with encoded records that lie end to end.
   *
   * @throws GuestFault, HostAbort or WireError as they come; hand them to {@link fault}
   */
  call(bytes: Uint8Array, start: number, end: number, records: number, view: ResultView): void {
    const instance = this.#instance ?? this.#create();
    const length = end - start;
    this.#records = records;
    this.context.enter(this.index, Phase.execute);
    // A lone record is named by the host, so that a fault is its fault even in a module that names none.
    if (this.#indexes?.length === 1) this.context.record(this.#indexes[0] as number);
    const pointer = instance.alloc(length);
    copyBytes(bytes, start, end, instance.bytes, pointer);
    instance.transform(pointer, length);
    // Reading takes as long as the guest makes it: in the call's time, and of no single record's but a lone one's.
    if (records > 1) this.context.record(-1);
    this.#readOutput(instance, records, view);
    this.#checkMemory(instance);
    this.context.leave();
  }

  /**
   * Calls the guest with some records of a batch.
   *
   * @param chosen - indexes in the stage's input, ascending
   * @param gather - those records, encoded end to end
   */
  callSome(chosen: Uint32Array, gather: Uint8Array, view: ResultView): void {
    this.#indexes = chosen;
    try {
      this.call(gather, 0, gather.length, chosen.length, view);
    } finally {
      this.#indexes = undefined;
    }
  }

  /**
   * Turns what a call threw into a fault, discards the instance, and passes cancellation on.
   *
   * @throws HostAbort when the batch was cancelled, RunApart when merged calls have too large a result
   */
  fault(thrown: unknown): GuestFault {
    this.context.leave();
    this.#discardFor(StageWord.discardedFault);
    if (thrown instanceof HostAbort) throw thrown;
    const fault = this.#explain(thrown);
    if (fault.code === "output_too_large" && this.context.merged) throw new RunApart(fault.message);
    this.context.count(this.index, StageWord.faults);
    this.lastFault = fault;
    // What is wrong with a result shows when the guest has returned: the record that it named last need not be the cause.
    if (isOutputFault(this.lastFault)) this.context.record(-1);
    return this.lastFault;
  }

  #explain(thrown: unknown): GuestFault {
    if (thrown instanceof WireError) {
      return new GuestFault("malformed_output", `the module returned a malformed result: ${thrown.message}`);
    }
    if (thrown instanceof ResultTooLargeError) return new GuestFault("output_too_large", thrown.message);
    return faultFrom(thrown, { maxFailureTextBytes: this.context.limits.maxFailureTextBytes });
  }

  /** Drops the instance; the next call makes a new one. Not while the stage runs. */
  discard(): void {
    if (this.#instance === undefined) return;
    this.givenUpBytes += this.#instance.memoryBytes();
    this.#instance = undefined;
    this.context.instances(-1);
  }

  /** Drops the instance to make room for another's. */
  evict(): void {
    if (this.#instance === undefined) return;
    this.discard();
    this.release();
    this.#evicted++;
  }

  /** What came out was used: lets go of all that the batch has left behind. A fault refers to the instance that broke. */
  release(): void {
    this.output.release();
    this.#cursor.reset(nothing, 0, 0);
    this.lastFault = undefined;
  }

  /** Drops the instance in the middle of a batch, and counts why. */
  #discardFor(why: (typeof StageWord)["discardedFault" | "discardedFresh" | "discardedMemory"]): void {
    if (this.#instance === undefined) return;
    this.context.memoryBytes(this.index, this.#instance.memoryBytes());
    this.context.count(this.index, why);
    this.discard();
  }

  #create(): GuestInstance {
    this.#onCreate(this);
    this.context.enter(this.index, Phase.init);
    this.context.count(this.index, StageWord.instancesCreated);
    const { limits } = this.context;
    const instance = GuestInstance.create(compiledOf(this.spec), this.spec.configJson, this.#host, {
      ...limits,
      maxGuestMemoryBytes: this.spec.memoryBytes,
      codeSectionShiftBytes: this.spec.codeSectionShiftBytes,
    });
    this.#instance = instance;
    this.#initialBytes = instance.memoryBytes();
    this.context.instances(1);
    return instance;
  }

  #readOutput(instance: GuestInstance, records: number, view: ResultView): void {
    const { limits } = this.context;
    this.checkBytes(instance.outputLength);
    const cursor = this.#cursor;
    cursor.reset(instance.bytes, instance.outputOffset, instance.outputOffset + instance.outputLength);
    readResult(cursor, records, limits, view);
    this.checkRecords(view.records);
    this.#checkGrowth(this.grownBy(view, records));
  }

  /** By how many a result makes the records of the batch more, with the failures that are reported. */
  grownBy({ records, failures }: ResultView, inputs: number): number {
    return records + (this.spec.onFailure === "drop" ? 0 : failures.length) - inputs;
  }

  #checkGrowth(grown: number): void {
    if (grown <= 0 || grown <= this.room) return;
    const { maxResultRecords } = this.context.limits;
    const problem =
      `the module made ${grown} records more of the batch, which has room for ${Math.max(0, this.room)}: ` +
      `records and failures may be twice maxResultRecords together, which is ${maxResultRecords}`;
    throw new GuestFault("output_too_large", problem);
  }

  /** @throws GuestFault output_too_large when what the module returned, and what passes it by, are too many bytes together */
  checkBytes(returned: number, inAll = ""): void {
    const { maxResultBytes } = this.context.limits;
    const measured = returned + this.besideBytes;
    if (measured <= maxResultBytes) return;
    const beside = this.besideBytes === 0 ? "" : ` (${this.besideBytes} of records that pass the stage by)`;
    const problem = `the module returned ${measured} bytes${inAll}${beside}, the limit maxResultBytes is ${maxResultBytes}`;
    throw new GuestFault("output_too_large", problem);
  }

  /** As {@link checkBytes}, for records. */
  checkRecords(returned: number, inAll = ""): void {
    const { maxResultRecords } = this.context.limits;
    const measured = returned + this.besideRecords;
    if (measured <= maxResultRecords) return;
    const beside = this.besideRecords === 0 ? "" : ` (${this.besideRecords} of them pass the stage by)`;
    const problem = `the module returned ${measured} records${inAll}${beside}, the limit maxResultRecords is ${maxResultRecords}`;
    throw new GuestFault("output_too_large", problem);
  }

  /** An instance that has grown a lot gives its memory back: WebAssembly memories cannot shrink. */
  #checkMemory(instance: GuestInstance): void {
    const bytes = instance.memoryBytes();
    this.context.memoryBytes(this.index, bytes);
    if (bytes <= this.spec.memoryBytes / 2 || bytes <= this.#initialBytes * 2) return;
    // The output refers to the memory, which lives as long as `output.bytes` does.
    this.#discardFor(StageWord.discardedMemory);
  }
}

function isOutputFault({ code }: GuestFault): boolean {
  return code === "malformed_output" || code === "output_too_large";
}

function compiledOf({ name, code }: StageSpec): WebAssembly.Module {
  if (code.t !== "compiled") throw new Error(`the module of stage ${name} is not compiled`);
  return code.module;
}
