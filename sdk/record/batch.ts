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
  const writer = new BatchWriter();
  if (options) {
    const mapper = codecMapper(options.codec);
    for (const item of items as Iterable<Item<In>>) appendItem(writer, mapper, item, writer.count);
  } else {
    for (const item of items as Iterable<RecordInput>) appendItem(writer, rawMapper, item, writer.count);
  }
  return writer.take();
}
