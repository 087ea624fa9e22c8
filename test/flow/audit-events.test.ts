/** Audit entries of what the server does without a call. */

import { readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { AuditActorKind, type AuditEntry, type Leat, PipelineSchema, RolloutMode } from "@leat/sdk";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../server/clock.ts";
import { resolveLimits } from "../../server/limits.ts";
import { digestOf } from "../../server/module/compile.ts";
import { signModule } from "../../server/signing/sign-module.ts";
import { writeBook } from "../../server/supervision/quarantine-file.ts";
import { createLogger } from "../../server/telemetry/logger.ts";
import { startGuarded } from "../kit/access.ts";
import { type TestFolder, testFolder } from "../kit/folder.ts";
import { moduleBytes } from "../kit/modules.ts";
import { request } from "../kit/records.ts";
import { secretA, writeKeyList } from "../kit/signing.ts";
import { startTestServer } from "../kit/test-server.ts";

const logger = createLogger({ level: "silent" });
let folder: TestFolder;

beforeEach(async () => {
  folder = await testFolder();
});

afterEach(() => folder[Symbol.asyncDispose]());

/** All entries that no call made, oldest first. */
async function entriesOf({ audit }: Leat): Promise<AuditEntry[]> {
  const { entries } = await audit.listAuditEntries({ pageSize: 1_000 });
  return entries.filter(({ actor }) => actor?.name === "").toReversed();
}

const short = ({ action, target, outcome, detail }: AuditEntry): string =>
  [action, target?.name && `${target.name}${target.version && `@${target.version}`}`, outcome, detail]
    .filter((text) => text)
    .join(" ");

test("what is loaded at the start has entries of the start, but for what was there already", async () => {
  const wasm = await moduleBytes("program");
  const prepare: NonNullable<Parameters<typeof startTestServer>[0]>["server"] = {
    logger,
    prepare: async (registry) => {
      const load = { sampleConfigJson: "", dryRun: false };
      await registry.load({ ...load, name: "m", version: "1", wasm });
      await registry.revisions.put(create(PipelineSchema, { name: "p", stages: [{ module: "m" }] }));
      const bad = { ...load, name: "bad", version: "1", wasm: Buffer.from("none") };
      await registry.load(bad).catch(() => undefined);
    },
  };
  for (let start = 1; start <= 2; start++) {
    await using kit = await startTestServer({ dataFolder: folder.path, server: prepare });
    const entries = await entriesOf(kit.leat);
    for (const { actor } of entries) expect(actor?.kind).toBe(AuditActorKind.START);
    const first = [
      "start/restore ok 0 modules, 0 pipelines",
      "start/load-module m@1 ok",
      "start/put-pipeline p@1 ok",
      "start/load-module bad@1 MODULE_NOT_WASM",
    ];
    const second = ["start/restore ok 1 modules, 1 pipelines", "start/load-module bad@1 MODULE_NOT_WASM"];
    expect(entries.map(short)).toEqual(start === 1 ? first : [...first, ...second]);
  }
});

test("a module's file that is missing or set aside has an entry", async () => {
  const digest = await digestOf(await moduleBytes("program"));
  const hex = digest.slice(7);
  const path = join(folder.path, "modules", "sha256", hex.slice(0, 2), `${hex}.wasm`);
  {
    await using kit = await startTestServer({ dataFolder: folder.path, modules: { m: "program" } });
    await kit.leat.pipelines.deletePipeline({ name: "m" });
  }
  const bytes = readFileSync(path);
  writeFileSync(path, Buffer.from(bytes).fill(0, 100, 110));
  {
    await using kit = await startTestServer({ dataFolder: folder.path, server: { logger } });
    await kit.put("p", ["m"]).catch(() => undefined);
    const set = (await entriesOf(kit.leat)).find(({ action }) => action === "store/set-aside");
    expect(set).toMatchObject({ target: { digest }, actor: { kind: AuditActorKind.SERVER } });
    expect(set?.detail).toMatch(/^its file is set aside as .*\.broken-/);
  }
  await rm(path, { force: true });
  await using kit = await startTestServer({ dataFolder: folder.path, server: { logger } });
  const problem = (await entriesOf(kit.leat)).at(-1);
  expect(problem).toMatchObject({ action: "start/restore", outcome: "STORE_UNAVAILABLE" });
  expect(problem?.detail).toMatch(/^module m@.*: its file is missing$/);
});

test("a quarantine that the supervisor has begun has one entry, at the next start", async () => {
  const quarantine = join(folder.path, "quarantine.json");
  const digest = `sha256:${"a".repeat(64)}`;
  const entry = {
    digest,
    strikes: 1,
    sinceMs: Date.now(),
    heldUntilMs: "released" as const,
    why: "it aborted",
  };
  writeBook(quarantine, new Map([[digest, entry]]), systemClock);
  const supervision = { quarantine, ledger: join(folder.path, "ledger") };
  for (let start = 1; start <= 2; start++) {
    await using kit = await startTestServer({ dataFolder: folder.path, server: { supervision, logger } });
    const held = (await entriesOf(kit.leat)).filter(({ action }) => action === "quarantine/hold");
    expect(held).toMatchObject([
      { target: { digest }, detail: "it aborted", actor: { kind: AuditActorKind.START } },
    ]);
  }
});

test("a module that the server itself puts in quarantine has an entry", async () => {
  await using kit = await startTestServer({
    limits: { maxRecordExecutionMs: 20, maxBatchExecutionMs: 100, maxWorkerStops: 1 },
    modules: { killer: "marked" },
    server: { logger },
  });
  await kit.raw.transform(request("killer", "!")).catch(() => undefined);
  const held = (await entriesOf(kit.leat)).find(({ action }) => action === "quarantine/hold");
  expect(held).toMatchObject({ target: { name: "killer" }, actor: { kind: AuditActorKind.SERVER } });
  expect(held?.detail).toMatch(/^it has brought 1 workers down/);
});

test("a rollout that ends by itself has an entry, and one that a call ends has the call's alone", async () => {
  await using kit = await startTestServer({ server: { logger } });
  const { modules } = kit.leat;
  await kit.load("m", "program", "1");
  await modules.loadModule({ name: "m", version: "2", wasm: await moduleBytes("marked"), noActivate: true });
  await kit.put("p", ["m"]);
  const start = { reference: "m@2", mode: RolloutMode.CANARY, share: 0.5 };
  await modules.startRollout(start);
  await modules.abortRollout({ name: "m" });
  await modules.startRollout(start);
  await kit.leat.pipelines.deletePipeline({ name: "p" });
  expect((await entriesOf(kit.leat)).slice(1).map(short)).toEqual([
    "rollout/abort m@2 ok the pipeline p was changed",
  ]);
});

test("an access file that was taken anew has an entry with its digest", async () => {
  await using server = await startGuarded({ server: { logger } });
  const text = `${server.accessText}\nopen: [health]\n`;
  writeFileSync(server.accessFile, text);
  await server.kit.server.checkAccessFiles();
  const taken = (await entriesOf(server.kit.leat)).filter(({ action }) => action === "configuration/take");
  expect(taken).toMatchObject([
    {
      target: { name: server.accessFile, digest: await digestOf(Buffer.from(text)) },
      detail: "the access file",
    },
  ]);
});

test("a module that was signed has the ids of its keys, and a list of keys that was taken anew an entry", async () => {
  const keysFile = await writeKeyList(folder.path, [{ name: "release", key: secretA }]);
  const wasm = await signModule(await moduleBytes("program"), secretA, resolveLimits());
  const signatures = { mode: "require" as const, keysFile };
  await using kit = await startTestServer({ server: { logger, signatures } });
  const { module } = await kit.leat.modules.loadModule({ name: "m", version: "1", wasm });
  await kit.load("m", "program", "2").catch(() => undefined);
  await writeKeyList(folder.path, [{ name: "release", key: secretA, revoked: true }]);
  await kit.server.checkAccessFiles();
  const { entries } = await kit.leat.audit.listAuditEntries({ pageSize: 3 });
  const id = module?.signature?.signers[0]?.keyId;
  expect(id).toMatch(/^[0-9a-f]+$/);
  expect(entries.toReversed()).toMatchObject([
    { target: { name: "m", version: "1", signers: [id] }, outcome: "ok" },
    { target: { name: "m", version: "2", signers: [] }, outcome: "MODULE_UNSIGNED" },
    {
      action: "configuration/take",
      target: { name: keysFile },
      detail: "the list of signing keys; 1 modules are not served any more: m@1",
    },
  ]);
});
