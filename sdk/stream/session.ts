import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";
import type { OpenStreamSchema, StreamOpened } from "@leat/proto";
import { LeatCallError } from "../errors.ts";
import type { BatchAnswer } from "../record/result.ts";
import { EncodedStreamBatch } from "../wire/pre-encoded.ts";
import type { StreamRequestViewSchema, StreamResponseView } from "../wire/view.ts";
import { streamTransformView } from "../wire/view.ts";
import { MessageQueue } from "./message-queue.ts";

/** What a session tells about. After `onEnd` it tells nothing more. */
export interface SessionEvents {
  /** The server accepted the stream. */
  onOpened(limits: StreamOpened): void;
  /** The server answered a batch. */
  onAnswer(sequence: number, answer: BatchAnswer): void;
  /** The server takes no batch beyond that one. */
  onDraining(lastSequence: number): void;
  /** The call ended; undefined means with OK. */
  onEnd(error: LeatCallError | undefined): void;
}

/** What a session is made with. */
export interface SessionRequest {
  readonly transport: Transport;
  readonly open: MessageInitShape<typeof OpenStreamSchema>;
  readonly headers: Record<string, string> | undefined;
  readonly timeoutMs: number | undefined;
}

/** How long a server may take to end a call on which everything is answered. */
const farewellMs = 5_000;

/** One StreamTransform call: a stream is a sequence of these, one after the other. */
export class Session {
  readonly #requests = new MessageQueue<MessageInitShape<typeof StreamRequestViewSchema>>();
  readonly #abort = new AbortController();
  readonly #events: SessionEvents;
  #cancelled = false;
  #farewell: NodeJS.Timeout | undefined;

  constructor(request: SessionRequest, events: SessionEvents) {
    this.#events = events;
    this.#requests.push({ message: { case: "open", value: request.open } });
    this.#run(request).then(
      () => this.#ended(undefined),
      (error: unknown) => this.#ended(LeatCallError.from(error)),
    );
  }

  /** Sends one batch. */
  send(sequence: number, batch: Uint8Array, traceparent: string): void {
    this.#requests.push(new EncodedStreamBatch(sequence, traceparent, batch));
  }

  /** Says that no batch will follow; answers still come. */
  halfClose(): void {
    this.#requests.end();
  }

  /** Ends the call well: nothing is under way any more. A server that does not end it in return is left. */
  finish(): void {
    this.#requests.end();
    this.#farewell = setTimeout(() => this.cancel(), farewellMs).unref();
  }

  /** Ends the call at once and tells nothing more. */
  cancel(): void {
    this.#cancelled = true;
    this.#abort.abort();
  }

  async #run({ transport, headers, timeoutMs }: SessionRequest): Promise<void> {
    const { signal } = this.#abort;
    const { message: responses } = await transport.stream(
      streamTransformView,
      signal,
      timeoutMs,
      headers,
      this.#requests,
    );
    for await (const response of responses) {
      if (this.#cancelled) return;
      this.#dispatch(response);
    }
  }

  #dispatch({ message }: StreamResponseView): void {
    switch (message.case) {
      case "opened":
        this.#events.onOpened(message.value);
        break;
      case "result":
        this.#events.onAnswer(Number(message.value.sequence), answerOf(message.value.outcome));
        break;
      case "draining":
        this.#events.onDraining(Number(message.value.lastSequence));
        break;
      case undefined:
        // A message of a later version of the protocol.
        break;
    }
  }

  #ended(error: LeatCallError | undefined): void {
    this.#requests.end();
    clearTimeout(this.#farewell);
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#events.onEnd(error);
  }
}

type OutcomeView = Extract<StreamResponseView["message"], { case: "result" }>["value"]["outcome"];

function answerOf(outcome: OutcomeView): BatchAnswer {
  switch (outcome.case) {
    case "result":
      return { t: "result", bytes: outcome.value };
    case "error":
      return { t: "error", error: LeatCallError.fromBatch(outcome.value) };
    case undefined:
      return {
        t: "error",
        error: new LeatCallError("the server answered the batch with nothing that this client knows", {
          code: Code.Unimplemented,
        }),
      };
  }
}
