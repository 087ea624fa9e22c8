/** Each policy with each kind of signature, on each way by which a module comes in. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultLimits as limits } from "../../server/limits.ts";
import { generateKey } from "../../server/signing/keys.ts";
import { signDetached, signModule } from "../../server/signing/sign-module.ts";
import { Random } from "../fuzz/random.ts";
import { type TestFolder, testFolder } from "../kit/folder.ts";
import { moduleBytes } from "../kit/modules.ts";
import { writeKeyList } from "../kit/signing.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

const [current, retired, later, revoked, stranger] = [
  generateKey(),
  generateKey(),
  generateKey(),
  generateKey(),
  generateKey(),
];
const plain = await moduleBytes("program");
const sign = (wasm: Uint8Array, key = current) => signModule(wasm, key, limits);
const beside = (key = current, wasm = plain) => signDetached(wasm, key, limits);
const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.with(at, (bytes[at] ?? 0) ^ 0x01);
const signed = await sign(plain);

interface Row {
  readonly what: string;
  readonly wasm: Uint8Array;
  readonly signature?: Uint8Array;
  /** What it is found to be: `verified`, or the reason. */
  readonly outcome: string;
}

const rows: readonly Row[] = [
  { what: "unsigned", wasm: plain, outcome: "MODULE_UNSIGNED" },
  { what: "signed by a known key", wasm: signed, outcome: "verified" },
  { what: "signed by an unknown key", wasm: await sign(plain, stranger), outcome: "MODULE_SIGNER_UNKNOWN" },
  {
    what: "signed by the old key, which is retired",
    wasm: await sign(plain, retired),
    outcome: "MODULE_SIGNER_REFUSED",
  },
  {
    what: "signed by a key whose time comes later",
    wasm: await sign(plain, later),
    outcome: "MODULE_SIGNER_REFUSED",
  },
  { what: "signed by a revoked key", wasm: await sign(plain, revoked), outcome: "MODULE_SIGNER_REFUSED" },
  {
    what: "signed by both keys, old and new",
    wasm: await sign(await sign(plain, retired)),
    outcome: "verified",
  },
  {
    what: "signed by an unknown and a known key",
    wasm: await sign(await sign(plain, stranger)),
    outcome: "verified",
  },
  { what: "signed beside it", wasm: plain, signature: await beside(), outcome: "verified" },
  {
    what: "signed beside it by an unknown key",
    wasm: plain,
    signature: await beside(stranger),
    outcome: "MODULE_SIGNER_UNKNOWN",
  },
  {
    what: "signed beside it by the retired key",
    wasm: plain,
    signature: await beside(retired),
    outcome: "MODULE_SIGNER_REFUSED",
  },
  {
    what: "signed beside it for other bytes",
    wasm: plain,
    signature: await beside(current, await moduleBytes("marked")),
    outcome: "MODULE_SIGNATURE_INVALID",
  },
  {
    what: "signed in itself and beside it",
    wasm: signed,
    signature: await beside(),
    outcome: "MODULE_SIGNATURE_MALFORMED",
  },
  {
    what: "signed with what is no signature",
    wasm: plain,
    signature: Uint8Array.of(7, 7, 7),
    outcome: "MODULE_SIGNATURE_MALFORMED",
  },
  { what: "changed in its last byte", wasm: await changedName(), outcome: "MODULE_SIGNATURE_INVALID" },
];

/** A change that leaves the module a valid one: of a custom section at its end. */
async function changedName(): Promise<Uint8Array> {
  const wasm = await sign(Buffer.concat([plain, Uint8Array.of(0, 3, 1, 0x78, 1)]));
  return flipped(wasm, wasm.length - 1);
}

/** A signed module with a bit of it changed, or of the signature beside it. */
async function tampered(random: Random): Promise<Pick<Row, "wasm" | "signature">> {
  const separate = random.chance(0.3);
  const signature = separate ? await beside() : new Uint8Array();
  const inSignature = separate && random.chance(0.5);
  const target = inSignature ? signature : separate ? plain : signed;
  const at = random.below(target.length);
  const bytes = target.with(at, (target[at] ?? 0) ^ (1 << random.below(8)));
  return inSignature ? { wasm: plain, signature: bytes } : { wasm: bytes, signature };
}

/** What a dry run of a load says: `taken`, or the reason. */
function outcomeOf(
  { leat }: TestServer,
  name: string,
  module: Pick<Row, "wasm" | "signature">,
): Promise<string> {
  const { wasm, signature = new Uint8Array() } = module;
  return leat.modules.loadModule({ name, version: "1", wasm, signature, dryRun: true }).then(
    () => "taken",
    (error: { reason: string }) => error.reason,
  );
}

async function* pieces(name: string, { wasm, signature = new Uint8Array() }: Row) {
  yield { piece: { case: "module" as const, value: { name, version: "1", signature } } };
  const middle = wasm.length >> 1;
  for (const chunk of [wasm.subarray(0, middle), wasm.subarray(middle)])
    yield { piece: { case: "chunk" as const, value: chunk } };
}

type Way = (kit: TestServer, name: string, row: Row) => Promise<unknown>;

const ways: Readonly<Record<string, Way>> = {
  "in a dry run": ({ leat }, name, { wasm, signature = new Uint8Array() }) =>
    leat.modules.loadModule({ name, version: "1", wasm, signature, dryRun: true }),
  "in pieces": ({ leat }, name, row) => leat.modules.uploadModule(pieces(name, row)),
  whole: ({ leat }, name, { wasm, signature = new Uint8Array() }) =>
    leat.modules.loadModule({ name, version: "1", wasm, signature }),
};

describe.each(["off", "warn", "require"] as const)("a server with the policy %s", (mode) => {
  let folder: TestFolder;
  let kit: TestServer;
  const names = new Set<string>();

  beforeAll(async () => {
    folder = await testFolder();
    const keysFile = await writeKeyList(folder.path, [
      { name: "current", key: current },
      { name: "retired", key: retired, notAfter: "2025-01-01" },
      { name: "later", key: later, notBefore: "2999-01-01T00:00:00Z" },
      { name: "revoked", key: revoked, revoked: true },
    ]);
    kit = await startTestServer({ server: { signatures: { mode, keysFile } } });
  });

  afterAll(async () => {
    await kit[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  /** What is in the server, and what it has compiled. */
  function traces() {
    const { registry, stats } = kit.server;
    return [registry.modules.list().length, kit.modules.size, stats.moduleCache.compile.count];
  }

  const cases = Object.keys(ways).flatMap((way) => rows.map((row) => ({ way, ...row })));

  test.each(cases)(`$what, $way: ${mode === "require" ? "$outcome" : "taken"}`, async ({ way, ...row }) => {
    const name = `m${names.size}`;
    names.add(name);
    const before = traces();
    const loaded = ways[way]?.(kit, name, row);
    if (mode === "require" && row.outcome !== "verified") {
      await expect(loaded).rejects.toMatchObject({ reason: row.outcome, metadata: { module: `${name}@1` } });
      expect(traces()).toEqual(before);
      return;
    }
    const state = {
      off: 0,
      warn: row.outcome === "verified" ? 2 : row.outcome === "MODULE_UNSIGNED" ? 1 : 3,
      require: 2,
    }[mode];
    const problem =
      mode === "warn" && row.outcome !== "verified" ? expect.stringContaining(`${row.outcome}: `) : "";
    const detached = row.signature !== undefined;
    expect(await loaded).toMatchObject({
      module: { signature: { state, problem, detached, refused: false } },
    });
    if (way === "in a dry run") return;
    const { module } = await kit.leat.modules.getModule({ reference: `${name}@1` });
    expect(module).toMatchObject({ signature: { state, problem, detached, refused: false } });
  });

  test("counts what it found, and nothing where it does not look", () => {
    const expected = new Map<string, number>();
    for (const { outcome } of cases) expected.set(outcome, (expected.get(outcome) ?? 0) + 1);
    expect(kit.server.stats.signatures.loads).toEqual(mode === "off" ? new Map() : expected);
  });

  test("a byte changed anywhere is refused where signatures are required, and before it is compiled", async () => {
    const seed = Number(process.env["LEAT_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
    const before = traces();
    for (let index = 0; index < (mode === "require" ? 60 : 10); index++) {
      const outcome = await outcomeOf(kit, `f${index}`, await tampered(new Random(seed, index)));
      const bySignature = /^MODULE_(?:UNSIGNED|SIGN)/.test(outcome);
      const replay = `LEAT_TEST_SEED=${seed}, number ${index}`;
      if (mode !== "require") expect(bySignature, replay).toBe(false);
      else if (!bySignature) expect(["MODULE_NOT_WASM", "MODULE_MALFORMED"], replay).toContain(outcome);
    }
    if (mode === "require") expect(traces(), `LEAT_TEST_SEED=${seed}`).toEqual(before);
  });
});
