import { describe, expect, test } from "vitest";
import { textOf } from "../../test/repository/source-files.ts";
import { readPublicKey } from "../signing/keys.ts";
import { parseSigningKeys } from "./signing-keys.ts";

const parse = (yaml: string) => parseSigningKeys(yaml, "keys.yaml", 4);

describe("a list of signing keys", () => {
  test("has keys in files and in itself, each with its time", () => {
    const yaml = `keys:
  - { name: release-2026, file: keys/2026.pk, notBefore: 2026-01-01 }
  - { name: old, key: "AbCd", notAfter: "2026-02-01T12:00:00Z" }
  - name: pem
    key: |
      -----BEGIN PUBLIC KEY-----
      MCow
      -----END PUBLIC KEY-----
    revoked: true
`;
    expect(parse(yaml)).toEqual([
      {
        name: "release-2026",
        source: { file: "keys/2026.pk" },
        notBeforeMs: Date.UTC(2026, 0, 1),
        notAfterMs: undefined,
        revoked: false,
        place: "keys[0]",
      },
      {
        name: "old",
        source: { inline: "AbCd" },
        notBeforeMs: undefined,
        notAfterMs: Date.UTC(2026, 1, 1, 12),
        revoked: false,
        place: "keys[1]",
      },
      expect.objectContaining({
        name: "pem",
        source: { inline: expect.stringMatching(/^-----BEGIN/) },
        revoked: true,
      }),
    ]);
  });

  test("in the documentation is one, with a key that is one", () => {
    const [, list = ""] =
      /^```yaml\n(# signing-keys\.yaml\n.*?)^```/ms.exec(textOf("docs/security.md")) ?? [];
    const keys = parse(list);
    expect(keys.map(({ name }) => name)).toEqual([
      "release-2026",
      "release-2025",
      "build-server",
      "old-laptop",
    ]);
    for (const { source } of keys)
      if ("inline" in source) expect(() => readPublicKey(Buffer.from(source.inline))).not.toThrow();
  });

  test.each([
    ["nothing", "", /one document/],
    ["no list", "{}", /keys: missing/],
    ["no keys", "keys: []", /a list of 1 to 4 keys/],
    ["more keys than the limit", `keys: [${"{ name: a, file: a }, ".repeat(5)}]`, /maxSigningKeys/],
    ["two documents", "keys: [{ name: a, file: a }]\n---\nkeys: []", /one document/],
    ["a key without a name", "keys: [{ file: a.pk }]", /keys\[0\]\.name: missing/],
    ["a name that is none", "keys: [{ name: 'a b', file: a.pk }]", /letters, digits/],
    ["a key that is nowhere", "keys: [{ name: a }]", /keys\[0\]: needs either file or key/],
    ["a key in two places", "keys: [{ name: a, file: a.pk, key: AbCd }]", /needs either file or key/],
    [
      "a name twice",
      "keys: [{ name: a, file: a.pk }, { name: a, file: b.pk }]",
      /keys\[1\]: a is there twice/,
    ],
    ["a misspelt word", "keys: [{ name: a, file: a.pk, revokd: true }]", /did you mean revoked/],
    [
      "a day that is none",
      "keys: [{ name: a, file: a.pk, notAfter: 2026-02-31 }]",
      /2026-02-31.*is not allowed/,
    ],
    ["a time without its zone", "keys: [{ name: a, file: a.pk, notAfter: '2026-02-01T12:00:00' }]", /in UTC/],
    [
      "a time that never is",
      "keys: [{ name: a, file: a.pk, notBefore: 2026-02-01, notAfter: 2026-02-01 }]",
      /keys\[0\]: never counts/,
    ],
  ])("is refused, and says where: %s", (_what, yaml, message) => {
    expect(() => parse(yaml)).toThrow(message);
  });
});
