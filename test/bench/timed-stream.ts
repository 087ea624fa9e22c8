/**
 * Streams that note when each of their answers comes.
 *
 * @module
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type RecordBatch,
  type StreamResult,
  StreamTransformRequestSchema,
  StreamTransformResponseSchema,
} from "@leat/proto";
import { makeBatch } from "./fixtures.ts";
import { RawClient } from "./load/raw-client.ts";

/** An answer, and when it came. */
export interface TimedAnswer {
  result: StreamResult;
  /** `performance.now()`. */
  atMs: number;
}

/** One stream on a pipeline. */
export class TimedStream implements AsyncDisposable {
  readonly #client: RawClient;
  readonly #call: ReturnType<RawClient["stream"]>;
  readonly #waiting = new Map<bigint, PromiseWithResolvers<TimedAnswer>>();
  readonly #ended = Promise.withResolvers<void>();
  #sent = 0n;

  constructor(address: string, pipeline: string) {
    this.#client = new RawClient(address);
    this.#call = this.#client.stream();
    this.#call.on("data", (bytes: Buffer) => {
      const atMs = performance.now();
      const { message } = fromBinary(StreamTransformResponseSchema, bytes);
      if (message.case !== "result") return;
      this.#waiting.get(message.value.sequence)?.resolve({ result: message.value, atMs });
      this.#waiting.delete(message.value.sequence);
    });
    this.#call.on("error", (error) => {
      this.#ended.reject(error);
      for (const waiting of this.#waiting.values()) waiting.reject(error);
    });
    this.#call.on("end", () => this.#ended.resolve());
    this.#ended.promise.catch(() => {});
    const request = create(StreamTransformRequestSchema, {
      message: { case: "open", value: { target: { target: { case: "pipeline", value: pipeline } } } },
    });
    this.#call.write(Buffer.from(toBinary(StreamTransformRequestSchema, request)));
  }

  /** Sends one batch and waits for its answer. */
  send(batch: RecordBatch): Promise<TimedAnswer> {
    const sequence = ++this.#sent;
    const request = create(StreamTransformRequestSchema, {
      message: { case: "batch", value: { sequence, batch } },
    });
    const waiting = Promise.withResolvers<TimedAnswer>();
    this.#waiting.set(sequence, waiting);
    this.#call.write(Buffer.from(toBinary(StreamTransformRequestSchema, request)));
    return waiting.promise;
  }

  /** Half-closes and waits for the server to end the stream. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#call.end();
    try {
      await this.#ended.promise;
    } finally {
      this.#client[Symbol.dispose]();
    }
  }
}

/** Batches that a {@link HealthyStream} has open at once. */
const healthyWindow = 4;

/** A stream of good batches that always has a few open, and notes when its answers came. */
export class HealthyStream {
  /** When each answer came, by `performance.now()`. */
  readonly answersAtMs: number[] = [];
  readonly #done: Promise<void>;
  #stopping = false;

  constructor(address: string, pipeline: string) {
    this.#done = this.#run(address, pipeline);
    this.#done.catch(() => {});
  }

  async #run(address: string, pipeline: string): Promise<void> {
    await using stream = new TimedStream(address, pipeline);
    const batch = makeBatch();
    const one = async () => {
      while (!this.#stopping) {
        const { atMs, result } = await stream.send(batch);
        if (result.outcome.case !== "result") throw new Error("the healthy stream got an error");
        this.answersAtMs.push(atMs);
      }
    };
    await Promise.all(Array.from({ length: healthyWindow }, one));
  }

  /** Sends nothing more and waits for what is open; throws what went wrong. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }
}
