import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CommandResult, runCommand } from "../../../test/kit/leat-command.ts";
import { moduleBytes } from "../../../test/kit/modules.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-signing-"));
  await writeFile(join(folder, "m.wasm"), await moduleBytes("program"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function leat(words: string, input = ""): Promise<CommandResult> {
  return runCommand(words.split(" "), { cwd: folder, input });
}

test("a key is made, a module signed with it and verified, runs as before, and shows when it was changed", async () => {
  expect(await leat("module keygen ours")).toMatchObject({ code: 0 });
  expect(await leat("module keygen theirs --pem")).toMatchObject({ code: 0 });
  expect((await leat("module keygen ours")).stderr).toContain("ours.sk is there already, and stays");
  expect(await leat("module verify m.wasm -k ours.pk")).toMatchObject({ code: 1, stdout: "" });

  expect(await leat("module sign m.wasm --key ours.sk -o signed.wasm")).toMatchObject({ code: 0 });
  expect((await leat("module verify signed.wasm -k theirs.pk -k ours.pk")).stdout).toContain(
    "signed by ours.pk",
  );
  const stranger = await leat("module verify signed.wasm -k theirs.pk");
  expect(stranger).toMatchObject({ code: 1 });
  expect(stranger.stderr).toContain("signed by none of these keys");
  expect(await leat("run signed.wasm --format lines", "-a\n")).toMatchObject({ code: 0, stdout: "a\n" });

  const bytes = await readFile(join(folder, "signed.wasm"));
  await writeFile(join(folder, "changed.wasm"), bytes.with(bytes.length - 1, (bytes.at(-1) ?? 0) ^ 1));
  const changed = await leat("module verify changed.wasm -k ours.pk");
  expect(changed).toMatchObject({ code: 1 });
  expect(changed.stderr).toContain("wrong signature in the name of ours.pk");
});

test("a signature beside the module leaves its digest alone", async () => {
  await leat("module keygen beside");
  expect(await leat("module sign m.wasm --key beside.sk --detached")).toMatchObject({ code: 0 });
  expect((await leat("module verify m.wasm -k beside.pk --signature m.wasm.sig")).stdout).toContain(
    "beside.pk",
  );
  expect(await readFile(join(folder, "m.wasm"))).toEqual(Buffer.from(await moduleBytes("program")));
});
