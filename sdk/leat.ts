import type { ReadableWritablePair } from "node:stream/web";
import type { Client, Transport } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";
import type {
  AuditService,
  ConfigService,
  DeadLetterService,
  Health,
  MetricsService,
  ModuleService,
  PipelineService,
} from "@leat/proto";
import { context, ROOT_CONTEXT } from "@opentelemetry/api";
import type { BatcherOptions } from "./batcher.ts";
import { Batcher } from "./batcher.ts";
import { createThrowingClients } from "./clients.ts";
import { LeatCallError } from "./errors.ts";
import type {
  BatcherStreamOptions,
  CodecOption,
  LeatOptions,
  MaybeCodec,
  NoCodec,
  TransformOptions,
} from "./leat-options.ts";
import { encodeItems } from "./record/batch.ts";
import type { Codec, Item, RecordMapper } from "./record/codec.ts";
import { codecMapper, rawMapper } from "./record/codec.ts";
import { EncodedBatch } from "./record/encoded-batch.ts";
import type { OutputRecord, RecordInput } from "./record/record.ts";
import { BatchResult } from "./record/result.ts";
import { StreamCore } from "./stream/core.ts";
import type { Chunk, StreamSource } from "./stream/iterable-source.ts";
import { IterableSource } from "./stream/iterable-source.ts";
import type { BatchingOptions, StreamOptions } from "./stream/options.ts";
import { resolveBatchingOptions, resolveStreamOptions } from "./stream/options.ts";
import type { ResultStream } from "./stream/result-stream.ts";
import { ResultQueue } from "./stream/result-stream.ts";
import type { FailureOption } from "./stream/transform-stream.ts";
import { emitOutputs, transformPair } from "./stream/transform-stream.ts";
import type { TargetInput } from "./target.ts";
import { targetName } from "./target.ts";
import { endSpan, startTransformSpan, traceHeaders } from "./tracing.ts";
import type { GrpcTransport } from "./transport/grpc-transport.ts";
import { createGrpcTransport } from "./transport/grpc-transport.ts";
import { type EncodedTarget, EncodedTransformRequest, encodeTarget } from "./wire/pre-encoded.ts";
import { transformView } from "./wire/view.ts";

/**
 * A client of a Leat server: connections, typed clients, and what producers need. It connects at the
 * first call. Every error that it throws for a failed call is a LeatCallError.
 *
 * @example
 * import { json, Leat } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS ?? "127.0.0.1:7070");
 * const orders = [{ customer: "ada" }, { customer: "grace" }];
 * const result = await leat.transform("redact", orders, { codec: json<{ customer: string }>() });
 * console.log(result.outputs, result.failures);
 */
export class Leat implements AsyncDisposable {
  /** The transport under all calls. */
  readonly transport: Transport;
  /** Loads, lists and unloads modules. */
  readonly modules: Client<typeof ModuleService>;
  /** Stores, lists and deletes pipelines. */
  readonly pipelines: Client<typeof PipelineService>;
  /** Reads the server's counters and times. */
  readonly metrics: Client<typeof MetricsService>;
  /** Shows records that pipelines gave up on, runs them again, removes them. */
  readonly deadLetters: Client<typeof DeadLetterService>;
  /** Shows who changed what, and checks that nobody has changed that log. */
  readonly audit: Client<typeof AuditService>;
  /** Shows the configuration of the server, and changes what may change while it runs. */
  readonly config: Client<typeof ConfigService>;
  /** Asks whether the server serves: a service by its name, a pipeline as `pipeline/NAME`. */
  readonly health: Client<typeof Health>;
  readonly #ownTransport: GrpcTransport | undefined;
  readonly #streams = new Set<{ fail(error: unknown): void }>();
  readonly #batchers = new Set<{ close(): Promise<void> }>();
  #lastTarget: { readonly input: TargetInput; readonly encoded: EncodedTarget } | undefined;
  #closed = false;

  /**
   * @param options - an address, or options. Default: a server at 127.0.0.1:7070, without TLS
   * @throws TypeError for an address that cannot be understood
   */
  constructor(options: string | LeatOptions = {}) {
    const all: LeatOptions = typeof options === "string" ? { address: options } : options;
    this.#ownTransport = all.transport ? undefined : createGrpcTransport(all);
    this.transport = all.transport ?? (this.#ownTransport as GrpcTransport);
    const clients = createThrowingClients(this.transport);
    this.modules = clients.modules;
    this.pipelines = clients.pipelines;
    this.metrics = clients.metrics;
    this.deadLetters = clients.deadLetters;
    this.audit = clients.audit;
    this.config = clients.config;
    this.health = clients.health;
  }

  /**
   * Transforms one batch with one unary call.
   *
   * @param target - a stored pipeline's name, or `{ modules: [...] }`
   * @param records - the batch: at most 4 MiB and 10,000 records unless the server says otherwise
   * @throws LeatCallError when the batch as a whole could not be run
   * @throws EncodeError when the codec refuses a value
   *
   * @example
   * import { Leat } from "@leat/sdk";
   *
   * await using leat = new Leat(process.env.LEAT_ADDRESS);
   * const records = [{ key: "1", value: "mill" }, { key: "2", value: "race" }];
   * const result = await leat.transform("uppercase", records, { timeoutMs: 2_000 });
   * for (const { value } of result.records) console.log(new TextDecoder().decode(value));
   */
  transform(
    target: TargetInput,
    records: Iterable<RecordInput> | EncodedBatch,
    options?: TransformOptions & NoCodec,
  ): Promise<BatchResult<RecordInput, OutputRecord>>;
  /** As above, for typed values. */
  transform<In, Out>(
    target: TargetInput,
    values: Iterable<Item<NoInfer<In>>> | EncodedBatch,
    options: TransformOptions & CodecOption<In, Out>,
  ): Promise<BatchResult<Item<In>, Out>>;
  async transform<In, Out>(
    target: TargetInput,
    records: Iterable<RecordInput> | Iterable<Item<In>> | EncodedBatch,
    options: TransformOptions & MaybeCodec<In, Out> = {},
  ): Promise<BatchResult<unknown, unknown>> {
    const mapper = mapperOf(options.codec);
    const inputs = records instanceof EncodedBatch ? [] : [...records];
    const batch =
      records instanceof EncodedBatch
        ? records
        : encodeItems(inputs, mapper as RecordMapper<unknown, unknown>);
    const span = startTransformSpan(targetName(target), batch.count, batch.bytes.length);
    const traced = traceHeaders(span);
    try {
      const { message } = await this.transport.unary(
        transformView,
        options.signal,
        options.timeoutMs,
        traced ? { ...options.headers, ...traced } : options.headers,
        new EncodedTransformRequest(this.#encodedTarget(target), batch.bytes),
      );
      endSpan(span);
      return new BatchResult(0, inputs, batch.count, { t: "result", bytes: message.result }, mapper);
    } catch (thrown) {
      const error = LeatCallError.from(thrown);
      endSpan(span, error);
      throw error;
    }
  }

  /**
   * Transforms a stream of records. Results come in order, one for each batch, each exactly once, across
   * reconnects and restarts of the server. The source is read only as fast as results are taken: at most
   * a window of batches is under way.
   *
   * The source may give single records, which are gathered into batches; arrays, which stay one batch
   * each; and encoded batches. A value that is itself an array must be wrapped in an array.
   *
   * @throws LeatCallError, from the iterator, when the stream cannot go on
   * @throws EncodeError, from the iterator, when the codec refuses a value
   *
   * @example
   * import { Leat, text } from "@leat/sdk";
   *
   * async function* lines() {
   *   for (let n = 1; n <= 10; n++) yield `line ${n}`;
   * }
   * await using leat = new Leat(process.env.LEAT_ADDRESS);
   * for await (const result of leat.stream("uppercase", lines(), { codec: text(), batchRecords: 4 })) {
   *   console.log(result.sequence, result.outputs);
   *   for (const failure of result.failures) console.log(result.inputs[failure.index], failure.code);
   * }
   */
  stream(
    target: TargetInput,
    source: StreamSource<RecordInput>,
    options?: StreamOptions & BatchingOptions & NoCodec,
  ): ResultStream<BatchResult<RecordInput, OutputRecord>>;
  /** As above, for typed values. */
  stream<In, Out>(
    target: TargetInput,
    source: StreamSource<Item<NoInfer<In>>>,
    options: StreamOptions & BatchingOptions & CodecOption<In, Out>,
  ): ResultStream<BatchResult<Item<In>, Out>>;
  stream<In, Out>(
    target: TargetInput,
    source: StreamSource<RecordInput> | StreamSource<Item<In>>,
    options: StreamOptions & BatchingOptions & MaybeCodec<In, Out> = {},
  ): ResultStream<BatchResult<unknown, unknown>> {
    return this.#open(target, source as StreamSource<unknown>, mapperOf(options.codec), options);
  }

  /**
   * A WHATWG transform stream: write records, read what they gave, in order. Failed records go to
   * `onFailure`; without that the first one ends the stream.
   *
   * @example
   * import { ReadableStream } from "node:stream/web";
   * import { Leat, text } from "@leat/sdk";
   *
   * await using leat = new Leat(process.env.LEAT_ADDRESS);
   * const shouted = ReadableStream.from(["a", "b"]).pipeThrough(
   *   leat.transformStream("uppercase", { codec: text(), onFailure: (failure) => console.warn(failure.code) }),
   * );
   * for await (const line of shouted) console.log(line);
   */
  transformStream(
    target: TargetInput,
    options?: StreamOptions & BatchingOptions & FailureOption<RecordInput> & NoCodec,
  ): ReadableWritablePair<OutputRecord, Chunk<RecordInput>>;
  /** As above, for typed values. */
  transformStream<In, Out>(
    target: TargetInput,
    options: StreamOptions & BatchingOptions & FailureOption<Item<NoInfer<In>>> & CodecOption<In, Out>,
  ): ReadableWritablePair<Out, Chunk<Item<In>>>;
  transformStream<In, Out>(
    target: TargetInput,
    options: StreamOptions & BatchingOptions & FailureOption<never> & MaybeCodec<In, Out> = {},
  ): ReadableWritablePair<unknown, Chunk<never>> {
    const mapper = mapperOf(options.codec);
    return transformPair<never, BatchResult<never, unknown>, unknown>(
      (source) => this.#open(target, source, mapper, options),
      (result) => emitOutputs(result, options),
    );
  }

  /**
   * Makes a batcher: concurrent calls with one record each travel as batches on one stream.
   *
   * @example
   * import { json, Leat } from "@leat/sdk";
   *
   * await using leat = new Leat(process.env.LEAT_ADDRESS);
   * await using batcher = leat.batcher("redact", { codec: json<{ n: number }>(), maxRecords: 100 });
   * const outcome = await batcher.transform({ n: 1 }, { signal: AbortSignal.timeout(5_000) });
   * if (outcome.status === "ok") console.log(outcome.outputs[0]?.n);
   */
  batcher(
    target: TargetInput,
    options?: BatcherOptions & BatcherStreamOptions & NoCodec,
  ): Batcher<RecordInput, OutputRecord>;
  /** As above, for typed values. */
  batcher<In, Out>(
    target: TargetInput,
    options: BatcherOptions & BatcherStreamOptions & CodecOption<In, Out>,
  ): Batcher<Item<In>, Out>;
  batcher<In, Out>(
    target: TargetInput,
    options: BatcherOptions & StreamOptions & MaybeCodec<In, Out> = {},
  ): Batcher<In, Out> {
    const { maxInFlight } = options;
    const mapper = mapperOf(options.codec) as RecordMapper<In, Out>;
    const batcher = new Batcher(mapper, options, (source, deliver) => {
      const core = new StreamCore({
        transport: this.transport,
        target,
        options: resolveStreamOptions({
          ...options,
          unordered: true,
          ...(maxInFlight !== undefined && { window: maxInFlight }),
        }),
        // Its batches belong to no caller; they link to all of theirs instead.
        context: ROOT_CONTEXT,
        source,
        deliver,
      });
      return this.#tracked(core);
    });
    this.#batchers.add(batcher);
    void batcher.closed.then(() => this.#batchers.delete(batcher));
    return batcher;
  }

  /**
   * Connects ahead of the first call.
   *
   * @param timeoutMs - how long to try
   * @throws LeatCallError with UNAVAILABLE when no server could be reached in that time
   *
   * @example
   * import { Leat } from "@leat/sdk";
   *
   * await using leat = new Leat(process.env.LEAT_ADDRESS);
   * await leat.connect(5_000);
   */
  async connect(timeoutMs: number): Promise<void> {
    try {
      await this.#ownTransport?.ready(timeoutMs);
    } catch (cause) {
      const message = `no server answered within ${timeoutMs} ms at ${this.#ownTransport?.target}`;
      throw new LeatCallError(message, { code: Code.Unavailable, cause });
    }
  }

  /**
   * Finishes what batchers hold, ends open streams, and closes the connections. `await using` calls it.
   *
   * @example
   * import { Leat } from "@leat/sdk";
   *
   * const leat = new Leat(process.env.LEAT_ADDRESS);
   * try {
   *   await leat.transform("uppercase", [{ value: "a" }]);
   * } finally {
   *   await leat.close();
   * }
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([...this.#batchers].map((batcher) => batcher.close()));
    for (const stream of [...this.#streams]) {
      stream.fail(new LeatCallError("the client was closed", { code: Code.Canceled }));
    }
    this.#ownTransport?.close();
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Most clients call one target again and again. */
  #encodedTarget(target: TargetInput): EncodedTarget {
    if (this.#lastTarget?.input !== target)
      this.#lastTarget = { input: target, encoded: encodeTarget(target) };
    return this.#lastTarget.encoded;
  }

  #open<In>(
    target: TargetInput,
    source: StreamSource<In>,
    mapper: RecordMapper<never, unknown>,
    options: StreamOptions & BatchingOptions,
  ): ResultQueue<BatchResult<In, unknown>> {
    const core = new StreamCore<readonly In[]>({
      transport: this.transport,
      target,
      options: resolveStreamOptions(options),
      context: context.active(),
      source: new IterableSource<In>(
        source,
        mapper as RecordMapper<In, unknown>,
        resolveBatchingOptions(options),
      ),
      deliver: ({ place, batch, answer }) =>
        results.push(new BatchResult(place, batch.tag, batch.count, answer, mapper)),
    });
    const tracked = this.#tracked(core);
    const results = new ResultQueue<BatchResult<In, unknown>>({
      start: () => tracked.start(),
      release: () => core.release(),
      cancel: () => core.fail(undefined),
    });
    return results;
  }

  /** Lets `close` end the stream while it runs. */
  #tracked<Tag>(core: StreamCore<Tag>): {
    start(): Promise<void>;
    release(): void;
    fail(error: unknown): void;
  } {
    return {
      start: () => {
        if (this.#closed) core.fail(new LeatCallError("the client is closed", { code: Code.Canceled }));
        this.#streams.add(core);
        return core.start().finally(() => this.#streams.delete(core));
      },
      release: () => core.release(),
      fail: (error) => core.fail(error),
    };
  }
}

/** The overloads have checked that the items fit the codec, or are plain records when there is none. */
function mapperOf<In, Out>(codec: Codec<In, Out> | undefined): RecordMapper<never, unknown> {
  return codec === undefined ? rawMapper : codecMapper(codec);
}
