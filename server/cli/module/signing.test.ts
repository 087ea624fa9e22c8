import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { callCommand } from "../../../test/kit/call-command.ts";
import { type CommandResult, lean, runCommand, startServe } from "../../../test/kit/leat-command.ts";
import { moduleBytes } from "../../../test/kit/modules.ts";
import { until } from "../../../test/kit/until.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-signing-"));
  await writeFile(join(folder, "m.wasm"), await moduleBytes("program"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function leat(words: string, input = "", run = callCommand): Promise<CommandResult> {
  return run(words.split(" "), { cwd: folder, input });
}

test("a key is made, a module signed with it and verified, runs as before, and shows when it was changed", async () => {
  expect(await leat("module keygen ours", "", runCommand)).toMatchObject({ code: 0 });
  expect(await leat("module keygen theirs --pem")).toMatchObject({ code: 0 });
  expect((await leat("module keygen ours", "", runCommand)).stderr).toContain(
    "ours.sk is there already, and stays",
  );
  expect(await leat("module verify m.wasm")).toMatchObject({ code: 2, stdout: "" });
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

test("a server that requires signatures says what it refuses, by whom the rest is signed, and takes new keys as they come", async () => {
  await Promise.all(["first", "second"].map((name) => leat(`module keygen ${name}`)));
  await writeFile(join(folder, "keys.yaml"), "keys: [{ name: release, file: first.pk }]");
  await Promise.all([
    leat("module sign m.wasm --key second.sk --detached -o second.sig"),
    leat("module sign m.wasm --key first.sk -o inside.wasm"),
  ]);
  expect((await leat("module verify inside.wasm --keys keys.yaml")).stdout).toContain("signed by release (");
  const policy = ["--signatures-policy", "require", "--signatures-keys", "keys.yaml"];
  await using server = await startServe([...lean, ...policy, "--limit", "accessCheckMs=50ms"], {
    cwd: folder,
  });
  const at = `--address ${server.address}`;

  const unsigned = await leat(`module load m.wasm ${at}`);
  expect(unsigned).toMatchObject({ code: 1, stdout: "" });
  expect(unsigned.stderr).toMatch(/^leat: MODULE_UNSIGNED: module m@\w+ has no signature.*leat module sign/s);
  const beside = `module load m.wasm --version 1 --signature second.sig ${at}`;
  expect((await leat(beside)).stderr).toContain("MODULE_SIGNER_UNKNOWN");
  expect(await leat(`module load inside.wasm --version 1 ${at}`)).toMatchObject({ code: 0 });

  await writeFile(join(folder, "keys.yaml"), "keys: [{ name: next, file: second.pk }]");
  await until(
    () => server.stderr().includes("the list of signing keys was taken anew"),
    "the new list is taken",
  );
  expect(await leat(beside)).toMatchObject({ code: 0 });
  const [list, show, refused] = await Promise.all(
    ["list", "show m", "show inside"].map((words) => leat(`module ${words} ${at}`)),
  );
  expect(list?.stdout).toMatch(/^inside +1 +yes +refused +not verified /m);
  expect(list?.stdout).toMatch(/^m +1 +yes +next /m);
  expect(show?.stdout).toMatch(
    /^signature: +verified \(beside it, taken 20.*\nsigned by: +next \([0-9a-f]{24}\)$/m,
  );
  expect(refused?.stdout).toMatch(/^signature: +not verified \(in it, taken 20.*: MODULE_SIGNER_UNKNOWN: /m);
  expect(refused?.stdout).toMatch(/^signed by: +[0-9a-f]{24}, which does not count: the key is not known$/m);
  expect(await (await fetch(`${server.url}/readyz`)).text()).toContain(
    "refused: module inside@1 is signed by no key",
  );
  const figures = await (await fetch(`${server.url}/metrics`)).text();
  expect(figures).toContain("leat_module_signature_refused 1\n");
  expect(figures).toContain('leat_module_signatures_total{outcome="MODULE_UNSIGNED"} 1\n');
});
