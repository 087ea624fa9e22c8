/**
 * The kinds of work of which a soak is mixed. Each runs until it is told to stop, checks its answers, and counts them.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { type Leat, LeatCallError, text } from "@leat/sdk";
import { streamNumbered } from "../faults/numbered-stream.ts";
import type { Random } from "../fuzz/random.ts";
import { guest } from "../kit/wat.ts";

/** What a loop works with. */
export interface LoopContext {
  readonly leat: Leat;
  readonly random: Random;
  /** Aborted when the soak is over. */
  readonly stop: AbortSignal;
  /** Counts what was done. */
  readonly count: (what: string, by?: number) => void;
}

const records = (random: Random, first: string): { value: string }[] =>
  Array.from({ length: random.between(1, 50) }, (_, index) => ({ value: index === 0 ? first : `r${index}` }));

async function streams({ leat, stop, count, random }: LoopContext): Promise<void> {
  while (!stop.aborted) {
    const part = random.between(1_000, 20_000);
    await streamNumbered(leat, "program", { records: part, window: random.between(1, 32) });
    count("streamed records", part);
  }
}

async function unary({ leat, stop, count, random }: LoopContext): Promise<void> {
  while (!stop.aborted) {
    const result = await leat.transform("program", [{ value: "mfine" }, ...records(random, "ma")]);
    if (result.failures.length > 0) throw new Error(`a healthy call failed: ${result.failures[0]?.message}`);
    count("unary calls");
  }
}

async function batchers({ leat, stop, count }: LoopContext): Promise<void> {
  while (!stop.aborted) {
    await using batcher = leat.batcher("program", { codec: text() });
    for (let round = 0; round < 20 && !stop.aborted; round++) {
      const outcomes = await Promise.all(Array.from({ length: 50 }, (_, n) => batcher.transform(`m${n}`)));
      for (const [n, outcome] of outcomes.entries())
        if (outcome.status !== "ok" || outcome.outputs[0] !== String(n))
          throw new Error(`call ${n} of a batcher went wrong`);
      count("batched calls", outcomes.length);
    }
  }
}

/** Loads a module that nobody has seen, runs it, puts it in place of another in a pipeline, and unloads it. */
async function modules({ leat, stop, count, random }: LoopContext): Promise<void> {
  for (let number = 0; !stop.aborted; number++) {
    const name = `passing-${random.below(1e9)}-${number}`;
    await leat.modules.loadModule({ name, version: "1", wasm: guest(`(data (i32.const 8) "${name}")`) });
    await leat.pipelines.putPipeline({ pipeline: { name: "passing", stages: [{ module: `${name}@1` }] } });
    await leat.transform("passing", []);
    await leat.pipelines.deletePipeline({ name: "passing" });
    await leat.modules.unloadModule({ reference: `${name}@1` });
    count("modules loaded and unloaded");
  }
}

const poison = {
  "!": "timeout",
  "%": "trap",
  "^": "stack_overflow",
  $: "out_of_memory",
  "=\xff": "malformed_output",
};

/** Records that loop, trap, recurse, take memory and give rubbish, each among healthy ones. */
async function poisonous({ leat, stop, count, random }: LoopContext): Promise<void> {
  while (!stop.aborted) {
    const [mark, code] = random.pick(Object.entries(poison));
    const result = await leat.transform("marked", records(random, mark));
    const codes = result.failures.map((failure) => `${failure.index} ${failure.code}`);
    if (codes.length !== 1 || codes[0] !== `0 ${code}`)
      throw new Error(`expected ${code}, got ${codes.join(", ")}`);
    count(`records with ${code}`);
    await delay(random.below(50));
  }
}

async function cancels({ leat, stop, count, random }: LoopContext): Promise<void> {
  while (!stop.aborted) {
    const signal = AbortSignal.timeout(random.between(1, 30));
    await leat.transform("program", [{ value: "ma" }], { signal }).catch(onlyCancelled);
    const source = (async function* () {
      for (let n = 0; ; n++) {
        yield `m${n}`;
        if (n % 500 === 0) await delay(1);
      }
    })();
    try {
      for await (const result of leat.stream("program", source, { codec: text(), signal })) void result.bytes;
    } catch (error) {
      onlyCancelled(error);
    }
    count("cancels");
  }
}

function onlyCancelled(error: unknown): void {
  const name = error instanceof Error ? error.name : "";
  if (error instanceof LeatCallError || name === "AbortError" || name === "TimeoutError") return;
  throw error;
}

/** All of them. */
export const loops: Readonly<Record<string, (context: LoopContext) => Promise<void>>> = {
  streams,
  unary,
  batchers,
  modules,
  poisonous,
  cancels,
};
