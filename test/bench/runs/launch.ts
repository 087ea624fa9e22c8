/**
 * Starts the processes of the bench.
 *
 * @module
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { Isolation, LoadModuleRequestSchema, PutPipelineRequestSchema } from "@leat/proto";
import { nodeFlags } from "@leat/server";
import { Child } from "../child.ts";
import type { LoadHandlers } from "../load/load.ts";
import { RawClient } from "../load/raw-client.ts";
import type { GuestHandlers } from "../subjects/guest.ts";
import type { SubjectHandlers } from "../subjects/subject.ts";

/** Node's flags for all servers under measurement and the load: those that `leat serve` gives its own. */
export { nodeFlags };

/** The servers that can be measured. */
export type SubjectName = "echo" | "echo-plain" | "leat" | "connect" | "extism";

/** Starts one server under measurement. */
export function startSubject(
  name: SubjectName,
  options: { extraFlags?: readonly string[]; args?: readonly string[] } = {},
): Promise<Child<SubjectHandlers>> {
  return Child.start<SubjectHandlers>(new URL(`../subjects/${name}.ts`, import.meta.url), {
    name,
    nodeFlags: [...nodeFlags, ...(options.extraFlags ?? [])],
    args: options.args ?? [],
  });
}

/** Starts the process that calls modules in a plain loop. */
export function startGuest(): Promise<Child<GuestHandlers>> {
  return Child.start<GuestHandlers>(new URL("../subjects/guest.ts", import.meta.url), {
    name: "guest",
    nodeFlags,
  });
}

/** Starts the process that makes load. */
export function startLoadProcess(): Promise<Child<LoadHandlers>> {
  return Child.start<LoadHandlers>(new URL("../load/entry.ts", import.meta.url), { name: "load", nodeFlags });
}

/** One stage of a pipeline that {@link setUpLeat} stores. */
export interface StageSetUp {
  module: string;
  batchTimeoutMs?: number;
  recordTimeoutMs?: number;
  isolation?: Isolation;
}

/** What a Leat server is to hold. */
export interface LeatSetUp {
  modules: Record<string, Uint8Array>;
  pipelines: Record<string, StageSetUp[]>;
}

/** Loads modules and stores pipelines, over the public RPCs. */
export async function setUpLeat(address: string, setUp: LeatSetUp): Promise<void> {
  using client = new RawClient(address);
  for (const [name, wasm] of Object.entries(setUp.modules)) {
    const request = create(LoadModuleRequestSchema, { name, version: "1", wasm });
    await client.call(
      Buffer.from(toBinary(LoadModuleRequestSchema, request)),
      "/leat.v1.ModuleService/LoadModule",
    );
  }
  for (const [name, stages] of Object.entries(setUp.pipelines)) {
    const request = create(PutPipelineRequestSchema, {
      pipeline: {
        name,
        stages: stages.map(({ module, isolation = Isolation.UNSPECIFIED, ...limits }, index) => ({
          name: `stage-${index}`,
          module,
          isolation,
          limits,
        })),
      },
    });
    await client.call(
      Buffer.from(toBinary(PutPipelineRequestSchema, request)),
      "/leat.v1.PipelineService/PutPipeline",
    );
  }
}
