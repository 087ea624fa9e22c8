import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { AuditLogs } from "../../test/kit/audit-logs.ts";

/** Makes changes without end, three at a time, and says which have begun and which have their entry. */
const writer = `
  const [logPath, clientPath, kitPath, limitsPath, file] = process.argv.slice(1);
  const { AuditLog } = await import(logPath);
  const { StoreClient } = await import(clientPath);
  const { auditChange } = await import(kitPath);
  const { resolveLimits } = await import(limitsPath);
  const client = new StoreClient({ file, maxLockMs: 5000, maxPages: undefined }, undefined);
  const clock = { nowMs: () => Date.now(), wallMs: () => Date.now() };
  const limits = resolveLimits();
  const audit = new AuditLog({ client, durable: true, limits, clock, logger: undefined, onFailure: "refuse" });
  const change = async (lane) => {
    for (let n = 0; ; n++) {
      const name = lane + "-" + process.pid + "-" + n;
      const begun = await audit.begin(auditChange(name));
      process.stdout.write("begun " + name + "\\n");
      await audit.end(begun, "ok");
      process.stdout.write("ended " + name + "\\n");
    }
  };
  await Promise.all(["a", "b", "c"].map(change));
`;

test("after kill -9 the chain holds, and each change that had begun has one entry", async () => {
  await using logs = await AuditLogs.make();
  const begun = new Set<string>();
  const ended = new Set<string>();
  for (const count of [1, 7, 60]) {
    const paths = ["./audit-log.ts", "./store-client.ts", "../../test/kit/audit-logs.ts", "../limits.ts"];
    const urls = paths.map((path) => new URL(path, import.meta.url).href);
    const args = ["--input-type=module", "--eval", writer, ...urls, logs.file];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const exited = once(child, "exit");
    let said = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      const [what, name = ""] = line.split(" ");
      (what === "begun" ? begun : ended).add(name);
      if (++said === count) child.kill("SIGKILL");
    }
    await exited;
    expect(said).toBeGreaterThanOrEqual(count);
  }
  const audit = logs.open();
  await audit.upkeep();
  expect((await audit.verify(undefined)).broken).toBeUndefined();
  const { entries } = await audit.list({}, 1_000_000);
  const names = entries.map(({ target }) => target.name);
  expect(new Set(names).size).toBe(names.length);
  expect([...begun].filter((name) => !names.includes(name))).toEqual([]);
  const ok = entries.filter(({ outcome }) => outcome === "ok").map(({ target }) => target.name);
  expect([...ended].filter((name) => !ok.includes(name))).toEqual([]);
});
