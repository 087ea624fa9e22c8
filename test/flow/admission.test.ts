import { create } from "@bufbuild/protobuf";
import { TargetSchema } from "@leat/proto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../server/clock.ts";
import { failureOf } from "../kit/call-error.ts";
import { batchOf, inlineTarget, numbered, open, request, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

const maxAdmittedBytes = 200_000;

beforeAll(async () => {
  kit = await startTestServer({
    limits: {
      ...holdingLimits,
      maxBatchBytes: 150_000,
      maxAdmittedBytes,
      maxAdmittedBatches: 8,
      maxStreams: 3,
      // What waits here waits for the test.
      maxQueueDelayMs: 600_000,
    },
    modules: { marked: "marked", program: "program" },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

const large = `m${"v".repeat(120_000)}`;

test("a unary call for whose bytes there is no room is refused with the time to wait, and the limit named", async () => {
  const { admission } = kit.server.stats;
  const refused = admission.refused;
  const held = await kit.hold();
  const first = kit.raw.transform(request("program", large));
  await until(() => admission.batches === 2, "the first call waits");
  const failure = await failureOf(kit.raw.transform(request("program", large)));
  expect(failure).toMatchObject({
    status: "RESOURCE_EXHAUSTED",
    reason: "QUEUE_FULL",
    domain: "leat",
    metadata: { limit: "maxAdmittedBytes", value: String(maxAdmittedBytes) },
  });
  expect(Number(failure.metadata["measured"])).toBeGreaterThan(240_000);
  expect(failure.retryAfterMs).toBeGreaterThan(0);
  expect(admission.refused).toBe(refused + 1);
  // A small one still fits.
  const small = kit.raw.transform(request("program", "ma"));
  await held.release();
  expect(valuesOf(await first)).toEqual([large.slice(1)]);
  expect(valuesOf(await small)).toEqual(["a"]);
  expect(valuesOf(await kit.raw.transform(request("program", large)))).toEqual([large.slice(1)]);
});

test("so is one too many", async () => {
  const { admission } = kit.server.stats;
  const held = await kit.hold();
  const calls = Array.from({ length: 7 }, (_, n) => kit.raw.transform(request("program", `m${n}`)));
  await until(() => admission.batches === 8, "the queue is full");
  expect(await failureOf(kit.raw.transform(request("program", "m")))).toMatchObject({
    status: "RESOURCE_EXHAUSTED",
    reason: "QUEUE_FULL",
    metadata: { limit: "maxAdmittedBatches", value: "8" },
  });
  await held.release();
  expect((await Promise.all(calls)).flatMap(valuesOf)).toEqual([..."0123456"]);
});

test("streams wait for room instead, in turns, and every batch is answered", async () => {
  const { admission } = kit.server.stats;
  const held = await kit.hold();
  const streams = [kit.raw.stream(), kit.raw.stream(), kit.raw.stream()];
  for (const stream of streams) {
    stream.write(open("program"));
    for (let sequence = 1; sequence <= 10; sequence++) stream.write(numbered(sequence, large));
    stream.halfClose();
  }
  await until(() => admission.streams === 3 && admission.batches === 2, "one batch fits, the others wait");
  await kit.raw.call("/grpc.health.v1.Health/Check", new Uint8Array(0)).response;
  expect(admission.bytes).toBeLessThanOrEqual(maxAdmittedBytes);
  await held.release();
  for (const stream of streams) {
    const messages = await stream.rest();
    expect(
      messages.slice(1).map((message) => message.case === "result" && message.value.outcome.case),
    ).toEqual(new Array(10).fill("result"));
    expect(await stream.ended).toEqual({ t: "ok" });
  }
});

test("a stream that waits for room can be cancelled, and another takes its turn", async () => {
  const { admission } = kit.server.stats;
  const held = await kit.hold();
  const streams = [kit.raw.stream(), kit.raw.stream(), kit.raw.stream()];
  for (const stream of streams) {
    stream.write(open("program"));
    stream.write(numbered(1, large));
    expect((await stream.next())?.case).toBe("opened");
  }
  await until(() => admission.batches === 2, "the first stream's batch is in");
  await kit.raw.call("/grpc.health.v1.Health/Check", new Uint8Array(0)).response;
  streams[1]?.cancel();
  await until(() => admission.streams === 2, "the second stream is gone");
  await held.release();
  expect(await streams[0]?.next()).toMatchObject({ case: "result" });
  expect(await streams[2]?.next()).toMatchObject({ case: "result" });
  streams[0]?.halfClose();
  streams[2]?.halfClose();
});

test("a stream too many is refused, and room that one leaves is used", async () => {
  await kit.idle();
  const streams = [kit.raw.stream(), kit.raw.stream(), kit.raw.stream()];
  for (const stream of streams) {
    stream.write(open("program"));
    expect((await stream.next())?.case).toBe("opened");
  }
  const refused = kit.raw.stream();
  refused.write(open("program"));
  expect(await refused.ended).toMatchObject({
    t: "failed",
    failure: {
      status: "RESOURCE_EXHAUSTED",
      reason: "TOO_MANY_STREAMS",
      metadata: { limit: "maxStreams", value: "3" },
    },
  });
  for (const stream of streams) stream.halfClose();
  for (const stream of streams) expect(await stream.ended).toEqual({ t: "ok" });
  await kit.idle();
  const late = kit.raw.stream();
  late.write(open("program"));
  expect((await late.next())?.case).toBe("opened");
  late.halfClose();
});

test("batches whose inline chain must be built anew while there is no room all get their answers", async () => {
  await kit.load("changing", "program", "one");
  const { admission } = kit.server.stats;
  const stream = kit.raw.stream();
  stream.write({ message: { case: "open", value: { target: inlineTarget("changing") } } });
  stream.write(numbered(1, "ma"));
  expect((await stream.next())?.case).toBe("opened");
  expect((await stream.next())?.case).toBe("result");
  // From now on the bare name means another module, for which no pipeline was built yet.
  await kit.load("changing", "marked", "two");
  const held = await kit.hold();
  const full = Array.from({ length: 7 }, () => kit.raw.transform(request("program", "m")));
  await until(() => admission.batches === 8, "there is no room");
  for (let sequence = 2; sequence <= 6; sequence++) {
    stream.write({
      message: { case: "batch", value: { sequence: BigInt(sequence), batch: batchOf(`m${sequence}`) } },
    });
  }
  stream.halfClose();
  const { registry } = kit.server;
  const target = create(TargetSchema, inlineTarget("changing"));
  await until(() => registry.resolveNow(target) !== undefined, "the chain is built");
  await kit.raw.call("/grpc.health.v1.Health/Check", new Uint8Array(0)).response;
  await held.release();
  await Promise.all(full);
  expect(
    (await stream.rest()).map((message) => message.case === "result" && Number(message.value.sequence)),
  ).toEqual([2, 3, 4, 5, 6]);
});

test("a call is not refused for a wait while a worker is free, however long others run or wait to be tried again", async () => {
  const clock = {
    aheadMs: 0,
    nowMs(): number {
      return systemClock.nowMs() + this.aheadMs;
    },
    wallMs: () => systemClock.wallMs(),
  };
  const retry = { attempts: 2, initialBackoffMs: 60_000, maxBackoffMs: 60_000 };
  await using two = await startTestServer({
    clock,
    limits: { ...holdingLimits, maxWorkers: 2 },
    modules: { marked: "marked", program: "program" },
    pipelines: { patient: [{ module: "program", retry }] },
  });
  const held = await two.hold();
  for (let call = 0; call < 3; call++) {
    clock.aheadMs += 3_000;
    expect(valuesOf(await two.raw.transform(request("marked", "a")))).toEqual(["a"]);
  }
  await held.release();
  const patient = Array.from({ length: 10 }, () => two.raw.begin(request("patient", "y")));
  const stage = async () => {
    const { pipelines } = await two.metrics();
    return pipelines.find(({ pipeline }) => pipeline === "patient")?.stages[0];
  };
  await until(async () => (await stage())?.retries === 10n, "all wait to be tried again");
  for (let call = 0; call < 3; call++) {
    clock.aheadMs += 3_000;
    expect(valuesOf(await two.raw.transform(request("patient", "a1")))).toEqual(["1"]);
  }
  for (const { response, cancel } of patient) {
    cancel();
    await response.catch(() => undefined);
  }
});
