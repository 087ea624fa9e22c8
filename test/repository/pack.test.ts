import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { build } from "../../build.ts";
import { root, toolEnvironment } from "./root.ts";

const run = promisify(execFile);

/** What `npm pack --json` says of a package. */
interface Packed {
  name: string;
  filename: string;
  files: { path: string; mode: number }[];
}

describe("the published packages", { timeout: 90_000 }, () => {
  let folder: string;
  let consumer: string;
  let packed: Packed[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "leat-pack-"));
    consumer = join(folder, "consumer");
    const tarballs = join(folder, "tarballs");
    await mkdir(tarballs);
    const packages = await build(join(folder, "packages"));
    const listing = await run("npm", ["pack", "--json", "--pack-destination", tarballs, ...packages], {
      cwd: folder,
      env: toolEnvironment,
    });
    packed = Object.values(JSON.parse(listing.stdout) as Record<string, Packed>);
    await mkdir(consumer);
    await writeFile(join(consumer, "package.json"), '{ "private": true, "type": "module" }\n');
    const paths = packed.map(({ filename }) => join(tarballs, filename));
    // What npm ci has fetched is in npm's cache; the registry is asked for the rest.
    await run(
      "npm",
      ["install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", ...paths],
      {
        cwd: consumer,
        env: toolEnvironment,
      },
    );
  }, 180_000);

  afterAll(async () => {
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  test("hold JavaScript with its types, and no source or test", () => {
    expect(packed.map(({ name }) => name).sort()).toEqual([
      "@leat/assemblyscript",
      "@leat/proto",
      "@leat/sdk",
      "@leat/server",
    ]);
    for (const { name, files } of packed) {
      const paths = files.map(({ path }) => path);
      expect(paths, name).toEqual(expect.arrayContaining(["LICENSE", "README.md", "package.json"]));
      const sources = paths.filter((path) => /(?<!\.d)\.ts$/.test(path) && !path.startsWith("assembly/"));
      expect(sources, name).toEqual([]);
      expect(
        paths.filter((path) => path.includes(".test.")),
        name,
      ).toEqual([]);
      const untyped = paths.filter(
        (path) => path.endsWith(".js") && !paths.includes(path.replace(/js$/, "d.ts")),
      );
      expect(untyped, name).toEqual([]);
    }
  });

  test("bring the .proto files for other languages and loaders", async () => {
    const files = await readdir(join(consumer, "node_modules/@leat/proto/leat/v1"));
    expect(files).toContain("transform.proto");
    const resolved = await runCode('console.log(import.meta.resolve("@leat/proto/leat/v1/transform.proto"))');
    expect(resolved).toMatch(/@leat\/proto\/leat\/v1\/transform\.proto\n$/);
  });

  test("give the SDK to a program, with its types", async () => {
    expect(await runConsumer("consumer/sdk.ts")).toBe("Leat 0 leat.v1.Record\n");
    await typeCheck("sdk.ts");
  });

  test("give the leat command to a shell", async () => {
    expect(await runBinary("leat", "--help")).toContain("Usage: leat");
  });

  test("compile a module, and serve it from worker threads that start from dist", async () => {
    const source = `
      import { Out, Record } from "@leat/assemblyscript";
      export function transform(record: Record, out: Out): void {
        const value = record.value;
        value.upperTo(out.map(record, value.length));
      }`;
    await writeFile(join(consumer, "module.ts"), source);
    await runBinary("leat-asc", "module.ts", "-o", "module.wasm");
    expect(await runConsumer("consumer/server.ts")).toBe("FROM DIST\n");
    await typeCheck("server.ts");
  });

  async function runBinary(name: string, ...args: string[]): Promise<string> {
    const path = join(consumer, "node_modules/.bin", name);
    const { stdout } = await run(path, args, { cwd: consumer, env: toolEnvironment });
    return stdout;
  }

  async function runConsumer(program: string): Promise<string> {
    const name = basename(program);
    await copyFile(join(root, "test/repository", program), join(consumer, name));
    const { stdout } = await run(process.execPath, [name], { cwd: consumer });
    return stdout;
  }

  async function runCode(code: string): Promise<string> {
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code], { cwd: consumer });
    return stdout;
  }

  async function typeCheck(name: string): Promise<void> {
    const types = join(root, "node_modules/@types");
    const options = ["--strict", "--noEmit", "--skipLibCheck", "--module", "nodenext", "--target", "esnext"];
    await run(
      process.execPath,
      [
        join(root, "node_modules/typescript/bin/tsc"),
        ...options,
        "--typeRoots",
        types,
        "--types",
        "node",
        name,
      ],
      { cwd: consumer },
    );
  }
});
