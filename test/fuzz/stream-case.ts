/**
 * Attacks on streams: messages in any order, held against a model of what must come of them.
 *
 * @module
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { StreamTransformRequestSchema } from "@leat/proto";
import { encode, RawClient, type RawStream } from "../kit/raw-client.ts";
import { open } from "../kit/records.ts";
import { startTestServer } from "../kit/test-server.ts";
import type { FuzzCase } from "./fuzz-case.ts";
import { mutateMessage } from "./message-mutation.ts";
import { checkUppercase } from "./module-cases.ts";
import { Random } from "./random.ts";
import { randomRecords, sameServer } from "./request-case.ts";
import { type Batch, type Ending, judgeStream, type Plan } from "./stream-judgement.ts";

type Request = MessageInitShape<typeof StreamTransformRequestSchema>;

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
  const plan = send(random, stream);
  if (plan.ending.t === "cancel") {
    // grpc-js forgets to tell the server of a call that is cancelled before it has a connection.
    const first = await stream.next().finally(() => stream.cancel());
    const rest = await stream.rest();
    await stream.ended;
    return judgeStream(plan, first === undefined ? [] : [first, ...rest], undefined);
  }
  const responses = await stream.rest();
  return judgeStream(plan, responses, await stream.ended);
}

const target = { target: { case: "pipeline" as const, value: "same" } };

/** Sends messages until one ends the stream. */
function send(random: Random, stream: RawStream): Plan {
  const batches: Batch[] = [];
  const write = (request: Request): void => void stream.write(request);
  const unordered = random.chance(0.3);
  const firstSequence = random.chance(0.2) ? random.between(2, 1_000) : 1;
  let opened = false;
  const planned = (ending: Ending): Plan => ({ opened, unordered, firstSequence, batches, ending });
  const breach = (...reasons: string[]): Plan => {
    if (random.chance(0.5)) stream.halfClose();
    return planned({ t: "breach", reasons });
  };
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
  opened = true;
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
      const request = batchOf(next, { records: randomRecords(random) });
      const bytes = mutateMessage(random, encode(StreamTransformRequestSchema, request));
      stream.writeBytes(bytes);
      stream.halfClose();
      return planned({ t: "broken", bytes });
    } else if (act === 17) {
      return planned({ t: "cancel" });
    } else {
      stream.halfClose();
      return planned({ t: "half-close" });
    }
  }
}

function batchOf(sequence: number, batch: Batch): Request {
  return { message: { case: "batch", value: { sequence: BigInt(sequence), batch } } };
}
