/**
 * One name and value beside a record's payload, as a caller may give it.
 *
 * @example
 * import type { HeaderInput } from "@leat/sdk";
 *
 * const headers: HeaderInput[] = [{ key: "source", value: "web" }];
 * console.log(headers.length);
 */
export interface HeaderInput {
  /** The name. Names may repeat; their order is kept. */
  readonly key: string;
  /** The value; a string is sent as UTF-8. */
  readonly value: Uint8Array | string;
}

/**
 * What a record carries beside its value.
 *
 * @example
 * import { type RecordMeta, record } from "@leat/sdk";
 *
 * const meta: RecordMeta = { key: "order-17", timestampMs: new Date() };
 * console.log(record({ total: 12 }, meta).meta.key);
 */
export interface RecordMeta {
  /** What the record is about, for partitioning and compaction; a string is sent as UTF-8. Unset differs from empty. */
  readonly key?: Uint8Array | string | undefined;
  /** Headers, in order. */
  readonly headers?: readonly HeaderInput[] | undefined;
  /** Event time in milliseconds since the Unix epoch. */
  readonly timestampMs?: number | bigint | Date | undefined;
}

/**
 * One record as a caller may give it. The generated message `Record` is one as well.
 *
 * @example
 * import type { RecordInput } from "@leat/sdk";
 *
 * const order: RecordInput = {
 *   key: "order-17",
 *   value: JSON.stringify({ total: 12 }),
 *   headers: [{ key: "source", value: "web" }],
 *   timestampMs: Date.now(),
 * };
 * const deleted: RecordInput = { key: "order-17" };
 * console.log(order.key === deleted.key);
 */
export interface RecordInput extends RecordMeta {
  /** The payload; a string is sent as UTF-8. Unset means a tombstone, which differs from empty. */
  readonly value?: Uint8Array | string | undefined;
}

/**
 * One header of a record that came back.
 *
 * @example
 * import type { RecordHeader } from "@leat/sdk";
 *
 * export function textOf(header: RecordHeader): string {
 *   return new TextDecoder().decode(header.value);
 * }
 */
export interface RecordHeader {
  /** The name. */
  readonly key: string;
  /** The value. */
  readonly value: Uint8Array;
}

/**
 * One record that came back. Its bytes are views into the message that it came in: copy what is
 * to be kept for long.
 *
 * @example
 * import type { OutputRecord } from "@leat/sdk";
 *
 * export function isTombstone(output: OutputRecord): boolean {
 *   return output.value === undefined;
 * }
 */
export interface OutputRecord {
  /** What the record is about; undefined when unset. */
  readonly key: Uint8Array | undefined;
  /** The payload; undefined for a tombstone. */
  readonly value: Uint8Array | undefined;
  /** Headers, in order. */
  readonly headers: readonly RecordHeader[];
  /** Event time in milliseconds since the Unix epoch; 0 when unknown. */
  readonly timestampMs: number;
}

/**
 * A value for a codec, with what its record carries beside it. Made by {@link record}.
 *
 * @example
 * import { type RecordOf, record } from "@leat/sdk";
 *
 * const order: RecordOf<{ total: number }> = record({ total: 12 }, { key: "order-17" });
 * console.log(order.value.total);
 */
export class RecordOf<T> {
  /** The value that the codec encodes. */
  readonly value: T;
  /** What the record carries beside it. */
  readonly meta: RecordMeta;

  /** @internal */
  constructor(value: T, meta: RecordMeta) {
    this.value = value;
    this.meta = meta;
  }
}

/**
 * Gives a typed value a key, headers or a timestamp.
 *
 * @example
 * import { json, Leat, record } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const order = record({ total: 12 }, { key: "order-17", headers: [{ key: "source", value: "web" }] });
 * const { records } = await leat.transform("redact", [order], { codec: json<{ total: number }>() });
 * console.log(records[0]?.headers[0]?.key);
 */
export function record<T>(value: T, meta: RecordMeta): RecordOf<T> {
  return new RecordOf(value, meta);
}
