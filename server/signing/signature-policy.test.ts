import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { testFolder } from "../../test/kit/folder.ts";
import { defaultLimits } from "../limits.ts";
import { generateKey, writePublicKey, writeSecretKey } from "./keys.ts";
import { SignaturePolicy } from "./signature-policy.ts";

const [one, other] = [generateKey(), generateKey()];

/** A policy over a folder that has these keys and this list. */
async function policyOf(path: string, list: string): Promise<SignaturePolicy> {
  const keysFile = join(path, "keys.yaml");
  await writeFile(join(path, "one.pk"), writePublicKey(one.public, "raw"));
  await writeFile(join(path, "other.pem"), writePublicKey(other.public, "pem"));
  await writeFile(join(path, "secret.sk"), writeSecretKey(one, "raw"));
  await writeFile(join(path, "large.pk"), new Uint8Array(20_000));
  await writeFile(keysFile, list);
  return new SignaturePolicy({ mode: "require", keysFile }, defaultLimits);
}

test("keys are read from files beside the list, and from the list", async () => {
  await using folder = await testFolder();
  const inline = JSON.stringify(Buffer.from(writePublicKey(other.public, "pem")).toString());
  const policy = await policyOf(
    folder.path,
    `keys: [{ name: a, file: one.pk }, { name: b, key: ${inline} }]`,
  );
  expect(policy.keys.map(({ name, key }) => [name, key.bytes])).toEqual([
    ["a", one.public.bytes],
    ["b", other.public.bytes],
  ]);
  expect(policy.files).toEqual([join(folder.path, "keys.yaml"), join(folder.path, "one.pk")]);
});

test.each([
  ["a secret key", "keys: [{ name: a, file: secret.sk }]", /keys\[0\]: secret\.sk is a secret key/],
  ["a file that is not there", "keys: [{ name: a, file: none.pk }]", /keys\[0\]: none\.pk cannot be read/],
  ["a file that is no key's", "keys: [{ name: a, file: large.pk }]", /large\.pk has 20000 bytes/],
  ["a key that is none", "keys: [{ name: a, key: AbCd }]", /keys\[0\]: key is no public key/],
  [
    "the same key under two names",
    "keys: [{ name: a, file: one.pk, revoked: true }, { name: b, file: ./one.pk }]",
    /keys\[1\]: is the same key as a/,
  ],
])("a list with %s is refused, and what was read before stays", async (_what, list, message) => {
  await using folder = await testFolder();
  await expect(policyOf(folder.path, list)).rejects.toThrow(message);
  const policy = await policyOf(folder.path, "keys: [{ name: a, file: other.pem }]");
  await writeFile(join(folder.path, "keys.yaml"), list);
  expect(() => policy.reload()).toThrow(message);
  expect(policy.keys.map(({ name }) => name)).toEqual(["a"]);
});
