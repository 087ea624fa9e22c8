import { afterAll, beforeAll, expect, test } from "vitest";
import { request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { misbehavingModule, misbehaviours } from "../modules/misbehaving.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    modules: { uppercase: "uppercase" },
    limits: { maxRecordExecutionMs: 100, maxBatchExecutionMs: 200, maxInitMs: 100 },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function healthy(): Promise<void> {
  expect(valuesOf(await kit.raw.transform(request("uppercase", "well")))).toEqual(["WELL"]);
}

test("the library has at least forty", () => {
  expect(new Set(misbehaviours.map(({ name }) => name)).size).toBeGreaterThanOrEqual(40);
});

test.each(misbehaviours.filter((each) => "refused" in each))("a module is refused: $name", async (each) => {
  const wasm = await misbehavingModule(each.name);
  const kept = kit.load(each.name, wasm, "1").then(() => kit.put(each.name, [each.name]));
  const reason = await kept.then(
    () => "kept",
    (error: { reason?: string }) => error.reason,
  );
  expect(each.refused).toContain(reason);
  await healthy();
});

test.each(misbehaviours.filter((each) => "codes" in each))("a module does no harm: $name", async (each) => {
  const module = each.name.replaceAll(/\W/g, "-");
  await kit.load(module, await misbehavingModule(each.name), "1");
  await kit.put(module, [{ module, breaker: { disabled: true } }]);
  const [result] = await Promise.all([kit.raw.transform(request(module, each.record)), healthy()]);
  expect(each.codes).toContain(result.failures[0]?.code ?? "answered");
  await healthy();
});
