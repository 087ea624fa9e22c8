import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callCommand } from "../../test/kit/call-command.ts";
import {
  type CommandResult,
  lean,
  runCommand,
  type ServeProcess,
  startServe,
} from "../../test/kit/leat-command.ts";
import { moduleBytes } from "../../test/kit/modules.ts";

let folder: string;
let server: ServeProcess;
let program: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-control-"));
  program = join(folder, "program.wasm");
  await writeFile(program, await moduleBytes("program"));
  await writeFile(join(folder, "starts.wasm"), await moduleBytes("init"));
  await writeFile(join(folder, "text.wasm"), "not wasm");
  server = await startServe([...lean, "--log-level", "warn"]);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function leat(args: readonly string[], input?: string, run = callCommand): Promise<CommandResult> {
  const env = { LEAT_ADDRESS: server.address };
  return run(args, { cwd: folder, env, ...(input !== undefined && { input }) });
}

describe("leat module", () => {
  test("loads, lists, shows and unloads, for people and for programs", async () => {
    const loaded = await leat(["module", "load", "program.wasm", "--name", "twice", "--version", "1.0.0"]);
    expect(loaded).toMatchObject({ code: 0, stderr: "" });
    expect(loaded.stdout).toMatch(
      /^loaded twice@1\.0\.0 \(.+ KiB, compiled in .+ ms, sha256:[0-9a-f]{64}\)\n$/,
    );
    const again = await leat(["module", "load", "program.wasm", "--name", "twice", "--version", "1.0.0"]);
    expect(again.stdout).toMatch(/^had already loaded twice@1\.0\.0 /);

    const list = await leat(["module", "list"]);
    expect(list.stdout).toMatch(/^NAME +VERSION +ACTIVE +STATE +SIGNED BY +SIZE +LOADED +DIGEST +USED BY\n/);
    expect(list.stdout).toMatch(/^twice +1\.0\.0 +yes /m);
    const json = await leat(["module", "list", "twice", "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject([{ name: "twice", version: "1.0.0", active: true }]);

    const shown = await leat(["module", "show", "twice@1.0.0"]);
    expect(shown.stdout).toMatch(/^imports: +leat\.begin_record$/m);
    expect(JSON.parse((await leat(["module", "show", "twice", "--json"])).stdout)).toMatchObject({
      abi: "leat/1",
    });

    expect(await leat(["module", "unload", "twice"])).toMatchObject({
      code: 0,
      stdout: "unloaded twice@1.0.0\n",
    });
    expect(await leat(["module", "list"])).toMatchObject({
      code: 0,
      stdout: "",
      stderr: "no modules are loaded\n",
    });
  });

  test("activates, rolls back and tells the history; a large module goes in pieces", async () => {
    const large = Buffer.concat([await moduleBytes("program"), customSection(1_200_000)]);
    await writeFile(join(folder, "large.wasm"), large);
    await leat(["module", "load", "program.wasm", "--name", "turns", "--version", "1"]);
    const second = ["module", "load", "large.wasm", "--name", "turns", "--version", "2", "--no-activate"];
    expect((await leat(second)).stdout).toMatch(/^loaded turns@2 \(1\.1 MiB/);
    const activated = await leat(["module", "activate", "turns@2"]);
    expect(activated).toMatchObject({ code: 0, stdout: "activated turns@2 in place of 1\n" });
    expect((await leat(["module", "activate", "turns@2"])).stdout).toBe("turns@2 was active already\n");
    const back = await leat(["module", "rollback", "turns"]);
    expect(back).toMatchObject({ code: 0, stdout: "rolled turns back from 2 to 1\n" });
    const { stdout } = await leat(["module", "history", "turns"]);
    expect(stdout).toMatch(/^VERSION.*\n1 .*rolled back to.*\n2 .*activated.*\n1 .*loaded.*\n$/);
    const json = JSON.parse((await leat(["module", "history", "turns", "--json"])).stdout);
    expect(json).toMatchObject({
      activations: [{ version: "1", cause: "ACTIVATION_CAUSE_ROLLBACK" }, {}, {}],
    });
    const none = await leat(["module", "rollback", "turns"]);
    expect(none).toMatchObject({ code: 1, stderr: expect.stringMatching(/^leat: MODULE_NO_PREVIOUS: /) });
    for (const version of ["1", "2"]) await leat(["module", "unload", `turns@${version}`]);
  });

  test("takes name and version from the file's name", async () => {
    await writeFile(join(folder, "named@3.1.wasm"), await moduleBytes("program"));
    const dry = await leat(["module", "load", "named@3.1.wasm", "--dry-run", "--json"]);
    expect(JSON.parse(dry.stdout)).toMatchObject({ module: { name: "named", version: "3.1" } });
    expect((await leat(["module", "show", "named"])).stderr).toMatch(/^leat: MODULE_NOT_FOUND: /);
  });

  test("says in one line why a module is refused, and what to do", async () => {
    const text = await leat(["module", "load", "text.wasm"]);
    expect(text).toMatchObject({ code: 1, stdout: "" });
    expect(text.stderr).toMatch(/^leat: MODULE_NOT_WASM: .+\n$/);
    const config = ["--config", '"r"', "--dry-run"];
    expect(await leat(["module", "load", "starts.wasm", ...config])).toMatchObject({
      code: 2,
      stderr: "leat: --config: a JSON object is needed\n",
    });
    const lost = await leat(["module", "show", "nowhere"]);
    expect(lost.stderr).toBe(
      'leat: MODULE_NOT_FOUND: no module nowhere; "leat module list" shows what is loaded\n',
    );
    const file = await leat(["module", "load", "nowhere.wasm"]);
    expect(file).toMatchObject({ code: 1 });
    expect(file.stderr).toMatch(/^leat: ENOENT.*nowhere\.wasm/);
  });
});

describe("leat rollout", () => {
  test("starts, shows, lists and promotes", async () => {
    for (const version of ["1", "2"]) {
      const load = ["module", "load", version === "1" ? "program.wasm" : "starts.wasm"];
      await leat([...load, "--name", "tried", "--version", version, "--no-activate"]);
    }
    await leat(["module", "activate", "tried@1"]);
    await leat(["pipeline", "apply", "-"], "name: tries\nstages:\n  - module: tried\n");
    const rule = ["--after", "1000", "--factor", "1.2"];
    expect(await leat(["rollout", "start", "tried@2", "--share", "10%", "--shadow", ...rule])).toMatchObject({
      code: 0,
      stdout: "tried@2 runs on copies of 10 % of the batches of tries\n",
    });
    const shown = await leat(["rollout", "show", "tried"]);
    expect(shown.stdout).toMatch(/^rule: +after 1000 batches, factor 1\.2$/m);
    expect(shown.stdout).toMatch(/^tried version: +2: 0 batches/m);
    expect((await leat(["rollout", "list"], "", runCommand)).stdout).toMatch(
      /^tried +1 +2 +shadow +10 % +running/m,
    );
    const promoted = await leat(["rollout", "promote", "tried", "--json"]);
    expect(JSON.parse(promoted.stdout)).toMatchObject({ state: "ROLLOUT_STATE_PROMOTED" });
    expect((await leat(["rollout", "abort", "tried"])).stderr).toMatch(/^leat: ROLLOUT_NOT_FOUND: /);
    expect(await leat(["rollout", "start", "tried@1", "--share", "a lot"])).toMatchObject({ code: 2 });
    expect(await leat(["rollout", "start", "tried@1", "--share", "1%", "--factor", "2"])).toMatchObject({
      code: 2,
      stderr: "leat: --factor needs --after\n",
    });
    await leat(["pipeline", "delete", "tries"]);
    for (const version of ["1", "2"]) await leat(["module", "unload", `tried@${version}`]);
  });
});

describe("leat pipeline", () => {
  const yaml = `pipelines:
  - name: clean
    description: what is left
    stages:
      - name: first
        module: base
        config:
          n: 1
        on_failure: drop
        instances: fresh
        limits:
          batch_timeout_ms: 2s
          memory_bytes: 20MiB
`;

  test("applies, lists, shows and deletes; what it shows can be applied", async () => {
    await leat(["module", "load", program, "--name", "base"]);
    const applied = await leat(["pipeline", "apply", "-"], yaml, runCommand);
    expect(applied).toMatchObject({ code: 0, stdout: "applied clean, revision 1\n", stderr: "" });

    const list = await leat(["pipeline", "list"]);
    expect(list.stdout).toMatch(/^clean +1 +base +what is left$/m);
    expect(JSON.parse((await leat(["pipeline", "list", "--json"])).stdout)).toMatchObject([
      { name: "clean" },
    ]);

    const shown = await leat(["pipeline", "show", "clean"]);
    expect(shown.stdout).toBe(`# revision 1
name: clean
description: what is left
stages:
  - name: first
    module: base
    config:
      n: 1
    on_failure: drop
    instances: fresh
    limits:
      batch_timeout_ms: 2000
      memory_bytes: 20971520
`);
    expect((await leat(["pipeline", "apply", "-"], shown.stdout)).stdout).toBe(
      "unchanged clean, revision 1\n",
    );
    const json = JSON.parse((await leat(["pipeline", "show", "clean", "--json"])).stdout);
    expect(json).toMatchObject({ revision: 1, stages: [{ onFailure: "ON_FAILURE_DROP" }] });

    expect((await leat(["module", "unload", "base"])).stderr).toMatch(/^leat: MODULE_IN_USE: .*clean/);
    expect(await leat(["pipeline", "delete", "clean"])).toMatchObject({ code: 0, stdout: "deleted clean\n" });
    expect(await leat(["pipeline", "delete", "clean"])).toMatchObject({ code: 1 });
  });

  test("shows what would change, lists revisions, and rolls back", async () => {
    await leat(["module", "load", program, "--name", "base"]);
    const first = "name: aged\nstages:\n  - module: base\n";
    const second = "name: aged\nstages:\n  - module: base\n    on_failure: drop\n";
    expect((await leat(["pipeline", "apply", "-", "--dry-run"], first)).stdout).toBe(
      "would apply aged, new\n+name: aged\n+stages:\n+  - module: base\n",
    );
    expect((await leat(["pipeline", "apply", "-", "--expect", "0"], first)).code).toBe(0);
    const wouldBe = "@@ -1,3 +1,4 @@\n name: aged\n stages:\n   - module: base\n+    on_failure: drop\n";
    expect((await leat(["pipeline", "apply", "-", "--dry-run"], second)).stdout).toBe(
      `would apply aged, from revision 1\n${wouldBe}`,
    );
    const late = await leat(["pipeline", "apply", "-", "--expect", "0"], second);
    expect(late).toMatchObject({ code: 1, stdout: "" });
    expect(late.stderr).toMatch(/^leat: PIPELINE_REVISION_CHANGED: .* is at revision 1, and not new/);
    expect((await leat(["pipeline", "apply", "-", "--expect", "1"], second)).code).toBe(0);

    const history = await leat(["pipeline", "history", "aged"]);
    expect(history.stdout).toMatch(
      /^REVISION +SERVES +PUT +BY +REPLACED +DIGEST\n2 +yes +2\S+Z +1 +sha256:\w{12}\n1 +2\S+Z +sha256:\w{12}\n$/,
    );
    expect((await leat(["pipeline", "show", "aged", "--revision", "1"])).stdout).toBe(
      `# revision 1\n${first}`,
    );
    expect((await leat(["pipeline", "rollback", "aged"])).stdout).toBe(
      "rolled aged from revision 2 to 1\n@@ -1,4 +1,3 @@\n name: aged\n stages:\n   - module: base\n-    on_failure: drop\n",
    );
    const forward = await leat(["pipeline", "rollback", "aged", "--revision", "2", "--dry-run"]);
    expect(forward.stdout).toMatch(/^would roll aged from revision 1 to 2\n@@/);
    const json = JSON.parse((await leat(["pipeline", "history", "aged", "--json"])).stdout);
    expect(json).toMatchObject({ revisions: [{ revision: 2 }, { revision: 1, serving: true }] });
  });

  test("names the place of a mistake in the file, and exits with 2", async () => {
    const wrong = await leat(["pipeline", "apply", "-"], "name: a\nstages:\n  - modul: base\n");
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/^leat: stdin:3:\d+: stages\[0\]\.modul: .*did you mean module\?/m);
  });

  test("names the pipeline that the server refuses, and leaves those before it", async () => {
    await leat(["module", "load", program, "--name", "base"]);
    const two = "name: one\nstages:\n  - module: base\n---\nname: two\nstages:\n  - module: nowhere\n";
    const run = await leat(["pipeline", "apply", "-"], two);
    expect(run).toMatchObject({ code: 1, stdout: "applied one, revision 1\n" });
    expect(run.stderr).toMatch(/^leat: MODULE_NOT_FOUND: .*nowhere.* \(pipeline two of -\)\n$/);
  });
});

describe("without a server", () => {
  test("every command says where none answers", async () => {
    const run = await runCommand(["module", "list", "--address", "127.0.0.1:1"]);
    expect(run).toMatchObject({ code: 1, stdout: "" });
    expect(run.stderr).toBe(
      'leat: UNAVAILABLE: no server answers at 127.0.0.1:1 (connect ECONNREFUSED 127.0.0.1:1); start one with "leat serve", or name another with --address or LEAT_ADDRESS\n',
    );
  });
});

/** A section of zeros that means nothing to anybody. */
function customSection(bytes: number): Uint8Array {
  const size = [(bytes & 127) | 128, ((bytes >> 7) & 127) | 128, bytes >> 14];
  return Buffer.concat([Buffer.from([0, ...size, 1, 122]), Buffer.alloc(bytes - 2)]);
}
