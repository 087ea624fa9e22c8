import { appendItem } from "../record/batch.ts";
import type { RecordMapper } from "../record/codec.ts";
import { EncodedBatch } from "../record/encoded-batch.ts";
import { BatchWriter } from "../record/writer.ts";
import type { BatchLimits, BatchSource, OutgoingBatch } from "./batch.ts";
import type { ResolvedBatchingOptions } from "./options.ts";
import { longestTimerMs } from "./options.ts";

/**
 * What a source may give: one item, a batch of items, or an encoded batch.
 *
 * @example
 * import { type Chunk, encodeBatch, text } from "@leat/sdk";
 *
 * const chunks: Chunk<string>[] = ["one", ["a", "batch"], encodeBatch(["encoded"], { codec: text() })];
 * console.log(chunks.length);
 */
export type Chunk<Item> = Item | readonly Item[] | EncodedBatch;

/**
 * Where the records of a stream come from. A `ReadableStream` is one.
 *
 * @example
 * import { Leat, type StreamSource, text } from "@leat/sdk";
 *
 * export async function shout(leat: Leat, lines: StreamSource<string>): Promise<void> {
 *   for await (const { outputs } of leat.stream("uppercase", lines, { codec: text() })) console.log(outputs);
 * }
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * await shout(leat, ["a", "b"]);
 */
export type StreamSource<Item> = AsyncIterable<Chunk<Item>> | Iterable<Chunk<Item>>;

interface Waiter<Item> {
  readonly resolve: (batch: OutgoingBatch<readonly Item[]> | undefined) => void;
  readonly reject: (error: unknown) => void;
}

const unlimited: BatchLimits = {
  maxBatchBytes: Number.POSITIVE_INFINITY,
  maxBatchRecords: Number.POSITIVE_INFINITY,
};

/**
 * Gathers what an iterable gives into batches. The iterable is asked for more only while a batch is
 * wanted, and by then one item at a time: what lies ahead of the stream is one partial batch.
 */
export class IterableSource<Item> implements BatchSource<readonly Item[]> {
  readonly #mapper: RecordMapper<Item, unknown>;
  readonly #options: ResolvedBatchingOptions;
  readonly #iterator: AsyncIterator<Chunk<Item>> | Iterator<Chunk<Item>>;
  readonly #synchronous: boolean;
  readonly #writer = new BatchWriter();
  readonly #ready: OutgoingBatch<readonly Item[]>[] = [];
  #items: Item[] = [];
  #waiter: Waiter<Item> | undefined;
  #limits: BatchLimits = unlimited;
  #asking = false;
  #end: { readonly error: unknown } | undefined;
  #linger: NodeJS.Timeout | undefined;
  #lingered = false;

  constructor(
    source: StreamSource<Item>,
    mapper: RecordMapper<Item, unknown>,
    options: ResolvedBatchingOptions,
  ) {
    this.#mapper = mapper;
    this.#options = options;
    this.#synchronous = !(Symbol.asyncIterator in source);
    this.#iterator =
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  next(limits: BatchLimits): Promise<OutgoingBatch<readonly Item[]> | undefined> {
    return new Promise((resolve, reject) => {
      this.#limits = limits;
      this.#waiter = { resolve, reject };
      this.#advance();
    });
  }

  close(): void {
    clearTimeout(this.#linger);
    this.#waiter = undefined;
    if (this.#end) return;
    this.#end = { error: undefined };
    void this.#release();
  }

  /** Goes on until the waiter has its batch or the iterable makes it wait. */
  #advance(): void {
    while (this.#waiter) {
      const batch = this.#ready.shift() ?? (this.#complete() ? this.#takeBatch() : undefined);
      if (batch) {
        this.#answer((waiter) => waiter.resolve(batch));
      } else if (this.#end) {
        const { error } = this.#end;
        this.#answer((waiter) => (error === undefined ? waiter.resolve(undefined) : waiter.reject(error)));
      } else if (!this.#ask()) {
        return;
      }
    }
  }

  #answer(settle: (waiter: Waiter<Item>) => void): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter) settle(waiter);
  }

  #complete(): boolean {
    if (this.#writer.count === 0) return false;
    return (
      this.#lingered ||
      this.#end !== undefined ||
      this.#writer.count >= Math.min(this.#options.batchRecords, this.#limits.maxBatchRecords) ||
      this.#writer.sizeBytes >= Math.min(this.#options.batchBytes, this.#limits.maxBatchBytes)
    );
  }

  /** Asks for one chunk. @returns whether it is there already */
  #ask(): boolean {
    if (this.#asking) return false;
    let result: IteratorResult<Chunk<Item>> | Promise<IteratorResult<Chunk<Item>>>;
    try {
      result = this.#iterator.next();
    } catch (error) {
      this.#end = { error };
      return true;
    }
    if (this.#synchronous) {
      this.#take(result as IteratorResult<Chunk<Item>>);
      return true;
    }
    this.#asking = true;
    (result as Promise<IteratorResult<Chunk<Item>>>).then(this.#onChunk, this.#onError);
    return false;
  }

  readonly #onChunk = (result: IteratorResult<Chunk<Item>>): void => {
    this.#asking = false;
    this.#take(result);
    this.#advance();
  };

  readonly #onError = (error: unknown): void => {
    this.#asking = false;
    this.#end ??= { error };
    this.#advance();
  };

  /** The source gave something that cannot be sent. What came before it is. */
  #abandon(error: unknown): void {
    if (this.#end) return;
    this.#end = { error };
    void this.#release();
  }

  /** Lets a generator run its finally blocks. */
  async #release(): Promise<void> {
    try {
      await this.#iterator.return?.();
    } catch {
      // The stream has its outcome, whatever they do.
    }
  }

  #take(result: IteratorResult<Chunk<Item>>): void {
    try {
      this.#accept(result);
    } catch (error) {
      this.#abandon(error);
    }
  }

  #accept(result: IteratorResult<Chunk<Item>>): void {
    if (this.#end) return;
    if (result.done) this.#end = { error: undefined };
    else if (result.value instanceof EncodedBatch) this.#acceptEncoded(result.value);
    else if (Array.isArray(result.value)) this.#acceptBatch(result.value);
    else this.#acceptItem(result.value as Item);
  }

  #acceptEncoded({ bytes, count }: EncodedBatch): void {
    this.#closePartial();
    this.#ready.push({ bytes, count, tag: [], links: undefined });
  }

  /** A batch stays one batch, unless it is larger than the server takes. */
  #acceptBatch(items: readonly Item[]): void {
    this.#closePartial();
    for (const item of items) this.#append(item);
    this.#closePartial();
  }

  #acceptItem(item: Item): void {
    this.#append(item);
    if (this.#synchronous || this.#linger || this.#writer.count === 0) return;
    this.#linger = setTimeout(
      () => {
        this.#linger = undefined;
        this.#lingered = true;
        this.#advance();
      },
      Math.min(this.#options.lingerMs, longestTimerMs),
    );
  }

  #append(item: Item): void {
    appendItem(this.#writer, this.#mapper, item, this.#items.length);
    this.#items.push(item);
    if (this.#writer.count === 1) return;
    const { maxBatchBytes, maxBatchRecords } = this.#limits;
    if (this.#writer.sizeBytes <= maxBatchBytes && this.#writer.count <= maxBatchRecords) return;
    const { bytes, count } = this.#writer.takeAllButLast();
    this.#ready.push({ bytes, count, tag: this.#items.slice(0, -1), links: undefined });
    this.#items = this.#items.slice(-1);
  }

  #closePartial(): void {
    if (this.#writer.count > 0) this.#ready.push(this.#takeBatch());
  }

  #takeBatch(): OutgoingBatch<readonly Item[]> {
    clearTimeout(this.#linger);
    this.#linger = undefined;
    this.#lingered = false;
    const { bytes, count } = this.#writer.take();
    const tag = this.#items;
    this.#items = [];
    return { bytes, count, tag, links: undefined };
  }
}
