import { once } from "node:events";
import { connect } from "node:http2";
import { create, type DescFile, toBinary } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import * as protocol from "@leat/proto";
import { Health, PipelineSchema } from "@leat/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MemoryRegistryStore } from "../../server/store/registry-store.ts";
import { failureOf } from "../kit/call-error.ts";
import { checkHealth, HealthWatch, statusName } from "../kit/health.ts";
import { request } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;
let transport: Transport;

/** Opens after two calls with a fault among the last two, for so long. */
const nervous = (openMs: number) => ({ faults: 2, window: 2, openMs, probes: 1 });

beforeAll(async () => {
  const orphan = create(PipelineSchema, { name: "orphan", stages: [{ module: "gone" }] });
  const definition = toBinary(PipelineSchema, orphan);
  const registryStore = new MemoryRegistryStore();
  const nothing = await registryStore.read();
  const facts = { newest: 1, principal: "", digest: "", previous: 0 };
  const revision = { name: "orphan", revision: 1, timeMs: 0, definition, ...facts };
  registryStore.read = async () => ({ ...nothing, pipelines: [revision] });
  kit = await startTestServer({
    http: true,
    registryStore,
    limits: { maxRecordExecutionMs: 50, maxBatchExecutionMs: 200, maxWorkerStops: 2, maxHealthWatches: 3 },
    // The same bytes are the same module, and so the same breaker.
    modules: { program: "program", quick: "marked", killer: "marked" },
  });
  await kit.put("killer", [{ module: "killer", breaker: { disabled: true } }]);
  transport = createGrpcTransport({ baseUrl: `http://${kit.address}` });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** Every service of Leat's protocol, from the descriptors. */
const services = Object.values(protocol)
  .filter(
    (each): each is DescFile =>
      typeof each === "object" && "kind" in each && (each as DescFile).kind === "file",
  )
  .flatMap((file) => file.services)
  .map(({ typeName }) => typeName)
  .filter((name) => name.startsWith("leat."));

const doors = {
  gRPC: () => createGrpcTransport({ baseUrl: `http://${kit.address}` }),
  "gRPC on the HTTP port": () => createGrpcTransport({ baseUrl: kit.url }),
  "gRPC-Web": () => createGrpcWebTransport({ baseUrl: kit.url, httpVersion: "1.1" }),
  Connect: () => createConnectTransport({ baseUrl: kit.url, httpVersion: "1.1" }),
} as const;

describe.each(Object.entries(doors))("through %s", (_, open) => {
  test.each(["", ...services, "pipeline/program"])("Check says that %j is SERVING", async (service) => {
    expect(await checkHealth(open(), service)).toBe("SERVING");
  });

  test("Watch tells the status at once, and of what there is not SERVICE_UNKNOWN", async () => {
    const watch = new HealthWatch(open(), "pipeline/program");
    await watch.says("SERVING");
    const unknown = new HealthWatch(open(), "no.such.Service");
    await unknown.says("SERVICE_UNKNOWN");
    for (const each of [watch, unknown]) {
      each.close();
      await each.ended;
    }
  });
});

test.each(["no.such.Service", "pipeline/none", "pipeline/", "program"])(
  "Check of %j, which there is not, is NOT_FOUND",
  async (service) => {
    const asking = Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)]);
    expect(await failureOf(kit.raw.call("/grpc.health.v1.Health/Check", asking).response)).toMatchObject({
      status: "NOT_FOUND",
      reason: "HEALTH_SERVICE_UNKNOWN",
    });
  },
);

test("List names the server, its services and the stored pipelines", async () => {
  const { statuses } = await createClient(Health, transport).list({});
  expect(Object.keys(statuses).sort()).toEqual(
    ["", ...services, "killer", "orphan", "program", "quick"]
      .map((name) => (name === "" || name.includes(".") ? name : `pipeline/${name}`))
      .sort(),
  );
  expect(statusName(statuses["pipeline/orphan"]?.status)).toBe("NOT_SERVING");
});

test("a watcher is told when a pipeline is put and when it is deleted", async () => {
  const watch = new HealthWatch(transport, "pipeline/short-lived");
  await watch.says("SERVICE_UNKNOWN");
  await kit.put("short-lived", ["program"]);
  await watch.says("SERVING");
  await kit.leat.pipelines.deletePipeline({ name: "short-lived" });
  await watch.says("SERVICE_UNKNOWN");
  expect(watch.statuses).toEqual(["SERVICE_UNKNOWN", "SERVING", "SERVICE_UNKNOWN"]);
  watch.close();
  await watch.ended;
});

test("a pipeline whose module is not loaded does not serve until it is", async () => {
  const watch = new HealthWatch(transport, "pipeline/orphan");
  await watch.says("NOT_SERVING");
  await kit.load("gone", "program");
  await watch.says("SERVING");
  watch.close();
  await watch.ended;
});

test("a pipeline whose breaker refuses calls does not serve, and does again by itself when one may try", async () => {
  await kit.put("quick", [{ module: "quick", breaker: nervous(100) }]);
  const watch = new HealthWatch(transport, "pipeline/quick");
  await watch.says("SERVING");
  for (let fault = 0; fault < 2; fault++) await kit.raw.transform(request("quick", "%"));
  await watch.says("NOT_SERVING");
  expect(await checkHealth(transport)).toBe("SERVING");
  await watch.says("SERVING");
  watch.close();
  await watch.ended;
});

test("a pipeline whose breaker lets nothing through but a probe that runs does not serve until that has ended", async () => {
  await kit.put("quick", [{ module: "quick", breaker: { ...nervous(20), probes: 2 } }]);
  // Where it has opened before, the first fault opens it again, and the second call may be refused.
  for (let fault = 0; fault < 2; fault++)
    await kit.raw.transform(request("quick", "%")).catch(() => undefined);
  const watch = new HealthWatch(transport, "pipeline/quick");
  await watch.says("SERVING");
  const probe = kit.raw.begin(request("quick", "~"));
  await watch.says("NOT_SERVING");
  probe.cancel();
  await probe.response.catch(() => undefined);
  await watch.says("SERVING");
  watch.close();
  await watch.ended;
  while ((await kit.pipelineMetrics("quick")).stages[0]?.breaker !== "closed")
    await kit.raw.transform(request("quick", "a")).catch(() => undefined);
});

test("a pipeline that runs without the stage whose breaker is open serves", async () => {
  await kit.put("quick", [{ module: "quick", breaker: nervous(60_000), onFailure: 3 }]);
  for (let fault = 0; fault < 2; fault++) await kit.raw.transform(request("quick", "%"));
  expect(await readyReasons()).toContainEqual({
    code: "breaker_open",
    blocking: false,
    message: expect.stringContaining("quick@"),
    module: expect.stringContaining("quick@"),
    pipelines: ["quick"],
  });
  expect(await checkHealth(transport, "pipeline/quick")).toBe("SERVING");
});

/** What `/readyz` says is wrong. The server must be ready. */
async function readyReasons(path = "/readyz?verbose"): Promise<unknown[]> {
  const response = await fetch(`${kit.url}${path}`);
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json"]);
  const { ready, reasons } = (await response.json()) as { ready: boolean; reasons: unknown[] };
  expect(ready).toBe(true);
  return reasons;
}

test("a module in quarantine takes its pipelines out of service, and neither their neighbours nor the server", async () => {
  await kit.put("killer", [{ module: "killer", breaker: { disabled: true } }]);
  await kit.put("quick", [{ module: "quick", breaker: { disabled: true } }]);
  const watch = new HealthWatch(transport, "pipeline/killer");
  await watch.says("SERVING");
  for (let stop = 0; stop < 2; stop++)
    await kit.raw.transform(request("killer", "!")).catch((error: unknown) => error);
  await watch.says("NOT_SERVING");
  expect(await checkHealth(transport, "pipeline/program")).toBe("SERVING");
  expect(await checkHealth(transport)).toBe("SERVING");
  expect(await readyReasons()).toContainEqual({
    code: "module_quarantined",
    blocking: false,
    message: expect.stringMatching(/is in quarantine since .* until .*: it has brought 2 workers down/),
    module: expect.stringMatching(/^(?:killer|quick)@/),
    pipelines: expect.arrayContaining(["killer"]),
  });
  expect(await (await fetch(`${kit.url}/readyz`)).text()).toMatch(/^ready\nmodule_quarantined: module /);
  const one = await fetch(`${kit.url}/readyz?pipeline=killer`);
  expect([one.status, await one.text()]).toEqual([
    503,
    expect.stringMatching(/^not ready: module_quarantined\n/),
  ]);
  await kit.leat.modules.releaseModule({ reference: "killer" });
  await watch.says("SERVING");
  watch.close();
  await watch.ended;
});

describe("/readyz", () => {
  test("answers text, and JSON where that is asked for", async () => {
    const plain = await fetch(`${kit.url}/readyz`, { headers: { accept: "*/*" } });
    expect([plain.status, await plain.text()]).toEqual([200, "ready\n"]);
    expect(await readyReasons()).toEqual([]);
    const accepted = await fetch(`${kit.url}/readyz`, { headers: { accept: "application/json" } });
    expect(await accepted.json()).toEqual({ ready: true, reasons: [] });
  });

  test("answers for a stored pipeline, and 404 for one that there is not", async () => {
    expect((await fetch(`${kit.url}/readyz?pipeline=program`)).status).toBe(200);
    expect((await fetch(`${kit.url}/readyz?pipeline=none`)).status).toBe(404);
  });
});

test("/healthz says that the event loop lags, and that the process lives all the same", async () => {
  expect(await (await fetch(`${kit.url}/healthz`)).text()).toMatch(/^ok/);
  let blocking = true;
  const block = (): void => {
    const endMs = performance.now() + 150;
    while (performance.now() < endMs);
    if (blocking) setImmediate(block);
  };
  const asked = fetch(`${kit.url}/healthz?verbose`);
  setImmediate(block);
  const response = await asked;
  blocking = false;
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ alive: true, lags: true, turnMs: expect.any(Number) });
});

test("watches are bounded, and one that has ended makes room", async () => {
  const watches = Array.from({ length: 3 }, () => new HealthWatch(transport));
  await Promise.all(watches.map((watch) => watch.says("SERVING")));
  const more = kit.raw.serverStream("/grpc.health.v1.Health/Watch", new Uint8Array(0));
  const [error] = await once(more, "error");
  expect(await failureOf(Promise.reject(error))).toMatchObject({
    status: "RESOURCE_EXHAUSTED",
    reason: "TOO_MANY_WATCHES",
    metadata: { limit: "maxHealthWatches", value: "3", measured: "4" },
  });
  const [first, ...others] = watches;
  first?.close();
  await first?.ended;
  const again = new HealthWatch(transport);
  await again.says("SERVING");
  for (const watch of [...others, again]) {
    watch.close();
    await watch.ended;
  }
});

test("watchers of a draining server are told before their connections say that they close", async () => {
  await using draining = await startTestServer();
  const session = connect(`http://${draining.address}`);
  const watch = session.request({
    ":method": "POST",
    ":path": "/grpc.health.v1.Health/Watch",
    "content-type": "application/grpc",
    te: "trailers",
  });
  const came: string[] = [];
  watch.on("data", (frame: Buffer) => came.push(`status ${frame.at(-1)}`));
  session.on("goaway", () => came.push("goaway"));
  watch.end(Buffer.alloc(5));
  await once(watch, "data");
  const drained = draining.server.drain();
  await once(session, "close");
  expect(came.slice(0, 3)).toEqual(["status 1", "status 2", "goaway"]);
  await drained;
});
