/**
 * Runs what lies in one slot and leaves the results there.
 *
 * @module
 */

import type { MessagePort } from "node:worker_threads";
import type { SlotMemory } from "../bridge/channel.ts";
import type { FromWorker } from "../bridge/from-worker.ts";
import { ExclusionCode, ExclusionWord, Outcome, Slot, StageWord, Transfer } from "../bridge/layout.ts";
import { systemClock } from "../clock.ts";
import { type RecordFailureCode, recordFailureCodes } from "../errors.ts";
import { HostAbort } from "../module/trap.ts";
import { WireError } from "../record/wire.ts";
import type { PipelineRunner, StageProbe, StageRecords } from "../stages/pipeline-runner.ts";
import { RunApart, type RunContext } from "../stages/run-context.ts";
import { Segments } from "../stages/segments.ts";
import type { Exclusion } from "../stages/stage-io.ts";
import type { StageRunner } from "../stages/stage-runner.ts";
import type { CrashLedger } from "./crash-ledger.ts";
import type { InstanceBudget } from "./instance-budget.ts";

const exclusionCodes: readonly RecordFailureCode[] = [
  "timeout",
  "worker_lost",
  "init_failed",
  "breaker_open",
];

/** Runs slots, one after the other. */
export class SlotRunner {
  readonly #memory: SlotMemory;
  readonly #context: RunContext;
  readonly #port: Pick<MessagePort, "postMessage">;
  readonly #segments: Segments;
  readonly #probe: SlotProbe;

  constructor(
    memory: SlotMemory,
    context: RunContext,
    port: Pick<MessagePort, "postMessage">,
    budget: InstanceBudget,
    ledger: CrashLedger | undefined,
  ) {
    this.#memory = memory;
    this.#context = context;
    this.#port = port;
    this.#segments = new Segments(memory);
    this.#probe = new SlotProbe(memory, budget, ledger);
  }

  /**
   * Runs one slot. Never throws for what a guest or a client did.
   *
   * @param runner - the slot's pipeline, or undefined when this worker was not told of it
   * @param transferred - the input, when it did not fit the slot
   */
  run(slot: number, runner: PipelineRunner | undefined, transferred: Uint8Array | undefined): void {
    const { words, times } = this.#memory;
    const base = this.#memory.slot(slot);
    const at = this.#memory.timesOf(slot);
    times[at] = systemClock.nowMs();
    words[base + Slot.stagesBegun] = 0;
    words[base + Slot.reported] = 0;
    words[base + Slot.recordsIn] = 0;
    words[base + Slot.transfer] = Transfer.none;
    this.#context.begin(slot);
    try {
      if (runner === undefined) throw new Error("the worker was not told of the pipeline");
      this.#runSegments(slot, runner, transferred);
      words[base + Slot.outcome] = Outcome.result;
    } catch (thrown) {
      this.#failSlot(slot, thrown);
    }
    this.#context.selection.release();
    runner?.release();
    this.#context.end();
    times[at + 1] = systemClock.nowMs();
  }

  #runSegments(slot: number, runner: PipelineRunner, transferred: Uint8Array | undefined): void {
    const { words } = this.#memory;
    const base = this.#memory.slot(slot);
    const bytes = transferred ?? this.#memory.bytes;
    const start = transferred === undefined ? this.#memory.inputStart(slot) : 0;
    const end = start + (words[base + Slot.inputLength] as number);
    const records = this.#segments.read(slot, bytes, start);
    words[base + Slot.recordsIn] = records;
    if (records > this.#context.limits.maxBatchRecords) {
      throw new TooManyRecords(`${records} records`, records);
    }
    this.#probe.slot = slot;
    runner.run(bytes, start, end, records, this.#exclusions(slot, runner), this.#probe);
    words[base + Slot.recordsOut] = runner.composition.records;
    words[base + Slot.recordsFailed] = runner.failures.length;
    const written = this.#segments.write(runner);
    if (written.t === "transfer") {
      words[base + Slot.transfer] = Transfer.output;
      this.#post({ type: "output", slot, bytes: written.bytes }, [written.bytes.buffer]);
    }
    if (runner.samples.length > 0) {
      words[base + Slot.reported] = 1;
      this.#post({
        type: "report",
        slot,
        failures: runner.failureCounts,
        samples: runner.samples,
        matters: runner.matters,
      });
    }
  }

  #failSlot(slot: number, thrown: unknown): void {
    const { words } = this.#memory;
    const base = this.#memory.slot(slot);
    if (thrown instanceof HostAbort) {
      words[base + Slot.outcome] = Outcome.cancelled;
      return;
    }
    if (thrown instanceof RunApart) {
      words[base + Slot.outcome] = Outcome.apart;
      return;
    }
    const malformed = thrown instanceof WireError;
    words[base + Slot.outcome] =
      thrown instanceof TooManyRecords
        ? Outcome.tooManyRecords
        : malformed
          ? Outcome.malformed
          : Outcome.failed;
    words[base + Slot.recordsIn] = thrown instanceof TooManyRecords ? thrown.records : 0;
    words[base + Slot.reported] = 1;
    const problem =
      thrown instanceof Error
        ? malformed
          ? thrown.message
          : (thrown.stack ?? thrown.message)
        : String(thrown);
    this.#post({ type: "report", slot, problem, failures: [], samples: [], matters: [] });
  }

  #exclusions(slot: number, runner: PipelineRunner): Map<number, Exclusion[]> | undefined {
    const { words } = this.#memory;
    const count = words[this.#memory.slot(slot) + Slot.exclusions] as number;
    if (count === 0) return undefined;
    const byStage = new Map<number, Exclusion[]>();
    for (let index = 0; index < count; index++) {
      const entry = this.#memory.exclusion(slot, index);
      const stage = words[entry + ExclusionWord.stage] as number;
      const kind = words[entry + ExclusionWord.code] as number;
      const code = exclusionCodes[kind] ?? "worker_lost";
      const list = byStage.get(stage) ?? [];
      list.push({
        record: words[entry + ExclusionWord.record] as number,
        code,
        message: this.#explain(kind, runner, stage) + measuredText(words, entry),
      });
      byStage.set(stage, list);
    }
    return byStage;
  }

  #explain(kind: number, runner: PipelineRunner, stage: number): string {
    const spec = runner.spec.stages[stage];
    if (kind === ExclusionCode.timeout && spec !== undefined) {
      return `stopped: one record may run ${spec.recordTimeoutMs} ms, one batch ${spec.batchTimeoutMs} ms`;
    }
    if (kind === ExclusionCode.initTimeout) {
      return `stopped: starting the module may take ${this.#context.limits.maxInitMs} ms`;
    }
    if (kind === ExclusionCode.breakerOpen) return recordFailureCodes.breaker_open;
    return recordFailureCodes.worker_lost;
  }

  #post(message: FromWorker, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer);
  }
}

/** What was measured of what a limit has stopped. */
function measuredText(words: Int32Array, entry: number): string {
  const wallMs = words[entry + ExclusionWord.wallMs] as number;
  const cpuMs = words[entry + ExclusionWord.cpuMs] as number;
  if (wallMs < 0) return "";
  return cpuMs < 0 ? `; it took ${wallMs} ms` : `; it took ${wallMs} ms, and ran for ${cpuMs} of them`;
}

class TooManyRecords extends Error {
  readonly records: number;
  constructor(message: string, records: number) {
    super(message);
    this.records = records;
  }
}

/** The largest value of a word. */
const maxWord = 2 ** 31 - 1;

/** Writes what is measured of each stage into the slot. */
class SlotProbe implements StageProbe {
  slot = 0;
  readonly #memory: SlotMemory;
  readonly #budget: InstanceBudget;
  readonly #ledger: CrashLedger | undefined;
  /** The thread's processor time when it was last read, in microseconds. */
  #cpuUs = 0;

  constructor(memory: SlotMemory, budget: InstanceBudget, ledger: CrashLedger | undefined) {
    this.#memory = memory;
    this.#budget = budget;
    this.#ledger = ledger;
  }

  begin(stage: number): void {
    const { words, times } = this.#memory;
    words[this.#memory.slot(this.slot) + Slot.stagesBegun] = stage + 1;
    // A stage that does not end must not leave the figures of a batch that was in the slot before.
    const entry = this.#memory.stage(this.slot, stage);
    words.fill(0, entry, entry + StageWord.size);
    if (stage === 0) this.#usedUs();
    const at = this.#memory.timesOf(this.slot) + 2 + 2 * stage;
    const nowMs = systemClock.nowMs();
    times[at] = nowMs;
    times[at + 1] = nowMs;
  }

  call(stage: number): void {
    this.#ledger?.stage(stage);
  }

  skip(stage: number, records: number): void {
    const { words, times } = this.#memory;
    words[this.#memory.stage(this.slot, stage) + StageWord.recordsSkipped] = records;
    times[this.#memory.timesOf(this.slot) + 3 + 2 * stage] = systemClock.nowMs();
  }

  end(stage: number, records: StageRecords, runner: StageRunner): void {
    const { words, times } = this.#memory;
    const entry = this.#memory.stage(this.slot, stage);
    words[entry + StageWord.recordsIn] = records.in;
    words[entry + StageWord.recordsOut] = records.out;
    words[entry + StageWord.recordsFailed] = records.failed;
    words[entry + StageWord.recordsSkipped] = records.skipped;
    words[entry + StageWord.cpuUs] = this.#usedUs();
    times[this.#memory.timesOf(this.slot) + 3 + 2 * stage] = systemClock.nowMs();
    this.#budget.touch(runner);
  }

  /** The thread's processor time since this was last asked: what lies between two stages counts to the second. */
  #usedUs(): number {
    const { user, system } = process.threadCpuUsage();
    const beforeUs = this.#cpuUs;
    this.#cpuUs = user + system;
    return Math.min(this.#cpuUs - beforeUs, maxWord);
  }
}
