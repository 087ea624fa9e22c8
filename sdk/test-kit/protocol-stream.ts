import type { MessageInitShape } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import type {
  OpenStream,
  Record,
  StreamBatch,
  StreamTransformRequest,
  StreamTransformResponse,
  Target,
} from "@leat/proto";
import { RecordBatchSchema, StreamTransformResponseSchema } from "@leat/proto";
import { runPipeline } from "./pipelines.ts";
import { protocolError } from "./protocol-error.ts";
import type { Behaviour, SeenStream } from "./protocol-server.ts";

type Call = ServerDuplexStream<StreamTransformRequest, StreamTransformResponse>;

/** One StreamTransform call, as the protocol has it. */
export class ProtocolStream {
  readonly #call: Call;
  readonly #behaviour: Behaviour;
  readonly #register: (seen: SeenStream) => void;
  #seen: SeenStream | undefined;
  #target: Target | undefined;
  #unordered = false;
  #window = 0;
  #last = 0;
  #unanswered = 0;
  #tail: Promise<void> = Promise.resolve();
  #draining = false;
  #halfClosed = false;
  #over = false;
  #ended = false;

  constructor(call: Call, behaviour: Behaviour, register: (seen: SeenStream) => void) {
    this.#call = call;
    this.#behaviour = behaviour;
    this.#register = register;
    call.on("data", (request: StreamTransformRequest) => this.#onRequest(request));
    call.on("end", () => {
      // A call that the client reset looks half-closed at first; the next turn knows better.
      setImmediate(() => {
        if (this.#over) return;
        this.#halfClosed = true;
        if (this.#seen) this.#seen.ended = true;
        this.#endIfDone();
      });
    });
    call.on("error", () => {
      this.#over = true;
    });
    call.on("cancelled", () => {
      this.#over = true;
    });
  }

  /** Whether the server has ended the call. */
  get ended(): boolean {
    return this.#ended;
  }

  drain(): void {
    if (this.#over || this.#draining) return;
    this.#draining = true;
    this.#send({ case: "draining", value: { lastSequence: BigInt(this.#last) } });
    this.#endIfDone();
  }

  #onRequest({ message }: StreamTransformRequest): void {
    if (this.#over) return;
    if (this.#seen === undefined) {
      if (message.case === "open") this.#seen = this.#open(message.value);
      else this.#fail("STREAM_NOT_OPENED", "the first message must be open");
    } else if (message.case === "batch") {
      this.#onBatch(this.#seen, message.value);
    } else {
      this.#fail("STREAM_OPENED_TWICE", "only the first message may be open");
    }
  }

  #open(open: OpenStream): SeenStream {
    this.#unordered = open.unordered;
    this.#target = open.target;
    this.#last = Number(open.afterSequence);
    this.#window = Math.min(open.window || this.#behaviour.window, this.#behaviour.window);
    const seen: SeenStream = {
      streamId: open.streamId,
      afterSequence: this.#last,
      metadata: this.#call.metadata,
      batches: [],
      maxUnanswered: 0,
      ended: false,
    };
    this.#register(seen);
    const { maxBatchBytes, maxBatchRecords } = this.#behaviour;
    this.#send({ case: "opened", value: { window: this.#window, maxBatchBytes, maxBatchRecords } });
    return seen;
  }

  #onBatch(seen: SeenStream, batch: StreamBatch): void {
    // Not taken: the client was told, and sends it elsewhere.
    if (this.#draining) return;
    const sequence = Number(batch.sequence);
    const records = batch.batch?.records ?? [];
    const size = batch.batch ? toBinary(RecordBatchSchema, batch.batch).length : 0;
    const { maxBatchBytes, maxBatchRecords } = this.#behaviour;
    if (sequence !== this.#last + 1) {
      this.#fail("STREAM_OUT_OF_SEQUENCE", `expected ${this.#last + 1}, received ${sequence}`);
      return;
    }
    if (size > maxBatchBytes || records.length > maxBatchRecords) {
      this.#fail("BATCH_TOO_LARGE", `${size} bytes, ${records.length} records`);
      return;
    }
    this.#last = sequence;
    this.#unanswered++;
    seen.maxUnanswered = Math.max(seen.maxUnanswered, this.#unanswered);
    seen.batches.push({ sequence, traceparent: batch.traceparent, records });
    if (this.#unanswered >= this.#window) this.#call.pause();
    const answer = async (): Promise<void> => {
      await this.#behaviour.beforeAnswer(sequence);
      this.#answer(sequence, records);
    };
    if (this.#unordered) void answer();
    else this.#tail = this.#tail.then(answer);
  }

  #answer(sequence: number, records: readonly Record[]): void {
    if (this.#over) return;
    const refusal = this.#behaviour.refuse(sequence);
    const outcome = refusal ?? runPipeline(this.#target, records);
    if (outcome === "never") return;
    this.#unanswered--;
    if ("code" in outcome) {
      const retryAfterMs = refusal?.retryAfterMs;
      const error = { code: outcome.code, reason: outcome.reason, message: `refused: ${outcome.reason}` };
      const retryAfter = retryAfterMs === undefined ? {} : { retryAfter: { nanos: retryAfterMs * 1e6 } };
      this.#send({
        case: "result",
        value: { sequence: BigInt(sequence), outcome: { case: "error", value: { ...error, ...retryAfter } } },
      });
    } else {
      this.#send({
        case: "result",
        value: { sequence: BigInt(sequence), outcome: { case: "result", value: outcome } },
      });
    }
    this.#call.resume();
    this.#endIfDone();
  }

  #send(message: NonNullable<MessageInitShape<typeof StreamTransformResponseSchema>["message"]>): void {
    this.#call.write(create(StreamTransformResponseSchema, { message }));
  }

  #fail(reason: string, message: string): void {
    this.#over = true;
    this.#ended = true;
    this.#call.emit("error", protocolError(status.INVALID_ARGUMENT, reason, message));
  }

  #endIfDone(): void {
    if (this.#over || this.#unanswered > 0 || !this.#halfClosed) return;
    this.#over = true;
    this.#ended = true;
    this.#call.end();
  }
}
