import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { callCommand } from "../../../test/kit/call-command.ts";
import { type CommandResult, lean, startServe } from "../../../test/kit/leat-command.ts";
import { moduleBytes } from "../../../test/kit/modules.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-schema-"));
  await writeFile(join(folder, "strict.wasm"), await moduleBytes("program"));
  await writeFile(join(folder, "schema.json"), '{"properties":{"mode":{"enum":["mask"]}}}');
  await writeFile(join(folder, "wrong.json"), '{"type":"text"}');
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function leat(words: string, env: Record<string, string> = {}, input = ""): Promise<CommandResult> {
  return callCommand(words.split(" "), { cwd: folder, env, input });
}

test("a schema is put into a module, shown from the file and by the server, and holds for pipelines", async () => {
  expect((await leat("module schema show strict.wasm")).stderr).toBe("leat: strict.wasm has no schema\n");
  const wrong = await leat("module schema set strict.wasm wrong.json");
  expect(wrong).toMatchObject({ code: 1, stdout: "" });
  expect(wrong.stderr).toMatch(/^leat: wrong\.json: MODULE_SCHEMA_INVALID: .*#\/type: give one of string/);
  expect((await leat("module schema set strict.wasm schema.json")).stdout).toBe(
    "wrote strict.wasm with the schema of schema.json\n",
  );
  expect((await leat("module schema show strict.wasm")).stdout).toBe(
    '{"properties":{"mode":{"enum":["mask"]}}}\n',
  );
  await using server = await startServe([...lean, "--modules", "."], { cwd: folder });
  const env = { LEAT_ADDRESS: server.address };
  expect((await leat("module show strict", env)).stdout).toContain(
    'schema of the configuration:\n{\n  "properties": {\n    "mode": {\n      "enum": [\n        "mask"\n',
  );
  const yaml = "name: orders\nstages:\n  - { module: strict, config: { mode: shout } }\n";
  const refused = await leat("pipeline apply - --dry-run", env, yaml);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toBe(
    'leat: PIPELINE_INVALID: invalid pipeline: pipeline.stages[0].config.mode: must be one of "mask" (pipeline orders of -)\n',
  );
});
