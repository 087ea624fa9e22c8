/**
 * One stream that keeps its window full.
 *
 * @module
 */

import { fromBinary } from "@bufbuild/protobuf";
import { StreamTransformResponseSchema, type Target } from "@leat/proto";
import { recordsPerBatch } from "../fixtures.ts";
import { checkResult, type Expectation } from "./expectation.ts";
import type { Load } from "./load.ts";
import { RawClient } from "./raw-client.ts";
import { BatchRequests, openingRequest } from "./stream-messages.ts";

/** What stream to run. */
export interface StreamOrder {
  kind: "stream";
  address: string;
  target: Target;
  /** Batches unanswered at once. */
  window: number;
  expect: Expectation;
  /** Batches to send before it waits to be told to send more. Unset means without end. */
  batches?: number;
}

/** Opens a stream and keeps its window full until it is stopped. */
export function startStream(order: StreamOrder): Load {
  return new StreamLoad(order);
}

class StreamLoad implements Load {
  readonly #order: StreamOrder;
  readonly #client: RawClient;
  readonly #call: ReturnType<RawClient["stream"]>;
  readonly #requests: BatchRequests;
  readonly #ended = Promise.withResolvers<void>();
  #caughtUp = Promise.withResolvers<void>();
  #limit: number;
  #opened = false;
  #answered = 0;
  #sent = 0;

  constructor(order: StreamOrder) {
    this.#order = order;
    this.#limit = order.batches ?? Number.POSITIVE_INFINITY;
    this.#client = new RawClient(order.address);
    this.#requests = new BatchRequests(order.window);
    this.#call = this.#client.stream();
    this.#call.on("data", (response: Buffer) => this.#receive(response));
    this.#call.on("error", (error) => this.#fail(error));
    this.#call.on("end", () => {
      if (this.#answered === this.#sent) this.#ended.resolve();
      else this.#fail(new Error(`${this.#sent} batches sent, ${this.#answered} answered`));
    });
    // Whoever asks sees the failure; that nobody may be asking at the moment is no crash.
    this.#ended.promise.catch(() => {});
    this.#caughtUp.promise.catch(() => {});
    this.#call.write(openingRequest(order.target, order.window));
  }

  units(): number {
    return this.#answered;
  }

  get failed(): Promise<void> {
    return this.#ended.promise;
  }

  /** Settles when all batches that the order and later calls of `advance` allow are answered. */
  get reached(): Promise<void> {
    return this.#caughtUp.promise;
  }

  /** Sends so many batches more, and settles when they are answered. */
  advance(batches: number): Promise<void> {
    this.#limit += batches;
    this.#caughtUp = Promise.withResolvers<void>();
    this.#caughtUp.promise.catch(() => {});
    this.#fillWindow();
    return this.#caughtUp.promise;
  }

  async stop(): Promise<void> {
    this.#limit = this.#sent;
    this.#call.end();
    try {
      await this.#ended.promise;
    } finally {
      this.#client[Symbol.dispose]();
    }
  }

  #receive(response: Buffer): void {
    if (!this.#opened) {
      this.#opened = true;
    } else if (++this.#answered === 1 && this.#order.expect === "uppercase") {
      try {
        checkFirst(response);
      } catch (error) {
        this.#fail(error);
        this.#call.cancel();
        return;
      }
    }
    this.#fillWindow();
  }

  #fillWindow(): void {
    while (this.#opened && this.#sent < this.#limit && this.#sent - this.#answered < this.#order.window) {
      this.#call.write(this.#requests.nth(++this.#sent));
    }
    if (this.#answered === this.#limit) this.#caughtUp.resolve();
  }

  #fail(error: unknown): void {
    this.#ended.reject(error);
    this.#caughtUp.reject(error);
  }
}

/** Throws unless the response is the first batch's result with every value in upper case. */
function checkFirst(response: Uint8Array): void {
  const { message } = fromBinary(StreamTransformResponseSchema, response);
  if (message.case !== "result") throw new Error(`expected a result, got ${message.case}`);
  const { outcome } = message.value;
  if (outcome.case === "error") throw new Error(`${outcome.value.reason}: ${outcome.value.message}`);
  if (outcome.case !== "result") throw new Error("a result without an outcome");
  checkResult(outcome.value, recordsPerBatch);
}
