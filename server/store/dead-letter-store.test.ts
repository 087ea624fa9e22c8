import { mkdtemp, open as openFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { draft } from "../../test/kit/dead-letters.ts";
import { until } from "../../test/kit/until.ts";
import { resolveLimits } from "../limits.ts";
import { createLogger } from "../telemetry/logger.ts";
import { DeadLetterStore, type DeadLetterStoreOptions } from "./dead-letter-store.ts";
import { schemaVersion } from "./schema.ts";

const nowMs = 1_700_000_000_000;

let folder: string;
let file: string;
let lines: Record<string, unknown>[];
const stores: DeadLetterStore[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-store-"));
  file = join(folder, "data", "leat.sqlite");
  lines = [];
});

afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
  await rm(folder, { recursive: true, force: true });
});

async function open(options: Partial<DeadLetterStoreOptions> = {}): Promise<DeadLetterStore> {
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const store = await DeadLetterStore.open({
    file,
    limits: resolveLimits(),
    clock: clockOf(() => nowMs),
    logger: createLogger({ destination: { write } }),
    ...options,
  });
  stores.push(store);
  return store;
}

async function idsIn(store: DeadLetterStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of store.read({}, 1_000_000)) ids.push(id);
  return ids;
}

/** Breaks the page where the index of ids begins, which opening a store does not look at. */
async function overwriteIndexOfIds(): Promise<void> {
  const database = new DatabaseSync(file);
  const row = database
    .prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_dead_letters_1'")
    .get() as { rootpage: number };
  const { page_size: pageBytes } = database.prepare("PRAGMA page_size").get() as { page_size: number };
  database.close();
  const handle = await openFile(file, "r+");
  await handle.write(Buffer.alloc(pageBytes, 0xff), 0, pageBytes, (row.rootpage - 1) * pageBytes);
  await handle.close();
}

describe("a letter", () => {
  test("comes back as it was written", async () => {
    const store = await open();
    const letter = draft("a", {
      timeMs: nowMs + 0.75,
      traceId: "ab".repeat(16),
      streamId: "orders-1",
      sequence: 2 ** 40,
      index: 9_999,
      attempts: 3,
      stageInput: Buffer.from([1, 2, 3]),
    });
    await store.write([letter]);
    expect(await store.get("a")).toEqual({
      ...letter,
      timeMs: nowMs,
      record: new Uint8Array(letter.record),
      stageInput: Uint8Array.of(1, 2, 3),
      sizeBytes: letter.record.length,
    });
    expect(await store.get("b")).toBeUndefined();
  });

  test("is kept once, however often it is written", async () => {
    const store = await open();
    await store.write([draft("a", { message: "first" }), draft("b"), draft("a")]);
    await store.write([draft("b"), draft("a", { message: "second" })]);
    expect(await store.stats()).toMatchObject({ letters: 2 });
    expect(await store.get("a")).toMatchObject({ message: "first" });
  });

  test("is what its bytes were when it was written, whatever becomes of them", async () => {
    const store = await open();
    const shared = Buffer.from(new SharedArrayBuffer(8)).fill(1);
    const written = store.write([draft("a", { record: shared.subarray(2, 6), stageInput: shared })]);
    shared.fill(2);
    await written;
    expect(await store.get("a")).toMatchObject({
      record: new Uint8Array(4).fill(1),
      stageInput: new Uint8Array(8).fill(1),
    });
  });

  test("outlives the store that it was written to, in a file and not in memory", async () => {
    const before = await open();
    await before.write([draft("a")]);
    await before.close();
    expect(await idsIn(await open())).toEqual(["a"]);
    expect(await idsIn(await open({ file: undefined }))).toEqual([]);
  });

  test("lies in a folder that nobody else may look into", async () => {
    await open();
    expect((await stat(join(folder, "data"))).mode & 0o777).toBe(0o700);
  });

  test("has the attempts of its replays added", async () => {
    const store = await open();
    await store.write([draft("a", { attempts: 2 })]);
    expect(await store.recordReplay("a", 3)).toBe(true);
    expect(await store.recordReplay("a", 1)).toBe(true);
    expect(await store.recordReplay("gone", 1)).toBe(false);
    expect(await idsIn(store)).toEqual(["a"]);
    expect(await store.get("a")).toMatchObject({ attempts: 6 });
  });
});

describe("removing", () => {
  test("takes letters by id, and counts those that were there", async () => {
    const store = await open();
    await store.write([draft("a"), draft("b"), draft("c")]);
    expect(await store.remove(["a", "c", "nowhere"])).toBe(2);
    expect(await idsIn(store)).toEqual(["b"]);
  });

  test("by a filter takes thousands, and not what comes meanwhile", async () => {
    const store = await open();
    const many = Array.from({ length: 2_500 }, (_, n) =>
      draft(`m${n}`, { code: n % 5 === 0 ? "other" : "trap" }),
    );
    await store.write(many);
    expect(await store.purge({ code: "trap" })).toBe(2_000);
    expect(await store.stats()).toMatchObject({ letters: 500 });
    expect(await store.purge({})).toBe(500);
    expect(await store.stats()).toEqual({ letters: 0, bytes: 0 });
  });
});

describe("reading for a replay", () => {
  test("gives the oldest first, in pages, and not what is added meanwhile", async () => {
    const store = await open();
    await store.write(Array.from({ length: 250 }, (_, n) => draft(`${n}`, { timeMs: nowMs - n })));
    const ids: string[] = [];
    for await (const { id } of store.read({}, 1_000)) {
      if (ids.length === 0) await store.write([draft("later", { timeMs: nowMs + 1 })]);
      await store.remove([id]);
      ids.push(id);
    }
    expect(ids).toEqual(Array.from({ length: 250 }, (_, n) => `${249 - n}`));
    expect(await idsIn(store)).toEqual(["later"]);
  });

  test("stops at its limit", async () => {
    const store = await open();
    await store.write(Array.from({ length: 120 }, (_, n) => draft(`${n}`)));
    const ids: string[] = [];
    for await (const { id } of store.read({}, 105)) ids.push(id);
    expect(ids).toHaveLength(105);
  });
});

describe("retention", () => {
  test("removes what is too old", async () => {
    const limits = resolveLimits({ maxDeadLetterAgeMs: 1_000 });
    const before = await open({ limits });
    await before.write([draft("old", { timeMs: nowMs - 1_001 }), draft("young", { timeMs: nowMs - 1_000 })]);
    await before.retain();
    expect(await idsIn(before)).toEqual(["young"]);
    await before.close();
    expect(await idsIn(await open({ limits, clock: clockOf(() => nowMs + 1) }))).toEqual([]);
  });

  test("keeps what is young when the wall clock is set ahead, or back", async () => {
    const limits = resolveLimits({ maxDeadLetterAgeMs: 1_000 });
    let wallMs = nowMs;
    const store = await open({ limits, clock: { nowMs: () => nowMs, wallMs: () => wallMs } });
    await store.write([draft("before", { timeMs: wallMs })]);
    for (const aheadMs of [3_600_000, -3_600_000, 0]) {
      wallMs = nowMs + aheadMs;
      await store.write([draft(`${aheadMs}`, { timeMs: wallMs })]);
      await store.retain();
    }
    // What was written while the clock was an hour behind looks old once it is right.
    expect(await idsIn(store)).toEqual(["before", "0", "3600000"]);
  });

  test("removes the oldest when there is too much, by itself", async () => {
    const limits = resolveLimits({ maxDeadLetterBytes: 1_000_000 });
    const store = await open({ limits });
    for (let n = 0; n < 40; n++)
      await store.write([draft(`${n}`, { timeMs: nowMs + n, record: new Uint8Array(100_000) })]);
    await until(async () => (await store.stats()).bytes <= 1_000_000, "the oldest gave way");
    expect(await idsIn(store)).toEqual(Array.from({ length: 9 }, (_, n) => `${31 + n}`));
  });
});

describe("a file that cannot be used", () => {
  test("is set aside when it is broken, and told of by both names", async () => {
    await (await open()).close();
    await writeFile(file, "this is no database, but somebody may want to look at it ".repeat(100));
    const store = await open();
    await store.write([draft("a")]);
    expect(store.status).toEqual({ t: "ok" });
    const aside = (await readdir(join(folder, "data"))).filter((name) => name.includes("broken"));
    expect(aside).toEqual([expect.stringMatching(/^leat\.sqlite\.broken-/)]);
    expect(lines).toContainEqual(
      expect.objectContaining({ level: "warn", file, to: join(folder, "data", aside[0] ?? "") }),
    );
  });

  test("that breaks under way fails one call, is set aside, and the next begins anew", async () => {
    const before = await open();
    await before.write(Array.from({ length: 500 }, (_, n) => draft(`${n}`)));
    await before.close();
    await overwriteIndexOfIds();
    const store = await open();
    expect(store.status).toEqual({ t: "ok" });
    await expect(store.write([draft("new")])).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    expect(lines.map(({ msg }) => msg)).toContain(
      "the store's file was broken and is set aside; a new one is begun",
    );
    await store.write([draft("new")]);
    expect(await idsIn(store)).toEqual(["new"]);
    expect((await readdir(join(folder, "data"))).filter((name) => name.includes("broken"))).toHaveLength(1);
  });

  test("of a full disk refuses letters, keeps those it has, and takes more when there is room", async () => {
    const store = await open({ maxPages: 60 });
    const record = new Uint8Array(3_000);
    let kept = 0;
    const fill = async (): Promise<void> => {
      for (;;) {
        await store.write([draft(`${kept}`, { record })]);
        kept++;
      }
    };
    await expect(fill()).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE", status: "UNAVAILABLE" });
    expect(store.status).toEqual({ t: "failed", reason: "database or disk is full" });
    await expect(store.write([draft("more", { record })])).rejects.toThrow(/full/);
    expect(lines.filter(({ msg }) => msg === "the store failed")).toHaveLength(1);
    expect(await idsIn(store)).toHaveLength(kept);
    // That letters can still be read does not mean that they can be kept.
    expect(store.status).toMatchObject({ t: "failed" });
    await store.remove(["0", "1"]);
    await store.write([draft("more", { record })]);
    expect(store.status).toEqual({ t: "ok" });
    expect(lines.map(({ msg }) => msg)).toContain("the store works again");
  });

  test("because its folder cannot be made fails calls, until it can", async () => {
    await writeFile(join(folder, "data"), "a file, where a folder should be");
    const store = await open();
    expect(store.status).toMatchObject({ t: "failed" });
    await expect(store.write([draft("a")])).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    await rm(join(folder, "data"));
    await store.write([draft("a")]);
    expect(store.status).toEqual({ t: "ok" });
  });

  test("is tried again by itself, and tells when it works", async () => {
    await writeFile(join(folder, "data"), "a file, where a folder should be");
    const store = await open({ probeIntervalMs: 1 });
    const { promise, resolve } = Promise.withResolvers<void>();
    store.onStatus = () => {
      if (store.status.t === "ok") resolve();
    };
    expect(store.status).toMatchObject({ t: "failed" });
    await rm(join(folder, "data"));
    // Nobody else calls it.
    await promise;
    expect(await idsIn(store)).toEqual([]);
  });

  test("because somebody removed it is begun anew, and is never written where nobody finds it", async () => {
    const store = await open();
    await store.write([draft("lost")]);
    await rm(join(folder, "data"), { recursive: true });
    await store.write([draft("a")]);
    await store.close();
    expect(await idsIn(await open())).toEqual(["a"]);
    expect(lines.map(({ msg }) => msg)).toContain("the store's file was gone; a new one is begun");
  });

  test("because a newer server has written it is left alone", async () => {
    await (await open()).close();
    const database = new DatabaseSync(file);
    database.exec(`PRAGMA user_version = ${schemaVersion + 1}`);
    database.close();
    const store = await open();
    expect(store.status).toEqual({
      t: "failed",
      reason: `the file has version ${schemaVersion + 1}, and this server knows versions up to ${schemaVersion}`,
    });
    expect(await readdir(join(folder, "data"))).toEqual(["leat.sqlite"]);
  });
});

describe("the queue", () => {
  test("refuses what is beyond its bound, and writes all else", async () => {
    const store = await open({ limits: resolveLimits({ maxDeadLetterQueueBytes: 200_000 }) });
    const record = new Uint8Array(10_000);
    const writes = Array.from({ length: 30 }, (_, n) => store.write([draft(`${n}`, { record })]));
    const refused = (await Promise.allSettled(writes)).filter(({ status }) => status === "rejected");
    expect(refused.length).toBeGreaterThan(5);
    expect(refused[0]).toMatchObject({
      reason: {
        reason: "STORE_UNAVAILABLE",
        message: expect.stringMatching(/maxDeadLetterQueueBytes is 200000/),
      },
    });
    expect(await store.stats()).toMatchObject({ letters: 30 - refused.length });
    expect(store.status).toEqual({ t: "ok" });
    await store.write([draft("a", { record })]);
  });

  test("takes a letter that is larger than all of it, alone", async () => {
    const store = await open({
      limits: resolveLimits({ maxDeadLetterQueueBytes: 1_000, maxDeadLetterWriteBytes: 10 }),
    });
    await store.write([draft("large", { record: new Uint8Array(100_000) })]);
    expect(await idsIn(store)).toEqual(["large"]);
  });

  test("is written before the store closes, and takes nothing after", async () => {
    const store = await open();
    const writes = Array.from({ length: 50 }, (_, n) => store.write([draft(`${n}`)]));
    await store.close();
    await Promise.all(writes);
    await expect(store.write([draft("late")])).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    expect(await idsIn(await open())).toHaveLength(50);
  });
});

test("the store knows how much it keeps, whatever has changed it", async () => {
  const before = await open();
  await before.write([draft("a"), draft("b"), draft("c")]);
  expect(before.kept).toEqual(await before.stats());
  await before.remove(["a"]);
  await before.purge({ ids: ["b"] });
  expect(before.kept).toEqual(await before.stats());
  await before.close();
  expect((await open()).kept).toMatchObject({ letters: 1 });
});

test("a thread that dies fails what it was asked, and the next call starts another", async () => {
  const threads: Worker[] = [];
  const keepThread = (worker: Worker): void => void threads.push(worker);
  process.on("worker", keepThread);
  try {
    const store = await open();
    await store.write([draft("a")]);
    const dying = threads[0]?.terminate();
    await expect(store.write([draft("b")])).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    await dying;
    expect(store.status).toEqual({ t: "failed", reason: "its thread ended" });
    await store.write([draft("b")]);
    expect(await idsIn(store)).toEqual(["a", "b"]);
    expect(threads).toHaveLength(2);
  } finally {
    process.off("worker", keepThread);
  }
});
