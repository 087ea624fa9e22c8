/**
 * Whole copies of a data folder: made while a server uses it, and put in the place of one that was lost.
 *
 * The database is copied as it was at one moment; then the binaries that it names, which never change. One that was unloaded
 * in between is gone, and the database is copied again.
 *
 * @module
 */

import { createHash, randomBytes } from "node:crypto";
import { copyFile, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { schemaVersion } from "./schema.ts";

const databaseFile = "leat.sqlite";
const quarantineFile = "quarantine.json";
/** Written last: a folder without it is no backup. */
const manifestFile = "backup.json";
const format = 1;

/** How often the database is copied, while modules go faster than they are copied. */
const maxCopies = 5;
/** How long to wait for a server that has the database locked, in milliseconds. */
const lockMs = 10_000;

/** What a backup holds. */
export interface BackupSummary {
  /** Module binaries. */
  readonly modules: number;
  /** Bytes of the database and the binaries. */
  readonly bytes: number;
  /** What could not be copied since it is broken in the data folder: each with why. */
  readonly problems: readonly string[];
}

/** A folder or a file cannot be used as it was asked. */
export class BackupError extends Error {
  override readonly name = "BackupError";
}

/**
 * Copies a data folder, which a server may be using.
 *
 * @param target - a folder that is not there, or empty; it appears whole, or not at all
 * @throws BackupError, or what the file system says
 */
export async function backUp(dataFolder: string, target: string): Promise<BackupSummary> {
  await checkFree(target);
  const source = join(dataFolder, databaseFile);
  if (!(await isThere(source))) throw new BackupError(`${dataFolder} has no ${databaseFile}`);
  const partial = `${resolve(target)}.${randomBytes(6).toString("hex")}.partial`;
  await mkdir(partial, { recursive: true, mode: 0o700 });
  try {
    const summary = await copyUntilWhole(dataFolder, partial);
    await copyIfThere(join(dataFolder, quarantineFile), join(partial, quarantineFile));
    const manifest = { format, madeAt: new Date().toISOString(), modules: summary.modules };
    await write(join(partial, manifestFile), Buffer.from(`${JSON.stringify(manifest)}\n`));
    await rename(partial, target);
    await sync(dirname(resolve(target)));
    return summary;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

async function copyUntilWhole(dataFolder: string, to: string): Promise<BackupSummary> {
  for (let copy = 1; ; copy++) {
    const database = join(to, databaseFile);
    await rm(database, { force: true });
    copyDatabase(join(dataFolder, databaseFile), database);
    await sync(database);
    const problems: string[] = [];
    let bytes = (await stat(database)).size;
    const digests = loadedDigests(database);
    for (const digest of digests) {
      const copied = await copyModule(dataFolder, to, digest).catch((error: Error) => error);
      if (typeof copied === "number") bytes += copied;
      else problems.push(`${digest}: ${copied.message}`);
    }
    if (problems.length === 0 || copy === maxCopies)
      return { modules: digests.length - problems.length, bytes, problems };
  }
}

/** Copies what the database is at this moment, what is in its journal included. Writers go on meanwhile. */
function copyDatabase(from: string, to: string): void {
  const database = new DatabaseSync(from, { readOnly: true, timeout: lockMs });
  try {
    database.prepare("VACUUM INTO ?").run(to);
  } finally {
    database.close();
  }
}

function loadedDigests(file: string): string[] {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const rows = database
      .prepare("SELECT DISTINCT digest FROM module_versions WHERE unloaded_ms IS NULL")
      .all();
    return rows.map(({ digest }) => String(digest));
  } finally {
    database.close();
  }
}

/** Copies a binary that is what its name says. @returns its bytes */
async function copyModule(from: string, to: string, digest: string): Promise<number> {
  const path = pathOf(digest);
  const bytes = await readFile(join(from, path));
  const found = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  if (found !== digest) throw new BackupError(`its file has the digest ${found}`);
  const target = join(to, path);
  if (await isThere(target)) return bytes.length;
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  await write(target, bytes);
  await sync(dirname(target));
  return bytes.length;
}

/** Where a binary is in a data folder. */
function pathOf(digest: string): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  if (hex === undefined) throw new BackupError(`${digest} is no digest`);
  return join("modules", "sha256", hex.slice(0, 2), `${hex}.wasm`);
}

/**
 * Makes a data folder of a backup. No server may use the folder.
 *
 * @param dataFolder - a folder that is not there, or empty
 * @throws BackupError when the backup is not whole, or the folder not empty
 */
export async function restoreBackup(backup: string, dataFolder: string): Promise<BackupSummary> {
  await checkFree(dataFolder);
  await checkManifest(backup);
  const source = join(backup, databaseFile);
  checkDatabase(source);
  await mkdir(dataFolder, { recursive: true, mode: 0o700 });
  const digests = loadedDigests(source);
  const problems: string[] = [];
  let bytes = 0;
  for (const digest of digests) {
    try {
      bytes += await copyModule(backup, dataFolder, digest);
    } catch (error) {
      problems.push(`${digest}: ${(error as Error).message}`);
    }
  }
  await copyIfThere(join(backup, quarantineFile), join(dataFolder, quarantineFile));
  // Last, and at once: a folder without it is not a data folder yet.
  const partial = join(dataFolder, `${databaseFile}.partial`);
  await copyFile(source, partial);
  await sync(partial);
  bytes += (await stat(partial)).size;
  await rename(partial, join(dataFolder, databaseFile));
  await sync(dataFolder);
  return { modules: digests.length - problems.length, bytes, problems };
}

async function checkManifest(backup: string): Promise<void> {
  const file = join(backup, manifestFile);
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) throw new BackupError(`${backup} is no backup: it has no ${manifestFile}`);
  const found = formatOf(text);
  if (found !== format)
    throw new BackupError(`${file} has the format ${String(found)}; this program knows ${format}`);
}

function formatOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { format?: unknown } | null)?.format;
  } catch {
    return undefined;
  }
}

/** @throws BackupError when the database is broken, or written by a newer program */
function checkDatabase(file: string): void {
  let problem: string | undefined;
  try {
    const database = new DatabaseSync(file, { readOnly: true });
    try {
      const [first] = database.prepare("PRAGMA integrity_check(1)").all();
      const said = String(first?.["integrity_check"]);
      const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
      if (said !== "ok") problem = said;
      else if (version > schemaVersion)
        problem = `it has version ${version}, and this program knows versions up to ${schemaVersion}`;
    } finally {
      database.close();
    }
  } catch (error) {
    problem = (error as Error).message;
  }
  if (problem !== undefined) throw new BackupError(`${file} cannot be used: ${problem}`);
}

/** @throws BackupError unless a folder is not there or empty. What a file system keeps at its root does not count. */
async function checkFree(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  if (names.some((name) => name !== "lost+found"))
    throw new BackupError(`${folder} is not empty; name a folder that is, or that is not there`);
}

async function isThere(file: string): Promise<boolean> {
  return open(file, "r").then(
    async (handle) => {
      await handle.close();
      return true;
    },
    () => false,
  );
}

async function copyIfThere(from: string, to: string): Promise<void> {
  const bytes = await readFile(from).catch(() => undefined);
  if (bytes !== undefined) await write(to, bytes);
}

async function write(file: string, bytes: Uint8Array): Promise<void> {
  await using handle = await open(file, "wx", 0o600);
  await handle.writeFile(bytes);
  await handle.sync();
}

/** Brings a file, or what a folder lists, to the disk. */
async function sync(path: string): Promise<void> {
  await using handle = await open(path, "r");
  await handle.sync();
}
