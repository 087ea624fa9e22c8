import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import type { Record, Target, TransformResult } from "@leat/proto";
import { TransformResultSchema } from "@leat/proto";

/** A call that fails as a whole. */
export interface CallFailure {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  /** Send response headers first, so that the error comes in real trailers. */
  readonly withHeaders?: boolean;
  readonly extras?: { metadata?: { [name: string]: string }; retryAfterMs?: number; field?: string };
}

interface RecordFate {
  readonly outputs: readonly Record[];
  readonly failure?: { code: string; message: string };
}

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** What each pipeline of the test server does with one record. */
const pipelines: { readonly [name: string]: (record: Record, index: number) => RecordFate } = {
  identity: (record) => ({ outputs: [record] }),
  uppercase: (record) => {
    if (record.value === undefined) return { outputs: [record] };
    return { outputs: [{ ...record, value: utf8.encode(text.decode(record.value).toUpperCase()) }] };
  },
  redact: (record) => {
    try {
      JSON.parse(text.decode(record.value));
      return { outputs: [record] };
    } catch {
      return { outputs: [], failure: { code: "invalid_json", message: "the value is no JSON" } };
    }
  },
  // One output a word; none for an empty value; a failure for "bad", after one output for "half".
  words: (record) => {
    const value = text.decode(record.value);
    const output = (word: string): Record => ({ ...record, value: utf8.encode(word) });
    if (value === "bad") return { outputs: [], failure: { code: "bad_word", message: "a bad word" } };
    if (value === "half") {
      return { outputs: [output("ha")], failure: { code: "broken_off", message: "only half was done" } };
    }
    return { outputs: value === "" ? [] : value.split(" ").map(output) };
  },
  "not-json": (record) => ({ outputs: [{ ...record, value: utf8.encode("{") }] }),
};

const failures: { readonly [name: string]: CallFailure } = {
  missing: {
    code: status.NOT_FOUND,
    reason: "PIPELINE_NOT_FOUND",
    message: "no pipeline missing",
    extras: { metadata: { pipeline: "missing" } },
  },
  "missing-after-headers": {
    code: status.NOT_FOUND,
    reason: "PIPELINE_NOT_FOUND",
    message: "no pipeline missing-after-headers",
    withHeaders: true,
  },
  busy: {
    code: status.RESOURCE_EXHAUSTED,
    reason: "QUEUE_FULL",
    message: "the server's queue is full",
    extras: { metadata: { limit: "maxAdmittedBatches" }, retryAfterMs: 250 },
  },
  invalid: {
    code: status.INVALID_ARGUMENT,
    reason: "REQUEST_INVALID",
    message: "must be given",
    extras: { field: "target" },
  },
};

/** Runs a batch; `never` for the pipeline that does not answer. */
export function runPipeline(
  target: Target | undefined,
  records: readonly Record[],
): TransformResult | CallFailure | "never" {
  const name =
    target?.target.case === "pipeline" ? target.target.value : (target?.target.value?.modules[0] ?? "");
  if (name === "never") return "never";
  const run = pipelines[name];
  if (run === undefined) {
    const message = `no pipeline ${name}`;
    return failures[name] ?? { code: status.NOT_FOUND, reason: "PIPELINE_NOT_FOUND", message };
  }
  const result = create(TransformResultSchema, { batch: { records: [] } });
  for (const [index, record] of records.entries()) {
    const { outputs, failure } = run(record, index);
    result.batch?.records.push(...outputs);
    result.fanout.push(outputs.length);
    if (failure) {
      result.failures.push({
        $typeName: "leat.v1.RecordFailure",
        index,
        ...failure,
        stage: name,
        attempts: 1,
        retryable: false,
        deadLetterId: "",
      });
    }
  }
  if (result.fanout.every((count) => count === 1)) result.fanout = [];
  return result;
}
