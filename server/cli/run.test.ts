import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callCommand } from "../../test/kit/call-command.ts";
import { type CommandResult, runCommand } from "../../test/kit/leat-command.ts";
import { moduleBytes } from "../../test/kit/modules.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-run-"));
  for (const name of ["program", "marked", "filter"]) {
    await writeFile(join(folder, `${name}.wasm`), await moduleBytes(name));
  }
  await writeFile(join(folder, "config.json"), '{"expression": "n > 1"}');
  await writeFile(join(folder, "text.wasm"), "not wasm");
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function run(words: string, input: string, how = callCommand): Promise<CommandResult> {
  return how(["run", ...words.split(" ")], { cwd: folder, input });
}

describe("leat run", () => {
  test("runs a module with its configuration, and without a server", async () => {
    const kept = await run("filter.wasm --config @config.json", '{"n":1}\n{"n":2}\n', runCommand);
    expect(kept).toMatchObject({ code: 0, stdout: '{"n":2}\n', stderr: "" });
  });

  test("runs a module whose file has a name that no module may have, and calls it as it is told", async () => {
    await copyFile(join(folder, "program.wasm"), join(folder, "Program (2).wasm"));
    const arguments_ = ["run", "Program (2).wasm", "--format", "lines", "--log-level", "silent"];
    const stageOf = async (...more: readonly string[]): Promise<unknown> => {
      const { code, stderr } = await callCommand([...arguments_, ...more], { cwd: folder, input: "x\n" });
      expect(code).toBe(1);
      return JSON.parse(stderr).stage;
    };
    expect(await stageOf()).toBe("program");
    expect(await stageOf("--name", "called")).toBe("called");
  });

  test("tells failures and traps record by record, as a server does", async () => {
    const refused = await run("program.wasm --format lines", "-a\nx\n");
    expect(refused).toMatchObject({ code: 1, stdout: "a\n" });
    expect(JSON.parse(refused.stderr)).toMatchObject({ line: 2, code: "refused", stage: "program" });
    const trapped = await run("marked.wasm --format lines --log-level silent", "a\n%\nb\n");
    expect(trapped).toMatchObject({ code: 1, stdout: "a\nb\n" });
    expect(JSON.parse(trapped.stderr)).toMatchObject({ line: 2, code: "trap" });
  });

  test("says why it does not run a module", async () => {
    const text = await run("text.wasm", "");
    expect(text).toMatchObject({ code: 1, stdout: "" });
    expect(text.stderr).toMatch(/^leat: MODULE_NOT_WASM: .+\n$/);
    const config = await run('filter.wasm --config {"expression":1}', "");
    expect(config).toMatchObject({ code: 1, stdout: "" });
    expect(config.stderr).toMatch(/^leat: MODULE_INIT_FAILED: .*expression.*; give it a configuration/);
  });
});
