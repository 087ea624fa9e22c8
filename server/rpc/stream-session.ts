/**
 * One StreamTransform, whichever door it came through.
 *
 * A batch counts as unanswered from its arrival until its answer has left in order; at the window nothing
 * more is read, so HTTP/2 flow control holds the producer. The same holds while the server has no room, and while
 * answers do not leave because the caller does not read.
 *
 * @module
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { type OpenStream, type StreamTransformResponse, StreamTransformResponseSchema } from "@leat/proto";
import type { Principal } from "../access/principal.ts";
import { LeatError, leatError } from "../errors.ts";
import { Reorder } from "../outcome/reorder.ts";
import type { BatchJob, BatchOwner, BatchResult } from "../pool/batch-job.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";
import type { Engine } from "./engine.ts";
import { encodedReply, type Reply, streamReply } from "./reply.ts";
import type { StreamView } from "./request-view.ts";

/** The transport's side of a stream. */
export interface StreamPort {
  /** Sends a response. False when it could not leave at once: `StreamSession.drained` is called when it can. */
  send(reply: Reply): boolean;
  /** Stops and resumes reading. */
  pause(): void;
  resume(): void;
  /** Ends the stream well. */
  end(): void;
  /** Ends the stream with an error. */
  fail(error: LeatError): void;
}

type SessionState =
  | { readonly t: "new" }
  | { readonly t: "opening" }
  | { readonly t: "open"; readonly open: OpenStream }
  | { readonly t: "closed" };

type BatchView = Extract<StreamView, { t: "batch" }>;

/** Runs one stream. */
export class StreamSession implements BatchOwner {
  readonly #engine: Engine;
  readonly #port: StreamPort;
  readonly #principal: Principal;
  readonly #jobs = new Set<BatchJob>();
  #state: SessionState = { t: "new" };
  #reorder: Reorder<Reply> | undefined;
  #window = 1;
  /** As the producer was told when the stream opened: it holds for as long as that is open. */
  #maxBatchBytes = 0;
  #streamId = "";
  #expected = 1;
  #unanswered = 0;
  /** Replies that the transport has and has not taken the bytes of: these lie in a worker's memory. */
  readonly #attached: Reply[] = [];
  #halfClosed = false;
  #draining = false;
  #blocked = false;
  /** Whether a batch waits until its pipeline is built. */
  #building = false;
  #paused = false;
  /** A batch that was read and found no room. */
  #held: { readonly view: BatchView; readonly pipeline: ServingPipeline } | undefined;

  /** @throws LeatError TOO_MANY_STREAMS */
  constructor(engine: Engine, port: StreamPort, principal: Principal) {
    this.#engine = engine;
    this.#port = port;
    this.#principal = principal;
    engine.admission.openStream();
    engine.streams.add(this);
  }

  /** A message has arrived. */
  receive(view: StreamView): void {
    if (this.#state.t === "closed") return;
    try {
      this.#engine.gate?.checkStillValid(this.#principal);
      this.#take(view);
    } catch (thrown) {
      this.#fail(LeatError.from(thrown));
    }
  }

  #take(view: StreamView): void {
    switch (view.t) {
      case "malformed":
        throw leatError("REQUEST_MALFORMED", { problem: view.problem });
      case "open":
        if (this.#state.t !== "new") throw leatError("STREAM_OPENED_TWICE");
        this.#open(view.open);
        return;
      case "batch":
        if (this.#state.t !== "open") throw leatError("STREAM_NOT_OPENED");
        this.#takeBatch(view, this.#state.open);
        return;
      case "empty":
        if (this.#state.t === "new") throw leatError("STREAM_NOT_OPENED");
        throw leatError("REQUEST_MALFORMED", { problem: "neither open nor batch is set" });
    }
  }

  #open(open: OpenStream): void {
    this.#engine.checkTarget(this.#principal, open.target);
    this.#engine.checkServing();
    if (Buffer.byteLength(open.streamId) > 128) {
      throw leatError("REQUEST_INVALID", { field: "open.stream_id", problem: "longer than 128 bytes" });
    }
    if (open.afterSequence >= BigInt(Number.MAX_SAFE_INTEGER)) {
      throw leatError("REQUEST_INVALID", { field: "open.after_sequence", problem: "over 2^53-2" });
    }
    const opened = (): void => {
      if (this.#state.t === "closed") return;
      const { maxStreamWindow, maxBatchBytes, maxBatchRecords } = this.#engine.limits;
      this.#maxBatchBytes = maxBatchBytes;
      this.#window = open.window === 0 ? maxStreamWindow : Math.min(open.window, maxStreamWindow);
      this.#expected = Number(open.afterSequence) + 1;
      this.#streamId = open.streamId;
      if (!open.unordered) this.#reorder = new Reorder(this.#expected, (_, reply) => this.#emit(reply));
      this.#state = { t: "open", open };
      this.#sendMessage({
        case: "opened",
        value: { window: this.#window, maxBatchBytes, maxBatchRecords },
      });
      this.#flow();
      this.#endIfDone();
    };
    this.#state = { t: "opening" };
    if (this.#engine.registry.resolveNow(open.target) !== undefined) {
      opened();
      return;
    }
    this.#flow();
    this.#engine.registry.resolve(open.target).then(opened, (error) => this.#fail(LeatError.from(error)));
  }

  #takeBatch(view: BatchView, open: OpenStream): void {
    // What comes after the notice of draining was sent before the client had read it; it will be sent again elsewhere.
    if (this.#draining) return;
    if (view.sequence !== this.#expected) {
      throw leatError("STREAM_OUT_OF_SEQUENCE", {
        expected: String(this.#expected),
        received: String(view.sequence),
      });
    }
    this.#engine.checkBatchSize(view.end - view.start, this.#maxBatchBytes);
    this.#expected++;
    this.#unanswered++;
    this.#resolve(view, open);
    this.#flow();
  }

  #resolve(view: BatchView, open: OpenStream): void {
    let pipeline: ServingPipeline | undefined;
    try {
      pipeline = this.#engine.registry.resolveNow(open.target);
    } catch (thrown) {
      this.#answer(view.sequence, this.#errorReply(view.sequence, LeatError.from(thrown)));
      return;
    }
    if (pipeline !== undefined) {
      this.#admit(view, pipeline);
      return;
    }
    // One batch at a time waits, so that none overtakes another and only one has to be kept when there is no room.
    this.#building = true;
    const built = (next: () => void): void => {
      this.#building = false;
      next();
      this.#flow();
    };
    this.#engine.registry.resolve(open.target).then(
      (found) => built(() => this.#admit(view, found)),
      (error) =>
        built(() => this.#answer(view.sequence, this.#errorReply(view.sequence, LeatError.from(error)))),
    );
  }

  #admit(view: BatchView, pipeline: ServingPipeline): void {
    if (this.#state.t === "closed") return;
    if (!this.#engine.admission.tryAdmit(view.end - view.start)) {
      this.#held = { view, pipeline };
      this.#flow();
      this.#engine.admission.whenRoom(this.#tryHeld);
      return;
    }
    const { bytes, start, end, traceparent } = view;
    const incoming = {
      bytes,
      start,
      end,
      mergeable: false,
      sequence: view.sequence,
      streamId: this.#streamId,
      callId: "",
      sender: this.#principal.name,
    };
    const parent = traceparent === "" ? undefined : traceparent;
    const job = this.#engine.submit("batch", this, pipeline, incoming, parent, undefined);
    // One that is refused at once is answered already.
    if (!job.settled) this.#jobs.add(job);
  }

  readonly #tryHeld = (): void => {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    this.#admit(held.view, held.pipeline);
    this.#flow();
  };

  /** One of the stream's batches is answered. */
  settled(job: BatchJob, outcome: BatchResult | LeatError): void {
    const { sequence } = job;
    this.#jobs.delete(job);
    this.#engine.admission.release(job.byteLength);
    if (this.#state.t === "closed") {
      if (!(outcome instanceof LeatError)) outcome.release();
      return;
    }
    if (outcome instanceof LeatError) {
      this.#answer(sequence, this.#errorReply(sequence, outcome));
      return;
    }
    const reply = streamReply(sequence, outcome);
    // A result that must wait for an earlier one must not hold the worker's memory.
    if (this.#reorder !== undefined && !this.#reorder.isNext(sequence)) reply.detach();
    this.#answer(sequence, reply);
  }

  #answer(sequence: number, reply: Reply): void {
    if (this.#state.t === "closed") return;
    if (this.#reorder !== undefined) this.#reorder.add(sequence, reply);
    else this.#emit(reply);
    this.#flow();
    this.#endIfDone();
  }

  #emit(reply: Reply): void {
    this.#unanswered--;
    this.#send(reply);
  }

  #send(reply: Reply): void {
    if (this.#port.send(reply)) {
      reply.detachIfScarce();
      if (reply.isAttached) this.#attached.push(reply);
      while (this.#attached[0]?.isAttached === false) this.#attached.shift();
      return;
    }
    // The caller does not read: nobody knows for how long.
    this.#blocked = true;
    reply.detach();
  }

  /** Answers can leave again. */
  drained(): void {
    this.#blocked = false;
    this.#flow();
  }

  /** The producer has sent all it will send. */
  halfClosed(): void {
    this.#halfClosed = true;
    if (this.#state.t === "new") this.#fail(leatError("STREAM_NOT_OPENED"));
    else this.#endIfDone();
  }

  /** The server is about to stop: tells the producer and takes no more. */
  drain(): void {
    if (this.#draining || this.#state.t === "closed") return;
    this.#draining = true;
    if (this.#state.t !== "open") {
      this.#fail(leatError("DRAINING"));
      return;
    }
    this.#sendMessage({ case: "draining", value: { lastSequence: BigInt(this.#expected - 1) } });
    this.#endIfDone();
  }

  /** Ends the stream of a caller whose credentials are not valid any more. What is unanswered may be sent again with fresh ones. */
  checkCaller(): void {
    try {
      this.#engine.gate?.checkStillValid(this.#principal);
    } catch (thrown) {
      this.#fail(LeatError.from(thrown));
    }
  }

  /** The call was cancelled or lost: nobody waits for anything. */
  cancelled(): void {
    this.#close();
  }

  /** Reads on exactly while there is room for what may come. */
  #flow(): void {
    const stop =
      this.#state.t === "opening" ||
      this.#building ||
      this.#held !== undefined ||
      this.#blocked ||
      (this.#state.t === "open" && this.#unanswered >= this.#window);
    if (stop === this.#paused || this.#state.t === "closed") return;
    this.#paused = stop;
    if (stop) this.#port.pause();
    else this.#port.resume();
  }

  #endIfDone(): void {
    const finished = this.#halfClosed || this.#draining;
    if (!finished || this.#state.t !== "open" || this.#unanswered > 0) return;
    this.#close();
    this.#port.end();
  }

  #fail(error: LeatError): void {
    if (this.#state.t === "closed") return;
    this.#close();
    this.#port.fail(error);
  }

  #close(): void {
    if (this.#state.t === "closed") return;
    this.#state = { t: "closed" };
    this.#held = undefined;
    // A call that was lost never takes them.
    for (const reply of this.#attached) reply.detach();
    this.#attached.length = 0;
    this.#engine.admission.forget(this.#tryHeld);
    const nowMs = this.#engine.clock.nowMs();
    for (const job of [...this.#jobs]) job.cancel(nowMs);
    this.#engine.admission.closeStream();
    this.#engine.streams.delete(this);
  }

  #errorReply(sequence: number, error: LeatError): Reply {
    const message = create(StreamTransformResponseSchema, {
      message: {
        case: "result",
        value: {
          sequence: BigInt(sequence),
          outcome: { case: "error", value: this.#engine.statuses.inBand(error) },
        },
      },
    });
    return encodedReply(toBinary(StreamTransformResponseSchema, message));
  }

  #sendMessage(message: NonNullable<Parameters<typeof createResponse>[0]>): void {
    this.#send(encodedReply(toBinary(StreamTransformResponseSchema, createResponse(message))));
  }
}

function createResponse(
  message:
    | { case: "opened"; value: { window: number; maxBatchBytes: number; maxBatchRecords: number } }
    | { case: "draining"; value: { lastSequence: bigint } },
): StreamTransformResponse {
  return create(StreamTransformResponseSchema, { message });
}
