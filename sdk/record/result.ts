import { fromBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { TransformResult } from "@leat/proto";
import { TransformResultSchema } from "@leat/proto";
import { LeatCallError } from "../errors.ts";
import type { RecordMapper } from "./codec.ts";
import type { FailureInfo, ParsedResult } from "./reader.ts";
import { parseResult } from "./reader.ts";
import type { OutputRecord } from "./record.ts";

/**
 * What became of one input: it gave outputs, was dropped, or failed.
 *
 * @example
 * import { json, Leat } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const { outcomes } = await leat.transform("uppercase", ["a"], { codec: json<string>() });
 * for (const outcome of outcomes) {
 *   switch (outcome.status) {
 *     case "ok":
 *       console.log(outcome.outputs);
 *       break;
 *     case "dropped":
 *       console.log("dropped");
 *       break;
 *     case "failed":
 *       console.log(outcome.failure.code, outcome.failure.message);
 *   }
 * }
 */
export type Outcome<Out> =
  | {
      /** The input gave one output or more. */
      readonly status: "ok";
      /** The decoded outputs, in order. */
      readonly outputs: readonly Out[];
      /** The same outputs as records. */
      readonly records: readonly OutputRecord[];
    }
  | {
      /** A stage dropped the input. */
      readonly status: "dropped";
    }
  | {
      /** The input failed. */
      readonly status: "failed";
      /** Why. */
      readonly failure: FailureInfo;
      /** What the input gave before it failed: mostly nothing. */
      readonly outputs: readonly Out[];
    };

/** How a batch ended: with an encoded result, or with an error that took all of it. */
export type BatchAnswer =
  | { readonly t: "result"; readonly bytes: Uint8Array }
  | { readonly t: "error"; readonly error: LeatCallError };

interface Decoded<Out> {
  readonly outcomes: readonly Outcome<Out>[];
  readonly outputs: readonly Out[];
  readonly failures: readonly FailureInfo[];
}

const dropped = Object.freeze({ status: "dropped" });
const noBytes = new Uint8Array(0);

/**
 * What became of one batch. Nothing is decoded before a property asks for it, so that whoever only
 * passes `bytes` on pays for no decoding.
 *
 * @example
 * import { Leat, text } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const result = await leat.transform("uppercase", ["a", "b"], { codec: text() });
 * console.log(result.outputs, result.failures.length, result.bytes.length);
 */
export class BatchResult<In, Out> {
  /** The batch's place in its stream, from 1; 0 for a unary call. */
  readonly sequence: number;
  /** What went in, in order; empty for a batch that was given encoded. */
  readonly inputs: readonly In[];
  /** How many records went in. */
  readonly inputCount: number;
  /** Why the batch as a whole could not be run; undefined when it was. */
  readonly error: LeatCallError | undefined;
  /** The encoded `leat.v1.TransformResult`; empty when the batch has an `error`. */
  readonly bytes: Uint8Array;
  readonly #mapper: RecordMapper<never, Out>;
  #parsed: ParsedResult | undefined;
  #decoded: Decoded<Out> | undefined;

  /** @internal */
  constructor(
    sequence: number,
    inputs: readonly In[],
    inputCount: number,
    answer: BatchAnswer,
    mapper: RecordMapper<never, Out>,
  ) {
    this.sequence = sequence;
    this.inputs = inputs;
    this.inputCount = inputCount;
    this.error = answer.t === "error" ? answer.error : undefined;
    this.bytes = answer.t === "result" ? answer.bytes : noBytes;
    this.#mapper = mapper;
  }

  /**
   * The decoded outputs of all inputs, in order.
   *
   * @throws LeatCallError when the batch has an `error`, so that no batch is lost unseen
   */
  get outputs(): readonly Out[] {
    if (this.error) throw this.error;
    return this.#decode().outputs;
  }

  /** What became of each input, in order. In a batch with an `error` all inputs failed. */
  get outcomes(): readonly Outcome<Out>[] {
    return this.#decode().outcomes;
  }

  /** The inputs that failed, in ascending order; also those whose outputs the codec could not decode. */
  get failures(): readonly FailureInfo[] {
    return this.#decode().failures;
  }

  /**
   * The outputs as records, without any codec.
   *
   * @throws LeatCallError when the batch has an `error`
   */
  get records(): readonly OutputRecord[] {
    if (this.error) throw this.error;
    return this.#parse().records;
  }

  /**
   * How many records each input gave; undefined means one each.
   *
   * @throws LeatCallError when the batch has an `error`
   */
  get fanout(): readonly number[] | undefined {
    if (this.error) throw this.error;
    return this.#parse().fanout;
  }

  /**
   * The result as the generated message, decoded anew each time.
   *
   * @throws LeatCallError when the batch has an `error`
   */
  message(): TransformResult {
    if (this.error) throw this.error;
    return fromBinary(TransformResultSchema, this.bytes);
  }

  #parse(): ParsedResult {
    this.#parsed ??= parseChecked(this.bytes, this.inputCount);
    return this.#parsed;
  }

  #decode(): Decoded<Out> {
    this.#decoded ??= this.error
      ? failedAsWhole(this.error, this.inputCount)
      : decode(this.#parse(), this.inputCount, this.#mapper);
    return this.#decoded;
  }
}

function malformed(problem: string, cause?: unknown): LeatCallError {
  const message = `the server sent a malformed result: ${problem}`;
  return new LeatCallError(message, { code: Code.Internal, ...(cause !== undefined && { cause }) });
}

function parseChecked(bytes: Uint8Array, inputCount: number): ParsedResult {
  let parsed: ParsedResult;
  try {
    parsed = parseResult(bytes);
  } catch (error) {
    throw malformed(error instanceof Error ? error.message : String(error), error);
  }
  const { fanout, records } = parsed;
  const inputs = fanout?.length ?? records.length;
  if (inputs !== inputCount) throw malformed(`it accounts for ${inputs} of ${inputCount} inputs`);
  const outputs = fanout?.reduce((sum, count) => sum + count, 0) ?? records.length;
  if (outputs !== records.length) {
    throw malformed(`it holds ${records.length} records and accounts for ${outputs}`);
  }
  return parsed;
}

/** `QUEUE_FULL` and `ResourceExhausted` in the words of record failures: `queue_full`, `resource_exhausted`. */
function snakeCase(name: string): string {
  return name.replace(/(?<=[a-z])[A-Z]/g, "_$&").toLowerCase();
}

/** What a batch's error means for each of its inputs. */
function failedAsWhole<Out>(error: LeatCallError, inputCount: number): Decoded<Out> {
  const failures = Array.from({ length: inputCount }, (_, index) => ({
    index,
    code: snakeCase(error.reason || Code[error.code]),
    message: error.message,
    stage: "",
    attempts: 0,
    retryable: error.retryAfterMs !== undefined,
    deadLetterId: "",
    cause: error,
  }));
  return {
    failures,
    outcomes: failures.map((failure) => ({ status: "failed", failure, outputs: [] })),
    outputs: [],
  };
}

function decode<Out>(
  parsed: ParsedResult,
  inputCount: number,
  mapper: RecordMapper<never, Out>,
): Decoded<Out> {
  const { records, fanout } = parsed;
  const outcomes: Outcome<Out>[] = [];
  const outputs: Out[] = [];
  const failures: FailureInfo[] = [];
  let position = 0;
  let nextFailure = 0;
  for (let index = 0; index < inputCount; index++) {
    const end = position + (fanout?.[index] ?? 1);
    let failure = parsed.failures[nextFailure];
    if (failure?.index === index) nextFailure++;
    else failure = undefined;
    const own: Out[] = [];
    const first = position;
    for (; position < end; position++) {
      const record = records[position];
      if (record === undefined) break;
      try {
        own.push(mapper.fromRecord(record));
      } catch (error) {
        failure ??= decodeFailure(index, error);
      }
    }
    if (failure) failures.push(failure);
    for (const output of own) outputs.push(output);
    outcomes.push(outcomeOf(failure, own, records.slice(first, end)));
  }
  return { outcomes, outputs, failures };
}

function outcomeOf<Out>(
  failure: FailureInfo | undefined,
  outputs: Out[],
  records: readonly OutputRecord[],
): Outcome<Out> {
  if (failure) return { status: "failed", failure, outputs };
  return records.length === 0 ? dropped : { status: "ok", outputs, records };
}

function decodeFailure(index: number, cause: unknown): FailureInfo {
  return {
    index,
    code: "decode_failed",
    message: cause instanceof Error ? cause.message : String(cause),
    stage: "",
    attempts: 0,
    retryable: false,
    deadLetterId: "",
    cause,
  };
}
