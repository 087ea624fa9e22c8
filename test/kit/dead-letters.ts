/**
 * Dead letters as tests write them.
 *
 * @module
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "@leat/proto";
import type { DeadLetterDraft } from "../../server/store/dead-letter-store.ts";

/** An encoded record with this value. */
export function recordOf(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return toBinary(RecordSchema, create(RecordSchema, { value: bytes }));
}

/** A letter in which only the id matters, but for what is given. */
export function draft(id: string, fields: Partial<DeadLetterDraft> = {}): DeadLetterDraft {
  return {
    id,
    timeMs: 1_700_000_000_000,
    pipeline: "orders",
    stage: "redact",
    module: "json-redact",
    version: "1.0.0",
    digest: `sha256:${"0".repeat(64)}`,
    code: "trap",
    message: "unreachable",
    attempts: 1,
    traceId: "",
    streamId: "",
    sequence: 0,
    index: 0,
    record: recordOf(`record ${id}`),
    stageInput: undefined,
    ...fields,
  };
}
