import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../server/clock.ts";
import { failureOf } from "../kit/call-error.ts";
import { clockOf } from "../kit/clocks.ts";
import { numbered, open, request, valuesOf } from "../kit/records.ts";
import {
  holdingLimits,
  startTestServer,
  type TestServer,
  type TestServerOptions,
} from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer | undefined;

afterEach(async () => {
  await kit?.[Symbol.asyncDispose]();
  kit = undefined;
});

/** Records of `hasty` may run 30 ms; those of `marked`, of the same module, for as long as a test wants. */
async function start(options: TestServerOptions): Promise<TestServer> {
  kit = await startTestServer({
    modules: { marked: "marked", uppercase: "uppercase" },
    pipelines: { hasty: [{ module: "marked", limits: { recordTimeoutMs: 30 } }] },
    http: true,
    ...options,
    limits: { ...holdingLimits, ...options.limits },
  });
  return kit;
}

async function offend(server: TestServer, times = 3): Promise<void> {
  for (let time = 0; time < times; time++) {
    const { failures } = await server.raw.transform(request("hasty", "!"));
    expect(failures[0]?.code).toBe("timeout");
  }
}

/** Calls that loop until they are given up. */
async function loop(server: TestServer, calls: number) {
  const { admission } = server.server.stats;
  const before = admission.batches;
  const pending = Array.from({ length: calls }, () => server.raw.begin(request("marked", "~")));
  const ended = pending.map(({ response }) => failureOf(response));
  await until(() => admission.batches === before + calls, "the loops are admitted");
  return {
    end: async () => {
      for (const { cancel } of pending) cancel();
      await Promise.all(ended);
    },
  };
}

async function healthy(server: TestServer): Promise<void> {
  const stream = server.raw.stream();
  stream.write(open("uppercase"));
  for (let sequence = 1; sequence <= 100; sequence++) stream.write(numbered(sequence, "well"));
  stream.halfClose();
  const responses = await stream.rest();
  const answers = responses.filter((message) => message.case === "result");
  expect(answers).toHaveLength(100);
}

test("one loop does not hold up a healthy stream on a pool of one worker: another helps out", async () => {
  const server = await start({ limits: { maxWorkers: 1, maxExtraWorkers: 1, maxStallMs: 20 } });
  const loops = await loop(server, 1);
  await healthy(server);
  await loops.end();
});

test.each([
  { workers: 2, extra: 0, stallMs: 600_000 },
  { workers: 1, extra: 1, stallMs: 20 },
  // Nobody helps out: no batch of the healthy may have waited behind an offender's.
  { workers: 1, extra: 1, stallMs: 600_000 },
])(
  "a known offender has one worker at a time, the healthy have another: $workers workers, $extra more after $stallMs ms",
  async ({ workers, extra, stallMs }) => {
    const server = await start({
      limits: { maxWorkers: workers, maxExtraWorkers: extra, maxStallMs: stallMs },
    });
    await offend(server);
    const [digest] = (await server.metrics()).confined;
    expect(digest).toMatch(/^sha256:/);
    // As many loops as there are workers would leave none.
    const loops = await loop(server, 6);
    await healthy(server);
    expect(server.server.stats.admission.batches).toBe(6);
    await loops.end();
    await healthy(server);
  },
);

test("an offender is served all the same, in order and each batch once", async () => {
  const server = await start({ limits: { maxWorkers: 2 } });
  await offend(server);
  const calls = Array.from({ length: 30 }, (_, call) => server.raw.transform(request("marked", `r${call}`)));
  const values = (await Promise.all(calls)).map((result) => valuesOf(result).join());
  expect(values).toEqual(Array.from({ length: 30 }, (_, call) => `r${call}`));
  await healthy(server);
});

test("what is confined is told, and let go after its time", async () => {
  let aheadMs = 0;
  const server = await start({
    limits: { maxWorkers: 2, laneMs: 60_000, maxMetricsAgeMs: 0 },
    clock: clockOf(() => systemClock.nowMs() + aheadMs),
  });
  const told = async () => ({
    ready: await (await fetch(`${server.url}/readyz`)).text(),
    metrics: await (await fetch(`${server.url}/metrics`)).text(),
    confined: (await server.metrics()).confined.length,
  });
  await offend(server, 2);
  expect((await told()).confined).toBe(0);
  await offend(server, 1);
  const during = await told();
  expect(during.confined).toBe(1);
  expect(during.ready).toMatch(
    /^ready\nmodule_confined: module marked@\S+ is confined .*: its batches bring workers down$/m,
  );
  expect(during.metrics).toMatch(/^leat_module_confined\{module="marked",[^}]*\} 1$/m);
  await server.idle();
  aheadMs = 60_000;
  const after = await told();
  expect(after.confined).toBe(0);
  expect(after.ready).not.toContain("confined");
  expect(after.metrics).not.toMatch(/^leat_module_confined\{module="marked"/m);
});

test("a confined module that is unloaded is forgotten", async () => {
  const server = await start({ limits: { maxWorkers: 2 } });
  await offend(server);
  for (const name of ["hasty", "marked"]) await server.leat.pipelines.deletePipeline({ name });
  const { modules } = await server.leat.modules.listModules({});
  const version = modules.find(({ name }) => name === "marked")?.version ?? "";
  await server.leat.modules.unloadModule({ reference: `marked@${version}` });
  expect((await server.metrics()).confined).toEqual([]);
});
