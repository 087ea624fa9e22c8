import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildExamples, exampleNames, examplePath } from "./index.ts";

const names = ["uppercase-raw"] as const;
let outDir = "";
beforeAll(async () => {
  outDir = await mkdtemp(join(tmpdir(), "leat-examples-"));
});
afterAll(() => rm(outDir, { recursive: true }));

describe("the example modules", () => {
  test("have a source each, and a place", async () => {
    const sources = await readdir(new URL("./modules/", import.meta.url));
    const modules = sources.filter((file) => file.endsWith(".ts")).map((file) => basename(file, ".ts"));
    expect(modules.toSorted()).toEqual([...exampleNames]);
    expect(basename(examplePath("filter"))).toBe("filter.wasm");
  });

  test("are built when they are missing or older than their sources, and else left alone", async () => {
    expect(await buildExamples({ outDir, names })).toEqual(names);
    expect(await buildExamples({ outDir, names })).toEqual([]);
    await utimes(join(outDir, "uppercase-raw.wasm"), 1, 1);
    expect(await buildExamples({ outDir, names })).toEqual(names);
    expect(await buildExamples({ outDir, names, force: true })).toEqual(names);
  });

  test("can be built by several processes at once, while others read", async () => {
    await buildExamples({ outDir, names });
    const index = fileURLToPath(new URL("./index.ts", import.meta.url));
    const options = JSON.stringify({ outDir, names, force: true });
    const script = `import(${JSON.stringify(index)}).then((m) => m.buildExamples(${options}))`;
    const children = [1, 2].map(() => spawn(process.execPath, ["--eval", script], { stdio: "inherit" }));
    let running = children.length;
    const ended = children.map((child) => once(child, "exit").finally(() => running--));
    while (running > 0) {
      const wasm = await readFile(join(outDir, "uppercase-raw.wasm"));
      expect(WebAssembly.validate(new Uint8Array(wasm))).toBe(true);
    }
    expect((await Promise.all(ended)).map(([code]) => code)).toEqual([0, 0]);
    expect(await readdir(outDir)).toEqual(["uppercase-raw.wasm"]);
  });
});
