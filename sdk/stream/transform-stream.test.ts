import { ReadableStream } from "node:stream/web";
import { Code } from "@connectrpc/connect";
import { beforeEach, describe, expect, test } from "vitest";
import { Leat, LeatCallError, RecordFailedError, text } from "../index.ts";
import { until } from "../test-kit/gates.ts";
import { type ProtocolServer, startProtocolServer } from "../test-kit/protocol-server.ts";

const codec = text();

/** A source without an end, which remembers why it was cancelled. */
function endless(value: string): { readonly stream: ReadableStream<string>; cancelled: unknown } {
  const source = {
    stream: new ReadableStream<string>(
      {
        pull: (controller) => controller.enqueue(value),
        cancel: (reason) => {
          source.cancelled = reason;
        },
      },
      { highWaterMark: 0 },
    ),
    cancelled: undefined as unknown,
  };
  return source;
}

describe("the writable side of a transform stream", () => {
  let server: ProtocolServer;
  beforeEach(async () => {
    server = await startProtocolServer({ window: 2 });
    return () => server.close();
  });

  test("fails with the record that failed, and its source is cancelled", async () => {
    await using leat = new Leat(server.address);
    const source = endless("bad");
    const { readable, writable } = leat.transformStream("words", { codec, batchRecords: 1 });
    const piped = source.stream.pipeTo(writable).catch((error: unknown) => error);
    await expect(readable.getReader().read()).rejects.toBeInstanceOf(RecordFailedError);
    expect(await piped).toBeInstanceOf(RecordFailedError);
    expect(source.cancelled).toBeInstanceOf(RecordFailedError);
  });

  test("fails with the reason for which the reader stopped, and its source is cancelled", async () => {
    await using leat = new Leat(server.address);
    const source = endless("a");
    const { readable, writable } = leat.transformStream("uppercase", { codec, batchRecords: 1 });
    const piped = source.stream.pipeTo(writable).catch((error: unknown) => error);
    const reader = readable.getReader();
    expect((await reader.read()).value).toBe("A");
    const enough = new Error("enough");
    await reader.cancel(enough);
    expect(await piped).toBe(enough);
    expect(source.cancelled).toBe(enough);
    await until(() => server.cancelled === 1);
  });

  test("fails when its reader leaves the loop", async () => {
    await using leat = new Leat(server.address);
    const source = endless("a");
    const { readable, writable } = leat.transformStream("uppercase", { codec, batchRecords: 1 });
    const piped = source.stream.pipeTo(writable).then(
      () => "closed",
      () => "failed",
    );
    for await (const _ of readable) break;
    expect(await piped).toBe("failed");
  });

  test("fails with the error of the call", async () => {
    await using leat = new Leat(server.address);
    const { readable, writable } = leat.transformStream("never", { codec, reconnect: { maxAttempts: 0 } });
    const writer = writable.getWriter();
    const written = writer.write("a").catch((error: unknown) => error);
    const closed = writer.closed.catch((error: unknown) => error);
    const read = readable.getReader().read();
    await until(() => server.streams.length === 1);
    server.cutConnections();
    await expect(read).rejects.toMatchObject({ code: Code.Unavailable });
    expect(await closed).toMatchObject({ name: "LeatCallError", code: Code.Unavailable });
    // Whether the chunk was taken before or not: its write does not wait for ever.
    await written;
  });

  test("fails with the error of the call also while nobody reads", async () => {
    const leat = new Leat(server.address);
    const { readable, writable } = leat.transformStream("uppercase", { codec, batchRecords: 1 });
    const source = endless("a");
    const piped = source.stream.pipeTo(writable).catch((error: unknown) => error);
    const reader = readable.getReader();
    expect((await reader.read()).value).toBe("A");
    await until(() => server.streams[0]?.batches.length === 3);
    await leat.close();
    expect(await piped).toBeInstanceOf(LeatCallError);
    expect(source.cancelled).toMatchObject({ code: Code.Canceled, message: "the client was closed" });
  });

  test("is aborted while the stream takes nothing, and the reader is told why", async () => {
    await using leat = new Leat(server.address);
    const { readable, writable } = leat.transformStream("uppercase", { codec });
    const writer = writable.getWriter();
    const written = writer.write("a").catch((error: unknown) => error);
    const reason = new Error("the disk is gone");
    await writer.abort(reason);
    expect(await written).toBe(reason);
    const reader = readable.getReader();
    const read = (async () => {
      while (!(await reader.read()).done);
    })();
    await expect(read).rejects.toBe(reason);
  });
});
