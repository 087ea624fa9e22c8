/**
 * Attacks on signatures: signed modules that are broken along their structure, and signature data that is broken byte
 * by byte. None may be found signed but with the very bytes that its key has signed.
 *
 * @module
 */

import { LeatError } from "../../server/errors.ts";
import { defaultLimits as limits } from "../../server/limits.ts";
import { modulePartsOf } from "../../server/signing/module-parts.ts";
import { signDetached, signModule } from "../../server/signing/sign-module.ts";
import { judge, readEvidence } from "../../server/signing/verify-module.ts";
import { moduleBytes } from "../kit/modules.ts";
import { secretA, secretB, strangersKey, trusted, vectors } from "../kit/signing.ts";
import type { FuzzCase } from "./fuzz-case.ts";
import { mutateModule } from "./module-mutation.ts";
import { Random } from "./random.ts";

const keys = [trusted("a", secretA), trusted("b", secretB)];

/** How long one module of some KB may take. */
const maxVerifyMs = 2_000;

interface Seeds {
  /** Modules with their signature in them. */
  readonly signed: readonly Uint8Array[];
  /** Modules with their signature beside them. */
  readonly pairs: readonly { readonly wasm: Uint8Array; readonly detached: Uint8Array }[];
  /** What a key has signed, in hex digits. */
  readonly bodies: ReadonlySet<string>;
}

async function makeSeeds(): Promise<Seeds> {
  const plain = [
    vectors.unsigned,
    vectors.split,
    await moduleBytes("uppercase"),
    await moduleBytes("program"),
  ];
  const signed: Uint8Array[] = [];
  const pairs: { wasm: Uint8Array; detached: Uint8Array }[] = [];
  for (const wasm of plain) {
    const byA = await signModule(wasm, secretA, limits);
    signed.push(byA, await signModule(byA, secretB, limits), await signModule(byA, strangersKey, limits));
    pairs.push({ wasm, detached: await signDetached(wasm, secretB, limits) });
  }
  return { signed, pairs, bodies: new Set(plain.map(bodyOf)) };
}

/** What a signature is about: all but the header and the signature. */
function bodyOf(wasm: Uint8Array): string {
  return Buffer.from(modulePartsOf(wasm, limits).body).toString("hex");
}

/** Reading and judging signatures, as a load does it before anything else. */
export async function signatureCase(seed: number): Promise<FuzzCase> {
  const seeds = await makeSeeds();
  return {
    lanes: 4,
    attempt: (index) => attack(new Random(seed, index), seeds),
    checkHealth: async () => {
      for (const wasm of seeds.signed) await verify(wasm, undefined, seeds, "signed");
      for (const { wasm, detached } of seeds.pairs) await verify(wasm, detached, seeds, "signed");
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

function attack(random: Random, seeds: Seeds): Promise<string> {
  if (random.chance(0.5)) return verify(mutateModule(random, seeds.signed), undefined, seeds);
  const { wasm, detached } = random.pick(seeds.pairs);
  const otherwise = random.chance(0.5) ? mutateModule(random, [wasm]) : wasm;
  return verify(otherwise, mutateBytes(random, detached, random.pick(seeds.pairs).detached), seeds);
}

/** Changes, removes, doubles or adds some bytes, one to three times; or leaves them alone. */
function mutateBytes(random: Random, bytes: Uint8Array, other: Uint8Array): Uint8Array {
  let changed: Uint8Array = bytes;
  for (let count = random.below(4); count > 0; count--) {
    const at = random.below(changed.length + 1);
    const end = Math.min(changed.length, at + random.below(40));
    const from = random.below(other.length);
    const put = random.pick([
      () => random.bytes(end - at),
      () => new Uint8Array(),
      () => other.subarray(from, from + end - at),
      () => Buffer.concat([changed.subarray(at, end), changed.subarray(at, end)]),
    ])();
    changed = Buffer.concat([changed.subarray(0, at), put, changed.subarray(end)]);
  }
  return changed;
}

/** @returns what it is found to be, or the reason why it is no module to begin with */
async function verify(
  wasm: Uint8Array,
  detached: Uint8Array | undefined,
  { bodies }: Seeds,
  expected?: string,
): Promise<string> {
  const startMs = performance.now();
  let found: string;
  try {
    const { verdict } = await judge(await readEvidence(wasm, detached, limits), keys, 0);
    found = verdict.t;
  } catch (error) {
    if (!(error instanceof LeatError) || !error.reason.startsWith("MODULE_")) throw error;
    found = error.reason;
  }
  const tookMs = performance.now() - startMs;
  if (tookMs > maxVerifyMs) throw new Error(`${wasm.length} bytes took ${Math.round(tookMs)} ms`);
  if (found === "signed" && !bodies.has(bodyOf(wasm))) throw new Error("other bytes were found signed");
  if (expected !== undefined && found !== expected) throw new Error(`it was found ${found}`);
  return found;
}
