import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { OutputRecord, RecordInput } from "./record.ts";
import { RecordOf } from "./record.ts";

/**
 * How typed values become the bytes of record values, and back.
 *
 * @example
 * import { type Codec, Leat } from "@leat/sdk";
 *
 * const hex: Codec<string> = {
 *   name: "hex",
 *   encode: (value) => Buffer.from(value, "hex"),
 *   decode: (value) => Buffer.from(value ?? []).toString("hex"),
 * };
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const { outputs } = await leat.transform("uppercase", ["c0ffee"], { codec: hex });
 * console.log(outputs);
 */
export interface Codec<In, Out = In> {
  /** What the codec is called in error messages. */
  readonly name: string;
  /**
   * Encodes one value. A string is sent as UTF-8; undefined leaves the value unset: a tombstone.
   * What it throws ends the call.
   */
  encode(value: In): Uint8Array | string | undefined;
  /** Decodes one value; undefined for a tombstone. What it throws fails that record alone, with the code `decode_failed`. */
  decode(value: Uint8Array | undefined): Out;
}

/**
 * One value for a codec, bare or with a key, headers or a timestamp.
 *
 * @example
 * import { type Item, record } from "@leat/sdk";
 *
 * const items: Item<string>[] = ["bare", record("with a key", { key: "k" })];
 * console.log(items.length);
 */
export type Item<In> = In | RecordOf<In>;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function present(value: Uint8Array | undefined): Uint8Array {
  if (value === undefined)
    throw new TypeError("the record is a tombstone; use optional(codec) to accept those");
  return value;
}

/**
 * Values as JSON. The type is taken on trust: nothing checks what comes back against it.
 *
 * @example
 * import { json, Leat } from "@leat/sdk";
 *
 * interface Order {
 *   customer: string;
 * }
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const { outputs } = await leat.transform("redact", [{ customer: "ada" }], { codec: json<Order>() });
 * console.log(outputs[0]?.customer);
 */
export function json<T>(): Codec<T> {
  return {
    name: "json",
    encode(value) {
      const text: string | undefined = JSON.stringify(value);
      if (text === undefined) throw new TypeError(`${typeof value} has no JSON`);
      return text;
    },
    decode: (value) => JSON.parse(utf8.decode(present(value))),
  };
}

/**
 * Values as UTF-8 text.
 *
 * @example
 * import { Leat, text } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const { outputs } = await leat.transform("uppercase", ["mill"], { codec: text() });
 * console.log(outputs);
 */
export function text(): Codec<string> {
  return { name: "text", encode: (value) => value, decode: (value) => utf8.decode(present(value)) };
}

/**
 * Values as they are.
 *
 * @example
 * import { bytes, Leat } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const { outputs } = await leat.transform("uppercase", [Uint8Array.of(1, 2, 3)], { codec: bytes() });
 * console.log(outputs[0]?.length);
 */
export function bytes(): Codec<Uint8Array> {
  return { name: "bytes", encode: (value) => value, decode: present };
}

/**
 * Values as messages of a Protobuf schema, in binary form.
 *
 * @example
 * import { HeaderSchema, Leat, protobuf } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const { outputs } = await leat.transform("uppercase", [{ key: "k" }], { codec: protobuf(HeaderSchema) });
 * console.log(outputs[0]?.key);
 */
export function protobuf<Desc extends DescMessage>(
  schema: Desc,
): Codec<MessageInitShape<Desc>, MessageShape<Desc>> {
  return {
    name: `protobuf ${schema.typeName}`,
    encode: (value) => toBinary(schema, create(schema, value)),
    decode: (value) => fromBinary(schema, present(value)),
  };
}

/**
 * Takes and gives `undefined` for tombstones, and leaves the rest to another codec.
 *
 * @example
 * import { Leat, optional, text } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const { outputs } = await leat.transform("uppercase", ["a", undefined], { codec: optional(text()) });
 * console.log(outputs);
 */
export function optional<In, Out>(codec: Codec<In, Out>): Codec<In | undefined, Out | undefined> {
  return {
    name: `optional ${codec.name}`,
    encode: (value) => (value === undefined ? undefined : codec.encode(value)),
    decode: (value) => (value === undefined ? undefined : codec.decode(value)),
  };
}

/**
 * One codec for what goes in, another for what comes out: for pipelines that change the type.
 *
 * @example
 * import { json, Leat, pair, text } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const codec = pair(text(), json<{ n: number }>());
 * const { outputs } = await leat.transform("redact", ['{"n":1}'], { codec });
 * console.log(outputs[0]?.n);
 */
export function pair<In, Out>(input: Codec<In, unknown>, output: Codec<never, Out>): Codec<In, Out> {
  return {
    name: `${input.name} to ${output.name}`,
    encode: (value) => input.encode(value),
    decode: (value) => output.decode(value),
  };
}

/** Between what callers see and records: a codec with what surrounds it, or nothing at all. */
export interface RecordMapper<In, Out> {
  /** What becomes of an item on its way out. */
  readonly toRecord: (item: In) => RecordInput;
  /** What becomes of a record on its way back. */
  readonly fromRecord: (record: OutputRecord) => Out;
}

/** Records as they are: no codec. */
export const rawMapper: RecordMapper<RecordInput, OutputRecord> = {
  toRecord: (item) => item,
  fromRecord: (output) => output,
};

/** Records whose values a codec makes and reads. */
export function codecMapper<In, Out>(codec: Codec<In, Out>): RecordMapper<Item<In>, Out> {
  return {
    toRecord: (item) =>
      item instanceof RecordOf
        ? { ...item.meta, value: codec.encode(item.value) }
        : { value: codec.encode(item) },
    fromRecord: (output) => codec.decode(output.value),
  };
}
