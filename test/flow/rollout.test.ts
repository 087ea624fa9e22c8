import { RolloutMode, RolloutState, type StartRolloutRequest } from "@leat/sdk";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { MemoryRegistryStore } from "../../server/store/registry-store.ts";
import { type ModuleSource, moduleBytes } from "../kit/modules.ts";
import { numbered, open, request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";
import { wat } from "../kit/wat.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({ limits: { maxShadowSamples: 2 } });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

let names = 0;

/** Two versions of a new name, of which the first is active, and a pipeline of the same name. */
async function versions(base: ModuleSource, candidate: ModuleSource): Promise<string> {
  const name = `tried-${++names}`;
  await kit.load(name, base, "1");
  await kit.put(name, [name]);
  const wasm = await moduleBytes(candidate);
  await kit.leat.modules.loadModule({ name, version: "2", wasm, noActivate: true });
  return name;
}

async function start(
  name: string,
  init: Partial<Pick<StartRolloutRequest, "mode" | "share">> & {
    rule?: { afterBatches: number; maxFactor?: number };
  },
) {
  const { rollout } = await kit.leat.modules.startRollout({ reference: `${name}@2`, share: 0.5, ...init });
  return rollout;
}

async function rolloutOf(name: string) {
  const { rollout } = await kit.leat.modules.getRollout({ name });
  if (rollout === undefined) throw new Error("no rollout");
  return rollout;
}

async function ended(name: string) {
  const { rollouts } = kit.server.registry;
  await until(() => rollouts.get(name).state.t !== "running", "the rollout ends");
  return rolloutOf(name);
}

/** What a pipeline makes of `mm`: `program` takes a character off, `marked` does not. */
async function run(name: string, ...values: string[]): Promise<string[]> {
  return valuesOf(await kit.raw.transform(request(name, ...(values.length === 0 ? ["mm"] : values))));
}

describe("a canary", () => {
  test("answers its share of the batches, each of them wholly, until it is promoted", async () => {
    const name = await versions("program", "marked");
    await start(name, { share: 0.1 });
    const batches = 1_500;
    let tried = 0;
    for (let sent = 0; sent < batches; sent += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => run(name, "mm", "mm")));
      for (const answer of answers) {
        expect([
          ["m", "m"],
          ["mm", "mm"],
        ]).toContainEqual(answer);
        if (answer[0] === "mm") tried++;
      }
    }
    // 150 of 1,500 on average: six standard deviations either way.
    expect(Math.abs(tried - 150)).toBeLessThan(6 * Math.sqrt(batches * 0.1 * 0.9));
    const rollout = await rolloutOf(name);
    expect(rollout).toMatchObject({ state: RolloutState.RUNNING, pipelines: [name], why: "" });
    expect(rollout.candidate).toMatchObject({ version: "2", batches: BigInt(tried), errors: 0n });
    expect(rollout.base).toMatchObject({ version: "1", batches: BigInt(batches - tried) });
    const { rollout: promoted } = await kit.leat.modules.promoteRollout({ name });
    expect(promoted).toMatchObject({ state: RolloutState.PROMOTED, why: "it was asked for" });
    for (let sent = 0; sent < 20; sent++) expect(await run(name)).toEqual(["mm"]);
    const { activations } = await kit.leat.modules.getModuleHistory({ name });
    expect(activations.map(({ version, cause }) => [version, cause])).toEqual([
      ["2", 4],
      ["1", 1],
    ]);
  });

  test("answers nothing any more when it is aborted, and its pipeline is given back", async () => {
    const name = await versions("program", "marked");
    await start(name, { share: 0.99 });
    await kit.leat.modules.abortRollout({ name });
    for (let sent = 0; sent < 20; sent++) expect(await run(name)).toEqual(["m"]);
    expect(await rolloutOf(name)).toMatchObject({ state: RolloutState.ROLLED_BACK });
    await kit.leat.modules.unloadModule({ reference: `${name}@2` });
    await expect(kit.leat.modules.abortRollout({ name })).rejects.toMatchObject({
      reason: "ROLLOUT_NOT_FOUND",
    });
  });

  test("that is no worse is promoted by its rule", async () => {
    // Other bytes of the same meaning: a custom section says nothing.
    const name = await versions(
      "program",
      Buffer.concat([await moduleBytes("program"), Buffer.from([0, 2, 1, 122])]),
    );
    await start(name, { rule: { afterBatches: 20, maxFactor: 100 } });
    const { rollouts } = kit.server.registry;
    while (rollouts.get(name).state.t === "running") await run(name);
    expect(await ended(name)).toMatchObject({
      state: RolloutState.PROMOTED,
      why: expect.stringMatching(/^after \d+ batches it is no worse/),
    });
    expect(kit.server.registry.modules.active(name)?.version).toBe("2");
  });

  test("that fails records which the active version does not is rolled back by its rule", async () => {
    const name = await versions("marked", "program");
    await start(name, { rule: { afterBatches: 20 } });
    const { rollouts } = kit.server.registry;
    // `program` fails what begins with x.
    while (rollouts.get(name).state.t === "running") await kit.raw.transform(request(name, "xm"));
    expect(await ended(name)).toMatchObject({
      state: RolloutState.ROLLED_BACK,
      why: expect.stringMatching(/^its share of failed records is 1, and 0 with the active version/),
    });
    expect(await run(name, "xm")).toEqual(["xm"]);
  });
});

/** Gives batches as they came: the test's small ones after some milliseconds of counting, those that warm it up at once. */
async function slow(rounds: number): Promise<Uint8Array> {
  const byte = (shift: number) =>
    `(i32.and (i32.shr_u (local.get $length) (i32.const ${shift})) (i32.const 127))`;
  return wat(`(module
    (import "leat" "begin_record" (func $begin_record (param i32)))
    (memory (export "memory") 128)
    (func (export "leat_alloc") (param i32) (result i32) (i32.const 64))
    (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
      (local $left i32)
      (local.set $left (select (i32.const ${rounds}) (i32.const 1) (i32.lt_u (local.get $length) (i32.const 64))))
      (loop $next
        (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
        (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (i32.store8 (i32.const 60) (i32.const 10))
      (i32.store8 (i32.const 61) (i32.or ${byte(0)} (i32.const 128)))
      (i32.store8 (i32.const 62) (i32.or ${byte(7)} (i32.const 128)))
      (i32.store8 (i32.const 63) ${byte(14)})
      (i64.or (i64.shl (i64.const 60) (i64.const 32)) (i64.extend_i32_u (i32.add (local.get $length) (i32.const 4))))))`);
}

describe("a shadow", () => {
  test("answers nothing, and finds the batches of which it makes something else", async () => {
    const name = await versions("marked", "uppercase");
    await start(name, { mode: RolloutMode.SHADOW, share: 1 });
    const { rollouts } = kit.server.registry;
    for (let sent = 1; sent <= 60; sent++) {
      const value = sent % 10 === 0 ? "mostly quiet" : "LOUD";
      expect(await run(name, "SAME", value)).toEqual(["SAME", value]);
      await until(() => rollouts.get(name).shadow.compared === sent, "the shadow has run");
    }
    const { shadow, base, candidate } = await rolloutOf(name);
    expect(shadow).toMatchObject({ compared: 60n, different: 6n, dropped: 0n });
    expect(shadow?.samples.map(({ pipeline, what, place }) => [pipeline, what, place])).toEqual([
      [name, "records", 1],
      [name, "records", 1],
    ]);
    const texts = [shadow?.samples[0]?.base, shadow?.samples[0]?.candidate].map(String);
    expect(texts.map((text) => Buffer.from(text.split(",").map(Number)).toString())).toEqual([
      "mostly quiet",
      "MOSTLY QUIET",
    ]);
    expect([base?.batches, candidate?.batches]).toEqual([60n, 60n]);
    // What shadows run is no figure of the pipeline.
    expect((await kit.pipelineMetrics(name)).recordsIn).toBe(120n);
    await kit.leat.modules.abortRollout({ name });
  });

  test("that is slower is rolled back by its rule, with both times", async () => {
    const name = await versions(await slow(1), await slow(6_000_000));
    await start(name, { mode: RolloutMode.SHADOW, share: 1, rule: { afterBatches: 20, maxFactor: 4 } });
    const { rollouts } = kit.server.registry;
    while (rollouts.get(name).state.t === "running") {
      await run(name);
      await kit.idle();
    }
    const rollout = await ended(name);
    expect(rollout).toMatchObject({
      state: RolloutState.ROLLED_BACK,
      why: expect.stringMatching(/its median time is [\d.]+ ms, and [\d.]+ ms with the active version/),
      shadow: { different: 0n },
    });
    expect(rollout.candidate?.medianMs).toBeGreaterThan(rollout.base?.medianMs ?? 0);
  });

  test("that stops its workers is ended, and no caller sees anything of it", async () => {
    await using quick = await startTestServer({
      limits: { maxRecordExecutionMs: 50, maxBatchExecutionMs: 100 },
    });
    await quick.load("hangs", "program", "1");
    await quick.put("hangs", ["hangs"]);
    const wasm = await moduleBytes("marked");
    await quick.leat.modules.loadModule({ name: "hangs", version: "2", wasm, noActivate: true });
    await quick.leat.modules.startRollout({ reference: "hangs@2", mode: RolloutMode.SHADOW, share: 1 });
    const { rollouts } = quick.server.registry;
    while (rollouts.get("hangs").state.t === "running") {
      // `marked` loops on `!`; `program` gives what follows it.
      expect(valuesOf(await quick.raw.transform(request("hangs", "!m")))).toEqual(["m"]);
      await quick.idle();
    }
    expect((await quick.leat.modules.getRollout({ name: "hangs" })).rollout).toMatchObject({
      state: RolloutState.ROLLED_BACK,
      why: "3 copies ended with an error or stopped their worker",
    });
  });
});

describe("while a rollout runs", () => {
  test("its name's active version stays, and its version cannot be unloaded", async () => {
    const name = await versions("program", "marked");
    await start(name, {});
    const wasm = await moduleBytes("uppercase");
    const { modules } = kit.leat;
    for (const change of [
      () => modules.activateModule({ reference: `${name}@2` }),
      () => modules.rollbackModule({ name }),
      () => modules.loadModule({ name, version: "3", wasm }),
      () => modules.startRollout({ reference: `${name}@2`, share: 0.5 }),
    ])
      await expect(change()).rejects.toMatchObject({ reason: "ROLLOUT_UNDER_WAY" });
    await expect(modules.unloadModule({ reference: `${name}@2` })).rejects.toMatchObject({
      reason: "MODULE_IN_USE",
    });
    await modules.loadModule({ name, version: "3", wasm, noActivate: true });
    await modules.abortRollout({ name });
  });

  test("a change of one of its pipelines ends it", async () => {
    const name = await versions("program", "marked");
    await start(name, {});
    await kit.put(name, [name, name]);
    expect(await rolloutOf(name)).toMatchObject({
      state: RolloutState.ABORTED,
      why: `the pipeline ${name} was changed`,
    });
    for (let sent = 0; sent < 10; sent++) expect(await run(name, "mmm")).toEqual(["m"]);
  });
});

describe("a rollout is refused", () => {
  test("of the active version, of one that nothing follows, and with a share or a rule that is none", async () => {
    const name = await versions("program", "marked");
    const { modules } = kit.leat;
    const refused = (init: Parameters<typeof modules.startRollout>[0], field: string) =>
      expect(modules.startRollout({ reference: `${name}@2`, share: 0.5, ...init })).rejects.toMatchObject({
        reason: "REQUEST_INVALID",
        metadata: { field },
      });
    await refused({ reference: `${name}@1` }, "reference");
    for (const share of [0, 1, -1, 1.5, Number.NaN]) await refused({ share }, "share");
    await refused({ share: 1.01, mode: RolloutMode.SHADOW }, "share");
    await refused({ rule: { afterBatches: 1 } }, "rule.after_batches");
    await refused({ rule: { afterBatches: 20, maxFactor: 0.5 } }, "rule.max_factor");
    await refused({ mode: 9 as RolloutMode }, "mode");
    await kit.leat.pipelines.deletePipeline({ name });
    await refused({}, "reference");
    await expect(modules.startRollout({ reference: "nobody@1", share: 0.5 })).rejects.toMatchObject({
      reason: "MODULE_NOT_FOUND",
    });
    await expect(modules.getRollout({ name: "nobody" })).rejects.toMatchObject({
      reason: "ROLLOUT_NOT_FOUND",
    });
  });
});

test("a rollout that does not start keeps nothing of the pipelines that were ready", async () => {
  const name = await versions("program", "marked");
  await kit.put(`${name}-other`, [name]);
  const { pipelines } = kit.server.registry;
  const made: number[] = [];
  const { get, makeServing } = pipelines;
  pipelines.makeServing = (spec, purpose) => {
    made.push(spec.id);
    return makeServing.call(pipelines, spec, purpose);
  };
  pipelines.get = (asked) => {
    if (made.length > 0) throw new Error("the second cannot be built");
    return get.call(pipelines, asked);
  };
  onTestFinished(() => void Object.assign(pipelines, { get, makeServing }));
  await expect(start(name, {})).rejects.toMatchObject({ reason: "INTERNAL" });
  expect(made.map((id) => pipelines.byId(id))).toEqual([undefined]);
});

describe("a rollout ends", () => {
  test("when its version is put in quarantine", async () => {
    await using killers = await startTestServer({
      limits: { maxRecordExecutionMs: 50, maxBatchExecutionMs: 200, maxWorkerStops: 2 },
      modules: { after: "marked" },
    });
    await killers.load("tried", "program", "1");
    const wasm = Buffer.concat([await moduleBytes("marked"), Buffer.from([0, 2, 1, 122])]);
    await killers.leat.modules.loadModule({ name: "tried", version: "2", wasm, noActivate: true });
    await killers.put("tried", ["tried"]);
    await killers.leat.modules.startRollout({ reference: "tried@2", share: 0.99 });
    const { registry } = killers.server;
    const rollout = registry.rollouts.get("tried");
    // `marked` loops on `!`; `program` gives what follows it.
    while (rollout.state.t === "running")
      await killers.raw.transform(request("tried", "!m")).catch(() => undefined);
    expect(rollout.state).toMatchObject({ t: "rolled_back", why: "it was put in quarantine" });
    for (let sent = 0; sent < 5; sent++)
      expect(valuesOf(await killers.raw.transform(request("tried", "!m")))).toEqual(["m"]);
  });

  test("for what its version did, and not for batches that are too large for any", async () => {
    await using small = await startTestServer({ limits: { maxBatchRecords: 2 } });
    await small.load("tried", "program", "1");
    await small.put("tried", ["tried"]);
    const wasm = await moduleBytes("marked");
    await small.leat.modules.loadModule({ name: "tried", version: "2", wasm, noActivate: true });
    await small.leat.modules.startRollout({ reference: "tried@2", share: 0.5 });
    const stream = small.raw.stream();
    stream.write(open("tried"));
    expect((await stream.next())?.case).toBe("opened");
    for (let sequence = 1; sequence <= 20; sequence++) {
      stream.write(numbered(sequence, "a", "b", "c"));
      expect(await stream.next()).toMatchObject({ value: { outcome: { case: "error" } } });
    }
    stream.halfClose();
    await stream.ended;
    const { baseArm, candidateArm } = small.server.registry.rollouts.get("tried");
    expect([baseArm.errors, candidateArm.errors]).toEqual([0, 0]);
  });
});

describe("a promotion", () => {
  /** A server with a version that is tried, whose registry is written down when the test lets it. */
  async function gated() {
    const registryStore = new MemoryRegistryStore();
    const server = await startTestServer({ registryStore });
    await server.load("tried", "program", "1");
    await server.put("tried", ["tried"]);
    const wasm = await moduleBytes("marked");
    await server.leat.modules.loadModule({ name: "tried", version: "2", wasm, noActivate: true });
    await server.leat.modules.startRollout({ reference: "tried@2", share: 0.5 });
    const entered = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const commit = registryStore.commit.bind(registryStore);
    registryStore.commit = async (steps) => {
      entered.resolve();
      await gate.promise;
      return commit(steps);
    };
    const { rollouts, modules } = server.server.registry;
    return { server, rollouts, modules, rollout: rollouts.get("tried"), entered: entered.promise, gate };
  }

  test("is given up when the version's breaker opens before it is written down", async () => {
    const { server, rollouts, modules, rollout, gate } = await gated();
    await using _ = server;
    gate.resolve();
    const promotion = rollouts.promote("tried");
    const outcome = promotion.catch((error: unknown) => error);
    // Its turn has come, and the version is being made ready.
    await new Promise((resolve) => setImmediate(resolve));
    rollouts.breakerOpened(rollout.candidate.digest);
    expect(await outcome).toMatchObject({ reason: "ROLLOUT_NOT_FOUND" });
    expect(rollout.state).toMatchObject({ t: "rolled_back", why: "its breaker opened" });
    expect(modules.active("tried")?.version).toBe("1");
  });

  test("that is being written down is not taken back by half", async () => {
    const { server, rollouts, modules, rollout, entered, gate } = await gated();
    await using _ = server;
    const promotion = rollouts.promote("tried");
    await entered;
    rollouts.breakerOpened(rollout.candidate.digest);
    expect(rollout.state.t).toBe("running");
    gate.resolve();
    await promotion;
    expect(rollout.state.t).toBe("promoted");
    expect(modules.active("tried")?.version).toBe("2");
  });

  test("ends other rollouts of pipelines that it moves", async () => {
    const [one, two] = [await versions("program", "marked"), await versions("program", "marked")];
    await start(one, {});
    await kit.put("both", [one, two]);
    await start(two, {});
    await kit.leat.modules.promoteRollout({ name: one });
    expect(await rolloutOf(two)).toMatchObject({
      state: RolloutState.ABORTED,
      why: "the pipeline both was changed",
    });
    await kit.leat.pipelines.deletePipeline({ name: "both" });
  });
});
