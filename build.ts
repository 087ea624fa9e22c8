/**
 * Builds the packages that are published, each complete in a folder of `dist/packages`:
 * JavaScript, type declarations, resources, `package.json`, README and licence.
 *
 *     npm run build && npm publish ./dist/packages/sdk
 *
 * In the repository the packages' `exports` name TypeScript files, which Node runs as they are.
 *
 * @module
 */

import "./test/repository/runtime.js";
import { spawnSync } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(fileURLToPath(import.meta.url));

/** The published packages: folder in the repository, and folder under `dist/packages`. */
const packages = [
  { source: "proto", target: "proto" },
  { source: "sdk", target: "sdk" },
  { source: "server", target: "server" },
  { source: "guest/assemblyscript", target: "assemblyscript" },
] as const;

/** What a package exports under one name: a file, or files by condition. */
type Export = string | Record<string, string>;

/** The fields of a `package.json` that the build reads or writes. */
interface Manifest {
  name: string;
  version: string;
  private?: boolean;
  exports?: Record<string, Export>;
  bin?: Record<string, string>;
  scripts?: unknown;
  devDependencies?: unknown;
  [field: string]: unknown;
}

/**
 * Builds every published package.
 *
 * @param outDir - where the package folders go; what was there before is replaced
 * @returns the package folders, dependencies before dependents
 * @throws when the TypeScript compiler finds a mistake
 */
export async function build(outDir: string): Promise<string[]> {
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  const compiled = await mkdtemp(join(outDir, ".compiled-"));
  try {
    compile(compiled);
    const folders: string[] = [];
    for (const { source, target } of packages) {
      const folder = join(outDir, target);
      await assemble(join(root, source), join(compiled, source), folder);
      folders.push(folder);
    }
    return folders;
  } finally {
    await rm(compiled, { recursive: true, force: true });
  }
}

function compile(outDir: string): void {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const run = spawnSync(
    process.execPath,
    [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", outDir, "--pretty", "false"],
    { cwd: root, encoding: "utf8" },
  );
  if (run.status !== 0) throw new Error(`tsc failed:\n${run.stdout}${run.stderr}`);
}

/** Puts one package together from its source folder and its compiled files. */
async function assemble(source: string, compiled: string, folder: string): Promise<void> {
  // A package that has only resources compiles to nothing.
  if (await exists(compiled)) await rename(compiled, folder);
  else await mkdir(folder, { recursive: true });
  await copyResources(source, folder);

  const manifest = publishedManifest(JSON.parse(await readFile(join(source, "package.json"), "utf8")));
  await writeFile(join(folder, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
  for (const path of [...Object.values(manifest.exports ?? {}).flatMap(targetsOf), ...binsOf(manifest)]) {
    if (!path.includes("*") && !(await exists(join(folder, path)))) {
      throw new Error(`${manifest.name} exports ${path}, which the build did not make`);
    }
  }
  for (const path of binsOf(manifest)) await chmod(join(folder, path), 0o755);

  await cp(join(root, "LICENSE"), join(folder, "LICENSE"));
  if (!(await exists(join(folder, "README.md"))))
    await cp(join(root, "README.md"), join(folder, "README.md"));
}

/** Copies what is not compiled: `.proto` files, JSON, pages, and AssemblyScript sources. */
async function copyResources(source: string, folder: string): Promise<void> {
  for (const entry of await readdir(source, { recursive: true, withFileTypes: true })) {
    const from = join(entry.parentPath, entry.name);
    const path = relative(source, from);
    if (!entry.isFile() || !isResource(path)) continue;
    const to = join(folder, path);
    await mkdir(dirname(to), { recursive: true });
    await cp(from, to);
  }
}

function isResource(path: string): boolean {
  const folders = dirname(path).split("/");
  if (["node_modules", "dist", "test", "test-kit"].some((excluded) => folders.includes(excluded)))
    return false;
  if (basename(path).startsWith(".") || path === "package.json" || path.endsWith(".tgz")) return false;
  if (folders.includes("assembly")) return true;
  if (basename(path).startsWith("tsconfig")) return false;
  return extname(path) !== ".ts";
}

function publishedManifest(source: Manifest): Manifest {
  const { private: _private, scripts: _scripts, devDependencies: _devDependencies, ...manifest } = source;
  if (source.exports) manifest.exports = mapValues(source.exports, publishedExport);
  if (source.bin) manifest.bin = mapValues(source.bin, toJavaScript);
  return { ...manifest, publishConfig: { access: "public" } };
}

function publishedExport(source: Export): Export {
  if (typeof source !== "string") return mapValues(source, toJavaScript);
  if (!isCompiled(source)) return source;
  return { types: source.replace(/\.ts$/, ".d.ts"), default: toJavaScript(source) };
}

function toJavaScript(path: string): string {
  return isCompiled(path) ? path.replace(/\.ts$/, ".js") : path;
}

function isCompiled(path: string): boolean {
  return path.endsWith(".ts") && !path.split("/").includes("assembly");
}

function mapValues<A, B>(record: Record<string, A>, map: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

function targetsOf(exported: Export): string[] {
  return typeof exported === "string" ? [exported] : Object.values(exported);
}

function binsOf(manifest: Manifest): string[] {
  return Object.values(manifest.bin ?? {});
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

if (import.meta.main) {
  const outDir = resolve(root, "dist/packages");
  for (const folder of await build(outDir)) process.stdout.write(`${relative(root, folder)}\n`);
}
