import type { ReadableWritablePair } from "node:stream/web";
import { ReadableStream, WritableStream } from "node:stream/web";
import type { FailureInfo } from "../record/reader.ts";
import type { BatchResult } from "../record/result.ts";
import type { Chunk } from "./iterable-source.ts";
import type { ResultQueue, ResultStream } from "./result-stream.ts";

/**
 * A record that failed in a stream of plain outputs, which has no other place to say so.
 *
 * @example
 * import { RecordFailedError } from "@leat/sdk";
 *
 * export function isBadRecord(error: unknown): boolean {
 *   return error instanceof RecordFailedError && !error.failure.retryable;
 * }
 */
export class RecordFailedError extends Error {
  override readonly name = "RecordFailedError";
  /** Why the record failed. */
  readonly failure: FailureInfo;
  /** The record that went in; undefined when it was given encoded. */
  readonly input: unknown;

  /** @internal */
  constructor(failure: FailureInfo, input: unknown) {
    super(`record failed with ${failure.code}: ${failure.message}`);
    this.failure = failure;
    this.input = input;
  }
}

/**
 * What decides about failed records in a stream of plain outputs.
 *
 * @example
 * import { type FailureOption, text } from "@leat/sdk";
 *
 * const lost: unknown[] = [];
 * const keep: FailureOption<string> = { onFailure: (_, input) => void lost.push(input) };
 * console.log(keep, text().name);
 */
export interface FailureOption<In> {
  /**
   * Called for each record that failed, in order. Without it the first failure ends the stream with a
   * RecordFailedError, so that no record is lost unseen.
   */
  onFailure?(failure: FailureInfo, input: In | undefined): void;
}

/** The writable end: holds one chunk, and takes the next when the stream has taken that. */
class Inlet<In> implements AsyncIterable<Chunk<In>> {
  readonly #chunks: Chunk<In>[] = [];
  #wake: (() => void) | undefined;
  #writing: PromiseWithResolvers<void> | undefined;
  #end: { readonly error: unknown } | undefined;

  /** Resolves once the stream has taken the chunk; rejects when it ends before. */
  write(chunk: Chunk<In>): Promise<void> {
    this.#chunks.push(chunk);
    this.#wake?.();
    this.#writing = Promise.withResolvers();
    return this.#writing.promise;
  }

  /** Nothing more will be written: the stream then ends, or fails with that error. */
  end(error?: unknown): void {
    this.#end ??= { error };
    this.#wake?.();
    this.#writing?.reject(error);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Chunk<In>, void, undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#writing?.resolve();
        yield chunk;
      } else if (this.#end) {
        if (this.#end.error !== undefined) throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

/**
 * Makes a WHATWG transform stream over a result stream. Once that has failed, or its reader wants no more, the writable end fails as well, with the same
 * error: so whoever pipes into it stops.
 *
 * @param open - makes the result stream over the writable end
 * @param emit - turns one result into what is read
 */
export function transformPair<In, Result, Emitted>(
  open: (source: AsyncIterable<Chunk<In>>) => ResultQueue<Result>,
  emit: (result: Result) => Iterable<Emitted>,
): ReadableWritablePair<Emitted, Chunk<In>> {
  const inlet = new Inlet<In>();
  const results = open(inlet);
  let refuse = (_error: unknown): void => {};
  const writable = new WritableStream<Chunk<In>>({
    start(controller) {
      refuse = (error) => {
        controller.error(error);
        inlet.end(error);
      };
      // An abort is told at once here, while `abort` would wait for the write that is under way.
      const { signal } = controller;
      signal.addEventListener("abort", () => inlet.end(signal.reason), { once: true });
    },
    write: (chunk) => inlet.write(chunk),
    close: () => inlet.end(),
  });
  void results.ended.then(({ error }) => {
    if (error !== undefined) refuse(error);
  });
  const outputs = emitted(results, emit);
  const readable = new ReadableStream<Emitted>(
    {
      async pull(controller) {
        const next = await outputs.next().catch((error: unknown) => {
          refuse(error);
          throw error;
        });
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel(reason) {
        refuse(reason);
        await results.return();
      },
    },
    { highWaterMark: 0 },
  );
  return { readable, writable };
}

async function* emitted<Result, Emitted>(
  results: ResultStream<Result>,
  emit: (result: Result) => Iterable<Emitted>,
): AsyncGenerator<Emitted, void, undefined> {
  for await (const result of results) yield* emit(result);
}

/**
 * Turns a result into its outputs.
 *
 * @throws LeatCallError when the batch failed as a whole
 * @throws RecordFailedError when a record failed and nobody was to be told
 */
export function emitOutputs<In, Out>(
  result: BatchResult<In, Out>,
  options: FailureOption<In>,
): readonly Out[] {
  const { outputs } = result;
  for (const failure of result.failures) {
    const input = result.inputs[failure.index];
    if (options.onFailure === undefined) throw new RecordFailedError(failure, input);
    options.onFailure(failure, input);
  }
  return outputs;
}
