/**
 * Attacks on the unary call: mutated requests against a server over the network.
 *
 * @module
 */

import { create, equals, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { ServiceError } from "@grpc/grpc-js";
import {
  type RecordBatch,
  RecordBatchSchema,
  type RecordSchema,
  type TransformRequest,
  TransformRequestSchema,
  type TransformResult,
} from "@leat/proto";
import { catalogue } from "../../server/errors.ts";
import { type CallFailure, callFailure } from "../kit/call-error.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import type { FuzzCase } from "./fuzz-case.ts";
import { mutateMessage, withoutMistyped } from "./message-mutation.ts";
import { checkUppercase } from "./module-cases.ts";
import { Random } from "./random.ts";

/** No answer within this time is a hang. */
const answerWithinMs = 20_000;
/** Of the try's seed: one in so many requests goes unbroken, and must succeed. */
const unbroken = 0.05;

/** Two headers of those that {@link randomRecords} gives: some records have one, and most batches are mixed. */
const oneOfTwoHeaders = {
  condition: {
    case: "any" as const,
    value: {
      conditions: ["h1", "h2"].map((name) => ({
        condition: {
          case: "header" as const,
          value: { name, match: { case: "exists" as const, value: true } },
        },
      })),
    },
  },
};
const noKey = {
  condition: { case: "key" as const, value: { match: { case: "exists" as const, value: false } } },
};

/** A server with the pipeline `same`, which takes batches apart by conditions and puts them together again. */
export const sameServer = {
  modules: { same: "init", uppercase: "uppercase" },
  // A machine that is busy with other things makes calls wait, and that is not what is looked at.
  limits: { maxQueueDelayMs: 60_000 },
  pipelines: { same: ["same", { module: "same", when: oneOfTwoHeaders }, { module: "same", when: noKey }] },
};

/** Mutated TransformRequests. The pipeline `same` gives every batch as it came, so that success can be checked. */
export async function requestCase(seed: number): Promise<FuzzCase> {
  const kit = await startTestServer(sameServer);
  return {
    lanes: 16,
    attempt: (index) => callOnce(kit, new Random(seed, index)),
    checkHealth: () => checkUppercase(kit),
    [Symbol.asyncDispose]: () => kit[Symbol.asyncDispose](),
  };
}

async function callOnce(kit: TestServer, random: Random): Promise<string> {
  const valid = toBinary(TransformRequestSchema, create(TransformRequestSchema, randomRequest(random)));
  const whole = random.chance(unbroken);
  const bytes = whole ? valid : mutateMessage(random, valid);
  let result: TransformResult;
  try {
    result = await kit.raw.transformBytes(bytes, { timeoutMs: answerWithinMs });
  } catch (error) {
    if (!(error instanceof Error) || !("metadata" in error)) throw error;
    const failure = callFailure(error as ServiceError);
    const reason = checkFailure(failure);
    const decoded = decodedOrNothing(bytes);
    if (whole && decoded?.target?.target.case === "pipeline")
      throw new Error(`a valid request was refused: ${failure.message}`);
    return reason;
  }
  checkSuccess(bytes, result);
  return "result";
}

/** A request for the pipeline `same`, or for its module. */
export function randomRequest(random: Random): MessageInitShape<typeof TransformRequestSchema> {
  const target = random.chance(0.9)
    ? { target: { case: "pipeline" as const, value: "same" } }
    : { target: { case: "inline" as const, value: { modules: ["same"] } } };
  return { target, batch: { records: randomRecords(random) } };
}

/** Up to a few records with everything that a record may have. */
export function randomRecords(random: Random): MessageInitShape<typeof RecordSchema>[] {
  return Array.from({ length: random.below(5) }, () => ({
    ...(random.chance(0.5) ? { key: random.bytes(random.below(9)) } : {}),
    ...(random.chance(0.9) ? { value: random.bytes(random.below(40)) } : {}),
    headers: Array.from({ length: random.chance(0.3) ? random.below(3) : 0 }, () => ({
      key: `h${random.below(10)}`,
      value: random.bytes(3),
    })),
    timestampMs: random.chance(0.5) ? BigInt(random.below(2 ** 31)) : 0n,
  }));
}

/** A failure must say in the catalogue's words whose fault it is, and never that it is the server's. */
export function checkFailure({ domain, reason, status, message }: CallFailure): string {
  const entry = catalogue[reason as keyof typeof catalogue];
  if (domain !== "leat" || entry === undefined)
    throw new Error(`a failure outside of the catalogue: ${status} ${message}`);
  if (entry.status !== status) throw new Error(`${reason} came with ${status}, not with ${entry.status}`);
  if (reason === "INTERNAL" || reason === "DEADLINE_EXCEEDED") throw new Error(`${reason}: ${message}`);
  return reason;
}

function checkSuccess(bytes: Uint8Array, result: TransformResult): void {
  const decoded = decodedOrNothing(bytes);
  if (decoded === undefined)
    throw new Error(`a request that is no message had success: ${Buffer.from(bytes).toString("hex")}`);
  checkSame(decoded.batch ?? create(RecordBatchSchema), result);
}

/** The records came back as they went. */
export function checkSame(sent: RecordBatch, { batch, fanout, failures }: TransformResult): void {
  if (failures.length > 0) throw new Error(`records failed: ${failures[0]?.code} ${failures[0]?.message}`);
  if (fanout.some((count) => count !== 1)) throw new Error(`a fanout of ${fanout.join(" ")}`);
  if (!equals(RecordBatchSchema, sent, batch ?? create(RecordBatchSchema)))
    throw new Error("other records came back than went");
}

/** What protobuf-es reads. It refuses a field with another wire type than it should have, which others skip as unknown. */
function decodedOrNothing(bytes: Uint8Array): TransformRequest | undefined {
  try {
    return fromBinary(TransformRequestSchema, withoutMistyped(bytes, { 1: 2, 2: 2 }));
  } catch {
    return undefined;
  }
}
