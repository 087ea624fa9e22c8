/** What becomes of loaded modules when keys and policies change, while the server runs and between two of its lives. */

import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createGrpcTransport } from "@leat/sdk";
import { expect, test } from "vitest";
import { loadAtStart } from "../../server/cli/load-at-start.ts";
import { systemClock } from "../../server/clock.ts";
import { resolveConfig } from "../../server/config/resolve.ts";
import { defaultLimits as limits } from "../../server/limits.ts";
import { generateKey, writePublicKey } from "../../server/signing/keys.ts";
import { signDetached, signModule } from "../../server/signing/sign-module.ts";
import { createLogger } from "../../server/telemetry/logger.ts";
import { failureOf } from "../kit/call-error.ts";
import { testFolder } from "../kit/folder.ts";
import { checkHealth } from "../kit/health.ts";
import { moduleBytes } from "../kit/modules.ts";
import { batchOf, inlineTarget, numbered, open, request, valuesOf } from "../kit/records.ts";
import { type ListedKey, writeKeyList } from "../kit/signing.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../kit/test-server.ts";

const [oldKey, newKey] = [generateKey(), generateKey()];
const old: ListedKey = { name: "old", key: oldKey };
const fresh: ListedKey = { name: "new", key: newKey };
const bytes = { program: await moduleBytes("program"), marked: await moduleBytes("marked") };
const byOld = await signModule(bytes.program, oldKey, limits);
const byNew = await signModule(bytes.marked, newKey, limits);

interface Signed {
  readonly mode?: "off" | "warn" | "require";
  readonly keys?: readonly ListedKey[];
}

/** A server over the folder, with its list of keys in it. */
async function serve(
  folder: string,
  { mode = "require", keys = [old, fresh] }: Signed,
  options: TestServerOptions = {},
): Promise<TestServer> {
  const signatures = { mode, keysFile: await writeKeyList(folder, keys) };
  const logger = createLogger({ level: "silent" });
  return startTestServer({ ...options, server: { logger, ...options.server, signatures } });
}

/** Writes another list and has the server look at it. */
async function change(kit: TestServer, folder: string, keys: readonly ListedKey[]): Promise<void> {
  await writeKeyList(folder, keys);
  await kit.server.checkAccessFiles();
}

const nothing: Uint8Array = new Uint8Array();
const load = (kit: TestServer, name: string, version: string, wasm: Uint8Array, signature = nothing) =>
  kit.leat.modules.loadModule({ name, version, wasm, signature });
const call = async (kit: TestServer, pipeline: string) =>
  valuesOf(await kit.raw.transform(request(pipeline, "mm")));
const inline = async (kit: TestServer, ...modules: string[]) =>
  valuesOf(await kit.raw.transform({ target: inlineTarget(...modules), batch: batchOf("mm") }));
const signatureOf = async (kit: TestServer, reference: string) =>
  (await kit.leat.modules.getModule({ reference })).module?.signature;

test("a key that is revoked, or gone, takes its modules out of service at once, and nothing else", async () => {
  await using folder = await testFolder();
  await using kit = await serve(folder.path, {});
  await load(kit, "first", "1", byOld);
  await load(kit, "second", "1", byNew);
  await kit.put("first", ["first"]);
  await kit.put("second", ["second"]);
  expect([await call(kit, "first"), await inline(kit, "first@1")]).toEqual([["m"], ["m"]]);

  for (const keys of [[{ ...old, revoked: true }, fresh], [fresh]]) {
    await change(kit, folder.path, keys);
    const reason = keys.length === 2 ? "MODULE_SIGNER_REFUSED" : "MODULE_SIGNER_UNKNOWN";
    for (const use of [
      () => call(kit, "first"),
      () => inline(kit, "first@1"),
      () => inline(kit, "second", "first"),
    ])
      expect(await failureOf(use())).toMatchObject({ reason, metadata: { module: "first@1" } });
    expect([await call(kit, "second"), await inline(kit, "second")]).toEqual([["mm"], ["mm"]]);
    const [first, second] = [await signatureOf(kit, "first"), await signatureOf(kit, "second")];
    expect(first).toMatchObject({ state: 3, refused: true, problem: expect.stringContaining(reason) });
    expect(second).toMatchObject({ state: 2, refused: false, problem: "" });
    expect(kit.server.stats.signatures.refused()).toBe(1);
  }

  await change(kit, folder.path, [old, fresh]);
  expect([await call(kit, "first"), await inline(kit, "first@1")]).toEqual([["m"], ["m"]]);
  expect(kit.server.stats.signatures.refused()).toBe(0);
});

test("a policy that changes while the server runs holds for what is loaded, too", async () => {
  await using folder = await testFolder();
  await using kit = await serve(folder.path, { mode: "off" }, { dataFolder: folder.path });
  const keysFile = join(folder.path, "signing-keys.yaml");
  await load(kit, "unsigned", "1", bytes.program);
  await load(kit, "lost", "1", await signModule(bytes.program, newKey, limits));
  for (const name of ["unsigned", "lost"]) await kit.put(name, [name]);
  const { digest } = kit.server.registry.modules.resolve("lost");
  const file = join(folder.path, "modules/sha256", digest.slice(7, 9), `${digest.slice(7)}.wasm`);
  await rename(file, `${file}.away`);
  expect([await call(kit, "unsigned"), await call(kit, "lost")]).toEqual([["m"], ["m"]]);

  await kit.server.useSignatures({ mode: "warn", keysFile });
  expect([await call(kit, "unsigned"), await call(kit, "lost")]).toEqual([["m"], ["m"]]);
  expect(await signatureOf(kit, "unsigned")).toMatchObject({ state: 1, refused: false });

  await kit.server.useSignatures({ mode: "require", keysFile });
  expect(await failureOf(call(kit, "unsigned"))).toMatchObject({ reason: "MODULE_UNSIGNED" });
  // It runs from memory, and nobody can say any more by whom it is signed.
  expect(await failureOf(call(kit, "lost"))).toMatchObject({ reason: "MODULE_FILE_BROKEN" });
  await rename(`${file}.away`, file);
  await expect(
    kit.server.useSignatures({ mode: "off", keysFile: join(folder.path, "none.yaml") }),
  ).rejects.toThrow(/none\.yaml.*cannot be read/);
  expect(await failureOf(call(kit, "unsigned"))).toMatchObject({ reason: "MODULE_UNSIGNED" });
  await kit.server.useSignatures({ mode: "require", keysFile });
  expect(await call(kit, "lost")).toEqual(["m"]);

  await kit.server.useSignatures({ mode: "off", keysFile: undefined });
  expect(await call(kit, "unsigned")).toEqual(["m"]);
  expect(await signatureOf(kit, "unsigned")).toMatchObject({ state: 0, problem: "", refused: false });
});

test("a stream goes on, and its batches are refused while a module of its pipeline does not count", async () => {
  await using folder = await testFolder();
  await using kit = await serve(folder.path, {});
  await load(kit, "first", "1", byOld);
  await kit.put("first", ["first"]);
  const stream = kit.raw.stream();
  stream.write(open("first"));
  await stream.next();
  const reasons: string[] = [];
  for (const [at, keys] of [[old, fresh], [fresh], [old, fresh]].entries()) {
    await change(kit, folder.path, keys);
    stream.write(numbered(at + 1, "mm"));
    const answer = await stream.next();
    const outcome = answer?.case === "result" ? answer.value.outcome : undefined;
    reasons.push(outcome?.case === "error" ? outcome.value.reason : (outcome?.case ?? ""));
  }
  stream.halfClose();
  expect(reasons).toEqual(["result", "MODULE_SIGNER_UNKNOWN", "result"]);
  expect(await stream.rest()).toEqual([]);
  expect(await stream.ended).toEqual({ t: "ok" });
});

test("a key that is retired goes on counting for what is loaded, and counts no more for what comes", async () => {
  await using folder = await testFolder();
  const keys = [
    { ...old, notAfter: "2030-02-01" },
    { ...fresh, notBefore: "2030-01-01" },
  ];
  const on = (day: string): TestServerOptions => ({
    dataFolder: folder.path,
    clock: { nowMs: systemClock.nowMs, wallMs: () => Date.parse(day) },
  });
  {
    await using kit = await serve(folder.path, { keys }, on("2030-01-31"));
    await load(kit, "first", "1", byOld);
    await kit.put("first", ["first"]);
  }
  await using kit = await serve(folder.path, { keys }, on("2030-02-02"));
  expect(await call(kit, "first")).toEqual(["m"]);
  expect(await signatureOf(kit, "first")).toMatchObject({
    state: 2,
    signers: [{ key: "old", counts: true }],
  });
  await expect(load(kit, "first", "2", byOld)).rejects.toMatchObject({ reason: "MODULE_SIGNER_REFUSED" });
  expect(await load(kit, "first", "1", byOld)).toMatchObject({ alreadyLoaded: true });
  await change(kit, folder.path, [{ ...old, notAfter: "2030-01-15" }, fresh]);
  expect(await failureOf(call(kit, "first"))).toMatchObject({ reason: "MODULE_SIGNER_REFUSED" });
});

test("another signature beside the same bytes takes the place of the one before, and is there after a restart", async () => {
  await using folder = await testFolder();
  const beside = {
    old: await signDetached(bytes.program, oldKey, limits),
    new: await signDetached(bytes.program, newKey, limits),
  };
  {
    await using kit = await serve(folder.path, {}, { dataFolder: folder.path });
    await load(kit, "first", "1", bytes.program, beside.old);
    await kit.put("first", ["first"]);
  }
  {
    await using kit = await serve(folder.path, {}, { dataFolder: folder.path });
    expect(await call(kit, "first")).toEqual(["m"]);
    await expect(load(kit, "first", "1", bytes.program, Uint8Array.of(1))).rejects.toMatchObject({
      reason: "MODULE_SIGNATURE_MALFORMED",
    });
    expect(await load(kit, "first", "1", bytes.program)).toMatchObject({ alreadyLoaded: true });
    expect(await load(kit, "first", "1", bytes.program, beside.new)).toMatchObject({ alreadyLoaded: true });
    await kit.leat.modules.unloadModule({ reference: await loaded(kit, "gone", byNew) });
  }
  await using kit = await serve(
    folder.path,
    { keys: [{ ...old, revoked: true }, fresh] },
    { dataFolder: folder.path },
  );
  expect(await call(kit, "first")).toEqual(["m"]);
  expect(await signatureOf(kit, "first")).toMatchObject({
    state: 2,
    detached: true,
    signers: [{ key: "new" }],
  });
});

async function loaded(kit: TestServer, name: string, wasm: Uint8Array): Promise<string> {
  await load(kit, name, "1", wasm);
  return `${name}@1`;
}

test("what was stored and does not count any more is named, not served, and does not stop the rest", async () => {
  await using folder = await testFolder();
  {
    await using kit = await serve(folder.path, { mode: "off" }, { dataFolder: folder.path });
    await load(kit, "unsigned", "1", bytes.program);
    await load(kit, "rolling", "1", byOld);
    await load(kit, "rolling", "2", byNew);
    for (const name of ["unsigned", "rolling"]) await kit.put(name, [name]);
    await kit.put("both", ["rolling@1", "rolling@2"]);
    for (const module of ["rolling@1", "rolling@2"]) await kit.put("back", [module]);
    expect(await signatureOf(kit, "unsigned")).toMatchObject({ state: 0, refused: false });
  }
  const log: string[] = [];
  const logger = createLogger({ level: "error", destination: { write: (line) => void log.push(line) } });
  await using kit = await serve(
    folder.path,
    { keys: [fresh] },
    { dataFolder: folder.path, server: { logger } },
  );
  expect(log.join("")).toMatch(/"module":"unsigned@1"/);
  expect(log.join("")).toMatch(/"module":"rolling@1"/);
  expect(await call(kit, "rolling")).toEqual(["mm"]);
  const refusals = {
    "a stored pipeline": () => call(kit, "unsigned"),
    "a chain that a call brings along": () => inline(kit, "unsigned"),
  };
  for (const [what, use] of Object.entries(refusals))
    expect(await failureOf(use()), what).toMatchObject({
      reason: "MODULE_UNSIGNED",
      status: "FAILED_PRECONDITION",
    });
  expect(await failureOf(call(kit, "both"))).toMatchObject({ reason: "MODULE_SIGNER_UNKNOWN" });
  const { modules } = kit.leat;
  const changes = {
    "a rollback": () => modules.rollbackModule({ name: "rolling" }),
    "an activation": () => modules.activateModule({ reference: "rolling@1" }),
    "a rollout": () => modules.startRollout({ reference: "rolling@1", mode: 1, share: 0.5 }),
    "a pipeline": () => kit.put("another", ["rolling@1"]),
    "a pipeline's rollback": () => kit.leat.pipelines.rollbackPipeline({ name: "back" }),
    "the same bytes again": () => load(kit, "rolling", "1", byOld),
  };
  for (const [what, use] of Object.entries(changes))
    await expect(use(), what).rejects.toMatchObject({ reason: "MODULE_SIGNER_UNKNOWN" });
  expect(await call(kit, "rolling")).toEqual(["mm"]);
  expect(kit.server.stats.moduleCache.compile.count).toBe(0);
  await load(kit, "unsigned", "2", await signModule(bytes.program, newKey, limits));
  expect(await call(kit, "unsigned")).toEqual(["m"]);
});

test("a binary that comes back after the start is looked at before it runs", async () => {
  await using folder = await testFolder();
  let file = "";
  {
    await using kit = await serve(folder.path, { mode: "off" }, { dataFolder: folder.path });
    await load(kit, "lost", "1", bytes.program);
    await kit.put("lost", ["lost"]);
    const { digest } = kit.server.registry.modules.resolve("lost");
    file = join(folder.path, "modules/sha256", digest.slice(7, 9), `${digest.slice(7)}.wasm`);
  }
  await rm(file);
  await using kit = await serve(folder.path, {}, { dataFolder: folder.path });
  expect(await failureOf(call(kit, "lost"))).toMatchObject({ reason: "MODULE_FILE_BROKEN" });
  await writeFile(file, bytes.program);
  expect(await failureOf(call(kit, "lost"))).toMatchObject({ reason: "MODULE_UNSIGNED" });
  expect(await failureOf(inline(kit, "lost"))).toMatchObject({ reason: "MODULE_UNSIGNED" });
});

test("a version that is tried and does not count any more is tried no longer", async () => {
  await using folder = await testFolder();
  await using kit = await serve(folder.path, {});
  await load(kit, "rolling", "1", byNew);
  await kit.put("rolling", ["rolling"]);
  await kit.leat.modules.loadModule({ name: "rolling", version: "2", wasm: byOld, noActivate: true });
  await kit.leat.modules.startRollout({ reference: "rolling@2", mode: 1, share: 0.5 });
  await change(kit, folder.path, [fresh]);
  const { rollout } = await kit.leat.modules.getRollout({ name: "rolling" });
  expect(rollout).toMatchObject({ why: expect.stringContaining("signature") });
  expect(await call(kit, "rolling")).toEqual(["mm"]);
});

test("a list of keys that is broken changes nothing, and one that is mended is taken, with its files", async () => {
  await using folder = await testFolder();
  await using kit = await serve(folder.path, { keys: [old] });
  await load(kit, "first", "1", byOld);
  await kit.put("by-first", ["first"]);
  using transport = createGrpcTransport({ address: kit.address });
  expect(await checkHealth(transport, "pipeline/by-first")).toBe("SERVING");
  const list = join(folder.path, "signing-keys.yaml");
  for (const broken of ["keys: []", "keys: [{ name: new, file: late.pk }]", ": no yaml: ["]) {
    await writeFile(list, broken);
    await kit.server.checkAccessFiles();
    expect(await signatureOf(kit, "first")).toMatchObject({ state: 2 });
  }
  await writeFile(list, "keys: [{ name: new, file: late.pk }]");
  await kit.server.checkAccessFiles();
  await writeFile(join(folder.path, "late.pk"), writePublicKey(newKey.public, "pem"));
  await kit.server.checkAccessFiles();
  expect(await signatureOf(kit, "first")).toMatchObject({ state: 3, refused: true });
  expect(await checkHealth(transport, "pipeline/by-first")).toBe("NOT_SERVING");
  expect(await checkHealth(transport)).toBe("SERVING");
  await load(kit, "second", "1", byNew);
});

test("a folder of modules is held to the policy at the start, with the signatures that lie beside them", async () => {
  await using folder = await testFolder();
  const modules = await testFolder();
  await using _ = modules;
  const config = resolveConfig({ env: {}, flags: { modules: modules.path }, folder: folder.path });
  const start = () =>
    serve(folder.path, {}, { server: { prepare: (registry) => loadAtStart(registry, config) } });
  await writeFile(join(modules.path, "first@1.wasm"), byOld);
  await writeFile(join(modules.path, "second@1.wasm"), bytes.marked);
  await expect(start()).rejects.toThrow(
    /MODULE_UNSIGNED.*second@1\.wasm; the server does not start without it/,
  );
  await writeFile(join(modules.path, "second@1.wasm.sig"), await signDetached(bytes.marked, newKey, limits));
  await using kit = await start();
  expect(await signatureOf(kit, "first")).toMatchObject({ state: 2, signers: [{ key: "old" }] });
  expect(await signatureOf(kit, "second")).toMatchObject({
    state: 2,
    detached: true,
    signers: [{ key: "new" }],
  });
});

test("a server that requires signatures does not start without a list of keys that it can use", async () => {
  await using folder = await testFolder();
  const flags = { "signatures.policy": "require" };
  expect(() => resolveConfig({ env: {}, flags, folder: folder.path })).toThrow(
    /signatures\.keys.*is not set/,
  );
  const signatures = { mode: "require" as const, keysFile: join(folder.path, "none.yaml") };
  await expect(startTestServer({ server: { signatures } })).rejects.toThrow(/none\.yaml.*cannot be read/);
});

test("a configuration that is refused has changed nothing, though it would ask for signatures", async () => {
  await using folder = await testFolder();
  await using kit = await serve(folder.path, { mode: "off" });
  const keysFile = join(folder.path, "signing-keys.yaml");
  await load(kit, "tried", "1", bytes.program);
  await kit.leat.modules.loadModule({ name: "tried", version: "2", wasm: bytes.marked, noActivate: true });
  const stages = [{ module: "tried", limits: { batchTimeoutMs: 4_000 } }];
  await kit.leat.pipelines.putPipeline({ pipeline: { name: "slow", stages } });
  await kit.leat.modules.startRollout({ reference: "tried@2", share: 0.5 });
  const settings = { limits, logLevel: "silent", sampleRatio: 1 } as const;
  const narrow = { ...limits, maxBatchExecutionMs: 2_000 };
  const signatures = { mode: "require", keysFile } as const;
  const none = { mode: "require", keysFile: join(folder.path, "none.yaml") } as const;

  await expect(kit.server.reconfigure({ ...settings, limits: narrow, signatures })).rejects.toMatchObject({
    reason: "LIMITS_UNFIT",
  });
  await expect(
    kit.server.reconfigure({ ...settings, limits: { ...limits, maxStreamWindow: 5 }, signatures: none }),
  ).rejects.toThrow(/none\.yaml.*cannot be read/);
  expect(kit.server.registry.rollouts.get("tried").state.t).toBe("running");
  expect(kit.server.stats.signatures.refused()).toBe(0);
  expect((await signatureOf(kit, "tried@1"))?.refused ?? false).toBe(false);
  const asked = kit.raw.stream();
  asked.write(open("slow"));
  expect(await asked.next()).toMatchObject({ value: { window: limits.maxStreamWindow } });
  asked.halfClose();
  await asked.ended;

  await kit.server.reconfigure({ ...settings, signatures });
  expect(await failureOf(call(kit, "slow"))).toMatchObject({ reason: "MODULE_UNSIGNED" });
  expect(kit.server.registry.rollouts.get("tried").state.t).not.toBe("running");
});
