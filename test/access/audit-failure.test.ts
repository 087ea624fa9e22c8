/** What becomes of calls while the audit log cannot be written. */

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MemoryRegistryStore } from "../../server/store/registry-store.ts";
import { createLogger } from "../../server/telemetry/logger.ts";
import { type TestFolder, testFolder } from "../kit/folder.ts";
import { moduleBytes } from "../kit/modules.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let folder: TestFolder;
let kit: TestServer;
let other: DatabaseSync | undefined;

/** Only the audit log is on the disk, so that what else is kept there cannot be what fails. */
async function start(auditOnFailure: "refuse" | "warn"): Promise<void> {
  folder = await testFolder();
  kit = await startTestServer({
    dataFolder: folder.path,
    registryStore: new MemoryRegistryStore(),
    modules: { program: "program" },
    limits: { maxStoreLockMs: 1 },
    server: { auditOnFailure, logger: createLogger({ level: "silent" }) },
  });
}

async function stop(): Promise<void> {
  await kit[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
}

/** Locks the database as another process would. */
function lock(): void {
  other = new DatabaseSync(join(folder.path, "leat.sqlite"));
  other.exec("BEGIN IMMEDIATE");
}

function unlock(): void {
  other?.close();
  other = undefined;
}

describe("where the policy refuses", () => {
  beforeAll(() => start("refuse"));
  afterAll(stop);
  beforeEach(lock);
  afterEach(unlock);

  const state = async (): Promise<object> => {
    const { modules } = await kit.leat.modules.listModules({});
    const { pipelines } = await kit.leat.pipelines.listPipelines({});
    return {
      modules: modules.map(({ name, version, active }) => ({ name, version, active })),
      pipelines: pipelines.map(({ name, revision }) => ({ name, revision })),
    };
  };

  const refused = { reason: "AUDIT_UNAVAILABLE" };

  test("a call is refused before it changes anything", async () => {
    const { modules, pipelines, deadLetters } = kit.leat;
    const wasm = await moduleBytes("marked");
    const before = await state();
    const replay = async (): Promise<void> => {
      for await (const _ of deadLetters.replayDeadLetters({ filter: { code: "trap" } }));
    };
    const stages = [{ module: "program" }, { name: "again", module: "program" }];
    for (const call of [
      () => modules.loadModule({ name: "new", wasm }),
      () => modules.unloadModule({ reference: "program" }),
      () => pipelines.putPipeline({ pipeline: { name: "program", stages } }),
      () => pipelines.deletePipeline({ name: "program" }),
      () => deadLetters.purgeDeadLetters({ all: true }),
      replay,
    ])
      await expect(call(), call.toString()).rejects.toMatchObject(refused);
    expect(await state()).toEqual(before);
    expect(kit.server.stats.audit.failures).toBeGreaterThanOrEqual(6);
  });

  test("a module that came in pieces is refused when it is whole, and not loaded", async () => {
    const wasm = await moduleBytes("marked");
    const before = await state();
    async function* pieces() {
      yield { piece: { case: "module" as const, value: { name: "new" } } };
      yield { piece: { case: "chunk" as const, value: wasm } };
    }
    await expect(kit.leat.modules.uploadModule(pieces())).rejects.toMatchObject(refused);
    expect(await state()).toEqual(before);
  });

  test("what reads and what runs records goes on, and changes do as soon as the log can be written", async () => {
    expect((await kit.leat.transform("program", [{ value: Buffer.from("a") }])).outputs.length).toBe(1);
    await kit.leat.modules.listModules({});
    unlock();
    await kit.load("program", "marked", "2");
    const [entry] = (await kit.leat.audit.listAuditEntries({ pageSize: 1 })).entries;
    expect(entry).toMatchObject({ target: { name: "program", version: "2" }, outcome: "ok" });
    expect((await kit.leat.audit.verifyAudit({})).valid).toBe(true);
  });
});

describe("where the policy warns", () => {
  beforeAll(() => start("warn"));
  afterAll(stop);

  test("the change is made, and its entry follows", async () => {
    lock();
    await kit.load("program", "marked", "2");
    expect(kit.server.stats.audit.failures).toBeGreaterThan(0);
    unlock();
    await kit.leat.modules.activateModule({ reference: "program@2" });
    const { entries } = await kit.leat.audit.listAuditEntries({ pageSize: 2 });
    expect(entries.map(({ action }) => action.slice(action.indexOf("/") + 1))).toEqual([
      "ActivateModule",
      "LoadModule",
    ]);
  });
});
