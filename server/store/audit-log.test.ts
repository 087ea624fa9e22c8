import { copyFileSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { AuditLogs, addEntries, auditChange } from "../../test/kit/audit-logs.ts";
import { createLogger } from "../telemetry/logger.ts";
import { noTarget } from "./audit-entry.ts";
import type { AuditLog } from "./audit-log.ts";
import type { StoreCalls } from "./store-calls.ts";
import { StoreClient } from "./store-client.ts";

const dayMs = 24 * 3_600_000;

let logs: AuditLogs;

beforeEach(async () => {
  logs = await AuditLogs.make();
});

afterEach(() => logs[Symbol.asyncDispose]());

describe("retention", () => {
  test("removes the oldest entries beyond their number, and the chain holds from its anchor on", async () => {
    const audit = logs.open({ limits: { maxAuditEntries: 100 } });
    await addEntries(audit, 150);
    const { entries } = await audit.list({}, 1_000);
    expect(entries.length).toBeLessThanOrEqual(100);
    const verdict = await audit.verify(undefined);
    expect(verdict).toMatchObject({ broken: undefined, last: { sequence: entries[0]?.sequence } });
    expect(verdict.anchor.sequence).toBe((entries.at(-1)?.sequence ?? 0) - 1);
    expect(entries.at(-1)?.previousHash).toBe(verdict.anchor.hash);
    const told = entries.find(({ action }) => action === "audit/retain");
    expect(told).toMatchObject({ actor: { kind: "server" }, target: { kind: "audit-log" } });
    await expect(audit.verify({ sequence: 1, hash: "0".repeat(64) })).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
    });
  });

  test("removes entries that are too old, and says so in one that stays", async () => {
    const audit = logs.open({ limits: { maxAuditAgeDays: 1 } });
    await addEntries(audit, 3);
    logs.nowMs += 0.9 * dayMs;
    await addEntries(audit, 2, 4);
    logs.nowMs += 0.9 * dayMs;
    await audit.upkeep();
    const { entries } = await audit.list({}, 10);
    expect(entries.map(({ target }) => target.name)).toEqual(["up to 3", "m5", "m4"]);
    logs.nowMs += 1_000 * dayMs;
    await audit.upkeep();
    expect((await audit.verify(undefined)).broken).toBeUndefined();
    expect((await audit.list({}, 10)).entries.length).toBe(2);
  });

  test("holds up no entry: one that comes while old ones are removed is written with those before it", async () => {
    const audit = logs.open({ limits: { maxAuditEntries: 10 } });
    await addEntries(audit, 10);
    const written: string[] = [];
    let late: Promise<void> | undefined;
    const original = StoreClient.prototype.call;
    using _ = vi.spyOn(StoreClient.prototype, "call").mockImplementation(function (
      this: StoreClient,
      name,
      request,
      transfer,
    ) {
      if (name === "retainAudit") late ??= audit.note(auditChange("late"));
      if (name === "appendAudit") {
        const { ended } = request as StoreCalls["appendAudit"]["request"];
        written.push(...ended.map(({ draft }) => draft.target.name));
      }
      return original.call(this, name, request, transfer) as never;
    });
    await addEntries(audit, 1, 11);
    await late;
    expect(written).toEqual(["m11", "late"]);
  });

  test("keeps fewer in memory", async () => {
    const audit = logs.open({ file: null, limits: { maxAuditEntriesInMemory: 20 } });
    await addEntries(audit, 50);
    expect((await audit.list({}, 100)).entries.length).toBeLessThanOrEqual(20);
  });
});

describe("a server that ends", () => {
  test("while a change is under way leaves word of it, and a chain that holds", async () => {
    const before = logs.open();
    await addEntries(before, 1);
    await before.begin(auditChange("half"));
    await logs.close();
    const audit = logs.open();
    await addEntries(audit, 1, 2);
    const { entries } = await audit.list({}, 10);
    expect(entries.map(({ target, outcome }) => `${target.name} ${outcome}`)).toEqual([
      "m2 ok",
      "half INTERRUPTED",
      "m1 ok",
    ]);
    expect((await audit.verify(undefined)).broken).toBeUndefined();
  });

  test("at any moment leaves a chain that holds, with every change that had begun", async () => {
    const audit = logs.open();
    const copies: [path: string, begun: number][] = [];
    let begun = 0;
    const copy = async (): Promise<void> => {
      const to = join(logs.folder.path, `copy-${copies.length}`);
      for (const suffix of ["", "-wal"]) {
        if (existsSync(logs.file + suffix)) copyFileSync(logs.file + suffix, to + suffix);
      }
      copies.push([to, begun]);
    };
    for (let n = 0; n < 3; n++) {
      const each = await audit.begin(auditChange(`m${n}`));
      begun++;
      await copy();
      await audit.end(each, n % 2 === 0 ? "ok" : "MODULE_MALFORMED");
      await copy();
    }
    for (const [path, count] of copies) {
      const again = logs.open({ file: path });
      await again.upkeep();
      expect((await again.verify(undefined)).broken).toBeUndefined();
      expect((await again.list({}, 100)).entries.length).toBe(count);
    }
  });
});

describe("a store that cannot be written", () => {
  /** Locks the file as another process would. */
  function lock(): DatabaseSync {
    const other = new DatabaseSync(logs.file);
    other.exec("BEGIN EXCLUSIVE");
    return other;
  }

  const openWith = (onFailure: "refuse" | "warn"): AuditLog =>
    logs.open({ onFailure, limits: { maxAuditWaiting: 3 }, maxLockMs: 1 });

  test("has changes refused before they begin", async () => {
    const audit = openWith("refuse");
    await addEntries(audit, 1);
    const other = lock();
    await expect(audit.begin(auditChange("m2"))).rejects.toMatchObject({ reason: "AUDIT_UNAVAILABLE" });
    expect(audit.stats.failures).toBe(1);
    other.close();
    await audit.end(await audit.begin(auditChange("m3")), "ok");
    expect((await audit.list({}, 10)).entries.map(({ target }) => target.name)).toEqual(["m3", "m1"]);
  });

  test("or lets them go on where the policy warns, and gets their entries later", async () => {
    const audit = openWith("warn");
    await addEntries(audit, 1);
    const other = lock();
    for (const name of ["m2", "m3", "m4", "m5"]) await audit.end(await audit.begin(auditChange(name)), "ok");
    expect(audit.stats).toMatchObject({ lost: 1 });
    other.close();
    await audit.upkeep();
    expect((await audit.list({}, 10)).entries.map(({ target }) => target.name)).toEqual([
      "m5",
      "m4",
      "m3",
      "m1",
    ]);
    expect((await audit.verify(undefined)).broken).toBeUndefined();
  });

  test("keeps the entry of a change that was made meanwhile", async () => {
    const audit = openWith("refuse");
    const begun = await audit.begin(auditChange("made"));
    const other = lock();
    await audit.end(begun, "ok");
    await expect(audit.begin(auditChange("next"))).rejects.toMatchObject({ reason: "AUDIT_UNAVAILABLE" });
    other.close();
    await audit.end(await audit.begin(auditChange("next")), "ok");
    expect((await audit.list({}, 10)).entries.map(({ target }) => target.name)).toEqual(["next", "made"]);
  });
});

test("refusals are bounded, and the next entry of one says how many have none", async () => {
  const audit = logs.open({ limits: { maxAuditRefusalsPerMinute: 2 } });
  for (let n = 1; n <= 5; n++) audit.refused(auditChange(`m${n}`), "ROLE_MISSING");
  logs.nowMs += 60_000;
  audit.refused(auditChange("m6"), "ROLE_MISSING");
  await audit.upkeep();
  const { entries } = await audit.list({ outcome: "failed" }, 10);
  expect(entries.map(({ target, omitted }) => [target.name, omitted])).toEqual([
    ["m6", 3],
    ["m2", 0],
    ["m1", 0],
  ]);
  expect(audit.stats.omitted).toBe(3);
});

test("entries are found by time, principal, action, target and outcome, page by page", async () => {
  const audit = logs.open();
  await addEntries(audit, 5);
  logs.nowMs += 1_000;
  const digest = `sha256:${"a".repeat(64)}`;
  const target = { ...noTarget, kind: "module" as const, name: "other", version: "2", digest };
  const actor = { kind: "jwt" as const, name: "ops", roles: [], peer: "" };
  await audit.note(
    auditChange("", { target, actor, action: "leat.v1.ModuleService/UnloadModule" }),
    "MODULE_IN_USE",
  );
  const sequences = async (filter: Parameters<AuditLog["list"]>[0]) =>
    (await audit.list(filter, 10)).entries.map(({ sequence }) => sequence);
  for (const filter of [
    { sinceMs: logs.nowMs },
    { principal: "ops" },
    { action: "UnloadModule" },
    { action: "leat.v1.ModuleService/UnloadModule" },
    { target: "other" },
    { target: "other@2" },
    { target: digest },
    { outcome: "failed" },
    { outcome: "MODULE_IN_USE" },
  ])
    expect(await sequences(filter), JSON.stringify(filter)).toEqual([6]);
  expect(await sequences({ untilMs: logs.nowMs })).toEqual([5, 4, 3, 2, 1]);
  expect(await sequences({ action: "Module" })).toEqual([]);
  const first = await audit.list({}, 4);
  expect(first.next).toBe(3);
  const second = await audit.list({}, 4, first.next);
  expect(second.entries.map(({ sequence }) => sequence)).toEqual([2, 1]);
  expect(second.next).toBeUndefined();
});

test("a file that was set aside is told in the new one, with the last entry of the old one", async () => {
  const before = logs.open();
  await addEntries(before, 3);
  const { last } = await before.verify(undefined);
  await logs.close();
  const audit = logs.open();
  await audit.upkeep();
  for (const suffix of ["", "-wal", "-shm"]) rmSync(logs.file + suffix, { force: true });
  await addEntries(audit, 1, 4);
  await audit.upkeep();
  const { entries } = await audit.list({ action: "begin-anew" }, 1);
  expect(entries[0]).toMatchObject({ target: { kind: "audit-log", digest: `sha256:${last.hash}` } });
  expect(entries[0]?.detail).toBe("the file was gone; its last entry was 3");
  expect((await audit.verify(undefined)).broken).toBeUndefined();
});

test("the server's log has the last entry, at its start and at its end", async () => {
  const lines: string[] = [];
  const logger = createLogger({ destination: { write: (line) => lines.push(line) } });
  const audit = logs.open({ logger });
  await addEntries(audit, 2);
  const { last } = await audit.verify(undefined);
  await logs.close();
  const [start, end] = lines.map((line) => JSON.parse(line) as object);
  expect(start).toMatchObject({ sequence: 0, hash: "0".repeat(64), msg: "the audit log goes on from here" });
  expect(end).toMatchObject({ ...last, msg: "the audit log ends here" });
});
