/**
 * A pipeline in this thread: the worker's side of the server without the worker.
 *
 * @module
 */

import { MessageChannel, receiveMessageOnPort } from "node:worker_threads";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type RecordBatch,
  RecordBatchSchema,
  type TransformResult,
  TransformResultSchema,
} from "@leat/proto";
import { SlotMemory } from "../../server/bridge/channel.ts";
import type { FromWorker, TransferOutput } from "../../server/bridge/from-worker.ts";
import {
  ExclusionWord,
  layoutFor,
  Outcome,
  SegmentWord,
  Slot,
  StageWord,
} from "../../server/bridge/layout.ts";
import type { PipelineSpec, StageSpec } from "../../server/bridge/pipeline-spec.ts";
import { type Limits, resolveLimits } from "../../server/limits.ts";
import { compileModule } from "../../server/module/compile.ts";
import { PipelineRunner } from "../../server/stages/pipeline-runner.ts";
import { RunContext } from "../../server/stages/run-context.ts";
import { InstanceBudget } from "../../server/thread/instance-budget.ts";
import { SlotRunner } from "../../server/thread/slot-runner.ts";
import { type ModuleSource, moduleBytes } from "./modules.ts";

/** A stage by its module, with settings that differ from the defaults. */
export type LocalStage = { readonly source: ModuleSource } & Partial<StageSpec>;

/** A record that must not be run again, as the main thread says so. */
export interface LocalExclusion {
  readonly stage: number;
  readonly record: number;
  readonly code: number;
}

/** What became of a slot. */
export interface LocalRun {
  /** `result`, `malformed` and so on. */
  readonly outcome: keyof typeof Outcome;
  /** The results of the calls that shared the slot. */
  readonly results: readonly TransformResult[];
  /** What the worker said beside the slot. */
  readonly messages: readonly FromWorker[];
  /** Instances made and faults, by stage. */
  readonly instances: readonly number[];
  readonly faults: readonly number[];
}

let lastId = 0;

/** Compiles a pipeline. */
export async function localPipeline(
  stages: readonly LocalStage[],
  overrides: Partial<Limits> = {},
): Promise<LocalPipeline> {
  const limits = resolveLimits(overrides);
  const specs = await Promise.all(
    stages.map(async ({ source, ...settings }, index): Promise<StageSpec> => {
      const compiled = await compileModule(await moduleBytes(source), limits);
      const name = `s${index + 1}`;
      const module = typeof source === "string" ? source : "module";
      const { digest } = compiled;
      return {
        name,
        module,
        version: "1",
        digest,
        identity: { stage: name, module, version: "1", digest },
        code: { t: "compiled", module: compiled.module },
        codeSectionShiftBytes: compiled.inspected.codeSectionShiftBytes,
        instanceHeapBytes: compiled.inspected.instanceHeapBytes,
        configJson: "{}",
        batchTimeoutMs: limits.maxBatchExecutionMs,
        recordTimeoutMs: limits.maxRecordExecutionMs,
        memoryBytes: limits.maxGuestMemoryBytes,
        onFailure: "fail",
        retry: { attempts: 1, initialBackoffMs: 0, maxBackoffMs: 0, factor: 1, jitter: 0, faults: false },
        breaker: undefined,
        fresh: false,
        ...settings,
      };
    }),
  );
  return new LocalPipeline({ id: ++lastId, name: "local", stages: specs, limits }, limits);
}

/** A pipeline that runs in the calling thread. */
export class LocalPipeline {
  readonly runner: PipelineRunner;
  readonly memory: SlotMemory;
  readonly #slots: SlotRunner;
  readonly #channel = new MessageChannel();

  constructor(spec: PipelineSpec, limits: Readonly<Limits>) {
    this.memory = new SlotMemory(layoutFor(limits));
    const context = new RunContext(this.memory, limits, { log: () => true, count: () => true });
    const budget = new InstanceBudget(limits);
    this.runner = new PipelineRunner(spec, context, budget.admit);
    this.#slots = new SlotRunner(this.memory, context, this.#channel.port1, budget, undefined);
    this.#channel.port1.unref();
  }

  /** Runs one batch. */
  run(batch: RecordBatch, exclusions: readonly LocalExclusion[] = []): LocalRun {
    return this.runTogether([toBinary(RecordBatchSchema, batch)], exclusions);
  }

  /** Runs encoded batches of several calls in one slot. */
  runTogether(batches: readonly Uint8Array[], exclusions: readonly LocalExclusion[] = []): LocalRun {
    const { words, bytes } = this.memory;
    const slot = 0;
    const base = this.memory.slot(slot);
    const input = Buffer.concat(batches);
    words[base + Slot.pipeline] = this.runner.spec.id;
    words[base + Slot.inputLength] = input.length;
    words[base + Slot.segments] = batches.length;
    words[base + Slot.cancelled] = 0;
    words[base + Slot.exclusions] = exclusions.length;
    exclusions.forEach(({ stage, record, code }, index) => {
      const entry = this.memory.exclusion(slot, index);
      words[entry + ExclusionWord.stage] = stage;
      words[entry + ExclusionWord.record] = record;
      words[entry + ExclusionWord.code] = code;
    });
    batches.forEach((batch, index) => {
      words[this.memory.segment(slot, index) + SegmentWord.length] = batch.length;
    });
    const fits = input.length <= this.memory.layout.inputBytes;
    if (fits) bytes.set(input, this.memory.inputStart(slot));
    this.#slots.run(slot, this.runner, fits ? undefined : Uint8Array.from(input));
    return this.#read(slot, batches.length);
  }

  #read(slot: number, segments: number): LocalRun {
    const { words } = this.memory;
    const messages: FromWorker[] = [];
    let received = receiveMessageOnPort(this.#channel.port2);
    for (; received !== undefined; received = receiveMessageOnPort(this.#channel.port2))
      messages.push(received.message as FromWorker);
    const moved = messages.find(
      (message): message is TransferOutput => typeof message === "object" && message.type === "output",
    );
    const outcomes = Object.entries(Outcome) as [keyof typeof Outcome, number][];
    const [outcome] = outcomes.find(([, word]) => word === words[this.memory.slot(slot) + Slot.outcome]) ?? [
      "failed",
    ];
    const results: TransformResult[] = [];
    for (let segment = 0; outcome === "result" && segment < segments; segment++) {
      const entry = this.memory.segment(slot, segment);
      const start = words[entry + SegmentWord.outputStart] ?? 0;
      const end = start + (words[entry + SegmentWord.outputLength] ?? 0);
      const written = moved?.bytes ?? this.memory.bytes;
      results.push(fromBinary(TransformResultSchema, Uint8Array.from(written.subarray(start, end))));
    }
    const ofStages = (word: number) =>
      this.runner.stages.map((_, stage) => words[this.memory.stage(slot, stage) + word] ?? 0);
    return {
      outcome,
      results,
      messages,
      instances: ofStages(StageWord.instancesCreated),
      faults: ofStages(StageWord.faults),
    };
  }
}
