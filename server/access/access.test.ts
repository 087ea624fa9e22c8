import { createHash } from "node:crypto";
import type { PeerCertificate } from "node:tls";
import { describe, expect, test } from "vitest";
import { parseAccessFile } from "../config/access-file.ts";
import { leatError } from "../errors.ts";
import { namesOf } from "./certificate-names.ts";
import { holds, holdsFor, holdsForAll, holdsForInline } from "./grants.ts";
import { needOf } from "./method-needs.ts";
import { RefusalLog } from "./refusal-log.ts";
import { digestOf, newToken, TokenTable } from "./tokens.ts";

/** A line of an access file. */
const digest = `sha256:${"0".repeat(64)}`;

describe("a token", () => {
  test("has 256 random bits, and its digest is its SHA-256", () => {
    const token = newToken();
    expect(token).toMatch(/^leat_[\w-]{43}$/);
    expect(newToken()).not.toBe(token);
    expect(digestOf(token)).toEqual(createHash("sha256").update(token).digest());
  });

  test("is found by its whole digest alone", () => {
    const table = new TokenTable<string>();
    for (const name of ["a", "b", "c"]) table.add(digestOf(name).toString("hex"), name);
    expect(["a", "b", "c", "d", ""].map((token) => table.find(digestOf(token)))).toEqual([
      "a",
      "b",
      "c",
      undefined,
      undefined,
    ]);
  });
});

test("a method that the table does not have is no method that anybody may call", () => {
  const methods = ["leat.v1.ModuleService/Future", "leat.v2.ModuleService/LoadModule", "constructor/x", ""];
  expect(methods.map((method) => needOf(method).t)).toEqual(["unlisted", "unlisted", "unlisted", "unlisted"]);
});

describe("a grant", () => {
  test.each([
    ["orders", "orders", true],
    ["orders", "orders2", false],
    ["orders-*", "orders-eu", true],
    ["orders-*", "orders", false],
    ["*-eu", "orders-eu", true],
    ["*-eu", "orders-eu-old", false],
    ["a*b*c", "abc", true],
    ["a*b*c", "a-b-b-c", true],
    ["a*b*c", "acb", false],
    ["a*a", "a", false],
    ["*", "anything", true],
    ["a.c", "abc", false],
  ])("for %s reaches %s: %s", (pattern, pipeline, reaches) => {
    const grants = [{ role: "data", pipelines: [pattern], inline: false }] as const;
    expect(holdsFor(grants, "data", pipeline)).toBe(reaches);
  });

  test("includes the roles below, and is for all pipelines only when it says so", () => {
    const grants = [{ role: "operator", pipelines: ["a", "b*"], inline: false }] as const;
    expect([holds(grants, "data"), holds(grants, "operator"), holds(grants, "admin")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(holdsForAll(grants, "data")).toBe(false);
    expect(holdsForAll([{ ...grants[0], pipelines: ["a", "*"] }], "operator")).toBe(true);
    expect(holdsForInline(grants)).toBe(false);
    expect(holdsForInline([{ ...grants[0], inline: true }])).toBe(true);
  });
});

describe("the names in a certificate", () => {
  const certificate = (subjectaltname: string, CN = ""): PeerCertificate =>
    ({ subjectaltname, subject: { CN } }) as unknown as PeerCertificate;

  test("are its alternative names and its common name", () => {
    const shown = certificate("DNS:a.test, URI:spiffe://x/y, IP Address:127.0.0.1", "a");
    expect(namesOf(shown)).toEqual(["DNS:a.test", "URI:spiffe://x/y", "IP Address:127.0.0.1", "CN=a"]);
  });

  test("cannot smuggle in another: a value that looks like several stays one", () => {
    expect(namesOf(certificate('URI:"http://a, DNS:admin.test, b"'))).not.toContain("DNS:admin.test");
    expect(namesOf(certificate('URI:"http://a\\", DNS:admin.test, b"'))).not.toContain("DNS:admin.test");
    expect(namesOf(certificate('DNS:a"b, DNS:admin.test'))).toEqual([]);
  });
});

describe("the access file", () => {
  test("grants for all pipelines unless told otherwise, and inline chains to operators of all", () => {
    const { principals, open } = parseAccessFile(
      `principals: [{ name: a, tokens: ["${digest}"], grants: [{ role: operator }, { role: data }, { role: admin, pipelines: [x] }] }]`,
      "access.yaml",
    );
    expect(open).toEqual(["health"]);
    expect(principals[0]?.grants).toEqual([
      { role: "operator", pipelines: ["*"], inline: true },
      { role: "data", pipelines: ["*"], inline: false },
      { role: "admin", pipelines: ["x"], inline: false },
    ]);
  });

  test.each([
    [
      "a role that is none",
      "principals: [{ name: a, grants: [{ role: root }] }]",
      /role.*one of data, operator, admin/,
    ],
    [
      "a token itself",
      "principals: [{ name: a, tokens: [leat_x], grants: [{ role: data }] }]",
      /sha256: and 64/,
    ],
    [
      "a token for two",
      `principals: [{name: a, tokens: ["${digest}"], grants: [{role: data}]}, {name: b, tokens: ["${digest}"], grants: [{role: data}]}]`,
      /twice/,
    ],
    ["an unknown key", "principals: [{ name: a, grant: [] }]", /grant.*did you mean/],
    ["nobody", "open: [health]", /names nobody/],
    [
      "a name twice",
      `principals: [{name: a, grants: [{role: data}]}, {name: a, grants: [{role: data}]}]`,
      /twice/,
    ],
    [
      "an algorithm with a shared secret",
      "jwt: { issuer: a, audience: b, jwks: k.json, algorithms: [HS256], rules: [{ claim: a, value: b, grants: [{ role: data }] }] }",
      /algorithms/,
    ],
    [
      "keys without TLS",
      'jwt: { issuer: a, audience: b, jwks: "http://id.example.com/k", rules: [{ claim: a, value: b, grants: [{ role: data }] }] }',
      /https URL/,
    ],
    [
      "signed tokens for any audience",
      "jwt: { issuer: a, jwks: k.json, rules: [{ claim: a, value: b, grants: [{ role: data }] }] }",
      /audience.*missing/,
    ],
  ])("is refused with %s", (_, source, problem) => {
    expect(() => parseAccessFile(source, "access.yaml")).toThrow(problem);
  });

  test("does not repeat a token that was written in place of its digest", () => {
    const token = newToken();
    for (const tokens of [`[${token}]`, token]) {
      const source = `principals: [{ name: a, tokens: ${tokens}, grants: [{ role: data }] }]`;
      expect(() => parseAccessFile(source, "access.yaml")).toThrow(
        expect.toSatisfy(({ message }: Error) => /tokens.*digest/.test(message) && !message.includes(token)),
      );
    }
  });
});

test("the log of refusals has at most so many lines a second, and counts the rest", () => {
  const lines: object[] = [];
  let nowMs = 10_000;
  const logger = { warn: (fields: object) => lines.push(fields) };
  const log = new RefusalLog(logger as never, { nowMs: () => nowMs, wallMs: () => nowMs }, 2);
  const refuse = (): void => log.refused(leatError("CREDENTIALS_INVALID"), "leat.v1.S/M", undefined);
  for (let n = 0; n < 10; n++) refuse();
  expect(lines).toHaveLength(2);
  nowMs += 1_000;
  refuse();
  expect(lines.at(-1)).toEqual({ reason: "CREDENTIALS_INVALID", method: "leat.v1.S/M", omitted: 8 });
});
