/**
 * PipelineService over the registry.
 *
 * @module
 */

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { PipelineService } from "@leat/proto";
import { leatError } from "../errors.ts";
import { principalOf } from "./call-principal.ts";
import type { Engine } from "./engine.ts";

/** Stores, shows, rolls back and deletes pipelines. */
export function pipelineService({ registry }: Engine): ServiceImpl<typeof PipelineService> {
  const { pipelines, revisions } = registry;
  return {
    putPipeline: async ({ pipeline, expectedRevision, validateOnly }, context) => {
      if (pipeline === undefined)
        throw leatError("REQUEST_INVALID", { field: "pipeline", problem: "is not set" });
      const principal = nameOfCaller(context);
      const put = await revisions.put(pipeline, { principal, expectedRevision, validateOnly });
      return { pipeline: put.definition, unchanged: put.unchanged };
    },
    getPipeline: async ({ name, revision }) => {
      const { definition } = pipelines.get(name);
      const serves = revision === 0 || revision === definition.revision;
      return { pipeline: serves ? definition : await revisions.read(name, revision) };
    },
    listPipelines: () => ({ pipelines: pipelines.list().map(({ definition }) => definition) }),
    listPipelineRevisions: async ({ name }) => {
      const kept = await revisions.list(name);
      const serving = pipelines.get(name).definition.revision;
      return {
        revisions: kept.toReversed().map(({ revision, timeMs, principal, digest, previous }) => ({
          revision,
          createTime: timestampFromMs(timeMs),
          principal,
          digest,
          previousRevision: previous,
          serving: revision === serving,
        })),
      };
    },
    rollbackPipeline: async ({ name, revision, expectedRevision, validateOnly }) => {
      const rolled = await revisions.rollback(name, { revision, expectedRevision, validateOnly });
      const { definition, previousRevision, alreadyServing } = rolled;
      return { pipeline: definition, previousRevision, alreadyServing };
    },
    deletePipeline: async ({ name }) => {
      await revisions.delete(name);
      return {};
    },
  };
}

/** Who makes a call, where the server asks who it is. */
function nameOfCaller(context: Pick<HandlerContext, "values">): string {
  const { by, name } = principalOf(context);
  return by === "nothing" ? "" : name;
}
