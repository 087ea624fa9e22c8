/**
 * Takes up what an earlier server has kept.
 *
 * @module
 */

import { fromBinary } from "@bufbuild/protobuf";
import { type Pipeline, PipelineSchema } from "@leat/proto";
import type { StoredModule, StoredSignature } from "../store/registry-store.ts";
import type { ModuleCatalog } from "./module-catalog.ts";
import { digestOfPipeline } from "./pipeline-digest.ts";
import type { PipelineTable } from "./pipeline-table.ts";
import type { RegistryParts } from "./registry-parts.ts";

/** What was taken up. */
export interface Restored {
  readonly modules: number;
  readonly pipelines: number;
  /** What came with the modules of their signatures. */
  readonly signatures: readonly StoredSignature[];
  /** What is wrong, each in a line that names the module or the pipeline. */
  readonly problems: readonly string[];
}

/** Fills the empty catalog and table. @throws LeatError STORE_UNAVAILABLE */
export async function restore(
  { records, store }: Pick<RegistryParts, "records" | "store">,
  modules: ModuleCatalog,
  pipelines: PipelineTable,
): Promise<Restored> {
  const stored = await records.read();
  const sizes = await store.sizes();
  const problems: string[] = [];
  for (const bound of stored.unloaded) modules.remember(bound);
  for (const entry of stored.modules) {
    modules.add(entry);
    const problem = fileProblem(entry, sizes.get(entry.digest));
    if (problem === undefined) continue;
    modules.setProblem(entry.digest, problem);
    problems.push(`module ${entry.name}@${entry.version} (${entry.digest}): ${problem}`);
  }
  for (const activation of stored.activations) modules.activate(activation);
  for (const { name, definition, principal, digest, newest } of stored.pipelines) {
    const read = readDefinition(definition);
    if (typeof read === "string") problems.push(`pipeline ${name}: ${read}`);
    else
      pipelines.putRevision(read, undefined, { principal, newest, digest: digest || digestOfPipeline(read) });
  }
  const { signatures } = stored;
  return { modules: stored.modules.length, pipelines: pipelines.list().length, signatures, problems };
}

function fileProblem({ sizeBytes }: StoredModule, found: number | undefined): string | undefined {
  if (found === undefined) return "its file is missing";
  return found === sizeBytes ? undefined : `its file has ${found} bytes in place of ${sizeBytes}`;
}

/** A definition as it was kept, or why it cannot be read. */
export function readDefinition(definition: Uint8Array): Pipeline | string {
  try {
    return fromBinary(PipelineSchema, definition);
  } catch (error) {
    return `its definition cannot be read: ${(error as Error).message}`;
  }
}
