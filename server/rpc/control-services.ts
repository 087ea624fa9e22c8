/**
 * The control plane's services. Both doors serve these same implementations.
 *
 * @module
 */

import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  ActivationCause,
  type MetricsService,
  type Module,
  ModuleSchema,
  type ModuleService,
  type Quarantine as QuarantineMessage,
  QuarantineSchema,
} from "@leat/proto";
import type { ModuleEntry } from "../registry/module-catalog.ts";
import type { ModuleSignature } from "../registry/module-signatures.ts";
import type { Registry } from "../registry/registry.ts";
import type { Activation } from "../store/registry-store.ts";
import type { BookEntry } from "../supervision/quarantine-book.ts";
import type { Engine } from "./engine.ts";
import { collectUpload } from "./module-upload.ts";
import { rolloutMethods } from "./rollout-methods.ts";
import { describeSignature } from "./signature-description.ts";

/** ModuleService over the registry. */
export function moduleService({ registry, limits }: Engine): ServiceImpl<typeof ModuleService> {
  return {
    loadModule: async (request) => {
      const { entry, alreadyLoaded, signature } = await registry.load(request);
      return { module: describeModule(registry, entry, signature), alreadyLoaded };
    },
    uploadModule: async (pieces) => {
      const { entry, alreadyLoaded, signature } = await registry.load(await collectUpload(pieces, limits));
      return { module: describeModule(registry, entry, signature), alreadyLoaded };
    },
    activateModule: async ({ reference }) => {
      const { entry, previous, alreadyActive } = await registry.activate(reference);
      const module = describeModule(registry, entry);
      return { module, previousVersion: previous?.version ?? "", alreadyActive };
    },
    rollbackModule: async ({ name, expectedVersion }) => {
      const { entry, previous } = await registry.rollback(name, expectedVersion);
      return { module: describeModule(registry, entry), previousVersion: previous?.version ?? "" };
    },
    getModuleHistory: ({ name }) => ({
      activations: registry.historyOf(name).map(describeActivation).reverse(),
    }),
    listModules: ({ name }) => ({
      modules: registry.modules
        .list(name === "" ? undefined : name)
        .map((entry) => ({ ...describeModule(registry, entry), configSchemaJson: "" })),
      quarantined:
        name === ""
          ? registry
              .quarantined()
              .filter(({ entry }) => entry === undefined)
              .map(({ held }) => describeQuarantine(held))
          : [],
    }),
    getModule: ({ reference }) => ({ module: describeModule(registry, registry.modules.resolve(reference)) }),
    unloadModule: async ({ reference }) => {
      const module = describeModule(registry, registry.modules.resolveExactly(reference));
      await registry.unload(reference);
      return { module };
    },
    ...rolloutMethods(registry),
    releaseModule: ({ reference }) => registry.release(reference),
  };
}

/** MetricsService over the engine's figures. */
export function metricsService(engine: Engine): ServiceImpl<typeof MetricsService> {
  return {
    metrics: ({ pipeline }) => ({ snapshot: engine.snapshot(pipeline) }),
    async *watchMetrics({ pipeline, intervalMs }, { signal }) {
      for await (const snapshot of engine.metricsWatches.follow(pipeline, intervalMs, signal))
        yield { snapshot };
    },
  };
}

const causes: Readonly<Record<Activation["cause"], ActivationCause>> = {
  load: ActivationCause.LOAD,
  activate: ActivationCause.ACTIVATE,
  rollback: ActivationCause.ROLLBACK,
  promote: ActivationCause.PROMOTE,
  unload: ActivationCause.UNLOAD,
};

function describeActivation({ version, digest, timeMs, cause }: Activation) {
  return { version, digest, time: timestampOf(timeMs), cause: causes[cause] };
}

function describeQuarantine({ digest, sinceMs, heldUntilMs, why, strikes }: BookEntry): QuarantineMessage {
  const message = create(QuarantineSchema, { digest, why, strikes, sinceTime: timestampOf(sinceMs) });
  if (heldUntilMs !== "released") message.untilTime = timestampOf(heldUntilMs);
  return message;
}

function timestampOf(ms: number): Timestamp {
  return timestampFromMs(Math.floor(ms));
}

function describeModule(
  registry: Registry,
  entry: ModuleEntry,
  signature: ModuleSignature | undefined = registry.signatures.of(entry),
): Module {
  const held = registry.heldEntry(entry);
  const { name, version, digest, imports, exports } = entry;
  return create(ModuleSchema, {
    name,
    version,
    digest,
    sizeBytes: BigInt(entry.sizeBytes),
    loadTime: timestampFromMs(Math.floor(entry.loadTimeMs)),
    compileUs: BigInt(entry.compileUs),
    abi: entry.abi,
    imports: [...imports],
    exports: [...exports],
    active: registry.modules.isActive(entry),
    usedBy: registry.usersOf(entry),
    problem: registry.modules.problemOf(digest) ?? "",
    configSchemaJson: entry.configSchema ?? "",
    ...(signature && {
      signature: describeSignature(entry, signature, registry.signatures.isRefused(entry)),
    }),
    ...(held === undefined ? {} : { quarantine: describeQuarantine(held) }),
  });
}
