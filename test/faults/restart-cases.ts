/**
 * The server process dies at bad moments: while it starts, while modules are loaded, while dead letters are run again.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { Leat, LeatCallError } from "@leat/sdk";
import { until } from "../kit/until.ts";
import { guest } from "../kit/wat.ts";
import { failEvery, streamNumbered } from "./numbered-stream.ts";
import { checkDeadLetters, type FaultOrder, happened, pace, serve } from "./process-cases.ts";
import type { Supervised } from "./supervised.ts";

/** As often as the smaller cases kill: in full, a fifth of the kills under the long stream. */
const rounds = (kills: number): number => Math.max(3, Math.ceil(kills / 5));

/** Kills the process that serves. @returns when a next one serves */
async function killAndWait(server: Supervised): Promise<void> {
  const starts = server.starts();
  process.kill(await running(server), "SIGKILL");
  await until(() => server.starts() > starts, "the server is back");
}

async function running(server: Supervised): Promise<number> {
  await until(() => server.pid() !== undefined, "there is a server process");
  return server.pid() ?? 0;
}

/** Kills the server, and the next one before it serves, under a stream. */
export async function startKills({ random, records, kills }: FaultOrder): Promise<string> {
  await using server = await serve("--limit", "maxRestarts=1000");
  await using leat = new Leat(server.serve.address);
  const part = Math.ceil(records / 4);
  const count = rounds(kills);
  const moments = Array.from({ length: count }, () => random.between(1, part - 1)).toSorted((a, b) => a - b);
  let early = 0;
  let busy: Promise<void> | undefined;
  const killTwice = async (): Promise<void> => {
    const first = await running(server);
    const starts = server.starts();
    process.kill(first, "SIGKILL");
    await until(() => server.pid() !== undefined && server.pid() !== first, "the next process starts");
    await delay(random.below(300));
    if (server.starts() === starts) early++;
    process.kill(await running(server), "SIGKILL");
    const before = server.starts();
    await until(() => server.starts() > before, "the server is back");
  };
  const figures = await streamNumbered(leat, "kept", {
    records: part,
    onDelivered: async (delivered) => {
      if (moments[0] === undefined || moments[0] > delivered) return;
      moments.shift();
      // One at a time, while the stream goes on.
      await busy;
      busy = killTwice();
    },
  });
  await busy;
  happened(count - moments.length, count, "kills");
  happened(early, 1, "servers killed before they served");
  await checkDeadLetters(server, figures.deadLetterIds, Math.floor(part / failEvery));
  return (
    `${count} servers were killed under ${part} records, and each one after it too, ${early} of them before they served: ` +
    `each record delivered once and in order, no dead letter twice, ${pace(part, figures)}`
  );
}

/** Kills the server while modules are loaded. What was acknowledged is there afterwards, and serves. */
export async function loadKills({ random, kills }: FaultOrder): Promise<string> {
  await using server = await serve("--limit", "maxRestarts=1000");
  const acknowledged = new Set<string>();
  let refused = 0;
  for (let round = 0; round < rounds(kills); round++) {
    await using leat = new Leat(server.serve.address);
    let over = false;
    const killed = delay(random.between(100, 1_500))
      .then(() => killAndWait(server))
      .finally(() => {
        over = true;
      });
    // A load that was cut may be tried again by the client and succeed, so a failure does not tell when the kill is over.
    for (let number = 0; !over; number++) {
      const name = `loaded-${round}-${number}`;
      const wasm = guest(`(data (i32.const 8) "${name}")`);
      await leat.modules.loadModule({ name, version: "1", wasm }).then(
        () => acknowledged.add(name),
        () => refused++,
      );
    }
    await killed;
  }
  await using leat = new Leat(server.serve.address);
  const { modules } = await leat.modules.listModules({});
  const there = modules.map(({ name }) => name).filter((name) => name.startsWith("loaded-"));
  const missing = [...acknowledged].filter((name) => !there.includes(name));
  happened(acknowledged.size, 1, "loads acknowledged");
  if (missing.length > 0) throw new Error(`modules whose load was acknowledged are gone: ${missing}`);
  for (const name of there) await leat.transform({ modules: [name] }, []);
  return (
    `${rounds(kills)} kills while modules were loaded: ${acknowledged.size} loads were acknowledged and are all there, ` +
    `${refused} were cut, of which ${there.length - acknowledged.size} are there whole; each module runs`
  );
}

/** Kills the server under unary calls whose records become letters: what the client sends again makes no second one. */
export async function unaryKills({ random, kills }: FaultOrder): Promise<string> {
  await using server = await serve("--limit", "maxRestarts=1000");
  const retry = { maxAttempts: 100, budget: { tokens: 100_000 } };
  await using leat = new Leat({ address: server.serve.address, retry });
  const ids: string[] = [];
  let calls = 0;
  for (let round = 0; round < rounds(kills); round++) {
    let over = false;
    const killed = delay(random.between(5, 300))
      .then(() => killAndWait(server))
      .finally(() => {
        over = true;
      });
    const caller = async (): Promise<void> => {
      while (!over) {
        const { failures } = await leat.transform("kept", [{ value: "a1" }, { value: "x" }]);
        ids.push(...failures.map(({ deadLetterId }) => deadLetterId));
        calls++;
      }
    };
    await Promise.all([killed, ...Array.from({ length: 8 }, caller)]);
  }
  await checkDeadLetters(server, ids, calls);
  return `${rounds(kills)} kills under ${calls} unary calls, each with a record that became a dead letter: none twice`;
}

/** Kills the server while letters are run again that fail again: each stays, once. */
export async function replayKills({ random, kills }: FaultOrder): Promise<string> {
  await using server = await serve("--limit", "maxRestarts=1000");
  const letters = 300;
  await using writer = new Leat(server.serve.address);
  const values = Array.from({ length: letters }, () => ({ value: "x" }));
  const { failures } = await writer.transform("kept", values);
  const ids = failures.map(({ deadLetterId }) => deadLetterId);
  let told = 0;
  for (let round = 0; round < rounds(kills); round++) {
    await using leat = new Leat(server.serve.address);
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    // Every other time at any moment, before the first letter as well.
    if (round % 2 === 1) begin();
    const killed = begun.then(() => delay(random.between(5, 150))).then(() => killAndWait(server));
    try {
      for (;;)
        for await (const { result } of leat.deadLetters.replayDeadLetters({ filter: { pipeline: "kept" } })) {
          if (result?.failures[0]?.code !== "refused") throw new Error("a letter did not fail as before");
          told++;
          begin();
        }
    } catch (error) {
      // The connection broke, as it must.
      if (!(error instanceof LeatCallError)) throw error;
    } finally {
      begin();
      await killed;
    }
  }
  happened(told, 1, "letters run again");
  await checkDeadLetters(server, ids, letters);
  return `${rounds(kills)} kills while ${letters} dead letters were run again, ${told} times in all: each is there, and none twice`;
}
