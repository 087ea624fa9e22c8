import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { create } from "@bufbuild/protobuf";
import { PipelineSchema } from "@leat/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callCommand } from "../../../test/kit/call-command.ts";
import { type TestFolder, testFolder } from "../../../test/kit/folder.ts";
import { type CommandResult, runCommand } from "../../../test/kit/leat-command.ts";
import { moduleBytes } from "../../../test/kit/modules.ts";
import { startTestServer, type TestServer } from "../../../test/kit/test-server.ts";

let folder: TestFolder;
let kit: TestServer;

beforeAll(async () => {
  folder = await testFolder();
  const wasm = await moduleBytes("uppercase");
  kit = await startTestServer({
    dataFolder: folder.path,
    server: {
      prepare: async (registry) => {
        const load = { name: "upper", version: "1", sampleConfigJson: "", dryRun: false };
        await registry.load({ ...load, wasm });
        await registry.revisions.put(create(PipelineSchema, { name: "up", stages: [{ module: "upper" }] }));
      },
    },
  });
  await kit.load("upper", "program", "2");
  await kit.leat.modules.activateModule({ reference: "none@1" }).catch(() => undefined);
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function leat(...args: readonly string[]): Promise<CommandResult> {
  return callCommand(["audit", ...args], { cwd: folder.path, env: { LEAT_ADDRESS: kit.address } });
}

describe("leat audit", () => {
  test("lists who changed what, and when", async () => {
    const listed = await leat("list");
    expect(listed).toMatchObject({ code: 0, stderr: "" });
    expect(listed.stdout).toMatch(/^ENTRY +TIME +PRINCIPAL +ACTION +TARGET +OUTCOME +DETAIL\n/);
    const rows = listed.stdout.split("\n").slice(1, -1);
    expect(rows.map((row) => row.replace(/ 20\S+Z /, " ").replaceAll(/ +/g, " "))).toEqual([
      "5 anonymous ActivateModule none@1 MODULE_NOT_FOUND",
      "4 anonymous LoadModule upper@2 ok",
      "3 (start) start/put-pipeline up@1 ok",
      "2 (start) start/load-module upper@1 ok",
      "1 (start) start/restore ok 0 modules, 0 pipelines",
    ]);
  });

  test("lists what the options select, for programs one entry a line", async () => {
    const select = ["--target", "upper@2", "--action", "LoadModule", "--since", "1h", "--outcome", "ok"];
    const { stdout, stderr } = await leat("list", "--json", "--principal", "anonymous", ...select);
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toMatchObject({
      sequence: "4",
      actor: { kind: "AUDIT_ACTOR_KIND_ANONYMOUS", roles: ["admin"] },
      outcome: "ok",
    });
    expect((await leat("list", "--until", "2020-01-01")).stderr).toBe("no entries\n");
    expect((await leat("list", "--limit", "2")).stderr).toBe("the newest 2 entries; --limit shows more\n");
  });

  test("shows one entry with all that it says", async () => {
    const { stdout } = await runCommand(["audit", "show", "4"], { env: { LEAT_ADDRESS: kit.address } });
    expect(stdout).toMatch(/^principal: +anonymous$/m);
    expect(stdout).toMatch(/^from: +127\.0\.0\.1:\d+$/m);
    expect(stdout).toMatch(/^digest: +sha256:[0-9a-f]{64}$/m);
    expect(await leat("show", "999")).toMatchObject({
      code: 1,
      stderr:
        'leat: AUDIT_ENTRY_NOT_FOUND: the audit log has no entry 999; "leat audit list" shows what is kept\n',
    });
    expect(await leat("show", "first")).toMatchObject({ code: 2, stdout: "" });
  });

  test("checks the log, and says at which entry somebody has changed it", async () => {
    const good = await leat("verify");
    expect(good).toMatchObject({ code: 0, stderr: "" });
    const [, known = ""] = /^5 entries are good, the last one (5:[0-9a-f]{64})\n$/.exec(good.stdout) ?? [];
    expect(await leat("verify", "--known", known)).toMatchObject({ code: 0 });
    expect(await leat("verify", "--known", "7:abc")).toMatchObject({ code: 2, stdout: "" });
    const database = new DatabaseSync(join(folder.path, "leat.sqlite"));
    database.exec("DROP TRIGGER audit_entries_stay");
    database.exec("UPDATE audit_entries SET actor_name = 'somebody-else' WHERE sequence = 4");
    database.close();
    expect(await leat("verify")).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(
        /^3 entries are good, .*\nentry 4 is broken: it does not have the hash of what it says\n$/,
      ),
      stderr: "leat: the audit log was changed\n",
    });
    const json = JSON.parse((await leat("verify", "--json")).stdout) as object;
    expect(json).toMatchObject({ brokenSequence: "4", headSequence: "3", durable: true });
  });
});
