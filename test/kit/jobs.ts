/**
 * Batches and pipelines without modules, for tests of the parts between the doors and the workers.
 *
 * @module
 */

import type { PipelineSpec, StageSpec } from "../../server/bridge/pipeline-spec.ts";
import type { LeatError } from "../../server/errors.ts";
import type { BatchLimits } from "../../server/limit-changes.ts";
import { defaultLimits } from "../../server/limits.ts";
import { BatchJob, type BatchResult } from "../../server/pool/batch-job.ts";
import { ServingPipeline } from "../../server/pool/serving-pipeline.ts";

/** `(module)` */
const emptyModule = new WebAssembly.Module(Uint8Array.from([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]));

let lastId = 1_000_000;

/** A stage that never runs. */
export function idleStage(settings: Partial<StageSpec> = {}): StageSpec {
  return {
    name: "s1",
    module: "m",
    version: "1",
    digest: "sha256:00",
    identity: { stage: "s1", module: "m", version: "1", digest: "sha256:00" },
    code: { t: "compiled", module: emptyModule },
    codeSectionShiftBytes: 0,
    instanceHeapBytes: 0,
    configJson: "{}",
    batchTimeoutMs: 5_000,
    recordTimeoutMs: 1_000,
    memoryBytes: 65_536,
    onFailure: "fail",
    retry: { attempts: 1, initialBackoffMs: 0, maxBackoffMs: 0, factor: 1, jitter: 0, faults: false },
    breaker: undefined,
    fresh: false,
    ...settings,
  };
}

/** A pipeline that never runs. */
export function idlePipeline(
  stages: readonly StageSpec[] = [idleStage()],
  onUnused: (pipeline: ServingPipeline) => void = () => {},
  limits: BatchLimits = defaultLimits,
): ServingPipeline {
  const spec: PipelineSpec = { id: ++lastId, name: `p${lastId}`, stages, limits };
  return new ServingPipeline(spec, onUnused);
}

/** A batch of so many bytes, and what it was answered with. */
export function jobOf(
  pipeline: ServingPipeline,
  settings: {
    bytes?: number;
    mergeable?: boolean;
    settled?: (outcome: BatchResult | LeatError) => void;
  } = {},
): BatchJob {
  const { bytes = 10, mergeable = false, settled = () => {} } = settings;
  return new BatchJob(
    { settled: (_, outcome) => settled(outcome) },
    pipeline,
    { bytes: Buffer.alloc(bytes), start: 0, end: bytes, mergeable, sequence: 0, streamId: "" },
    0,
  );
}
