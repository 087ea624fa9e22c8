import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { secretA, secretB, strangersKey, trusted, vectors } from "../../test/kit/signing.ts";
import { defaultLimits as limits } from "../limits.ts";
import { generateKey } from "./keys.ts";
import { signDetached, signModule } from "./sign-module.ts";
import { readSignatureData, writeSignatureData } from "./signature-data.ts";
import { readEvidence, type TrustedKey, verifyModule } from "./verify-module.ts";

const { unsigned, signed, signedTwice, signedSplit, detached } = vectors;
const dayMs = 86_400_000;
const nowMs = 1_000 * dayMs;
const a = trusted("a", secretA);
const b = trusted("b", secretB);

/** Who has signed a module, or what is wrong. */
async function ask(keys: readonly TrustedKey[], wasm: Uint8Array, beside?: Uint8Array): Promise<string> {
  try {
    const { verdict } = await verifyModule({ wasm, detached: beside, keys, atMs: nowMs, limits });
    return verdict.t === "signed" ? `signed by ${verdict.key.name}` : `refused: ${verdict.t}`;
  } catch (error) {
    return `refused: ${(error as { reason: string }).reason}`;
  }
}

const flipped = (bytes: Uint8Array, at: number, by = 1): Uint8Array => bytes.with(at, (bytes[at] ?? 0) ^ by);

const byStranger = await signModule(unsigned, strangersKey, limits);

describe("a module", () => {
  const table: readonly [
    what: string,
    wasm: Uint8Array,
    beside: Uint8Array | undefined,
    keys: readonly TrustedKey[],
    found: string,
  ][] = [
    ["unsigned", unsigned, undefined, [a], "unsigned"],
    ["signed by a known key", signed, undefined, [b, a], "signed by a"],
    ["signed by a known key, beside the module", unsigned, detached, [a], "signed by a"],
    ["signed by a known key, in parts", signedSplit, undefined, [a], "signed by a"],
    [
      "signed by a known key that the signature does not name",
      vectors.signedWithoutKeyId,
      undefined,
      [b, a],
      "signed by a",
    ],
    ["signed by two, both known", signedTwice, undefined, [a, b], "signed by a"],
    ["signed by two, the old key gone", signedTwice, undefined, [b], "signed by b"],
    [
      "signed by two, the old key revoked",
      signedTwice,
      undefined,
      [{ ...a, revoked: true }, b],
      "signed by b",
    ],
    ["signed by an unknown key", byStranger, undefined, [a, b], "unknown-key"],
    ["signed where no key is known", signed, undefined, [], "unknown-key"],
    [
      "signed by a rotated key, before its last day",
      signed,
      undefined,
      [{ ...a, notAfterMs: nowMs + 1 }, b],
      "signed by a",
    ],
    [
      "signed by a rotated key, on its last day",
      signed,
      undefined,
      [{ ...a, notAfterMs: nowMs }, b],
      "key-refused",
    ],
    [
      "signed by a key that counts later",
      signed,
      undefined,
      [{ ...a, notBeforeMs: nowMs + 1 }],
      "key-refused",
    ],
    [
      "signed by a key from its first moment",
      signed,
      undefined,
      [{ ...a, notBeforeMs: nowMs }],
      "signed by a",
    ],
    ["signed by a revoked key", signed, undefined, [{ ...a, revoked: true }, b], "key-refused"],
    ["changed after it was signed", flipped(signed, signed.length - 1), undefined, [a], "invalid"],
    [
      "changed, with the signature beside it",
      flipped(unsigned, unsigned.length - 1),
      detached,
      [a],
      "invalid",
    ],
    [
      "shorter than what was signed: its last part is gone",
      signedSplit.slice(0, -38),
      undefined,
      [a],
      "invalid",
    ],
    [
      "longer than what was signed",
      Buffer.concat([signedSplit, Uint8Array.of(0, 2, 1, 0x78)]),
      undefined,
      [a],
      "invalid",
    ],
    ["signed with what is no signature", unsigned, Uint8Array.of(1, 1, 1, 9), [a], "malformed"],
    ["signed with an empty list", unsigned, writeSignatureData([]), [a], "malformed"],
    ["signed in itself and beside", signed, detached, [a], "malformed"],
  ];

  test.each(table)("%s", async (_what, wasm, beside, keys, found) => {
    expect(await ask(keys, wasm, beside)).toBe(found.startsWith("signed") ? found : `refused: ${found}`);
  });
});

describe("a tampered byte", () => {
  test.each([
    ["in itself", signed, undefined],
    ["in itself, in parts", signedSplit, undefined],
    ["beside", unsigned, detached],
  ])(
    "anywhere in a module that is signed %s is refused, whichever bits of it",
    async (_where, wasm, beside) => {
      for (const by of [0x01, 0x80, 0xff]) {
        for (let at = 0; at < wasm.length; at++) {
          expect(await ask([a, b], flipped(wasm, at, by), beside), `byte ${at}`).toMatch(/^refused: /);
        }
      }
    },
  );

  test("anywhere in a signature beside the module is refused", async () => {
    for (const by of [0x01, 0x80, 0xff]) {
      for (let at = 0; at < detached.length; at++) {
        expect(await ask([a, b], unsigned, flipped(detached, at, by)), `byte ${at}`).toMatch(/^refused: /);
      }
    }
  });

  test("that adds or takes away is refused as well", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(signed.length - 1),
        fc.integer({ min: 0, max: 255 }),
        fc.boolean(),
        async (at, byte, adds) => {
          const rest = signed.subarray(adds ? at : at + 1);
          const changed = Buffer.concat([
            signed.subarray(0, at),
            adds ? Uint8Array.of(byte) : new Uint8Array(),
            rest,
          ]);
          // To add a byte beside an equal one, or to take one of two, gives the same bytes.
          fc.pre(!changed.equals(signed));
          expect(await ask([a], changed)).toMatch(/^refused: /);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("whatever is signed", () => {
  const body = fc
    .array(
      fc.record({
        name: fc.constantFrom("x", "signature_delimiter", "name"),
        data: fc.uint8Array({ maxLength: 40 }),
      }),
      { maxLength: 6 },
    )
    .map((sections) =>
      Buffer.concat([
        unsigned,
        ...sections.map(({ name, data }) =>
          Uint8Array.from([0, 1 + name.length + data.length, name.length, ...Buffer.from(name), ...data]),
        ),
      ]),
    );

  test("is found signed, by each of its signers alone, and by nobody else", async () => {
    const keys = [secretA, secretB, generateKey()];
    await fc.assert(
      fc.asyncProperty(body, fc.uniqueArray(fc.nat(2), { minLength: 1 }), async (wasm, signers) => {
        let all: Uint8Array = wasm;
        for (const at of signers) all = await signModule(all, keys[at] ?? secretA, limits);
        for (const [at, key] of keys.entries()) {
          const expected = signers.includes(at) ? "signed by k" : "refused: unknown-key";
          expect(await ask([trusted("k", key)], all)).toBe(expected);
        }
        expect(await ask([a], wasm, await signDetached(wasm, secretA, limits))).toBe("signed by a");
      }),
      { numRuns: 100 },
    );
  });

  test("any bytes as a signature are refused, or read as they would be written", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        const noise = Uint8Array.from([1, 1, 1, ...bytes]);
        expect(await ask([a], unsigned, noise)).toMatch(/^refused: /);
      }),
      { numRuns: 500 },
    );
    expect(writeSignatureData(readSignatureData(detached, 16))).toEqual(detached);
  });
});

test("a large module is hashed in turns with other work", async () => {
  const large = Buffer.concat([
    unsigned,
    Buffer.from([0, 0x85, 0x80, 0xc0, 0x02, 1, 0x78]),
    Buffer.alloc(5 * 2 ** 20 + 3),
  ]);
  const beside = await signDetached(large, secretA, limits);
  let turns = 0;
  let next = setImmediate(function turn() {
    turns++;
    next = setImmediate(turn);
  });
  expect(await ask([a], large, beside)).toBe("signed by a");
  clearImmediate(next);
  expect(turns).toBeGreaterThanOrEqual(5);
  const evidence = await readEvidence(large, beside, limits);
  const whole = createHash("sha256").update(large.subarray(8)).digest("hex");
  expect(evidence.t === "signed" && Buffer.from(evidence.hashes).toString("hex")).toBe(whole);
});

describe("hostile signatures are bounded", () => {
  const set = readSignatureData(detached, 16)[0];

  test("by their number", async () => {
    const [signature] = set?.signatures ?? [];
    const many = writeSignatureData([
      { hashes: set?.hashes ?? new Uint8Array(), signatures: Array(17).fill(signature) },
    ]);
    expect(await ask([a], unsigned, many)).toBe("refused: malformed");
  });

  test("by their size", async () => {
    expect(await ask([a], unsigned, new Uint8Array(70_000))).toBe("refused: malformed");
  });

  test("by the number of parts", async () => {
    const delimiter = Uint8Array.from([0, 20, 19, ...Buffer.from("signature_delimiter")]);
    const split = Buffer.concat([unsigned, ...Array(65).fill(delimiter)]);
    expect(await ask([a], split)).toBe("refused: malformed");
  });

  test("to the first section", async () => {
    const late = Buffer.concat([unsigned, Uint8Array.from([0, 10, 9, ...Buffer.from("signature")])]);
    expect(await ask([a], late)).toBe("refused: malformed");
  });

  test("by the number of sections, which are not all read first", async () => {
    const many = Buffer.alloc(3 * 1_100, Uint8Array.of(0, 1, 0));
    expect(await ask([a], Buffer.concat([unsigned, many]))).toBe("refused: MODULE_LIMIT_EXCEEDED");
    const repeated = Buffer.alloc(2 * 20, Uint8Array.of(1, 0));
    expect(await ask([a], Buffer.concat([unsigned, repeated]))).toBe("refused: MODULE_MALFORMED");
  });

  test("and a module that is none keeps its own reason", async () => {
    expect(await ask([a], Buffer.from("#!/bin/sh"))).toBe("refused: MODULE_NOT_WASM");
    expect(await ask([a], unsigned.slice(0, -1))).toBe("refused: MODULE_MALFORMED");
  });
});
