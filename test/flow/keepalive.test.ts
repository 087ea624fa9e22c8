/**
 * Connections that say nothing for long, and those that died without a word.
 */

import { Leat } from "@leat/sdk";
import { expect, test } from "vitest";
import { SilentProxy } from "../kit/silent-proxy.ts";
import { startTestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

/** Gives values when it is told to. */
class Tap {
  readonly #values: string[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  give(...values: string[]): void {
    this.#values.push(...values);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<{ value: string }[]> {
    for (;;) {
      for (const value of this.#values.splice(0)) yield [{ value }];
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

test("a stream without traffic pings, and the server lets it, so that no proxy takes its connection for idle", async () => {
  await using kit = await startTestServer({ modules: { program: "program" } });
  await using proxy = new SilentProxy(kit.address);
  await using leat = new Leat({ address: await proxy.listen(), keepalive: { timeMs: 20 } });
  const tap = new Tap();
  const values: string[] = [];
  const read = (async () => {
    for await (const { records } of leat.stream("program", tap)) {
      for (const { value } of records) values.push(new TextDecoder().decode(value));
    }
  })();
  tap.give("ma");
  await until(() => values.length === 1, "the first result");
  const before = proxy.fromClients;
  await until(() => proxy.fromClients >= before + 20, "twenty pings have passed");
  tap.give("mb");
  tap.end();
  await read;
  expect(values).toEqual(["a", "b"]);
  // A server that minded the pings would have ended the connection.
  expect(proxy.connections).toBe(1);
});

test("a stream whose connection was forgotten finds out by a ping, connects anew, and gives each result once and in order", async () => {
  await using kit = await startTestServer({ modules: { program: "program" } });
  await using proxy = new SilentProxy(kit.address);
  await using leat = new Leat({
    address: await proxy.listen(),
    keepalive: { timeMs: 100, timeoutMs: 500 },
  });
  const tap = new Tap();
  const values: string[] = [];
  const read = (async () => {
    for await (const { records } of leat.stream("program", tap)) {
      for (const { value } of records) values.push(new TextDecoder().decode(value));
    }
  })();
  tap.give("m0", "m1");
  await until(() => values.length === 2, "the first results");
  proxy.forget();
  tap.give("m2", "m3", "m4");
  await until(() => values.length === 5, "the results of what was sent into the void");
  tap.give("m5");
  tap.end();
  await read;
  expect(values).toEqual(["0", "1", "2", "3", "4", "5"]);
  expect(proxy.connections).toBeGreaterThan(1);
});
