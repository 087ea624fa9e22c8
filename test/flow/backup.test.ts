/** A backup that is made while the server works is a server when it is restored. */

import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { backUp, restoreBackup } from "../../server/store/backup.ts";
import { testFolder } from "../kit/folder.ts";
import { runCommand } from "../kit/leat-command.ts";
import { request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

const modules = { program: "program", marked: "marked" } as const;

/** A server with letters, modules and pipelines in a data folder. */
function serve(dataFolder: string): Promise<TestServer> {
  return startTestServer({
    dataFolder,
    modules,
    pipelines: { keeping: [{ module: "marked", onFailure: 4, breaker: { disabled: true } }] },
  });
}

async function lettersOf(kit: TestServer): Promise<number> {
  return (await kit.server.deadLetters.stats()).letters;
}

/** Starts a server over a folder and looks whether all of it works. @returns how many letters there are */
async function checkServer(dataFolder: string): Promise<number> {
  await using kit = await startTestServer({ dataFolder });
  expect(valuesOf(await kit.raw.transform(request("program", "ma")))).toEqual(["a"]);
  const { modules: loaded } = await kit.leat.modules.listModules({});
  expect(loaded.filter(({ problem }) => problem !== "")).toEqual([]);
  expect(loaded.map(({ name }) => name)).toEqual(expect.arrayContaining(["marked", "program"]));
  const before = await lettersOf(kit);
  await kit.raw.transform(request("keeping", "%"));
  expect(await lettersOf(kit)).toBe(before + 1);
  return before;
}

test("backups under traffic, loads and unloads are whole, each from a moment of its own", async () => {
  await using folder = await testFolder();
  const data = join(folder.path, "data");
  await using kit = await serve(data);
  const coming = join(folder.path, "coming.wasm");
  const plain = await readFile(join(data, await firstModule(data)));
  // The same module with a custom section is another file.
  await writeFile(coming, Buffer.concat([plain, Buffer.from([0, 3, 1, 0x78, 0x79])]));
  const wasm = await readFile(coming);
  let working = true;
  const until = async (work: () => Promise<unknown>): Promise<void> => {
    while (working) await work();
  };
  const work = [
    until(() => kit.raw.transform(request("keeping", "%", "a", "%"))),
    until(() => kit.raw.transform(request("program", "ma"))),
    until(async () => {
      await kit.leat.modules.loadModule({
        name: "coming",
        version: "1",
        wasm,
        noActivate: true,
      });
      await kit.leat.modules.unloadModule({ reference: "coming@1" });
    }),
  ];
  const letters: number[] = [];
  for (let copy = 0; copy < 2; copy++) {
    const before = await lettersOf(kit);
    const summary = await backUp(data, join(folder.path, `backup-${copy}`));
    expect(summary.problems).toEqual([]);
    letters.push(before, await lettersOf(kit));
  }
  working = false;
  await Promise.all(work);
  for (let copy = 0; copy < 2; copy++) {
    const restored = join(folder.path, `restored-${copy}`);
    await restoreBackup(join(folder.path, `backup-${copy}`), restored);
    const kept = await checkServer(restored);
    expect(kept).toBeGreaterThanOrEqual(letters[copy * 2] ?? 0);
    expect(kept).toBeLessThanOrEqual(letters[copy * 2 + 1] ?? 0);
  }
  // The backups can be used again, and nothing half made is left.
  expect((await readdir(folder.path)).filter((name) => name.includes("partial"))).toEqual([]);
  expect((await stat(join(folder.path, "backup-0"))).mode & 0o077).toBe(0);
});

async function firstModule(data: string): Promise<string> {
  const files = await readdir(join(data, "modules"), { recursive: true });
  return join("modules", files.find((name) => name.endsWith(".wasm")) ?? "");
}

test("the commands make a backup of a stopped server and a server of it", async () => {
  await using folder = await testFolder();
  const [data, target, restored] = ["data", "backup", "restored"].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  await (await serve(data))[Symbol.asyncDispose]();
  const made = await runCommand(["backup", target], { env: { LEAT_DATA: data } });
  expect([made.code, made.stdout, made.stderr]).toEqual([
    0,
    expect.stringMatching(/backup: 2 modules, \d+\.\d MiB\n$/),
    "",
  ]);
  const back = await runCommand(["restore", target, "--data", restored]);
  expect([back.code, back.stderr]).toEqual([0, ""]);
  await checkServer(restored);

  await expect(backUp(data, target)).rejects.toThrow(/is not empty/);
  const over = await runCommand(["restore", target, "--data", data]);
  expect([over.code, over.stderr]).toEqual([1, expect.stringContaining("is not empty")]);
});

test("what is no backup, or broken, is not restored", async () => {
  await using folder = await testFolder();
  const data = join(folder.path, "data");
  await (await serve(data))[Symbol.asyncDispose]();
  const backup = join(folder.path, "backup");
  await backUp(data, backup);
  const restore = (): Promise<unknown> => restoreBackup(backup, join(folder.path, "restored"));

  await expect(restoreBackup(data, join(folder.path, "restored"))).rejects.toThrow(/is no backup/);
  await expect(backUp(join(folder.path, "none"), join(folder.path, "b"))).rejects.toThrow(
    /has no leat.sqlite/,
  );
  const file = join(backup, "leat.sqlite");
  const whole = await readFile(file);
  await writeFile(file, whole.subarray(0, 5_000));
  await expect(restore()).rejects.toThrow(/leat.sqlite cannot be used/);
  await writeFile(file, whole);
  const manifest = join(backup, "backup.json");
  await writeFile(manifest, '{"format":2}');
  await expect(restore()).rejects.toThrow(/has the format 2/);
  await writeFile(manifest, '{"format":1}');
  // A binary that is not what its name says is left out and named, as at the start of a server.
  const module = join(backup, await firstModule(backup));
  const bytes = await readFile(module);
  bytes.writeUInt8(1 + (bytes.at(-1) ?? 0), bytes.length - 1);
  await writeFile(module, bytes);
  await expect(restore()).resolves.toMatchObject({
    modules: 1,
    problems: [expect.stringMatching(/^sha256:/)],
  });
  await mkdir(join(folder.path, "mounted/lost+found"), { recursive: true });
  await expect(restoreBackup(backup, join(folder.path, "mounted"))).resolves.toMatchObject({ modules: 1 });
});
