import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MemoryRegistryStore, type StoredRevision } from "./registry-store.ts";
import { RegistryTable } from "./registry-table.ts";
import { migrate } from "./schema.ts";
import { Storage } from "./storage.ts";

/** Puts revisions 1, 2, 3 …, each after one of those that are kept then; what both stores keep after each. */
async function bothKeep(keep: number, picks: readonly number[]): Promise<void> {
  const memory = new MemoryRegistryStore();
  const storage = new Storage({ file: undefined, maxLockMs: 1_000, maxPages: undefined }, () => {});
  try {
    let kept: readonly number[] = [];
    for (const [index, pick] of picks.entries()) {
      const previous = kept[pick % Math.max(1, kept.length)] ?? 0;
      const facts = { timeMs: 1, principal: "ops", digest: "", definition: new Uint8Array() };
      const revision: StoredRevision = { name: "orders", revision: index + 1, previous, ...facts };
      await memory.commit([{ t: "pipeline", revision, keep }]);
      storage.transaction(({ registry }) => registry.take({ t: "pipeline", revision, keep }));
      kept = (await memory.revisions("orders")).map((each) => each.revision);
      const stored = storage.use(({ registry }) => registry.revisions("orders"));
      expect(stored.map((each) => each.revision)).toEqual(kept);
      expect(kept).toContain(index + 1);
      expect(kept.length).toBe(Math.min(keep, index + 1));
      if (keep > 1 && previous > 0) expect(kept).toContain(previous);
      expect(storage.use(({ registry }) => registry.read()).pipelines).toMatchObject([
        { revision: index + 1, newest: index + 1, previous, principal: "ops" },
      ]);
    }
  } finally {
    storage.close();
  }
}

test("the newest revisions are kept, and always the one that was left last, in memory and in the file", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.array(fc.nat(), { maxLength: 15 }), bothKeep),
    { numRuns: 50 },
  );
});

/** The tables of modules and pipelines as they were before pipelines had a history. */
const tablesOfVersion2 = `
  CREATE TABLE module_versions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, abi TEXT NOT NULL, load_time_ms INTEGER NOT NULL, compile_us INTEGER NOT NULL,
    imports TEXT NOT NULL, exports TEXT NOT NULL, unloaded_ms INTEGER, UNIQUE (name, version)
  ) STRICT;
  CREATE TABLE module_activations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL,
    time_ms INTEGER NOT NULL, cause TEXT NOT NULL
  ) STRICT;
  CREATE TABLE pipeline_revisions (
    name TEXT NOT NULL, revision INTEGER NOT NULL, definition BLOB NOT NULL, time_ms INTEGER NOT NULL,
    PRIMARY KEY (name, revision)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE pipeline_heads (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO module_versions VALUES (1, 'redact', '1', 'sha256:00', 8, 'leat/1', 5, 6, '[]', '[]', NULL);
  INSERT INTO pipeline_revisions VALUES ('orders', 4, x'0a', 1), ('orders', 5, x'0b', 2);
  INSERT INTO pipeline_heads VALUES ('orders', 5);
  PRAGMA user_version = 2;`;

test("in a file of an earlier server each revision follows the one before it, and modules have no schemas", () => {
  using database = new DatabaseSync(":memory:");
  database.exec(tablesOfVersion2);
  migrate(database);
  const table = new RegistryTable(database);
  const { pipelines, modules } = table.read();
  expect(pipelines).toMatchObject([
    { name: "orders", revision: 5, newest: 5, previous: 4, principal: "", digest: "" },
  ]);
  expect(modules).toMatchObject([{ name: "redact", configSchema: "" }]);
  expect(table.revisions("orders")).toMatchObject([
    { revision: 4, previous: 3 },
    { revision: 5, previous: 4 },
  ]);
});
