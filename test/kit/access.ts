/**
 * A server that asks who calls, with callers of every kind.
 *
 * @module
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { digestOf, newToken } from "../../server/access/tokens.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "./test-server.ts";

/** A folder for certificates and access files, gone at the end. */
export class AccessFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "leat-access-"));

  /** Writes a file. @returns its path */
  write(name: string, text: string): string {
    const path = join(this.path, name);
    writeFileSync(path, text);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** A token's line for an access file. */
export function digestLine(token: string): string {
  return `sha256:${digestOf(token).toString("hex")}`;
}

/** Issues signed tokens. */
export interface TestIssuer {
  readonly issuer: string;
  readonly audience: string;
  /** Its key set, as JSON. */
  readonly keySet: string;
  /** Signs a token. */
  sign(claims: Readonly<Record<string, unknown>>, expiresAt: Date): Promise<string>;
}

/** Makes an issuer with a key of its own. */
export async function makeIssuer(kid = "k1"): Promise<TestIssuer> {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const issuer = "https://issuer.test";
  const audience = "leat";
  return {
    issuer,
    audience,
    keySet: JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid, alg: "ES256", use: "sig" }] }),
    sign: (claims, expiresAt) =>
      new SignJWT({ sub: "somebody", iss: issuer, aud: audience, ...claims })
        .setProtectedHeader({ alg: "ES256", kid })
        .setExpirationTime(expiresAt)
        .sign(privateKey),
  };
}

/** A server with one static token for each kind of caller. */
export interface GuardedServer extends AsyncDisposable {
  readonly kit: TestServer;
  readonly folder: AccessFolder;
  readonly issuer: TestIssuer;
  readonly tokens: Readonly<Record<"data" | "operator" | "admin" | "elsewhere" | "narrow", string>>;
  /** The access file's text. */
  readonly accessText: string;
  /** Where it is. */
  readonly accessFile: string;
}

/** Starts a server that asks. `elsewhere` is an administrator of pipelines whose names begin with `other-`; `narrow` may run records through `mine` alone. */
export async function startGuarded(options: TestServerOptions = {}): Promise<GuardedServer> {
  const folder = new AccessFolder();
  const issuer = await makeIssuer();
  const tokens = {
    data: newToken(),
    operator: newToken(),
    admin: newToken(),
    elsewhere: newToken(),
    narrow: newToken(),
  };
  folder.write("jwks.json", issuer.keySet);
  const accessText = `
principals:
  - { name: data, tokens: ["${digestLine(tokens.data)}"], grants: [{ role: data }] }
  - { name: operator, tokens: ["${digestLine(tokens.operator)}"], grants: [{ role: operator }] }
  - { name: admin, tokens: ["${digestLine(tokens.admin)}"], grants: [{ role: admin }] }
  - { name: elsewhere, tokens: ["${digestLine(tokens.elsewhere)}"], grants: [{ role: admin, pipelines: [other-*] }] }
  - { name: narrow, tokens: ["${digestLine(tokens.narrow)}"], certificates: ["URI:spiffe://test/narrow"], grants: [{ role: data, pipelines: [mine] }] }
jwt:
  issuer: ${issuer.issuer}
  audience: ${issuer.audience}
  jwks: jwks.json
  rules:
    - { claim: groups, value: mill, grants: [{ role: data, pipelines: [mine] }] }
`;
  const accessFile = folder.write("access.yaml", accessText);
  const kit = await startTestServer({
    http: true,
    ...options,
    server: { accessFile, ...options.server },
    client: { token: tokens.admin, ...options.client },
  });
  return {
    kit,
    folder,
    issuer,
    tokens,
    accessText,
    accessFile,
    [Symbol.asyncDispose]: async () => {
      await kit[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}
