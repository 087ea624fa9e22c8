/**
 * Attacks on streams: messages in any order, held against a model of what must come of them.
 *
 * @module
 */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { RecordBatchSchema, StreamTransformRequestSchema, type StreamTransformResponse } from "@leat/proto";
import { encode, RawClient, type RawStream, type StreamEnd } from "../kit/raw-client.ts";
import { open } from "../kit/records.ts";
import { startTestServer } from "../kit/test-server.ts";
import type { FuzzCase } from "./fuzz-case.ts";
import { mutateMessage } from "./message-mutation.ts";
import { checkUppercase } from "./module-cases.ts";
import { Random } from "./random.ts";
import { checkFailure, checkSame, randomRecords, sameServer } from "./request-case.ts";

type Request = MessageInitShape<typeof StreamTransformRequestSchema>;
type Response = StreamTransformResponse["message"];
type Batch = MessageInitShape<typeof RecordBatchSchema>;

/** What a stream was told, and what must come of it. */
interface Plan {
  readonly opened: boolean;
  /** The batches that were sent well, before anything went wrong. */
  readonly batches: readonly Batch[];
  readonly ending: "half-close" | "cancel" | "breach" | "unknown";
  /** For a breach, the reasons with which the stream may end. */
  readonly reasons: readonly string[];
}

/** Random sequences of messages on streams. */
export async function streamCase(seed: number): Promise<FuzzCase> {
  const kit = await startTestServer(sameServer);
  let client = new RawClient(kit.address);
  return {
    lanes: 8,
    attempt: (index) => streamOnce(client, new Random(seed, index)),
    checkHealth: async () => {
      // Node closes a connection on which a thousand streams were reset: a guard against floods of them.
      client.close();
      client = new RawClient(kit.address);
      await checkUppercase(kit);
      await kit.idle();
    },
    [Symbol.asyncDispose]: () => {
      client.close();
      return kit[Symbol.asyncDispose]();
    },
  };
}

async function streamOnce(client: RawClient, random: Random): Promise<string> {
  const stream = client.stream({ timeoutMs: 20_000 });
  const unordered = random.chance(0.3);
  const plan = send(random, stream, unordered);
  // grpc-js forgets to tell the server of a call that is cancelled before it has a connection.
  if (plan.ending === "cancel") await stream.next().finally(() => stream.cancel());
  const responses = await stream.rest();
  const end = await stream.ended;
  if (plan.ending === "cancel") return "cancelled";
  if (plan.ending === "unknown") return judgeUnknown(end);
  judge(plan, responses, end, unordered);
  return end.t === "ok" ? "ended well" : end.failure.reason;
}

const target = { target: { case: "pipeline" as const, value: "same" } };

/** Sends messages until one ends the stream. */
function send(random: Random, stream: RawStream, unordered: boolean): Plan {
  const batches: Batch[] = [];
  const write = (request: Request): void => void stream.write(request);
  const firstSequence = random.chance(0.2) ? random.between(2, 1_000) : 1;
  const breach = (...reasons: string[]): Plan => {
    if (random.chance(0.5)) stream.halfClose();
    return { opened: opened(), batches, ending: "breach", reasons };
  };
  let isOpen = false;
  const opened = (): boolean => isOpen;
  const batchOf = (sequence: number, batch: Batch): Request => ({
    message: { case: "batch", value: { sequence: BigInt(sequence), batch } },
  });
  if (random.chance(0.1)) {
    write(batchOf(1, {}));
    return breach("STREAM_NOT_OPENED");
  }
  if (random.chance(0.05)) {
    write(open("nowhere"));
    return breach("PIPELINE_NOT_FOUND");
  }
  const afterSequence = BigInt(firstSequence - 1);
  write({ message: { case: "open", value: { target, unordered, window: random.below(5), afterSequence } } });
  isOpen = true;
  for (;;) {
    const next = firstSequence + batches.length;
    const act = random.below(20);
    if (act < 14) {
      const batch = { records: randomRecords(random) };
      batches.push(batch);
      write(batchOf(next, batch));
    } else if (act === 14) {
      write(batchOf(random.pick([next - 1, next + 1, 0, 2 ** 40]), {}));
      return breach("STREAM_OUT_OF_SEQUENCE");
    } else if (act === 15) {
      write(open("same"));
      return breach("STREAM_OPENED_TWICE");
    } else if (act === 16) {
      stream.writeBytes(
        mutateMessage(
          random,
          encode(StreamTransformRequestSchema, batchOf(next, { records: randomRecords(random) })),
        ),
      );
      stream.halfClose();
      return { opened: true, batches, ending: "unknown", reasons: [] };
    } else if (act === 17) {
      return { opened: true, batches, ending: "cancel", reasons: [] };
    } else {
      stream.halfClose();
      return { opened: true, batches, ending: "half-close", reasons: [] };
    }
  }
}

function judgeUnknown(end: StreamEnd): string {
  return end.t === "ok" ? "broken message, ended well" : checkFailure(end.failure);
}

function judge(plan: Plan, responses: readonly Response[], end: StreamEnd, unordered: boolean): void {
  if (plan.ending === "half-close" && end.t !== "ok")
    throw new Error(`the stream failed: ${end.failure.message}`);
  if (plan.ending === "breach") {
    if (end.t === "ok") throw new Error(`a breach ended well; expected ${plan.reasons.join(" or ")}`);
    const reason = checkFailure(end.failure);
    if (!plan.reasons.includes(reason)) throw new Error(`${reason}; expected ${plan.reasons.join(" or ")}`);
  }
  const [first, ...results] = responses;
  if (first === undefined) {
    // What has failed need not have been answered before.
    if (plan.ending === "half-close") throw new Error("an open stream got no answer");
    return;
  }
  if (first.case !== "opened") throw new Error(`the first answer was ${first.case}`);
  if (plan.ending === "half-close" && results.length !== plan.batches.length)
    throw new Error(`${plan.batches.length} batches got ${results.length} answers`);
  judgeResults(plan.batches, results, unordered);
}

function judgeResults(batches: readonly Batch[], results: readonly Response[], unordered: boolean): void {
  const seen = new Set<bigint>();
  let before: bigint | undefined;
  let lowest: bigint | undefined;
  for (const answer of results) if (answer.case === "result") lowest = least(lowest, answer.value.sequence);
  for (const answer of results) {
    if (answer.case !== "result") throw new Error(`an answer was ${answer.case}`);
    const { sequence, outcome } = answer.value;
    if (seen.has(sequence)) throw new Error(`batch ${sequence} was answered twice`);
    seen.add(sequence);
    if (!unordered && before !== undefined && sequence !== before + 1n)
      throw new Error(`batch ${sequence} was answered after ${before}`);
    before = sequence;
    if (outcome.case !== "result") throw new Error(`batch ${sequence} failed: ${outcome.value?.message}`);
    if (unordered) continue;
    const batch = batches[Number(sequence - (lowest ?? 1n))];
    if (batch === undefined) throw new Error(`an answer to batch ${sequence}, which was never sent`);
    checkSame(create(RecordBatchSchema, batch), outcome.value);
  }
}

function least(one: bigint | undefined, other: bigint): bigint {
  return one === undefined || other < one ? other : one;
}
