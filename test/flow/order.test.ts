import { afterAll, beforeAll, expect, test } from "vitest";
import type { RawStream } from "../kit/raw-client.ts";
import { countdown, numbered, open, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { ...holdingLimits, maxWorkers: 2 },
    modules: { marked: "marked", program: "program" },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

const batches = 6;

/**
 * Opens a stream and sends batches while one of two workers is held, so that the second batch waits behind
 * what holds it, and the others overtake it.
 */
async function overtaken(
  unordered: boolean,
  during: (stream: RawStream, release: () => Promise<void>) => Promise<void>,
) {
  const held = await kit.hold();
  const answeredBefore = kit.server.stats.pipeline("program").success.count;
  const stream = kit.raw.stream();
  stream.write(open("program", { unordered }));
  expect((await stream.next())?.case).toBe("opened");
  for (let sequence = 1; sequence <= batches; sequence++) stream.write(numbered(sequence, `m${sequence}`));
  stream.halfClose();
  await until(
    () => kit.server.stats.pipeline("program").success.count - answeredBefore >= 2,
    "a batch overtook another",
  );
  await during(stream, () => held.release());
  expect(await stream.ended).toEqual({ t: "ok" });
}

async function sequences(stream: RawStream): Promise<number[]> {
  return (await stream.rest()).map((message) =>
    message.case === "result" ? Number(message.value.sequence) : 0,
  );
}

test("results come in the order of the batches, though a later one was done before", async () => {
  await overtaken(false, async (stream, release) => {
    await release();
    expect(await sequences(stream)).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

test("results come as they are ready where the client chose so", async () => {
  await overtaken(true, async (stream, release) => {
    const early: number[] = [];
    while (early.length < 2) {
      const next = await stream.next();
      if (next?.case === "result") early.push(Number(next.value.sequence));
    }
    await release();
    const all = [...early, ...(await sequences(stream))];
    expect(all.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(all).not.toEqual([1, 2, 3, 4, 5, 6]);
  });
});

test("two workers and batches of very different length: each result comes once, in order, and is that of its batch", async () => {
  const sent = Array.from({ length: 300 }, (_, index) => countdown((index * 7_919) % 120_000));
  const stream = kit.raw.stream();
  stream.write(open("marked"));
  const results = stream.rest();
  sent.forEach((value, index) => {
    stream.write(numbered(index + 1, value, String(index)));
  });
  stream.halfClose();
  const [opened, ...rest] = await results;
  expect(opened?.case).toBe("opened");
  const got = rest.map((message) => {
    if (message.case !== "result" || message.value.outcome.case !== "result") throw new Error("no result");
    return [Number(message.value.sequence), valuesOf(message.value.outcome.value)[1]];
  });
  expect(got).toEqual(sent.map((_, index) => [index + 1, String(index)]));
});
