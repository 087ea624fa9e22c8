import { expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { moduleBytes } from "../../test/kit/modules.ts";
import { strangersKey, trusted } from "../../test/kit/signing.ts";
import { defaultLimits as limits } from "../limits.ts";
import { generateKey } from "../signing/keys.ts";
import { signDetached } from "../signing/sign-module.ts";
import type { SignaturePolicy } from "../signing/signature-policy.ts";
import type { TrustedKey } from "../signing/verify-module.ts";
import { MemoryModuleStore } from "../store/module-store.ts";
import type { ModuleEntry } from "./module-catalog.ts";
import { ModuleSignatures, type SignatureNotice } from "./module-signatures.ts";

const ours = generateKey();
const wasm = await moduleBytes("program");
const [good, bad] = [await signDetached(wasm, ours, limits), await signDetached(wasm, strangersKey, limits)];
const digest = `sha256:${"0".repeat(64)}`;
const entry: ModuleEntry = {
  name: "m",
  version: "1",
  digest,
  sizeBytes: wasm.length,
  abi: "leat/1",
  loadTimeMs: 0,
  compileUs: 0,
  imports: [],
  exports: [],
};

/** Signatures under a policy whose keys change when the test says so. */
async function signatures(mode: "warn" | "require", store = new MemoryModuleStore()) {
  await store.put(digest, wasm);
  const policy: { mode: string; keys: TrustedKey[] } = { mode, keys: [trusted("ours", ours)] };
  const notices: SignatureNotice[] = [];
  const tell = (notice: SignatureNotice) => notices.push(notice);
  const parts = { store, limits, clock: clockOf(() => 1_000), onLoad: tell, onChange: tell };
  const made = new ModuleSignatures({ ...parts, policy: policy as unknown as SignaturePolicy });
  return { policy, notices, signatures: made };
}

/** Takes what comes in, as a load does. */
async function take(all: ModuleSignatures, detached: Uint8Array, present?: ModuleEntry) {
  const admitted = await all.admit({ name: "m", version: "1", wasm, signature: detached }, present);
  all.keep(entry, admitted.signature);
  return admitted;
}

test("keys that change while a module is read are those that it is judged by", async () => {
  const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  class Slow extends MemoryModuleStore {
    override async get(name: string) {
      begun.resolve();
      await gate.promise;
      return super.get(name);
    }
  }
  const { policy, signatures: all } = await signatures("require", new Slow());
  all.restore([entry], [{ name: "m", version: "1", detached: good, timeMs: 1_000 }]);
  const checked = all.check([entry]);
  await begun.promise;
  policy.keys = [trusted("ours", ours, { revoked: true })];
  gate.resolve();
  expect(await checked).toEqual([entry]);
  expect(all.refusal("m", "1")?.reason).toBe("MODULE_SIGNER_REFUSED");
  policy.keys = [trusted("ours", ours)];
  expect(await all.check([entry])).toEqual([]);
  expect([all.refusal("m", "1"), all.noneRefused]).toEqual([undefined, true]);
});

test("a warning does not cost a module the good signature that it has", async () => {
  const { notices, signatures: all } = await signatures("warn");
  await take(all, good);
  expect(await take(all, bad, entry)).toMatchObject({ renewed: false, signature: { detached: good } });
  expect(notices.map(({ problem, refused }) => [problem?.reason, refused])).toEqual([
    [undefined, false],
    ["MODULE_SIGNER_UNKNOWN", false],
  ]);
});

test("a good signature takes the place of a bad one, and is asked for its own time", async () => {
  const { policy, signatures: all } = await signatures("warn");
  policy.keys = [trusted("ours", ours, { notBeforeMs: 500 })];
  all.restore([entry], [{ name: "m", version: "1", detached: bad, timeMs: 100 }]);
  await all.check([entry]);
  expect(await take(all, good, entry)).toMatchObject({ renewed: true });
  expect(all.stored(entry)).toMatchObject({ detached: good, timeMs: 1_000 });
  expect(all.of(entry)?.judgement?.verdict.t).toBe("signed");
});

test("the same bytes and signature again count from now on, where they did not when they came first", async () => {
  const { policy, signatures: all } = await signatures("require");
  policy.keys = [trusted("ours", ours, { notBeforeMs: 500 })];
  all.restore([entry], [{ name: "m", version: "1", detached: good, timeMs: 100 }]);
  expect(await all.check([entry])).toEqual([entry]);
  expect(await take(all, good, entry)).toMatchObject({ renewed: true, signature: { timeMs: 1_000 } });
  expect(all.noneRefused).toBe(true);
});

test("a signature is kept without the message that it came in", async () => {
  const { signatures: all } = await signatures("require");
  const message = new Uint8Array(1_000_000);
  message.set(good, 500);
  const { signature } = await take(all, message.subarray(500, 500 + good.length));
  expect(signature.detached.buffer.byteLength).toBe(good.length);
});

test("a signature that is too large is refused whatever the policy", async () => {
  const { signatures: all } = await signatures("warn");
  await expect(take(all, new Uint8Array(limits.maxSignatureBytes + 1))).rejects.toMatchObject({
    reason: "MODULE_LIMIT_EXCEEDED",
    metadata: { limit: "maxSignatureBytes", measured: `${limits.maxSignatureBytes + 1}` },
  });
});
