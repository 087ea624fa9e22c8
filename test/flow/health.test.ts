import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { failureOf } from "../kit/call-error.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({ http: true });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** An encoded HealthCheckRequest. */
function asking(service: string): Uint8Array {
  return Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)]);
}

const serving = Buffer.from([0x08, 0x01]);

test.each([
  "",
  "leat.v1.TransformService",
  "leat.v1.ModuleService",
  "leat.v1.PipelineService",
  "leat.v1.MetricsService",
])("Check says that %j is SERVING", async (service) => {
  expect(await kit.raw.call("/grpc.health.v1.Health/Check", asking(service)).response).toEqual(serving);
});

test("Check of an unknown service is NOT_FOUND", async () => {
  expect(
    await failureOf(kit.raw.call("/grpc.health.v1.Health/Check", asking("no.such.Service")).response),
  ).toMatchObject({ status: "NOT_FOUND" });
});

test("Watch tells the status at once", async () => {
  const watch = kit.raw.serverStream("/grpc.health.v1.Health/Watch", asking("leat.v1.TransformService"));
  watch.on("error", () => {});
  expect((await once(watch, "data"))[0]).toEqual(serving);
  watch.cancel();
});

test("the HTTP probes agree", async () => {
  expect((await fetch(`${kit.url}/healthz`)).status).toBe(200);
  const ready = await fetch(`${kit.url}/readyz`);
  expect([ready.status, await ready.text()]).toEqual([200, "ready\n"]);
});
