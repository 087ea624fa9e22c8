import { createGrpcTransport, createLeatClients } from "@leat/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RawClient } from "../kit/raw-client.ts";
import { numbered, open, request, valuesOf } from "../kit/records.ts";
import { startServerChild } from "../kit/server-child.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({ modules: { program: "program" } });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

const batches = 600;
const value = `m${"v".repeat(50_000)}`;

/** How many batches were answered, when many round trips in a row find it unchanged. */
async function settledCount(): Promise<number> {
  const { success } = kit.server.stats.pipeline("program");
  for (let calm = 0, count = -1; calm < 30; calm++) {
    await kit.metrics();
    if (success.count !== count) calm = 0;
    count = success.count;
  }
  return success.count;
}

test("a reader that does not read holds its producer, loses nothing, and is in nobody's way", async () => {
  const stream = kit.raw.stream();
  stream.write(open("program"));
  // The client of grpc-js reads on its own account until something was asked of it for the first time.
  expect((await stream.next())?.case).toBe("opened");
  for (let sequence = 1; sequence <= batches; sequence++) stream.write(numbered(sequence, value));
  stream.halfClose();

  const answered = await settledCount();
  // A window in the server, sixteen messages in each of its two buffers for the stream, and what the sockets take.
  expect(answered).toBeLessThan(150);
  expect(kit.server.stats.admission.batches).toBeLessThanOrEqual(32);
  expect(stream.waitingToLeave).toBeGreaterThan(batches / 2);

  expect(valuesOf(await kit.raw.transform(request("program", "mx")))).toEqual(["x"]);

  const results = await stream.rest();
  expect(results.map((message) => message.case === "result" && Number(message.value.sequence))).toEqual(
    Array.from({ length: batches }, (_, index) => index + 1),
  );
  expect(await stream.ended).toEqual({ t: "ok" });
});

test("streams that are given up while their results wait give back every slot", async () => {
  const streams = Array.from({ length: 12 }, () => kit.raw.stream());
  for (const stream of streams) {
    stream.write(open("program"));
    expect((await stream.next())?.case).toBe("opened");
    for (let sequence = 1; sequence <= 60; sequence++) stream.write(numbered(sequence, value));
  }
  await settledCount();
  for (const stream of streams) stream.cancel();
  await kit.idle();
});

test("a reader that does not read is held at the cost of the producer's memory, not of the server's", async () => {
  await using child = await startServerChild(["program"]);
  const client = new RawClient(child.address);
  const clients = createLeatClients(createGrpcTransport({ address: child.address }));
  const figures = async () => {
    const { snapshot } = await clients.metrics.metrics({});
    return {
      megabytes: Number(snapshot?.process?.externalBytes) / 1e6,
      answered: Number(snapshot?.pipelines[0]?.success?.count ?? 0),
    };
  };
  const before = await figures();
  const stream = client.stream();
  stream.write(open("program"));
  expect((await stream.next())?.case).toBe("opened");
  const large = `m${"v".repeat(500_000)}`;
  for (let sequence = 1; sequence <= 300; sequence++) stream.write(numbered(sequence, large));
  let after = await figures();
  for (let calm = 0, count = -1; calm < 30; calm++) {
    after = await figures();
    if (after.answered !== count) calm = 0;
    count = after.answered;
  }
  // 300 MB are on offer, in and out.
  expect(after.answered).toBeLessThan(100);
  expect(after.megabytes - before.megabytes).toBeLessThan(80);
  stream.cancel();
  client.close();
});
