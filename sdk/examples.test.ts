/**
 * Every example in a doc comment is a program: it is type-checked as strictly as the SDK itself, and
 * run against a real server.
 */

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadExample } from "../guest/examples/index.ts";
import { startServer } from "../server/index.ts";
import { Leat } from "./index.ts";
import { docOf, examplesOf, examplesOfMarkdown, ownExports, packageSources } from "./test-kit/examples.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("./", import.meta.url));
const repository = fileURLToPath(new URL("../", import.meta.url));
const sources = packageSources(root);
const examples = [
  ...sources.flatMap((file) => examplesOf(root, file)),
  ...examplesOfMarkdown(root, join(root, "README.md")),
];

/** What the examples expect of their server: the pipelines `uppercase` and `redact`. */
async function prepare(address: string): Promise<void> {
  await using leat = new Leat(address);
  const configJson = JSON.stringify({ fields: ["email"] });
  const redact = await loadExample("json-redact");
  await leat.modules.loadModule({ name: "uppercase", wasm: await loadExample("uppercase") });
  await leat.modules.loadModule({ name: "json-redact", wasm: redact, sampleConfigJson: configJson });
  await leat.pipelines.putPipeline({ pipeline: { name: "uppercase", stages: [{ module: "uppercase" }] } });
  await leat.pipelines.putPipeline({
    pipeline: { name: "redact", stages: [{ module: "json-redact", configJson }] },
  });
}

test.each(ownExports(join(root, "index.ts")))("%s is documented, with an example", (name) => {
  expect(docOf(sources, name)).toContain("@example");
});

describe("the examples", () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "leat-sdk-examples-"));
    symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"), "dir");
    for (const [index, { place, code }] of examples.entries()) {
      writeFileSync(join(folder, `example-${index}.ts`), `// ${place}\n${code}\nexport {};\n`);
    }
    const config = { extends: join(repository, "tsconfig.json"), include: ["*.ts"], exclude: [] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  test("there are many", () => {
    expect(examples.length).toBeGreaterThan(40);
  });

  test("compile", async () => {
    const tsc = join(repository, "node_modules/.bin/tsc");
    await expect(run(tsc, ["-p", folder]).catch(({ stdout }) => stdout)).resolves.toMatchObject({
      stdout: "",
    });
  });

  test("run", async () => {
    await using server = await startServer({ grpcAddress: "127.0.0.1:0", httpAddress: false });
    const address = `127.0.0.1:${server.grpcPort}`;
    await prepare(address);
    const runner = `
      import { readFileSync } from "node:fs";
      console.log = () => {};
      let failed = 0;
      for (let index = 0; index < ${examples.length}; index++) {
        try {
          await import("./example-" + index + ".ts");
        } catch (error) {
          failed++;
          console.error(readFileSync("example-" + index + ".ts", "utf8").split("\\n")[0], error);
        }
      }
      process.exitCode = failed;
    `;
    writeFileSync(join(folder, "run.mjs"), runner);
    const env = { ...process.env, LEAT_ADDRESS: address };
    const outcome = await run(process.execPath, ["run.mjs"], { cwd: folder, env }).catch(
      ({ stderr }) => stderr,
    );
    expect(outcome).toMatchObject({ stderr: "" });
    await using leat = new Leat(address);
    const { snapshot } = await leat.metrics.metrics({});
    const batches = snapshot?.pipelines.reduce((sum, { success }) => sum + (success?.count ?? 0n), 0n);
    expect(batches).toBeGreaterThan(25n);
  });
});
