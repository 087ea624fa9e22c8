import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { resolveLimits } from "../../server/limits.ts";
import { withConfigSchema } from "../../server/module/config-schema.ts";
import { ConfigChecker } from "../../server/registry/config-checker.ts";
import { WarmUp } from "../../server/registry/warm-up.ts";
import { liveThreads } from "../kit/inventory.ts";
import { moduleBytes } from "../kit/modules.ts";
import { batchOf, inlineTarget, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";
import { guest } from "../kit/wat.ts";

let kit: TestServer;

/** Takes some milliseconds for any batch, so that warming it up takes as long as warming up may. */
const slow = guest(
  "",
  `(local $n i32)
   (local.set $n (i32.const 2000000))
   (loop $more
     (local.set $n (i32.sub (local.get $n) (i32.const 1)))
     (br_if $more (i32.gt_s (local.get $n) (i32.const 0))))
   (i64.const 0)`,
);

beforeAll(async () => {
  kit = await startTestServer({
    limits: { maxInlinePipelines: 4 },
    modules: { program: "program", marked: "marked", init: "init", slow },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** So many chains, no two alike: each of three modules or more, as the digits of a number. */
function chain(number: number): string[] {
  const modules = ["slow", "marked", "init"];
  return [...(number + 27).toString(3)].map((digit) => modules[Number(digit)] ?? "init");
}

test("many chains that were never used before do not take a thread each to be built", async () => {
  let most = 0;
  const count = () => {
    most = Math.max(most, liveThreads().length);
  };
  process.on("worker", count);
  const calls = Array.from({ length: 16 }, (_, number) =>
    kit.raw.transform({ target: inlineTarget(...chain(number)), batch: batchOf("a") }),
  );
  await Promise.all(calls);
  process.off("worker", count);
  // One worker, one spare, three that are lent, and those that are about to end or have just been started.
  expect(most).toBeLessThanOrEqual(8);
});

test("concurrent calls of one new chain build it once", async () => {
  const { moduleCache } = await kit.metrics();
  const results = await Promise.all(
    Array.from({ length: 20 }, () =>
      kit.raw.transform({ target: inlineTarget("program", "program", "program"), batch: batchOf("mmma") }),
    ),
  );
  expect(results.flatMap(valuesOf)).toEqual(new Array(20).fill("a"));
  expect((await kit.metrics()).moduleCache?.misses).toBe(moduleCache?.misses);
});

test("chains beyond the limit give way to newer ones, and are built again when they are asked for", async () => {
  for (let round = 0; round < 2; round++) {
    for (let number = 0; number < 6; number++) {
      const result = await kit.raw.transform({
        target: inlineTarget(...new Array<string>(number + 1).fill("program")),
        batch: batchOf("mmmmmma"),
      });
      expect(valuesOf(result)).toEqual(["mmmmmma".slice(number + 1)]);
    }
  }
});

test("unloading a module takes the chains that use it along, and nothing else", async () => {
  await kit.load("passing", "init", "1");
  await kit.load("passing", "marked", "2");
  const call = (...modules: string[]) =>
    kit.raw.transform({ target: inlineTarget(...modules), batch: batchOf("ma") });
  expect(valuesOf(await call("passing@2", "program"))).toEqual(["a"]);
  await kit.leat.modules.unloadModule({ reference: "passing@2" });
  await expect(call("passing@2", "program")).rejects.toThrow(/NOT_FOUND/);
  expect(valuesOf(await call("passing", "program"))).toEqual(["a"]);
});

test("a chain that is built while another version becomes active runs what it meant when its call came", async () => {
  const version = async (name: string) =>
    withConfigSchema(await moduleBytes(name), Buffer.from('{"type":"object"}'), resolveLimits());
  await kit.load("turned", await version("program"), "1");
  const reached = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const { check } = ConfigChecker.prototype;
  const spy = vi.spyOn(ConfigChecker.prototype, "check").mockImplementationOnce(async function (
    this: ConfigChecker,
    configs,
  ) {
    reached.resolve();
    await gate.promise;
    return check.call(this, configs);
  });
  onTestFinished(() => spy.mockRestore());
  const call = async (module: string) =>
    valuesOf(await kit.raw.transform({ target: inlineTarget(module), batch: batchOf("mm") }));
  const first = call("turned");
  await reached.promise;
  await kit.load("turned", await version("marked"), "2");
  gate.resolve();
  expect(await first).toEqual(["m"]);
  expect(await call("turned@1")).toEqual(["m"]);
  expect(await call("turned")).toEqual(["mm"]);
});

test("a chain whose module is unloaded while it is built is not kept", async () => {
  await kit.load("leaving", "program", "1");
  const reached = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const { run } = WarmUp.prototype;
  const spy = vi.spyOn(WarmUp.prototype, "run").mockImplementationOnce(async function (this: WarmUp, spec) {
    reached.resolve();
    await gate.promise;
    return run.call(this, spec);
  });
  onTestFinished(() => spy.mockRestore());
  const call = kit.raw.transform({ target: inlineTarget("leaving"), batch: batchOf("mm") });
  const failure = expect(call).rejects.toThrow(/NOT_FOUND/);
  await reached.promise;
  await kit.leat.modules.unloadModule({ reference: "leaving@1" });
  gate.resolve();
  await failure;
});

test("and the pool is as it was", async () => {
  await until(async () => (await kit.metrics()).pool?.workers === 1, "there is one worker");
  // The worker, the store's thread, the spare, and the one that stays after a warm-up.
  await until(() => liveThreads().length <= 4, "no more threads than that");
});
