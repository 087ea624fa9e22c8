import type { Codec, Item, RecordMapper } from "./codec.ts";
import { codecMapper, rawMapper } from "./codec.ts";
import type { EncodedBatch } from "./encoded-batch.ts";
import type { RecordInput } from "./record.ts";
import { BatchWriter } from "./writer.ts";

/**
 * A value that could not be turned into a record: the codec threw, or a field has the wrong form.
 * What was thrown is the `cause`.
 *
 * @example
 * import { encodeBatch, EncodeError, json } from "@leat/sdk";
 *
 * try {
 *   encodeBatch([{ n: 1 }, { n: 2n }], { codec: json<{ n: number | bigint }>() });
 * } catch (error) {
 *   console.log(error instanceof EncodeError && error.index);
 * }
 */
export class EncodeError extends Error {
  override readonly name = "EncodeError";
  /** The value's position in its batch, from 0. */
  readonly index: number;

  /** @internal */
  constructor(index: number, cause: unknown) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    super(`cannot encode record ${index}: ${problem}`, { cause });
    this.index = index;
  }
}

/**
 * Maps and appends one item.
 *
 * @throws EncodeError
 */
export function appendItem<In>(
  writer: BatchWriter,
  mapper: RecordMapper<In, unknown>,
  item: In,
  index: number,
): void {
  try {
    writer.append(mapper.toRecord(item));
  } catch (error) {
    throw new EncodeError(index, error);
  }
}

let idleWriter: BatchWriter | undefined;

/**
 * Encodes a whole batch. The buffer is kept from call to call, because a new one for each would be most
 * of the garbage of a small call; a codec that encodes batches of its own meanwhile gets another.
 *
 * @throws EncodeError
 */
export function encodeItems<In>(items: Iterable<In>, mapper: RecordMapper<In, unknown>): EncodedBatch {
  const writer = idleWriter ?? new BatchWriter();
  idleWriter = undefined;
  for (const item of items) appendItem(writer, mapper, item, writer.count);
  const batch = writer.take();
  idleWriter = writer;
  return batch;
}

/**
 * Encodes a batch ahead of its use, so that it can be sent many times at no further cost.
 *
 * @throws EncodeError
 *
 * @example
 * import { encodeBatch, Leat } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const batch = encodeBatch([{ value: "a" }, { value: "b" }]);
 * for await (const result of leat.stream("uppercase", [batch, batch])) {
 *   console.log(result.sequence, result.records.length);
 * }
 */
export function encodeBatch(records: Iterable<RecordInput>): EncodedBatch;
/** As above, for typed values. */
export function encodeBatch<In>(
  values: Iterable<Item<NoInfer<In>>>,
  options: { codec: Codec<In, unknown> },
): EncodedBatch;
export function encodeBatch<In>(
  items: Iterable<RecordInput> | Iterable<Item<In>>,
  options?: { codec: Codec<In, unknown> },
): EncodedBatch {
  return options
    ? encodeItems(items as Iterable<Item<In>>, codecMapper(options.codec))
    : encodeItems(items as Iterable<RecordInput>, rawMapper);
}
