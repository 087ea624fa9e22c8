import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { testFolder } from "../../test/kit/folder.ts";
import { LiveConfig, type LiveSettings } from "./live-config.ts";
import { resolveConfig } from "./resolve.ts";

/** The configuration of a server that was started in a folder, and what it put in force. */
function startedIn(folder: string) {
  const sources = { env: {}, flags: {}, folder };
  const applied: LiveSettings[] = [];
  const config = new LiveConfig({
    sources,
    start: resolveConfig(sources),
    apply: async (settings) => {
      applied.push(settings);
    },
    checkFiles: async () => {},
    onOutcome: () => {},
  });
  const shown = (key: string) => config.settings().find((setting) => setting.key === key)?.value;
  return { config, applied, shown };
}

test("a file that was found at the start and is gone is a mistake, and nothing changes", async () => {
  await using folder = await testFolder();
  const file = join(folder.path, "leat.yaml");
  await writeFile(file, "workers: 2\nlog:\n  level: warn\n");
  const { config, applied, shown } = startedIn(folder.path);
  await rm(file);
  await expect(config.reload()).rejects.toThrow(/leat\.yaml.*cannot be read/);
  expect(applied).toEqual([]);
  expect(shown("workers")).toBe("2");
  await config.set({ "log.level": "debug" }, false);
  expect(applied).toMatchObject([{ logLevel: "debug", limits: { maxWorkers: 2 } }]);
  await writeFile(file, "workers: 3\n");
  expect((await config.reload()).changed.map(({ key, to }) => [key, to])).toEqual([
    ["workers", "3"],
    ["log.level", "info"],
  ]);
});

test("a file that was made after the start is not taken in", async () => {
  await using folder = await testFolder();
  const { config, applied, shown } = startedIn(folder.path);
  await writeFile(join(folder.path, "leat.yaml"), "log:\n  level: debug\nlimits:\n  maxBatchRecords: 7\n");
  await config.set({ workers: "2" }, false);
  expect(applied).toMatchObject([{ logLevel: "info", limits: { maxWorkers: 2, maxBatchRecords: 10_000 } }]);
  expect((await config.reload()).changed.map(({ key }) => key)).toEqual(["workers"]);
  expect(config.file).toBeUndefined();
  expect(shown("log.level")).toBe("info");
});
