import { text } from "@leat/sdk";
import { expect, test } from "vitest";
import { startTestServer } from "../kit/test-server.ts";

const streams = 100;
const recordsPerStream = 200;

test(`${streams} streams that are busy at once each get exactly their own results, in order`, async () => {
  await using kit = await startTestServer({ limits: { maxWorkers: 2 }, modules: { program: "program" } });
  const records = (stream: number): string[] =>
    Array.from({ length: recordsPerStream }, (_, number) => `m${stream}/${number}`);
  // All are open before the first record goes: none is over when another begins.
  let open = 0;
  const { promise: allOpen, resolve } = Promise.withResolvers<void>();
  const run = async (stream: number): Promise<unknown[]> => {
    const source = (async function* () {
      const [first = "", ...others] = records(stream);
      yield first;
      if (++open === streams) resolve();
      await allOpen;
      yield* others;
    })();
    const results: unknown[] = [];
    for await (const { outcomes, error } of kit.leat.stream("program", source, {
      codec: text(),
      batchRecords: 10,
      lingerMs: 1,
    })) {
      if (error !== undefined) throw error;
      for (const outcome of outcomes) results.push(outcome.status === "ok" ? outcome.outputs : outcome);
    }
    return results;
  };
  const all = await Promise.all(Array.from({ length: streams }, (_, stream) => run(stream)));
  for (const [stream, results] of all.entries())
    expect(results).toEqual(records(stream).map((record) => [record.slice(1)]));
});
