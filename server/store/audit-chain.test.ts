import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AuditLogs, addEntries, auditChange } from "../../test/kit/audit-logs.ts";
import { auditHash } from "./audit-entry.ts";

let logs: AuditLogs;

beforeEach(async () => {
  logs = await AuditLogs.make();
});

afterEach(() => logs[Symbol.asyncDispose]());

/** Does to the file what its triggers would not let anybody do. */
function tamper(...statements: readonly string[]): void {
  const database = new DatabaseSync(logs.file);
  const triggers = database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'audit_%'")
    .all();
  for (const { name } of triggers) database.exec(`DROP TRIGGER ${name}`);
  for (const statement of statements) database.exec(statement);
  database.close();
}

async function brokenAfter(...statements: readonly string[]): Promise<object | undefined> {
  const audit = logs.open();
  await addEntries(audit, 5);
  await logs.close();
  tamper(...statements);
  return (await logs.open().verify(undefined)).broken;
}

describe("the chain", () => {
  test("has each entry follow from the one before, with the hash that the documentation states", async () => {
    const audit = logs.open();
    await addEntries(audit, 3);
    const { entries } = await audit.list({}, 10);
    expect(entries.map(({ sequence }) => sequence)).toEqual([3, 2, 1]);
    expect(entries[2]?.previousHash).toBe("0".repeat(64));
    expect(entries[0]?.previousHash).toBe(entries[1]?.hash);
    for (const entry of entries)
      expect(auditHash(entry.previousHash, entry.sequence, entry)).toBe(entry.hash);
    expect(await audit.verify(undefined)).toMatchObject({ last: { sequence: 3 }, broken: undefined });
  });

  test("goes on where the server before has ended", async () => {
    const before = logs.open();
    await addEntries(before, 2);
    await logs.close();
    const audit = logs.open();
    await addEntries(audit, 2, 3);
    expect(await audit.verify(undefined)).toMatchObject({ last: { sequence: 4 }, broken: undefined });
  });

  test("keeps the order in which changes ended, however many end at once", async () => {
    const audit = logs.open();
    const begun = await Promise.all(Array.from({ length: 50 }, (_, n) => audit.begin(auditChange(`m${n}`))));
    await Promise.all(begun.toReversed().map((each) => audit.end(each, "ok")));
    const { entries } = await audit.list({}, 100);
    const names = entries.toReversed().map(({ target }) => target.name);
    expect(names).toEqual(begun.toReversed().map((each) => each.change.target.name));
    expect((await audit.verify(undefined)).broken).toBeUndefined();
  });

  test("takes what a caller says as it is read again: cut, and without halves of characters", async () => {
    const audit = logs.open();
    await audit.note(auditChange(`\ud800\0\u001b[2J${"x".repeat(10_000)}`, { detail: "\u2028" }));
    const [entry] = (await audit.list({}, 1)).entries;
    expect(entry?.target.name).toMatch(/^\ufffd\ufffd\ufffd\[2Jx+…$/);
    expect(entry?.target.name.length).toBe(256);
    expect((await audit.verify(undefined)).broken).toBeUndefined();
  });
});

describe("a check finds", () => {
  test.each([
    ["a changed actor", "UPDATE audit_entries SET actor_name = 'nobody' WHERE sequence = 3", 3],
    ["a changed outcome", "UPDATE audit_entries SET outcome = 'failed' WHERE sequence = 1", 1],
    ["a changed time", "UPDATE audit_entries SET time_ms = time_ms + 1 WHERE sequence = 5", 5],
    ["a changed list", "UPDATE audit_entries SET actor_roles = '[\"admin\"]' WHERE sequence = 2", 2],
    [
      "a number beyond all numbers",
      "UPDATE audit_entries SET time_ms = 9223372036854775807 WHERE sequence = 2",
      2,
    ],
    ["a removed entry", "DELETE FROM audit_entries WHERE sequence = 3", 3],
    ["a removed beginning", "DELETE FROM audit_entries WHERE sequence < 3", 1],
    ["a removed end", "DELETE FROM audit_entries WHERE sequence = 5", 5],
    ["a removed log", "DELETE FROM audit_entries", 1],
  ])("%s", async (_, statement, sequence) => {
    expect(await brokenAfter(statement)).toMatchObject({ sequence });
  });

  test("entries in another order", async () => {
    const swap = [
      "UPDATE audit_entries SET sequence = 99 WHERE sequence = 2",
      "UPDATE audit_entries SET sequence = 2 WHERE sequence = 3",
      "UPDATE audit_entries SET sequence = 3 WHERE sequence = 99",
    ];
    expect(await brokenAfter(...swap)).toMatchObject({ sequence: 2 });
  });

  test("a beginning that was removed as if by retention", async () => {
    const anchor =
      "UPDATE audit_bounds SET (sequence, hash) = (SELECT sequence, hash FROM audit_entries WHERE sequence = 2) WHERE bound = 'anchor'";
    const broken = await brokenAfter(anchor, "DELETE FROM audit_entries WHERE sequence <= 2");
    expect(broken).toMatchObject({ sequence: 3, problem: "no entry says that those before it were removed" });
  });

  test("that a log was cut and written anew, from an entry that is known from before", async () => {
    const before = logs.open();
    await addEntries(before, 5);
    const known = (await before.verify(undefined)).last;
    await logs.close();
    const head = "(SELECT sequence, hash FROM audit_entries WHERE sequence = 3)";
    const cut = `UPDATE audit_bounds SET (sequence, hash) = ${head} WHERE bound = 'head'`;
    tamper(cut, "DELETE FROM audit_entries WHERE sequence > 3");
    const audit = logs.open();
    expect((await audit.verify(undefined)).broken).toBeUndefined();
    expect((await audit.verify(known)).broken).toEqual({ sequence: 4, problem: "it is missing" });
    const other = { sequence: 3, hash: known.hash };
    expect((await audit.verify(other)).broken).toMatchObject({ sequence: 3 });
  });

  test("that entries were cut away while the server runs", async () => {
    const audit = logs.open();
    await addEntries(audit, 5);
    const head = "(SELECT sequence, hash FROM audit_entries WHERE sequence = 3)";
    const cut = `UPDATE audit_bounds SET (sequence, hash) = ${head} WHERE bound = 'head'`;
    tamper(cut, "DELETE FROM audit_entries WHERE sequence > 3");
    expect((await audit.verify(undefined)).broken).toEqual({ sequence: 4, problem: "it is missing" });
  });
});

test("a log that somebody has cut is written on, also where retention cannot remove its beginning", async () => {
  const before = logs.open();
  await addEntries(before, 30);
  await logs.close();
  tamper("DELETE FROM audit_entries WHERE sequence BETWEEN 2 AND 29");
  const audit = logs.open({ limits: { maxAuditEntries: 10 } });
  await audit.end(await audit.begin(auditChange("next")), "ok");
  expect((await audit.list({}, 1)).entries[0]?.target.name).toBe("next");
  expect(audit.stats).toMatchObject({ failures: 0, entries: { ok: 1 } });
  expect((await audit.verify(undefined)).broken).toMatchObject({ sequence: 2 });
  const database = new DatabaseSync(logs.file);
  const removal = "DELETE FROM audit_entries WHERE sequence = 1";
  expect(() => database.exec(removal), "its triggers are back").toThrow(/audit log/);
  database.close();
});

test("the file refuses what is no entry at the end", async () => {
  const audit = logs.open();
  await addEntries(audit, 3);
  await logs.close();
  const database = new DatabaseSync(logs.file);
  const statements = [
    "UPDATE audit_entries SET outcome = 'ok'",
    "DELETE FROM audit_entries WHERE sequence = 1",
    "DELETE FROM audit_entries",
    "INSERT OR REPLACE INTO audit_entries SELECT * FROM audit_entries WHERE sequence = 1",
    "INSERT INTO audit_entries SELECT 5, time_ms, actor_kind, actor_name, actor_roles, actor_peer, action, target_kind, target_name, target_version, target_digest, target_signers, outcome, detail, omitted, hash, hash FROM audit_entries WHERE sequence = 3",
    "UPDATE audit_bounds SET sequence = 9 WHERE bound = 'anchor'",
    "UPDATE audit_bounds SET sequence = 0",
    "DELETE FROM audit_bounds",
  ];
  for (const statement of statements) expect(() => database.exec(statement), statement).toThrow(/audit log/);
  database.close();
  expect((await logs.open().verify(undefined)).broken).toBeUndefined();
});
