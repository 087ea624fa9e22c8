import { afterAll, beforeAll, expect, test } from "vitest";
import { liveThreads } from "../kit/inventory.ts";
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

test("and the pool is as it was", async () => {
  await until(async () => (await kit.metrics()).pool?.workers === 1, "there is one worker");
  // The worker, the store's thread, the spare, and the one that stays after a warm-up.
  await until(() => liveThreads().length <= 4, "no more threads than that");
});
