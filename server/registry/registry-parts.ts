/**
 * What the registry's parts work with.
 *
 * @module
 */

import type { Isolation, PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { Clock } from "../clock.ts";
import type { Limits } from "../limits.ts";
import type { CompiledModuleCache } from "../module/cache.ts";
import type { ShadowParts } from "../outcome/shadow.ts";
import type { Workplaces } from "../scheduling/workplaces.ts";
import type { ModuleStore } from "../store/module-store.ts";
import type { RegistryStore } from "../store/registry-store.ts";
import type { LedgerRows } from "../supervision/ledger-rows.ts";
import type { Quarantine } from "../supervision/quarantine.ts";
import type { ModuleSignatures } from "./module-signatures.ts";
import type { Rollout } from "./rollout.ts";

/** Everything the registry works with. */
export interface RegistryParts {
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  /** Where binaries are. */
  readonly store: ModuleStore;
  /** Where it is written down what there is. */
  readonly records: RegistryStore;
  readonly cache: CompiledModuleCache;
  /** Where pipelines run. */
  readonly places: Workplaces;
  /** Where pipelines run that say nothing of it: their modules are compiled for it. */
  readonly isolation: Isolation;
  readonly quarantine: Quarantine;
  readonly signatures: ModuleSignatures;
  /** Where it is said what is being compiled; undefined where nobody supervises the process. */
  readonly ledger: LedgerRows | undefined;
  /** Told how long each compilation of a loaded module took, in microseconds. */
  readonly onCompiled: (compileUs: number) => void;
  /** Told the digest of each module that no name is bound to any more. */
  readonly onUnloaded: (digest: string) => void;
  /** How copies of batches reach the workers. */
  readonly shadows: Pick<ShadowParts, "submit" | "idle" | "random">;
  /** Told of each rollout that has ended. */
  readonly onRolloutEnded: (rollout: Rollout) => void;
  /** Told each pipeline that answers calls from now on, before the one whose place it takes is told as unused. */
  readonly onPipelineMade: (pipeline: PipelineSpec) => void;
  /** Told each pipeline that no batch uses any more. */
  readonly onPipelineUnused: (pipeline: PipelineSpec) => void;
  /** Told of each change of modules and pipelines. */
  readonly onChange: () => void;
}
