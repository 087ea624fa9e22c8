/**
 * A batch that is encoded already. Made by {@link encodeBatch}, or from bytes that come from elsewhere.
 *
 * @example
 * import { create, toBinary } from "@bufbuild/protobuf";
 * import { EncodedBatch, RecordBatchSchema } from "@leat/sdk";
 *
 * const message = create(RecordBatchSchema, { records: [{ value: new TextEncoder().encode("a") }] });
 * const batch = new EncodedBatch(toBinary(RecordBatchSchema, message), message.records.length);
 * console.log(batch.count);
 */
export class EncodedBatch {
  /** The encoded `leat.v1.RecordBatch`. */
  readonly bytes: Uint8Array;
  /** How many records it holds. */
  readonly count: number;

  /**
   * Takes bytes that come from elsewhere.
   *
   * @param bytes - an encoded `leat.v1.RecordBatch`; must not change afterwards
   * @param count - how many records it holds
   */
  constructor(bytes: Uint8Array, count: number) {
    this.bytes = bytes;
    this.count = count;
  }
}
