/** What the compiler promises to callers. The expectations are checked by `tsc`; running them costs nothing. */

import type { ReadableStream } from "node:stream/web";
import { describe, expectTypeOf, test } from "vitest";
import {
  type BatchResult,
  type Header,
  HeaderSchema,
  json,
  Leat,
  type Outcome,
  type OutputRecord,
  optional,
  pair,
  protobuf,
  type ResultStream,
  text,
} from "./index.ts";

interface Order {
  total: number;
}

const leat = new Leat();
const never = <T>(make: () => T): (() => T) => make;

describe("types follow the codec", () => {
  test("outputs have the codec's type, or are records without one", () => {
    const typed = never(() => leat.transform("p", [{ total: 1 }], { codec: json<Order>() }));
    expectTypeOf(typed).returns.resolves.toHaveProperty("outputs").toEqualTypeOf<readonly Order[]>();
    const plain = never(() => leat.transform("p", [{ value: "a" }], { timeoutMs: 1 }));
    expectTypeOf(plain).returns.resolves.toHaveProperty("outputs").toEqualTypeOf<readonly OutputRecord[]>();
    const message = never(() => leat.transform("p", [{ key: "k" }], { codec: protobuf(HeaderSchema) }));
    expectTypeOf(message).returns.resolves.toHaveProperty("outputs").toEqualTypeOf<readonly Header[]>();
  });

  test("a pair of codecs may change the type, and optional adds undefined", () => {
    const changed = never(() => leat.stream("p", ["a"], { codec: pair(text(), json<Order>()) }));
    expectTypeOf(changed).returns.toExtend<ResultStream<BatchResult<unknown, Order>>>();
    const maybe = never(() => leat.batcher("p", { codec: optional(text()) }).transform(undefined));
    expectTypeOf(maybe).returns.resolves.toEqualTypeOf<Outcome<string | undefined>>();
  });

  test("a transform stream reads what the codec decodes", () => {
    const piped = never(() => leat.transformStream("p", { codec: json<Order>() }).readable);
    expectTypeOf(piped).returns.toEqualTypeOf<ReadableStream<Order>>();
  });

  test("an outcome tells by its status what it holds", () => {
    const outcome = { status: "ok" } as Outcome<Order>;
    if (outcome.status === "ok") expectTypeOf(outcome.outputs).toEqualTypeOf<readonly Order[]>();
    else if (outcome.status === "failed") expectTypeOf(outcome.failure.code).toBeString();
    else expectTypeOf(outcome).toEqualTypeOf<{ readonly status: "dropped" }>();
  });
});

describe("the compiler refuses", () => {
  test("values that are not the codec's", () => {
    // @ts-expect-error a number is no Order
    never(() => leat.transform("p", [1], { codec: json<Order>() }));
    // @ts-expect-error a number is no text
    never(() => leat.stream("p", [1], { codec: text() }));
    // @ts-expect-error a number is no text
    never(() => leat.batcher("p", { codec: text() }).transform(1));
  });

  test("bare values without a codec", () => {
    // @ts-expect-error a string is no record
    never(() => leat.transform("p", ["a"]));
    // @ts-expect-error a string is no record
    never(() => leat.batcher("p").transform("a"));
  });

  test("a window or an order for a batcher, which has its own", () => {
    // @ts-expect-error a batcher is bounded by maxInFlight
    never(() => leat.batcher("p", { window: 3 }));
  });
});
