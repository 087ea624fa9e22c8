import { once } from "node:events";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { TransformService } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { failureOf } from "../kit/call-error.ts";
import { RawClient } from "../kit/raw-client.ts";
import { numbered, open, request, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

const modules = { marked: "marked", program: "program" };

describe("a draining server", () => {
  test("answers what is in flight, tells streams, refuses what is new, and ends", async () => {
    await using kit = await startTestServer({ limits: holdingLimits, modules });
    const { admission } = kit.server.stats;
    const held = await kit.hold();
    const waiting = kit.raw.transform(request("program", "ma"));
    const stream = kit.raw.stream();
    stream.write(open("program"));
    stream.write(numbered(1, "mb"));
    stream.write(numbered(2, "mc"));
    expect((await stream.next())?.case).toBe("opened");
    await until(() => admission.batches === 4, "a call and two batches wait");

    const drained = kit.server.drain();
    expect(kit.server.drain()).toBe(drained);
    expect(await stream.next()).toMatchObject({ case: "draining", value: { lastSequence: 2n } });
    // Sent before the notice was read; it is not taken and not answered.
    stream.write(numbered(3, "md"));
    expect(await failureOf(kit.raw.transform(request("program", "m")))).toMatchObject({
      status: "UNAVAILABLE",
    });
    const late = new RawClient(kit.address);
    expect(await failureOf(late.transform(request("program", "m")))).toMatchObject({ status: "UNAVAILABLE" });
    late.close();

    await held.release();
    expect(valuesOf(await waiting)).toEqual(["a"]);
    const results = await stream.rest();
    expect(results.map((message) => message.case === "result" && message.value.sequence)).toEqual([1n, 2n]);
    expect(await stream.ended).toEqual({ t: "ok" });
    await drained;
  });

  test("ends at once when nothing is in flight", async () => {
    await using kit = await startTestServer({ modules });
    await kit.raw.transform(request("program", "m"));
    await kit.server.drain();
    expect(await failureOf(kit.raw.transform(request("program", "m")))).toMatchObject({
      status: "UNAVAILABLE",
    });
  });

  test("waits no longer than its limit for a guest that does not end", async () => {
    await using kit = await startTestServer({ limits: { ...holdingLimits, maxDrainMs: 100 }, modules });
    const stuck = kit.raw.begin(request("marked", "~"));
    const failed = failureOf(stuck.response);
    await until(() => kit.server.stats.admission.batches === 1, "the call runs");
    await kit.server.drain();
    expect(["UNAVAILABLE", "CANCELLED"]).toContain((await failed).status);
  });

  test("tells those who watch its health, and is held by none of them", async () => {
    await using kit = await startTestServer({ limits: { maxDrainMs: 600_000 }, modules });
    const watch = kit.raw.serverStream("/grpc.health.v1.Health/Watch", new Uint8Array(0));
    const statuses: number[] = [];
    watch.on("data", (bytes: Buffer) => statuses.push(bytes[1] ?? 0));
    watch.on("error", () => {});
    await once(watch, "data");
    const metrics = kit.raw.serverStream(
      "/leat.v1.MetricsService/WatchMetrics",
      Buffer.from([0x10, 0xe0, 0xd4, 0x03]),
    );
    metrics.on("error", () => {});
    await once(metrics, "data");
    await kit.server.drain();
    // SERVING, then NOT_SERVING.
    expect(statuses).toEqual([1, 2]);
  });

  test("is not held by a client that keeps a stream open without sending", async () => {
    await using kit = await startTestServer({ limits: { maxDrainMs: 600_000 }, modules });
    const idle = kit.raw.stream();
    idle.write(open("program"));
    expect((await idle.next())?.case).toBe("opened");
    const silent = kit.raw.stream();
    silent.writeBytes(Buffer.alloc(0));
    const unopened = await silent.ended;
    expect(unopened).toMatchObject({ t: "failed", failure: { reason: "STREAM_NOT_OPENED" } });
    await kit.server.drain();
    expect((await idle.next())?.case).toBe("draining");
    expect(await idle.ended).toEqual({ t: "ok" });
  });

  test("refuses a stream that has not opened yet", async () => {
    await using kit = await startTestServer({ limits: { maxDrainMs: 600_000 }, modules });
    const stream = kit.raw.stream();
    // Headers leave with the first message only; a control call behind them proves that they have arrived.
    const before = kit.server.stats.admission.streams;
    stream.write(open("program"));
    await until(() => kit.server.stats.admission.streams > before, "the stream has arrived");
    await kit.server.drain();
    await stream.rest();
    expect(["ok", "failed"]).toContain((await stream.ended).t);
  });
});

describe("over HTTP", () => {
  test("a draining server is not ready, tells streams, and answers what is in flight", async () => {
    await using kit = await startTestServer({
      limits: { ...holdingLimits, maxDrainMs: 600_000 },
      http: true,
      modules,
    });
    expect((await fetch(`${kit.url}/readyz`)).status).toBe(200);
    const client = createClient(
      TransformService,
      createConnectTransport({ baseUrl: kit.url, httpVersion: "1.1" }),
    );
    const held = await kit.hold();
    const waiting = client.transform(request("program", "ma"));
    await until(() => kit.server.stats.admission.batches === 2, "the call waits");
    const drained = kit.server.drain();
    await held.release();
    expect(
      (await waiting).result?.batch?.records.map(({ value }) => Buffer.from(value ?? []).toString()),
    ).toEqual(["a"]);
    await drained;
    await expect(fetch(`${kit.url}/readyz`)).rejects.toThrow();
  });
});
