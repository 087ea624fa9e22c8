import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Leat, text } from "@leat/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callCommand } from "../../test/kit/call-command.ts";
import { lean, type ServeProcess, startServe } from "../../test/kit/leat-command.ts";
import { moduleBytes } from "../../test/kit/modules.ts";
import { until } from "../../test/kit/until.ts";
import { wat } from "../../test/kit/wat.ts";

/** V8 takes its time to give up, and each start takes another second on a busy machine. */
const patience = { timeout: 90_000 };

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-abort-"));
  await mkdir(join(folder, "modules"));
  await writeFile(join(folder, "modules/aborter@1.wasm"), await moduleBytes("aborter"));
  await writeFile(join(folder, "modules/steady@1.wasm"), await moduleBytes("marked"));
  await writeFile(
    join(folder, "pipelines.yaml"),
    ["aborter", "steady"].map((name) => `---\nname: ${name}\nstages:\n  - module: ${name}\n`).join(""),
  );
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Admits tables that do not fit the heap of a worker. */
const tables = ["--limit", "maxTableEntries=10000000", "--limit", "maxInstanceHeapBytesPerWorker=2GiB"];

/** A server that admits tables which do not fit the heap of a worker. */
function serve(...more: readonly string[]): Promise<ServeProcess> {
  const given = ["--modules", join(folder, "modules"), "--pipelines", join(folder, "pipelines.yaml")];
  return startServe([...given, ...tables, "--workers", "2", "--log-level", "warn", ...more]);
}

/** Resolves to the reason with which calls to the pipeline are refused. */
async function refusal(leat: Leat, pipeline: string): Promise<string> {
  let reason = "";
  await until(async () => {
    const error = await leat.transform(pipeline, [{ value: "a" }]).then(
      () => undefined,
      (thrown: { reason?: string }) => thrown,
    );
    reason = error?.reason ?? "";
    return reason !== "";
  }, `calls to ${pipeline} are refused`);
  return reason;
}

/** The processes under the supervisor: the one that serves is the oldest. */
function childPids({ child }: ServeProcess): number[] {
  const text = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
  return text.trim().split(" ").map(Number);
}

/** The server process under the supervisor. */
function serverPid(server: ServeProcess): number {
  return childPids(server)[0] ?? 0;
}

/** How often a server process was started again. */
function restarts(server: ServeProcess): number {
  return server.stderr().match(/starting it again/g)?.length ?? 0;
}

describe("a module that makes V8 abort", patience, () => {
  test("brings no mistake to light that was made in a file meanwhile: the next process goes on with what served", async () => {
    const own = await mkdtemp(join(folder, "mistakes-"));
    await cp(join(folder, "modules"), join(own, "modules"), { recursive: true });
    const [config, pipelines] = [join(own, "leat.yaml"), join(own, "pipelines.yaml")];
    await cp(join(folder, "pipelines.yaml"), pipelines);
    const settings = `data: data\nmodules: modules\npipelines: pipelines.yaml\n`;
    await writeFile(
      config,
      `${settings}limits: { maxTableEntries: 10000000, maxInstanceHeapBytesPerWorker: 2GiB, maxBatchRecords: 7 }\n`,
    );
    await using server = await startServe([...lean, "--config", config]);
    await using leat = new Leat(server.address);
    const settingOf = async (key: string): Promise<string | undefined> =>
      (await leat.config.getConfig({})).settings.find((setting) => setting.key === key)?.value;
    // A good change first, which is what the next process shall have.
    await writeFile(
      config,
      `${settings}limits: { maxTableEntries: 10000000, maxInstanceHeapBytesPerWorker: 2GiB, maxBatchRecords: 8 }\n`,
    );
    await leat.config.reloadConfig({});
    await writeFile(config, "workers: many\n");
    await expect(leat.config.reloadConfig({})).rejects.toThrow(/workers/);
    await writeFile(join(own, "modules/broken@1.wasm"), "no module");
    await writeFile(pipelines, "name: steady\nstages: none\n");

    await expect(leat.transform("aborter", [{ value: "!" }])).rejects.toThrow();
    expect(await refusal(leat, "aborter")).toBe("MODULE_QUARANTINED");
    await expect(leat.transform("steady", [{ value: "a" }])).resolves.toBeDefined();
    expect(await settingOf("limits.maxBatchRecords")).toBe("8");
    expect(restarts(server)).toBe(1);
    const said = server.stderr();
    expect(said).toMatch(/workers.*the configuration cannot be used; the one before it is in force/);
    expect(said).toMatch(/broken@1\.wasm.*left out at this restart/);
    expect(said).toMatch(/pipelines\.yaml.*left out at this restart/);
  });

  test("is quarantined also where the data folder cannot be written, and from there on once it can", async () => {
    const data = await mkdtemp(join(folder, "data-"));
    const book = join(data, "quarantine.json");
    // In the way of whoever writes the book, the superuser included.
    await mkdir(`${book}.next`);
    {
      await using server = await serve("--data", data, ...lean);
      await using leat = new Leat(server.address);
      await expect(leat.transform("aborter", [{ value: "!" }])).rejects.toThrow();
      expect(await refusal(leat, "aborter")).toBe("MODULE_QUARANTINED");
      expect(server.stderr()).toMatch(/the quarantine cannot be written: EISDIR.*\n.* is kept in .* until/);
      await expect(leat.transform("steady", [{ value: "a" }])).resolves.toBeDefined();
      await rm(`${book}.next`, { recursive: true });
    }
    expect(JSON.parse(await readFile(book, "utf8"))).toMatchObject({ modules: [{ strikes: 1 }] });
  });

  test("is quarantined when it ran alone, and the server serves all others", async () => {
    await using server = await serve();
    await using leat = new Leat(server.address);
    await expect(leat.transform("aborter", [{ value: "fine" }])).resolves.toBeDefined();
    await expect(leat.transform("aborter", [{ value: "!" }])).rejects.toThrow();
    const diedMs = performance.now();
    await until(
      () =>
        leat.transform("steady", [{ value: "a" }]).then(
          () => true,
          () => false,
        ),
      "the server is back",
    );
    console.log(
      `from the failed call to the first answered one: ${Math.round(performance.now() - diedMs)} ms`,
    );

    expect(await refusal(leat, "aborter")).toBe("MODULE_QUARANTINED");
    expect(server.stderr()).toContain("was ended by SIGABRT (6); starting it again");
    const ready = await fetch(`${server.url}/readyz`);
    expect(ready.status).toBe(200);
    expect(await ready.text()).toMatch(
      /^ready\nmodule_quarantined: module aborter@1 \(sha256:\w+\) is in quarantine .* SIGABRT /,
    );
    expect(await (await fetch(`${server.url}/metrics`)).text()).toMatch(
      /^leat_module_quarantined\{.*module="aborter".*\} 1$/m,
    );
    const list = await callCommand(["module", "list", "--address", server.address]);
    expect(list.stdout).toMatch(/^aborter +1 +yes +quarantined /m);

    const wasm = await moduleBytes("aborter");
    await expect(leat.modules.loadModule({ name: "again", wasm })).rejects.toMatchObject({
      reason: "MODULE_QUARANTINED",
    });
    const release = await callCommand(["module", "release", "aborter", "--address", server.address]);
    expect(release.stdout).toMatch(/^released aborter \(sha256:/);
    await expect(leat.transform("aborter", [{ value: "fine" }])).resolves.toBeDefined();
    expect(await (await fetch(`${server.url}/readyz`)).text()).toBe("ready\n");

    // Another version takes its place while it is in quarantine again.
    await expect(leat.transform("aborter", [{ value: "!" }])).rejects.toThrow();
    expect(await refusal(leat, "aborter")).toBe("MODULE_QUARANTINED");
    await leat.modules.loadModule({ name: "aborter", version: "2", wasm: await moduleBytes("marked") });
    await expect(leat.transform("aborter", [{ value: "fine" }])).resolves.toBeDefined();
  });

  test("at its start is put aside, and the server starts without it", async () => {
    const data = join(folder, "data");
    const modules = join(folder, "bad-modules");
    await mkdir(modules);
    const source = await readFile(new URL("../../test/modules/aborter.wat", import.meta.url), "utf8");
    const started = source.replace("(func $abort", "(start $abort)\n  (func $abort");
    await writeFile(join(modules, "broken@1.wasm"), wat(started));
    await writeFile(join(modules, "steady@1.wasm"), await moduleBytes("marked"));
    const given = ["--modules", modules, ...tables, "--data", data, ...lean];
    for (const start of ["the first", "a later"]) {
      await using server = await startServe(given);
      await using leat = new Leat(server.address);
      const refused = leat.transform({ modules: ["broken"] }, [{ value: "a" }]);
      await expect(refused, `${start} supervisor`).rejects.toMatchObject({ reason: "MODULE_QUARANTINED" });
      await expect(leat.transform({ modules: ["steady"] }, [{ value: "a" }])).resolves.toBeDefined();
      expect(restarts(server), `${start} supervisor`).toBe(start === "the first" ? 1 : 0);
      if (start === "the first") continue;
      const list = await callCommand(["module", "list", "--json", "--address", server.address]);
      const held = JSON.parse(list.stdout).filter((module: object) => "quarantine" in module);
      expect(held).toMatchObject([{ digest: expect.stringMatching(/^sha256:/), quarantine: {} }]);
    }
  });

  test("leaves a stream beside it complete, exactly once and in order, and alone is quarantined", async () => {
    await using server = await serve();
    await using leat = new Leat(server.address);
    const records = 20_000;
    let taken = 0;
    async function* source(): AsyncGenerator<string> {
      for (let number = 0; number < records || restarts(server) < 1; number++) {
        taken = number + 1;
        yield String(number);
        if (number % 500 === 499) await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    const results = leat.stream("steady", source(), { codec: text(), batchRecords: 100 });
    const offender = new Leat(server.address);
    const offence = (async () => {
      await until(() => taken > 2_000, "the stream is under way");
      // It comes back until it is named, as a stream that sends again would.
      await until(async () => {
        const error = await offender.transform("aborter", [{ value: "!" }]).catch((thrown) => thrown);
        return (error as { reason?: string }).reason === "MODULE_QUARANTINED";
      }, "the offender is quarantined");
    })();
    const got: string[] = [];
    for await (const result of results) got.push(...result.outputs);
    await offence;
    await offender[Symbol.asyncDispose]();
    expect(got.findIndex((value, at) => value !== String(at))).toBe(-1);
    expect(got).toHaveLength(taken);
    expect(await (await fetch(`${server.url}/readyz`)).text()).toMatch(
      /^ready\nmodule_quarantined: module aborter@1 [^\n]*\n$/,
    );
    console.log(`${restarts(server)} restarts until the offender was named; ${taken} records in order`);
  });
});

describe("leat serve", patience, () => {
  test("lets the process that stands by take over on the same ports, blames nobody, has another stand by, starts anew when that is gone, and leaves none behind", async () => {
    await using server = await serve("--limit", "maxSpareWorkers=0");
    await using leat = new Leat(server.address);
    await leat.transform("aborter", [{ value: "fine" }]);
    for (let round = 0; round < 2; round++) {
      await until(() => childPids(server).length === 2, "a process stands by");
      const [first = 0, second = 0] = childPids(server);
      process.kill(first, "SIGKILL");
      await until(() => server.stderr().split(" serves gRPC on ").length === round + 3, "the server is back");
      expect(serverPid(server)).toBe(second);
      expect(restarts(server)).toBe(round + 1);
      await until(
        () =>
          leat.transform("aborter", [{ value: "fine" }]).then(
            () => true,
            () => false,
          ),
        "calls are answered again",
      );
      expect(await (await fetch(`${server.url}/readyz`)).text()).toBe("ready\n");
    }
    // Where the process that stood by is gone as well, there is another start.
    await until(() => childPids(server).length === 2, "a process stands by");
    const [first = 0, second = 0] = childPids(server);
    process.kill(second, "SIGKILL");
    process.kill(first, "SIGKILL");
    await until(() => server.stderr().split(" serves gRPC on ").length === 5, "the server is back");
    expect(serverPid(server)).not.toBe(second);
    await until(() => childPids(server).length === 2, "a process stands by");
    const pids = childPids(server);
    expect(await server.stop()).toBe(0);
    expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
  });

  test("starts anew where none shall stand by, and gives up when it is killed too often, with exit code 1", async () => {
    await using server = await serve(...lean, "--limit", "maxRestarts=1");
    const first = serverPid(server);
    process.kill(first, "SIGKILL");
    await until(() => server.stderr().split(" serves gRPC on ").length === 3, "the server is back");
    expect(childPids(server)).not.toContain(first);
    process.kill(serverPid(server), "SIGKILL");
    expect(await server.ended).toBe(1);
    expect(server.stderr()).toMatch(/SIGKILL \(9\); giving up after 1 restarts within 60 s\n/);
  });
});
