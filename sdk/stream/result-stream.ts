/**
 * The results of a stream, as an async iterator that can also be disposed of.
 *
 * @example
 * import { Leat, text } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * await using results = leat.stream("uppercase", ["a", "b"], { codec: text() });
 * const first = await results.next();
 * console.log(first.value?.outputs);
 */
export interface ResultStream<Result> extends AsyncIterableIterator<Result, undefined, undefined> {
  /** Ends the stream: what is under way is given up. */
  return(): Promise<IteratorResult<Result, undefined>>;
  /** As {@link return}. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a result stream stands on. */
export interface ResultFeed {
  /** Starts; settles when no result will follow. */
  start(): Promise<void>;
  /** The consumer took one result. */
  release(): void;
  /** The consumer wants no more. */
  cancel(): void;
}

interface Reader<Result> {
  readonly resolve: (result: IteratorResult<Result, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Holds delivered results until the consumer takes them. Nothing starts before the first `next`, so a
 * stream that nobody reads costs nothing.
 */
export class ResultQueue<Result> implements ResultStream<Result> {
  readonly #feed: ResultFeed;
  readonly #results: Result[] = [];
  readonly #readers: Reader<Result>[] = [];
  readonly #ended = Promise.withResolvers<{ readonly error: unknown }>();
  #started = false;
  #end: { readonly error: unknown } | undefined;

  constructor(feed: ResultFeed) {
    this.#feed = feed;
  }

  /** Resolves once no result will follow, with the error that ended the stream or undefined, whether anybody reads or not. */
  get ended(): Promise<{ readonly error: unknown }> {
    return this.#ended.promise;
  }

  /** Hands over one result. */
  push(result: Result): void {
    const reader = this.#readers.shift();
    if (reader === undefined) {
      this.#results.push(result);
      return;
    }
    reader.resolve({ done: false, value: result });
    this.#feed.release();
  }

  next(): Promise<IteratorResult<Result, undefined>> {
    if (!this.#started) this.#start();
    const result = this.#results.shift();
    if (result !== undefined) {
      this.#feed.release();
      return Promise.resolve({ done: false, value: result });
    }
    if (this.#end) return this.#take(this.#end);
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
    });
  }

  return(): Promise<IteratorResult<Result, undefined>> {
    this.#started = true;
    this.#results.length = 0;
    this.#feed.cancel();
    this.#close(undefined);
    return Promise.resolve({ done: true, value: undefined });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #start(): void {
    this.#started = true;
    this.#feed.start().then(
      () => this.#close(undefined),
      (error: unknown) => this.#close(error),
    );
  }

  #close(error: unknown): void {
    if (this.#end) return;
    this.#end = { error };
    this.#ended.resolve({ error });
    const waiting = this.#readers.splice(0);
    for (const reader of waiting) this.#take(this.#end).then(reader.resolve, reader.reject);
  }

  /** An error is thrown once; after it the stream is simply over. */
  #take(end: { readonly error: unknown }): Promise<IteratorResult<Result, undefined>> {
    if (end.error === undefined) return Promise.resolve({ done: true, value: undefined });
    this.#end = { error: undefined };
    return Promise.reject(end.error);
  }
}
