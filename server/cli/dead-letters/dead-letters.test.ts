import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callCommand } from "../../../test/kit/call-command.ts";
import { clockOf } from "../../../test/kit/clocks.ts";
import { draft, recordOf } from "../../../test/kit/dead-letters.ts";
import {
  type CommandResult,
  lean,
  runCommand,
  type ServeProcess,
  startServe,
} from "../../../test/kit/leat-command.ts";
import { moduleBytes } from "../../../test/kit/modules.ts";
import { resolveLimits } from "../../limits.ts";
import { DeadLetterStore } from "../../store/dead-letter-store.ts";

const pipelines = `pipelines:
  - name: strict
    stages:
      - module: program
        on_failure: dead_letter
  - name: lenient
    stages:
      - module: twice
`;

let folder: string;
let server: ServeProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-dead-letters-"));
  await writeFile(join(folder, "program@1.0.0.wasm"), await moduleBytes("program"));
  await writeFile(join(folder, "twice.wasm"), await moduleBytes("marked"));
  await writeFile(join(folder, "pipelines.yaml"), pipelines);
  await writeFile(join(folder, "leat.yaml"), "data: kept\nmodules: .\npipelines: pipelines.yaml\n");
  server = await startServe([...lean, "--log-level", "warn"], { cwd: folder });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function leat(args: readonly string[], input?: string, run = callCommand): Promise<CommandResult> {
  const env = { LEAT_ADDRESS: server.address };
  return run(args, { cwd: folder, env, ...(input !== undefined && { input }) });
}

async function letters(...args: readonly string[]): Promise<{ id: string; code: string }[]> {
  const { stdout } = await leat(["dead-letters", "list", "--json", ...args]);
  return stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { id: string; code: string });
}

describe("leat dead-letters", () => {
  test("lists, shows, replays and purges what a pipeline gave up on, across a restart of the server", async () => {
    expect((await leat(["dead-letters", "list"])).stderr).toBe("no dead letters\n");
    const format = ["--format", "lines"];
    await leat(["transform", "--pipeline", "strict", ...format], "a1\nx and more\nt\nb2\n");
    await server.stop();
    server = await startServe([...lean, "--log-level", "warn"], { cwd: folder });

    const listed = await leat(["dead-letters", "list"], "", runCommand);
    expect(listed).toMatchObject({ code: 0, stderr: "" });
    expect(listed.stdout).toMatch(/^ID +TIME +PIPELINE +STAGE +MODULE +CODE +TRIES +SIZE\n/);
    expect(listed.stdout).toMatch(/^\S+ +20\S+Z +strict +program +program@1\.0\.0 +refused +1 +12 B$/m);
    const [refused] = await letters("--code", "refused", "--since", "1h");
    const [trapped] = await letters("--code", "trap", "--module", "program@1.0.0");
    expect(await letters("--until", "2020-01-01")).toEqual([]);

    const shown = await leat(["dead-letters", "show", refused?.id ?? ""]);
    expect(shown.stdout).toMatch(/^record value: +x and more$/m);
    expect(shown.stdout).toMatch(/^message: +asked to$/m);
    const json = JSON.parse((await leat(["dead-letters", "show", refused?.id ?? "", "--json"])).stdout);
    expect(json).toMatchObject({ record: { value: Buffer.from("x and more").toString("base64") } });

    const again = await leat(["dead-letters", "replay", "--pipeline", "strict"]);
    expect(again.code).toBe(1);
    expect(again.stdout).toContain(`${refused?.id} failed again with refused at program: asked to\n`);
    expect(again.stderr).toBe("replayed 2: 0 came through, 2 failed again\n");
    const through = await leat([
      "dead-letters",
      "replay",
      refused?.id ?? "",
      "--through",
      "lenient",
      "--json",
    ]);
    expect(through).toMatchObject({ code: 0, stderr: "replayed 1: 1 came through, 0 failed again\n" });
    expect(JSON.parse(through.stdout)).toMatchObject({ id: refused?.id, removed: true });

    expect((await letters()).map(({ id }) => id)).toEqual([trapped?.id]);
    const purged = await leat(["dead-letters", "purge", "--stage", "program"]);
    expect(purged).toMatchObject({ code: 0, stdout: "removed 1 dead letter\n", stderr: "" });
    expect(await leat(["dead-letters", "purge", "--all"])).toMatchObject({
      stdout: "removed 0 dead letters\n",
    });
  });

  test("says which letter is not there, and what to do", async () => {
    expect(await leat(["dead-letters", "show", "nowhere"])).toMatchObject({
      code: 1,
      stderr:
        'leat: DEAD_LETTER_NOT_FOUND: no dead letter nowhere; "leat dead-letters list" shows what is kept\n',
    });
  });

  test("removes nothing and runs nothing unless told what", async () => {
    expect(await leat(["dead-letters", "purge"])).toMatchObject({ code: 2, stdout: "" });
    expect(await leat(["dead-letters", "replay"])).toMatchObject({ code: 2, stdout: "" });
    expect(await leat(["dead-letters", "purge", "--all", "--code", "trap"])).toMatchObject({ code: 2 });
    const time = await leat(["dead-letters", "list", "--since", "yesterday"]);
    expect(time.stderr).toMatch(/Give a date such as 2026-01-31T12:00:00Z, or how long ago: 30s, 10m, 2h\./);
  });

  test("shows bytes that are no text as base64, and nothing that moves a terminal's cursor", async () => {
    await server.stop();
    const clock = clockOf(() => Date.now());
    const file = join(folder, "kept", "leat.sqlite");
    const store = await DeadLetterStore.open({ file, limits: resolveLimits(), clock });
    const letter = { timeMs: Date.now(), message: "\u001b[2J", record: recordOf(Uint8Array.of(0xff, 0)) };
    await store.write([draft("odd", letter)]);
    await store.close();
    server = await startServe([...lean, "--log-level", "warn"], { cwd: folder });
    const { stdout } = await leat(["dead-letters", "show", "odd"]);
    expect(stdout).toMatch(/^record value: +base64:\/wA=$/m);
    expect(stdout).not.toContain("\u001b");
  });
});
