import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { callCommand } from "../../../test/kit/call-command.ts";
import { lean, runCommand, type ServeProcess, startServe } from "../../../test/kit/leat-command.ts";
import { until } from "../../../test/kit/until.ts";

let folder: string;
let file: string;
let server: ServeProcess;

const atStart = "workers: 1\nlog:\n  level: info\nlimits:\n  accessCheckMs: 100ms\n";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-config-"));
  file = join(folder, "leat.yaml");
  await writeFile(file, atStart);
  server = await startServe(["--config", file, "--config-watch", "false"], {
    env: { LEAT_LIMITS_MAX_STREAM_WINDOW: "9" },
  });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  await writeFile(file, atStart);
  await config("reload");
});

/** Runs a subcommand against the server. */
function config(...args: readonly string[]) {
  return callCommand(["config", ...args, "--address", server.address]);
}

/** How the server shows a key. */
async function shown(key: string): Promise<{ value: string; origin: string; where: string; change: string }> {
  const { stdout } = await config("show", "--server", "--json");
  return JSON.parse(stdout).find((each: { key: string }) => each.key === key);
}

describe("a running server", () => {
  test("shows every key with its value and where that comes from", async () => {
    expect(await shown("workers")).toMatchObject({ value: "1", origin: "file", change: "live" });
    expect((await shown("log.level")).where).toMatch(/leat\.yaml:3:10$/);
    expect(await shown("limits.maxStreamWindow")).toMatchObject({
      value: "9",
      origin: "environment",
      where: "LEAT_LIMITS_MAX_STREAM_WINDOW",
    });
    expect(await shown("grpc.address")).toMatchObject({
      value: "127.0.0.1:0",
      origin: "flag",
      where: "--grpc-address",
      change: "restart",
    });
    expect(await shown("limits.maxBatchBytes")).toMatchObject({
      value: "4MiB",
      origin: "default",
      where: "",
    });
  });

  test("takes its file anew on SIGHUP to the supervisor, and says what takes a restart", async () => {
    await writeFile(file, `${atStart}  maxBatchRecords: 7\n  maxStages: 3\nstandby: false\n`);
    server.child.kill("SIGHUP");
    await until(async () => (await shown("limits.maxBatchRecords")).value === "7", "the file was taken");
    expect(await shown("limits.maxStages")).toMatchObject({ value: "16", origin: "default" });
    expect(server.stderr()).toMatch(/"needRestart":\{[^}]*"limits.maxStages":"16 -> 3"/);
    expect(server.stderr()).toContain('"standby":"true -> false"');
  });

  test("changes nothing by a file with a mistake, and names all of them", async () => {
    await writeFile(file, `${atStart}  maxBatchRecords: 7\n  maxBatchByte: 1\nworkers: none\n`);
    const reload = await config("reload");
    expect(reload.code).toBe(1);
    expect(reload.stderr).toMatch(/CONFIG_INVALID: .*Map keys must be unique/);
    await writeFile(file, "workers: none\nlimits:\n  maxBatchRecords: 7\n  maxBatchByte: 1\n");
    const again = await config("reload");
    expect(again.stderr).toMatch(/workers: "none" is not allowed; give a whole number of at least 1/);
    expect(again.stderr).toMatch(
      /leat\.yaml:4:3: limits.maxBatchByte: unknown key; did you mean maxBatchBytes\?/,
    );
    expect((await shown("limits.maxBatchRecords")).value).toBe("10000");
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/leat_config_changes_total\{outcome="refused"\} [1-9]/);
    expect(metrics).toMatch(/leat_config_taken_seconds\{?.* \d/);
  });

  test("refuses limits that do not fit together with those that take a restart", async () => {
    await writeFile(file, `${atStart}  maxGuestMemoryBytes: 128MiB\n  maxBatchBytes: 100MiB\n`);
    const { code, stderr } = await config("reload");
    expect(code).toBe(1);
    expect(stderr).toContain("maxBatchBytes must not exceed maxGuestMemoryBytes");
  });

  test("takes keys set by hand until the next reload, all or none", async () => {
    const set = await config("set", "log.level=debug", "limits.maxQueueDelayMs=500ms");
    expect(set.stdout).toBe(
      "changed log.level: info -> debug\nchanged limits.maxQueueDelayMs: 1s -> 500ms\n",
    );
    await config("set", "workers=2");
    expect(await shown("log.level")).toMatchObject({ value: "debug", origin: "rpc" });
    expect(await shown("workers")).toMatchObject({ value: "2", origin: "rpc" });

    const refused = await config("set", "workers=3", "http.address=false", "log.level=loud");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/http.address: takes a restart/);
    expect((await config("set", "workers=0")).stderr).toMatch(/"0" is not allowed; give a whole number/);
    expect((await config("set", "signatures.policy=off")).stderr).toMatch(/is set in the file only/);
    expect((await config("set", "workers")).code).toBe(2);
    const dry = await config("set", "workers=3", "--dry-run");
    expect(dry.stdout).toBe("would change workers: 2 -> 3\n");
    expect(await shown("workers")).toMatchObject({ value: "2" });

    const reload = await config("reload");
    expect(reload.stdout).toContain("changed workers: 2 -> 1\n");
    expect(await shown("log.level")).toMatchObject({ value: "info", origin: "file" });
    expect((await config("reload")).stdout).toBe("nothing has changed\n");
  });
});

test("a file that is replaced, by an editor or by a link as in Kubernetes, is taken anew by itself", async () => {
  const volume = join(folder, "volume");
  for (const [version, level] of [
    ["1", "info"],
    ["2", "warn"],
  ] as const) {
    await mkdir(join(volume, version), { recursive: true });
    await writeFile(
      join(volume, version, "leat.yaml"),
      `limits:\n  accessCheckMs: 50ms\nlog:\n  level: ${level}\n`,
    );
  }
  await symlink("1", join(volume, "..data"));
  await symlink("..data/leat.yaml", join(volume, "leat.yaml"));
  await using watching = await startServe([...lean, "--config", join(volume, "leat.yaml")]);
  const level = async (): Promise<string> => {
    const { stdout } = await callCommand([
      "config",
      "show",
      "--server",
      "--json",
      "--address",
      watching.address,
    ]);
    return JSON.parse(stdout).find((each: { key: string }) => each.key === "log.level").value;
  };
  await symlink("2", join(volume, "..tmp"));
  await rename(join(volume, "..tmp"), join(volume, "..data"));
  await until(async () => (await level()) === "warn", "the link was followed");
  await writeFile(join(volume, "new"), "limits:\n  accessCheckMs: 50ms\nlog:\n  level: error\n");
  await rename(join(volume, "new"), join(volume, "leat.yaml"));
  await until(async () => (await level()) === "error", "the replaced file was taken");
});

describe("leat config check", () => {
  test("names all mistakes of all files at once, with line and column", async () => {
    await writeFile(join(folder, "bad.yaml"), "grpc:\n  adress: x\nworkers: many\n");
    await writeFile(join(folder, "pipelines.yaml"), "name: p\nstages:\n  - module: m\n    retries: 1\n");
    const { code, stderr } = await callCommand(
      ["config", "check", "bad.yaml", "--pipelines", "pipelines.yaml"],
      {
        cwd: folder,
      },
    );
    expect(code).toBe(2);
    expect(stderr).toContain("leat: bad.yaml:2:3: grpc.adress: unknown key; did you mean address?\n");
    expect(stderr).toContain("leat: bad.yaml:3:10: workers: ");
    expect(stderr).toMatch(/leat: pipelines\.yaml:4:5: .*retries/);
  });

  test("is content with a good one, and tells a missing file from a wrong one", async () => {
    const good = await runCommand(["config", "check", file]);
    expect(good).toMatchObject({ code: 0, stdout: expect.stringContaining("no mistakes in ") });
    const missing = await callCommand(["config", "check", join(folder, "none.yaml")]);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain("cannot be read");
  });
});

test("what is shown has no secrets", async () => {
  const { stdout } = await callCommand(["config", "show", "--set", "--json"], {
    cwd: folder,
    env: { LEAT_TELEMETRY_OTLP_ENDPOINT: "http://user:hidden@collector:4317", LEAT_CONFIG: file },
  });
  expect(stdout).toContain("http://(secret)@collector:4317");
  expect(stdout).not.toContain("hidden");
});
