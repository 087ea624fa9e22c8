/**
 * What must come of a stream of which all that was sent is known.
 *
 * @module
 */

import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import {
  type RecordBatch,
  RecordBatchSchema,
  type StreamResult,
  type StreamTransformRequest,
  StreamTransformRequestSchema,
  type StreamTransformResponse,
} from "@leat/proto";
import type { StreamEnd } from "../kit/raw-client.ts";
import { withoutMistyped } from "./message-mutation.ts";
import { checkFailure, checkSame } from "./request-case.ts";

type Response = StreamTransformResponse["message"];

/** A batch as it is sent. */
export type Batch = MessageInitShape<typeof RecordBatchSchema>;

/** How a stream ended, on the client's side. */
export type Ending =
  | { readonly t: "half-close" }
  | { readonly t: "cancel" }
  /** It broke the protocol, and may end with these reasons. */
  | { readonly t: "breach"; readonly reasons: readonly string[] }
  /** Its last message was broken, before it was half-closed: these are the bytes. */
  | { readonly t: "broken"; readonly bytes: Uint8Array };

/** What a stream was told. */
export interface Plan {
  readonly opened: boolean;
  readonly unordered: boolean;
  /** The number of the first batch. */
  readonly firstSequence: number;
  /** The batches that were sent well, before anything went wrong. */
  readonly batches: readonly Batch[];
  readonly ending: Ending;
}

/**
 * Judges the answers.
 *
 * @param end - undefined where the client gave the stream up
 * @returns what came of it, in a word to count
 * @throws Error that says what is wrong
 */
export function judgeStream(plan: Plan, responses: readonly Response[], end: StreamEnd | undefined): string {
  const outcome = judgeEnd(plan.ending, end);
  const [first, ...results] = responses;
  if (!plan.opened && first !== undefined) throw new Error(`${first.case} came without an open stream`);
  if (first === undefined) {
    // What has failed need not have been answered before.
    if (end?.t === "ok") throw new Error("an open stream got no answer");
    return outcome;
  }
  if (first.case !== "opened") throw new Error(`the first answer was ${first.case}`);
  const answers = results.map((answer) => {
    if (answer.case !== "result") throw new Error(`an answer was ${answer.case}`);
    return answer.value;
  });
  judgeSequences(plan, answers);
  const broken =
    plan.ending.t === "broken" && end?.t === "ok" ? brokenBatch(plan, plan.ending.bytes) : undefined;
  if (end?.t === "ok") {
    const due = plan.batches.length + (broken === undefined ? 0 : 1);
    if (answers.length !== due) throw new Error(`${due} batches got ${answers.length} answers`);
  }
  for (const answer of answers) judgeAnswer(plan, broken, answer);
  return outcome;
}

function judgeEnd(ending: Ending, end: StreamEnd | undefined): string {
  if (end === undefined) return "cancelled";
  if (ending.t === "broken") return end.t === "ok" ? "broken message, ended well" : checkFailure(end.failure);
  if (ending.t !== "breach") {
    if (end.t !== "ok") throw new Error(`the stream failed: ${end.failure.message}`);
    return "ended well";
  }
  const due = ending.reasons.join(" or ");
  if (end.t === "ok") throw new Error(`a breach ended well; expected ${due}`);
  const reason = checkFailure(end.failure);
  if (!ending.reasons.includes(reason)) throw new Error(`${reason}; expected ${due}`);
  return reason;
}

/** Each number once; in order, from the first that was sent, unless the stream was to have none. */
function judgeSequences({ unordered, firstSequence }: Plan, answers: readonly StreamResult[]): void {
  const seen = new Set<bigint>();
  for (const [index, { sequence }] of answers.entries()) {
    if (seen.has(sequence)) throw new Error(`batch ${sequence} was answered twice`);
    seen.add(sequence);
    const due = BigInt(firstSequence + index);
    if (!unordered && sequence !== due) throw new Error(`batch ${sequence} was answered, and ${due} was due`);
  }
}

function judgeAnswer(
  plan: Plan,
  broken: RecordBatch | "malformed" | undefined,
  { sequence, outcome }: StreamResult,
): void {
  const index = Number(sequence) - plan.firstSequence;
  const sent = plan.batches[index];
  if (sent !== undefined) {
    if (outcome.case !== "result") throw new Error(`batch ${sequence} failed: ${outcome.value?.message}`);
    checkSame(create(RecordBatchSchema, sent), outcome.value);
    return;
  }
  if (index !== plan.batches.length || broken === undefined)
    throw new Error(`an answer to batch ${sequence}, which was never sent`);
  if (outcome.case === "result") {
    if (broken === "malformed") throw new Error(`batch ${sequence} is none, and had a result`);
    checkSame(broken, outcome.value);
  } else {
    const { code = 0, reason = "", message = "" } = outcome.value ?? {};
    checkFailure({
      status: status[code] ?? "",
      message,
      reason,
      domain: "leat",
      metadata: {},
      retryAfterMs: undefined,
      fields: [],
    });
  }
}

/** The batch in a broken message with which a stream ended well. @throws Error when that is no next batch */
function brokenBatch({ batches, firstSequence }: Plan, bytes: Uint8Array): RecordBatch | "malformed" {
  const told = Buffer.from(bytes).toString("hex");
  const around = decodedOrNothing(bytes, leftOut);
  if (around === undefined) throw new Error(`what is no message had success: ${told}`);
  const { message } = around;
  if (message.case !== "batch")
    throw new Error(`${message.case ?? "an empty message"} in place of a batch had success: ${told}`);
  const due = BigInt(firstSequence + batches.length);
  if (message.value.sequence !== due)
    throw new Error(`batch ${message.value.sequence} had success, and ${due} was due: ${told}`);
  const whole = decodedOrNothing(bytes, lengthDelimited)?.message;
  if (whole?.case !== "batch") return "malformed";
  return whole.value.batch ?? create(RecordBatchSchema);
}

const lengthDelimited = 2;
/** No field has this wire type. */
const leftOut = -1;

/**
 * What protobuf-es reads. It refuses a field with another wire type than it should have, which others skip as unknown,
 * and a trace context that is no UTF-8, which the server does not look at.
 *
 * @param batchType - the wire type of the batch inside
 */
function decodedOrNothing(bytes: Uint8Array, batchType: number): StreamTransformRequest | undefined {
  const types = { 1: lengthDelimited, 2: { 1: 0, 2: leftOut, 3: batchType } };
  try {
    return fromBinary(StreamTransformRequestSchema, withoutMistyped(bytes, types));
  } catch {
    return undefined;
  }
}
