/**
 * TransformService as Connect serves it: the same calls and sessions as on the gRPC door, with
 * messages decoded and encoded around them.
 *
 * @module
 */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  RecordBatchSchema,
  type StreamTransformRequest,
  type StreamTransformResponse,
  StreamTransformResponseSchema,
  type TransformResult,
  TransformResultSchema,
  type TransformService,
} from "@leat/proto";
import type { Principal } from "../access/principal.ts";
import { LeatError } from "../errors.ts";
import { principalOf } from "./call-principal.ts";
import type { Engine } from "./engine.ts";
import type { Reply } from "./reply.ts";
import type { StreamView } from "./request-view.ts";
import { StreamSession } from "./stream-session.ts";
import { callIdHeader, startTransform } from "./transform-call.ts";

/** TransformService for a Connect router. */
export function connectTransformService(engine: Engine): ServiceImpl<typeof TransformService> {
  return {
    transform: async ({ target, batch }, context) => {
      const { signal, requestHeader } = context;
      const bytes = batch === undefined ? Buffer.alloc(0) : asBuffer(toBinary(RecordBatchSchema, batch));
      const call = {
        target,
        bytes,
        start: 0,
        end: bytes.length,
        traceparent: requestHeader.get("traceparent") ?? undefined,
        tracestate: requestHeader.get("tracestate") ?? undefined,
        callId: requestHeader.get(callIdHeader) ?? undefined,
        leftMs: context.timeoutMs(),
        principal: principalOf(context),
      };
      const result = await new Promise<TransformResult>((resolve, reject) => {
        const cancel = startTransform(engine, call, (outcome) => {
          if (outcome instanceof LeatError) {
            // A deadline is told by the signal. Its other reasons say no more than that the caller has gone.
            reject(signal.reason instanceof ConnectError ? signal.reason : outcome);
            return;
          }
          const { bytes: shared, start, length } = outcome;
          // A copy, since the decoded message refers to its bytes.
          const copy = Buffer.from(shared.subarray(start, start + length));
          outcome.release();
          resolve(fromBinary(TransformResultSchema, copy));
        });
        signal.addEventListener("abort", cancel, { once: true });
      });
      return { result };
    },
    streamTransform: (requests, context) =>
      streamTransform(engine, requests, context.signal, principalOf(context)),
  };
}

async function* streamTransform(
  engine: Engine,
  requests: AsyncIterable<StreamTransformRequest>,
  signal: AbortSignal,
  principal: Principal,
): AsyncGenerator<StreamTransformResponse> {
  const port = new IterablePort();
  const session = new StreamSession(engine, port, principal);
  const cancel = (): void => {
    session.cancelled();
    port.end();
  };
  signal.addEventListener("abort", cancel, { once: true });
  void pump(requests, session, port).catch(cancel);
  try {
    yield* port.responses(session);
  } finally {
    session.cancelled();
    port.resume();
  }
}

/** Feeds the session as long as it wants to read. */
async function pump(
  requests: AsyncIterable<StreamTransformRequest>,
  session: StreamSession,
  port: IterablePort,
): Promise<void> {
  for await (const request of requests) {
    session.receive(viewOf(request));
    await port.reading();
    if (port.ended) return;
  }
  session.halfClosed();
}

function viewOf({ message }: StreamTransformRequest): StreamView {
  switch (message.case) {
    case "open":
      return { t: "open", open: message.value };
    case "batch": {
      const { sequence, traceparent, batch } = message.value;
      const bytes = batch === undefined ? Buffer.alloc(0) : asBuffer(toBinary(RecordBatchSchema, batch));
      return { t: "batch", sequence: Number(sequence), traceparent, bytes, start: 0, end: bytes.length };
    }
    default:
      return { t: "empty" };
  }
}

/** Responses that wait for the caller to read them before the session is told to stop. */
const maxWaiting = 16;

/** A stream's port that hands responses to an async generator. */
class IterablePort {
  ended = false;
  readonly #waiting: StreamTransformResponse[] = [];
  #failure: LeatError | undefined;
  #wakeReader: (() => void) | undefined;
  #paused = false;
  #wakePump: (() => void) | undefined;

  send(reply: Reply): boolean {
    this.#waiting.push(fromBinary(StreamTransformResponseSchema, Buffer.from(reply.serialize())));
    this.#wakeReader?.();
    return this.#waiting.length < maxWaiting;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wakePump?.();
  }

  end(): void {
    this.ended = true;
    this.#wakeReader?.();
    this.#wakePump?.();
  }

  fail(error: LeatError): void {
    this.#failure = error;
    this.end();
  }

  /** Resolves when the session wants to read. */
  async reading(): Promise<void> {
    while (this.#paused && !this.ended) {
      await new Promise<void>((resolve) => {
        this.#wakePump = resolve;
      });
    }
  }

  async *responses(session: StreamSession): AsyncGenerator<StreamTransformResponse> {
    for (;;) {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
        yield next;
        if (this.#waiting.length === 0) session.drained();
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.ended) return;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
