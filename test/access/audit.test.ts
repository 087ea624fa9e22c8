/** What calls leave in the audit log, on both doors and by every kind of caller. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DescFile, DescMethod } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import * as protocol from "@leat/proto";
import { AuditActorKind, type AuditEntry, AuditTargetKind, Leat, RolloutMode } from "@leat/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { effectOf } from "../../server/rpc/method-effects.ts";
import { type GuardedServer, startGuarded } from "../kit/access.ts";
import { type TestFolder, testFolder } from "../kit/folder.ts";
import { moduleBytes } from "../kit/modules.ts";
import { startTestServer } from "../kit/test-server.ts";

/** Every method of Leat's services, from their descriptors. */
const methods: readonly DescMethod[] = Object.values(protocol)
  .filter(
    (each): each is DescFile =>
      typeof each === "object" && "kind" in each && (each as DescFile).kind === "file",
  )
  .flatMap(({ services }) => services)
  .filter(({ typeName }) => typeName.startsWith("leat."))
  .flatMap((service) => service.methods);

const pathOf = (method: DescMethod): string => `${method.parent.typeName}/${method.name}`;

test.each(methods.map((method) => [pathOf(method), method] as const))(
  "%s is said to read, to run records or to change something",
  (path, method) => {
    const effect = effectOf(path);
    expect(effect, `${path} is not in the table`).toBeDefined();
    // A method by its name: what only looks at things must not be in the log, and what does more must be.
    const looks = /^(Get|List|Watch|Metrics|Verify|Check)/.test(method.name);
    const runs = method.parent.typeName === "leat.v1.TransformService";
    expect(effect).toEqual(runs ? "runs-records" : looks ? "reads" : expect.any(Object));
  },
);

let data: TestFolder;
let server: GuardedServer;

beforeAll(async () => {
  data = await testFolder();
  server = await startGuarded({ dataFolder: data.path, limits: { maxAuditRefusalsPerMinute: 5 } });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await data[Symbol.asyncDispose]();
});

/** The entries that something adds, oldest first. */
async function entriesOf(calls: () => Promise<unknown>): Promise<AuditEntry[]> {
  const { audit } = server.kit.leat;
  const head = (await audit.listAuditEntries({ pageSize: 1 })).entries[0]?.sequence ?? 0n;
  await calls();
  const { entries } = await audit.listAuditEntries({ pageSize: 1_000 });
  return entries.filter(({ sequence }) => sequence > head).toReversed();
}

const short = ({ action, target, outcome, detail }: AuditEntry): string =>
  [
    action.slice(action.indexOf("/") + 1),
    `${target?.name}${target?.version ? `@${target.version}` : ""}`,
    ...(target?.digest ? [target.digest.slice(0, 9)] : []),
    outcome,
    ...(detail ? [`(${detail})`] : []),
  ].join(" ");

const failing = (call: Promise<unknown>): Promise<unknown> => call.catch(() => undefined);

describe("calls that change something", () => {
  test("make one entry each, with what became of them", async () => {
    const { modules, pipelines, deadLetters } = server.kit.leat;
    const wasm = await moduleBytes("program");
    const other = await moduleBytes("marked");
    const entries = await entriesOf(async () => {
      await modules.loadModule({ name: "m", version: "1", wasm });
      await modules.loadModule({ name: "m", version: "1", wasm });
      await modules.loadModule({ name: "m", version: "2", wasm: other, noActivate: true });
      await modules.loadModule({ name: "m", version: "3", wasm: other, dryRun: true });
      await pipelines.putPipeline({ pipeline: { name: "mine", stages: [{ module: "m" }] } });
      await pipelines.putPipeline({ pipeline: { name: "mine", stages: [{ module: "m" }] } });
      await pipelines.putPipeline({
        pipeline: { name: "mine", stages: [{ module: "m@1" }] },
      });
      await pipelines.rollbackPipeline({ name: "mine" });
      await modules.startRollout({ reference: "m@2", mode: RolloutMode.CANARY, share: 0.5 });
      await modules.abortRollout({ name: "m" });
      await modules.startRollout({ reference: "m@2", mode: RolloutMode.SHADOW, share: 1 });
      await modules.promoteRollout({ name: "m" });
      await modules.rollbackModule({ name: "m" });
      await modules.activateModule({ reference: "m@2" });
      await modules.releaseModule({ reference: "m@2" });
      for await (const _ of deadLetters.replayDeadLetters({ filter: { pipeline: "mine", code: "trap" } }));
      await deadLetters.purgeDeadLetters({ filter: { pipeline: "mine" } });
      await pipelines.deletePipeline({ name: "mine" });
      await modules.unloadModule({ reference: "m@1" });
    });
    expect(entries.map(short)).toEqual([
      "LoadModule m@1 sha256:4a ok".replace("4a", entries[0]?.target?.digest.slice(7, 9) ?? ""),
      expect.stringMatching(/^LoadModule m@1 sha256:.. ok \(was loaded already\)$/),
      expect.stringMatching(/^LoadModule m@2 sha256:.. ok \(not activated\)$/),
      expect.stringMatching(/^LoadModule m@3 sha256:.. ok \(dry run\)$/),
      "PutPipeline mine@1 ok",
      "PutPipeline mine@1 ok (was stored already)",
      "PutPipeline mine@2 ok",
      "RollbackPipeline mine@1 ok (in place of 2)",
      expect.stringMatching(/^StartRollout m@2 sha256:.. ok \(canary of 0.5\)$/),
      expect.stringMatching(/^AbortRollout m@2 sha256:.. ok$/),
      expect.stringMatching(/^StartRollout m@2 sha256:.. ok \(shadow of 1\)$/),
      expect.stringMatching(/^PromoteRollout m@2 sha256:.. ok$/),
      expect.stringMatching(/^RollbackModule m@1 sha256:.. ok \(in place of 2\)$/),
      expect.stringMatching(/^ActivateModule m@2 sha256:.. ok \(in place of 1\)$/),
      expect.stringMatching(/^ReleaseModule m@2 sha256:.. ok \(was not in quarantine\)$/),
      "ReplayDeadLetters mine ok (answered 0, code trap)",
      "PurgeDeadLetters mine ok (removed 0)",
      "DeletePipeline mine ok",
      expect.stringMatching(/^UnloadModule m@1 sha256:.. ok$/),
    ]);
    expect(entries[0]).toMatchObject({
      actor: { kind: AuditActorKind.TOKEN, name: "admin", roles: ["admin"] },
      target: { kind: AuditTargetKind.MODULE, name: "m", version: "1" },
    });
    expect(entries[0]?.actor?.peer).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(Math.abs(Date.now() - Number(entries[0]?.time?.seconds) * 1_000)).toBeLessThan(600_000);
  });

  test("make one when they fail, with the reason and the digest of what they brought", async () => {
    const { modules, pipelines } = server.kit.leat;
    const wasm = Buffer.from("no module");
    const entries = await entriesOf(async () => {
      await failing(modules.loadModule({ name: "bad", version: "1", wasm }));
      await failing(modules.activateModule({ reference: "none@1" }));
      await failing(pipelines.putPipeline({ pipeline: { name: "p", stages: [] } }));
      await failing(pipelines.putPipeline({}));
    });
    const digest = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(wasm))).toString("hex");
    expect(entries[0]?.target).toMatchObject({ digest: `sha256:${digest}` });
    expect(entries.map(short)).toEqual([
      `LoadModule bad@1 sha256:${digest.slice(0, 2)} MODULE_NOT_WASM`,
      "ActivateModule none@1 MODULE_NOT_FOUND",
      "PutPipeline p PIPELINE_INVALID",
      "PutPipeline  REQUEST_INVALID",
    ]);
  });

  test("make one when they come in pieces, whole or not", async () => {
    const { modules } = server.kit.leat;
    const wasm = await moduleBytes("uppercase");
    const first = { piece: { case: "module" as const, value: { name: "up", version: "1" } } };
    const chunk = (value: Uint8Array) => ({ piece: { case: "chunk" as const, value } });
    async function* send(...pieces: object[]) {
      yield* pieces;
    }
    const entries = await entriesOf(async () => {
      await modules.uploadModule(send(first, chunk(wasm.slice(0, 10)), chunk(wasm.slice(10))));
      await failing(modules.uploadModule(send(first, chunk(wasm.slice(0, 10)))));
      await failing(modules.uploadModule(send(first, chunk(wasm), first)));
      await failing(modules.uploadModule(send()));
    });
    expect(entries.map(short)).toEqual([
      expect.stringMatching(/^UploadModule up@1 sha256:.. ok$/),
      expect.stringMatching(/^UploadModule up@1 sha256:.. MODULE_/),
      "UploadModule up@1 REQUEST_INVALID",
    ]);
    const digest = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(wasm))).toString("hex");
    expect(entries[0]?.target?.digest).toBe(`sha256:${digest}`);
  });

  test("make the same entries on the HTTP port, by a caller with a signed token", async () => {
    const token = await server.issuer.sign({ sub: "ana", groups: ["mill"] }, new Date(Date.now() + 60_000));
    const transport = createConnectTransport({ baseUrl: server.kit.url, httpVersion: "1.1" });
    const client = createClient(protocol.PipelineService, transport);
    const entries = await entriesOf(async () => {
      const headers = { authorization: `Bearer ${server.tokens.operator}` };
      await failing(client.deletePipeline({ name: "none" }, { headers }));
      await failing(
        client.deletePipeline({ name: "mine" }, { headers: { authorization: `Bearer ${token}` } }),
      );
    });
    expect(entries).toMatchObject([
      { actor: { kind: AuditActorKind.TOKEN, name: "operator" }, outcome: "PIPELINE_NOT_FOUND" },
      {
        actor: { kind: AuditActorKind.JWT, name: "ana", roles: ["data mine"] },
        outcome: "ROLE_MISSING",
      },
    ]);
    for (const entry of entries) expect(entry.actor?.peer).toMatch(/127\.0\.0\.1:\d+$/);
  });

  test("make one when the caller's role does not reach, up to a bound; those of nobody known make none", async () => {
    const as = (token: string): Leat => new Leat({ address: server.kit.address, token });
    await using elsewhere = as(server.tokens.elsewhere);
    await using wrong = as("leat_wrong");
    const entries = await entriesOf(async () => {
      await failing(elsewhere.pipelines.deletePipeline({ name: "mine" }));
      for (let n = 0; n < 10; n++) await failing(elsewhere.modules.unloadModule({ reference: "m" }));
      await failing(wrong.modules.unloadModule({ reference: "m" }));
    });
    expect(entries.length).toBe(4);
    expect(short(entries[0] as AuditEntry)).toBe("DeletePipeline mine PIPELINE_FORBIDDEN");
    expect(short(entries[1] as AuditEntry)).toBe("UnloadModule  ROLE_MISSING");
    expect(entries[1]?.actor).toMatchObject({ name: "elsewhere", roles: ["admin other-*"] });
  });
});

test("calls that read and records that run make none", async () => {
  const { leat } = server.kit;
  const entries = await entriesOf(async () => {
    await leat.modules.listModules({});
    await leat.metrics.metrics({});
    await failing(leat.modules.getModule({ reference: "none" }));
    await failing(leat.transform("mine", [{ value: Buffer.from("a") }]));
    await leat.audit.verifyAudit({});
  });
  expect(entries).toEqual([]);
});

test("the log is whole after all this, and has no token, no configuration and no record", async () => {
  const { leat } = server.kit;
  const secret = "s3cr3t-in-a-configuration";
  const wasm = await moduleBytes("program");
  await leat.modules.loadModule({ name: "m", version: "9", wasm, sampleConfigJson: `{"key":"${secret}"}` });
  const stages = [{ module: "m", configJson: `{"key":"${secret}"}` }];
  await failing(
    leat.pipelines.putPipeline({ pipeline: { name: "mine", stages: [...stages, { module: secret }] } }),
  );
  const verdict = await leat.audit.verifyAudit({});
  expect(verdict).toMatchObject({ valid: true, durable: true, problem: "" });
  const { entries } = await leat.audit.listAuditEntries({ pageSize: 1_000 });
  expect(Number(verdict.headSequence)).toBe(entries.length);
  const text = JSON.stringify(entries, (_, value) => (typeof value === "bigint" ? String(value) : value));
  const secrets = [secret, ...Object.values(server.tokens)];
  for (const each of secrets) expect(text).not.toContain(each);
  const [{ sequence = 0n, hash = "" } = {}] = entries;
  expect((await leat.audit.getAuditEntry({ sequence })).entry).toEqual(entries[0]);
  await expect(leat.audit.getAuditEntry({ sequence: 9_999n })).rejects.toMatchObject({
    reason: "AUDIT_ENTRY_NOT_FOUND",
  });
  expect((await leat.audit.verifyAudit({ knownSequence: sequence, knownHash: hash })).valid).toBe(true);
  for (const name of readdirSync(data.path).filter((each) => each.startsWith("leat.sqlite")))
    for (const token of Object.values(server.tokens))
      expect(readFileSync(join(data.path, name)).includes(token), name).toBe(false);
});

test("the figures count entries", async () => {
  const headers = { authorization: `Bearer ${server.tokens.operator}` };
  const text = await (await fetch(`${server.kit.url}/metrics`, { headers })).text();
  expect(text).toMatch(/^leat_audit_entries_total\{outcome="ok"\} [1-9]/m);
  expect(text).toMatch(/^leat_audit_entries_total\{outcome="failed"\} [1-9]/m);
  expect(text).toMatch(/^leat_audit_failures_total 0$/m);
  expect(text).toMatch(/^leat_audit_omitted_total [1-9]/m);
});

test("a server without a data folder keeps its log in memory, and says so", async () => {
  await using kit = await startTestServer({ modules: { program: "program" } });
  const { entries, durable } = await kit.leat.audit.listAuditEntries({});
  expect(durable).toBe(false);
  expect(entries.map(short).toReversed()).toEqual([
    "restore  ok (0 modules, 0 pipelines)",
    expect.stringMatching(/^LoadModule program@/),
    "PutPipeline program@1 ok",
  ]);
  expect(entries[0]?.actor).toMatchObject({ kind: AuditActorKind.ANONYMOUS, name: "anonymous" });
  expect(entries[2]?.actor).toMatchObject({ kind: AuditActorKind.START, name: "", roles: [] });
});
