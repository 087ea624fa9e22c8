import { HeaderSchema } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { EncodeError, encodeBatch } from "./batch.ts";
import { bytes, type Codec, json, optional, pair, protobuf, text } from "./codec.ts";
import { record } from "./record.ts";

const utf8 = new TextEncoder();

function roundTrip<In, Out>(codec: Codec<In, Out>, value: In): Out {
  const encoded = codec.encode(value);
  return codec.decode(typeof encoded === "string" ? utf8.encode(encoded) : encoded);
}

describe("codecs give back what they took", () => {
  test("json", () => {
    expect(roundTrip(json<{ a: number[] }>(), { a: [1, 2] })).toEqual({ a: [1, 2] });
    expect(roundTrip(json<null>(), null)).toBeNull();
  });

  test("text, a byte order mark included", () => {
    expect(roundTrip(text(), "\ufeffgrün")).toBe("\ufeffgrün");
  });

  test("bytes", () => {
    expect(roundTrip(bytes(), Uint8Array.of(0, 255))).toEqual(Uint8Array.of(0, 255));
  });

  test("protobuf, from plain objects", () => {
    expect(roundTrip(protobuf(HeaderSchema), { key: "k" })).toMatchObject({
      key: "k",
      $typeName: "leat.v1.Header",
    });
  });

  test("optional, tombstones included", () => {
    expect(roundTrip(optional(text()), "a")).toBe("a");
    expect(roundTrip(optional(text()), undefined)).toBeUndefined();
  });

  test("pair, one codec each way", () => {
    expect(roundTrip(pair(text(), json<number>()), "17")).toBe(17);
  });
});

describe("codecs refuse", () => {
  test("what is not theirs to decode", () => {
    expect(() => json().decode(utf8.encode("{"))).toThrow(SyntaxError);
    expect(() => text().decode(Uint8Array.of(0xff))).toThrow(TypeError);
    expect(() => protobuf(HeaderSchema).decode(Uint8Array.of(0xff))).toThrow();
  });

  test("tombstones, where nobody asked for them", () => {
    for (const codec of [json(), text(), bytes(), protobuf(HeaderSchema)]) {
      expect(() => codec.decode(undefined)).toThrow("tombstone");
    }
  });

  test("values without JSON, naming their place in the batch", () => {
    const codec = json<unknown>();
    for (const bad of [undefined, 1n, () => {}]) {
      expect(() => encodeBatch([1, bad], { codec })).toThrow(EncodeError);
      expect(() => encodeBatch([1, bad], { codec })).toThrow("record 1");
    }
  });
});

test("record gives a typed value a key, headers and a timestamp", () => {
  const meta = { key: "k", headers: [{ key: "h", value: "v" }], timestampMs: 5 };
  expect(encodeBatch([record("a", meta)], { codec: text() }).bytes).toEqual(
    encodeBatch([{ ...meta, value: "a" }]).bytes,
  );
});
