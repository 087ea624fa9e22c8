import { describe, expect, test } from "vitest";
import { secretA, secretB, trusted, vectors } from "../../test/kit/signing.ts";
import { defaultLimits as limits } from "../limits.ts";
import { readPublicKey, readSecretKey, shownKeyId, writePublicKey, writeSecretKey } from "./keys.ts";
import { signDetached, signModule } from "./sign-module.ts";
import { verifyModule } from "./verify-module.ts";

const keys = [trusted("a", secretA), trusted("b", secretB)];

function verdictOf(wasm: Uint8Array, detached?: Uint8Array) {
  return verifyModule({ wasm, detached, keys, atMs: 0, limits });
}

describe("what wasmsign2 signed", () => {
  test.each([
    ["a module with its signature in itself", vectors.signed],
    ["a signature that names no key", vectors.signedWithoutKeyId],
    ["two signatures", vectors.signedTwice],
    ["a module in parts", vectors.signedSplit],
  ])("verifies: %s", async (_what, wasm) => {
    expect(await verdictOf(wasm)).toMatchObject({ verdict: { t: "signed", key: { name: "a" } } });
  });

  test("verifies: a signature beside the module", async () => {
    expect(await verdictOf(vectors.unsigned, vectors.detached)).toMatchObject({ verdict: { t: "signed" } });
  });
});

describe("what is signed here has the very bytes that wasmsign2 writes", () => {
  test("a signature in the module", async () => {
    expect(await signModule(vectors.unsigned, secretA, limits)).toEqual(Buffer.from(vectors.signed));
  });

  test("a second signature", async () => {
    expect(await signModule(vectors.signed, secretB, limits)).toEqual(Buffer.from(vectors.signedTwice));
  });

  test("a module in parts", async () => {
    expect(await signModule(vectors.split, secretA, limits)).toEqual(Buffer.from(vectors.signedSplit));
  });

  test("a signature beside the module", async () => {
    expect(await signDetached(vectors.unsigned, secretA, limits)).toEqual(vectors.detached);
  });
});

describe("keys", () => {
  test("are read from wasmsign2's files and written as they were", () => {
    expect(writeSecretKey(readSecretKey(vectors.secretA), "raw")).toEqual(vectors.secretA);
    expect(writePublicKey(readPublicKey(vectors.publicA), "raw")).toEqual(vectors.publicA);
  });

  test("survive PEM", () => {
    const secret = readSecretKey(writeSecretKey(secretA, "pem"));
    expect(writeSecretKey(secret, "raw")).toEqual(vectors.secretA);
    expect(readPublicKey(writePublicKey(secretA.public, "pem")).bytes).toEqual(secretA.public.bytes);
  });

  test("are read from DER, base64 and OpenSSH's line", () => {
    const der = secretA.public.key.export({ format: "der", type: "spki" });
    const base64 = Buffer.from(vectors.publicA).toString("base64");
    const head = Buffer.from("\0\0\0\x0bssh-ed25519\0\0\0\x20", "latin1");
    const line = `ssh-ed25519 ${Buffer.concat([head, secretA.public.bytes]).toString("base64")} me@home`;
    for (const form of [der, Buffer.from(`${base64}\n`), Buffer.from(line)]) {
      expect(shownKeyId(readPublicKey(form).id)).toBe(shownKeyId(secretA.public.id));
    }
  });

  test.each([
    ["a secret key, where a public one is wanted", vectors.secretA, /secret key/],
    ["a secret key in PEM", writeSecretKey(secretA, "pem"), /secret key/],
    ["text", Buffer.from("no key at all"), /no public key/],
    ["nothing", new Uint8Array(), /no public key/],
    ["too much", new Uint8Array(100_000), /too many/],
    ["OpenSSH's line with another key", Buffer.from("ssh-ed25519 AAAAB3NzaC1yc2EAAAA="), /no Ed25519 key/],
  ])("are not read from %s", (_what, bytes, message) => {
    expect(() => readPublicKey(bytes)).toThrow(message);
  });

  test("are not read where the halves do not belong together", () => {
    const mixed = Uint8Array.from([...vectors.secretA.subarray(0, 33), ...vectors.publicB.subarray(1)]);
    expect(() => readSecretKey(mixed)).toThrow();
  });
});
