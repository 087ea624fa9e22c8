/**
 * Tells whether two pipelines are the same.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { clone, toBinary } from "@bufbuild/protobuf";
import { type Pipeline, PipelineSchema } from "@leat/proto";

/** `sha256:` and the hash of what a pipeline defines: not of its revision and its time, nor of fields that are not known here. */
export function digestOfPipeline(pipeline: Pipeline): string {
  const defined = clone(PipelineSchema, pipeline);
  defined.revision = 0;
  delete defined.updateTime;
  const bytes = toBinary(PipelineSchema, defined, { writeUnknownFields: false });
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
