/**
 * Clients that cancel much, and those that only open and reset streams.
 */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { type ClientHttp2Session, connect, type Http2Session, type ServerHttp2Stream } from "node:http2";
import { text } from "@leat/sdk";
import { expect, test } from "vitest";
import { holdingLimits, startTestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

const call = {
  ":method": "POST",
  ":path": "/leat.v1.TransformService/Transform",
  "content-type": "application/grpc",
  te: "trailers",
};

/** Opens so many streams and resets each at once, until the connection is ended. @returns how many it could */
async function reset(session: ClientHttp2Session, count: number): Promise<number> {
  for (let done = 0; done < count; done++) {
    if (session.closed || session.destroyed) return done;
    const stream = session.request(call);
    stream.on("error", () => {});
    stream.close(8);
    if (done % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return count;
}

function ping(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    session.ping((error) => (error ? reject(error) : resolve()));
  });
}

test("a client that cancels two thousand calls at once keeps its connection", async () => {
  await using kit = await startTestServer({ http: true, modules: { program: "program" } });
  for (const url of [`http://${kit.address}`, kit.url]) {
    const session = connect(url);
    session.on("error", () => {});
    expect(await reset(session, 2_000)).toBe(2_000);
    await ping(session);
    session.close();
    await once(session, "close");
  }
});

test.each(["gRPC", "HTTP"])(
  "one that resets streams without end loses its connection on the %s port, and nobody else does",
  async (port) => {
    await using kit = await startTestServer({
      http: true,
      limits: { maxStreamResets: 200, maxStreamResetsPerSecond: 10 },
      modules: { program: "program" },
    });
    await using batcher = kit.leat.batcher("program", { codec: text() });
    expect(await batcher.transform("mbefore")).toMatchObject({ outputs: ["before"] });
    const attacker = connect(port === "gRPC" ? `http://${kit.address}` : kit.url);
    const errors: string[] = [];
    attacker.on("error", (error) => errors.push(error.message));
    const codes: number[] = [];
    attacker.on("goaway", (code) => codes.push(code));
    const ended = new Promise((resolve) => attacker.on("close", resolve));
    expect(await reset(attacker, 20_000)).toBeLessThan(20_000);
    await ended;
    expect([errors, codes]).toEqual([["Session closed with error code 2"], [2]]);
    expect(await batcher.transform("mafter")).toMatchObject({ outputs: ["after"] });
    await batcher.close();
    await kit.idle();
  },
);

test("a call of the SDK whose connection is ended for resets is sent again and answered", async () => {
  await using kit = await startTestServer({
    limits: { ...holdingLimits, maxStreamResets: 20, maxStreamResetsPerSecond: 0 },
    modules: { marked: "marked", program: "program" },
  });
  const sessions = new Set<Http2Session | undefined>();
  const created = (message: unknown): void => {
    sessions.add((message as { readonly stream: ServerHttp2Stream }).stream.session);
  };
  subscribe("http2.server.stream.created", created);
  try {
    await kit.leat.connect(5_000);
    const held = await kit.hold();
    const answer = kit.leat.transform("program", [{ value: "mkept" }]);
    const { admission } = kit.server.stats;
    await until(() => admission.batches === 2, "the call waits behind the held worker");
    const before = sessions.size;
    const controller = new AbortController();
    const { signal } = controller;
    const given = Array.from({ length: 40 }, () =>
      kit.leat.transform("program", [{ value: "m" }], { signal }),
    );
    const outcomes = Promise.allSettled(given);
    await until(() => admission.batches === 42, "the other calls are there");
    controller.abort();
    for (const outcome of await outcomes) expect(outcome.status).toBe("rejected");
    await until(() => sessions.size > before, "the connection is another one");
    await held.release();
    expect(new TextDecoder().decode((await answer).records[0]?.value)).toBe("kept");
  } finally {
    unsubscribe("http2.server.stream.created", created);
  }
});
