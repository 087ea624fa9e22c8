import { once } from "node:events";
import { type ClientHttp2Session, connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { FlowWindows } from "./flow-window.ts";

/** An HTTP/2 server and a client of it. */
async function pair(): Promise<AsyncDisposable & { port: number; client: ClientHttp2Session }> {
  const server = createServer((_, response) => response.end());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect(`http://127.0.0.1:${port}`);
  await once(client, "connect");
  return {
    port,
    client,
    async [Symbol.asyncDispose]() {
      client.close();
      await once(client, "close");
      server.close();
      await once(server, "close");
    },
  };
}

async function ask(client: ClientHttp2Session): Promise<void> {
  const stream = client.request({ ":path": "/" });
  stream.resume();
  await once(stream, "end");
}

test("a connection's windows are widened once it has a stream, and other servers' are left alone", async () => {
  const windowBytes = 300_000;
  await using ours = await pair();
  await using theirs = await pair();
  using _windows = new FlowWindows(ours.port, windowBytes);
  await Promise.all([ask(ours.client), ask(theirs.client)]);
  await Promise.all([ask(ours.client), ask(theirs.client)]);
  expect(ours.client.remoteSettings.initialWindowSize).toBe(windowBytes);
  expect(ours.client.state.remoteWindowSize).toBe(windowBytes);
  expect(theirs.client.remoteSettings.initialWindowSize).toBe(65_535);
  expect(theirs.client.state.remoteWindowSize).toBe(65_535);
});

test("nothing is widened any more after the end", async () => {
  await using ours = await pair();
  new FlowWindows(ours.port, 300_000)[Symbol.dispose]();
  await ask(ours.client);
  expect(ours.client.remoteSettings.initialWindowSize).toBe(65_535);
});
