import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CrashPoints } from "../../test/kit/crash-points.ts";
import { type TestFolder, testFolder } from "../../test/kit/folder.ts";
import { moduleBytes } from "../../test/kit/modules.ts";
import { startTestServer, type TestServer } from "../../test/kit/test-server.ts";
import { resolveLimits } from "../limits.ts";
import { digestOf } from "../module/compile.ts";
import { FileModuleStore } from "../store/module-files.ts";
import type { RegistryStep, RegistryStore } from "../store/registry-store.ts";
import { Storage } from "../store/storage.ts";
import { ModuleCatalog } from "./module-catalog.ts";
import { PipelineTable } from "./pipeline-table.ts";
import { restore } from "./restore.ts";

/** The store's database without its thread, so that the test is told of each of its writes. */
class DirectStore implements RegistryStore {
  readonly storage: Storage;

  constructor(folder: string) {
    const file = join(folder, "leat.sqlite");
    this.storage = new Storage({ file, maxLockMs: 1_000, maxPages: undefined }, () => {});
  }

  async read() {
    return this.storage.use(({ registry }) => registry.read());
  }

  async revisions(pipeline: string) {
    return this.storage.use(({ registry }) => registry.revisions(pipeline));
  }

  async revision(pipeline: string, revision: number) {
    return this.storage.use(({ registry }) => registry.revision(pipeline, revision));
  }

  onLost() {}

  async commit(steps: readonly RegistryStep[]) {
    this.storage.transaction(({ registry }) => {
      for (const step of steps) registry.take(step);
    });
  }
}

function filesIn(folder: string): FileModuleStore {
  return new FileModuleStore(join(folder, "modules"), digestOf);
}

/** What a server finds that starts over the folder, and whether it could run all of it. */
async function reopened(folder: string): Promise<object> {
  const limits = resolveLimits();
  const modules = new ModuleCatalog(limits);
  const pipelines = new PipelineTable(
    limits,
    () => {},
    () => {},
  );
  const records = new DirectStore(folder);
  const store = filesIn(folder);
  try {
    const { problems, signatures } = await restore({ records, store }, modules, pipelines);
    for (const { digest } of modules.list()) expect(await store.get(digest)).toBeDefined();
    return {
      problems,
      signatures: signatures.map(({ name, version, detached }) => `${name}@${version} ${detached.length}`),
      modules: modules.list().map((each) => `${each.name}@${each.version} ${modules.isActive(each)}`),
      history: modules.history("rolling").map(({ version, cause }) => `${version} ${cause}`),
      bound: ["1", "2", "3"].map((version) => modules.boundTo("rolling", version)),
      pipelines: pipelines.list().map(({ definition }) => `${definition.name} ${definition.revision}`),
      revisions: (await records.revisions("follows")).map(
        ({ revision, previous }) => `${revision} after ${previous}`,
      ),
    };
  } finally {
    records.storage.close();
  }
}

let folder: TestFolder;
let points: CrashPoints;
let store: DirectStore;
let kit: TestServer;

beforeAll(async () => {
  folder = await testFolder();
  points = await CrashPoints.over(folder.path);
  store = new DirectStore(folder.path);
  kit = await startTestServer({ registryStore: store, moduleStore: filesIn(folder.path) });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
  store.storage.close();
  await points[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const changes: [name: string, change: () => Promise<unknown>][] = [
  ["the first load", () => kit.load("rolling", "program", "1")],
  ["a pipeline", () => kit.put("follows", ["rolling"])],
  ["a load that moves the pipeline", () => kit.load("rolling", "marked", "2")],
  ["an activation", () => kit.leat.modules.activateModule({ reference: "rolling@1" })],
  ["a rollback", () => kit.leat.modules.rollbackModule({ name: "rolling" })],
  [
    "a load that does not activate",
    async () => {
      const wasm = await moduleBytes("uppercase");
      await kit.leat.modules.loadModule({ name: "rolling", version: "3", wasm, noActivate: true });
    },
  ],
  ["a pipeline's next revision", () => kit.put("follows", ["rolling", "rolling"])],
  ["a pipeline's rollback", () => kit.leat.pipelines.rollbackPipeline({ name: "follows" })],
  ["a pipeline's revision after a rollback", () => kit.put("follows", ["rolling@2", "rolling"])],
  ["a pipeline's way forward", () => kit.leat.pipelines.rollbackPipeline({ name: "follows", revision: 2 })],
  [
    "another signature beside the same bytes",
    async () => {
      const wasm = await moduleBytes("uppercase");
      await kit.leat.modules.loadModule({
        name: "rolling",
        version: "3",
        wasm,
        signature: new Uint8Array(99),
      });
    },
  ],
  ["an unload", () => kit.leat.modules.unloadModule({ reference: "rolling@1" })],
  ["the same load again", () => kit.load("rolling", "program", "1")],
  ["a pipeline's end", () => kit.leat.pipelines.deletePipeline({ name: "follows" })],
  ["an unload of the active version", () => kit.leat.modules.unloadModule({ reference: "rolling@2" })],
];

test("a process that dies at any write of a change leaves the state before it or after it", async () => {
  let all = 0;
  for (const [name, change] of changes) {
    const [before] = await points.during(async () => points.now());
    const crashes = await points.during(change);
    const [after] = await points.during(async () => points.now());
    const [old, next] = [await reopened(before?.folder ?? ""), await reopened(after?.folder ?? "")];
    expect(next, name).not.toEqual(old);
    const found = { old: 0, next: 0 };
    for (const { moment, folder: copy } of crashes) {
      const state = await reopened(copy);
      const is = JSON.stringify(state) === JSON.stringify(old) ? "old" : "next";
      expect(state, `${name}, ${moment}`).toEqual(is === "old" ? old : next);
      found[is]++;
    }
    expect(found.old, `${name}: moments before it holds`).toBeGreaterThan(0);
    expect(found.next, `${name}: moments after it holds`).toBeGreaterThan(0);
    all += crashes.length;
  }
  expect(all).toBeGreaterThan(200);
}, 60_000);
