/**
 * The access file as people write it, in YAML: who may call, how each proves who it is, and what it may do.
 *
 *     principals:
 *       - name: orders-producer
 *         tokens: ["sha256:…"]
 *         grants: [{ role: data, pipelines: [orders-*] }]
 *       - name: deployer
 *         certificates: ["DNS:deployer.example.com"]
 *         grants: [{ role: operator }]
 *     jwt:
 *       issuer: https://id.example.com
 *       audience: leat
 *       jwks: https://id.example.com/.well-known/jwks.json
 *       rules:
 *         - { claim: groups, value: leat-admins, grants: [{ role: admin }] }
 *     open: [health]
 *
 * @module
 */

import { defaultLimits } from "../limits.ts";
import { ConfigError, type ConfigProblem } from "./config-error.ts";
import { type Kind, oneOf, pattern, text, yesOrNo } from "./kinds.ts";
import { check, formatPath, list, mapping, value } from "./validate.ts";
import { readYaml } from "./yaml-text.ts";

/** What may be done, from least to most: each role may do what those before it may. */
export const roles = ["data", "operator", "admin"] as const;

/** What may be done. */
export type Role = (typeof roles)[number];

/** What may be left open to everybody. */
export const openThings = ["health", "reflection", "metrics"] as const;

/** What may be left open to everybody. */
export type OpenThing = (typeof openThings)[number];

/** The signatures of tokens that can be allowed: all with public keys, since a secret that can check can also sign. */
export const tokenAlgorithms = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;

/** Something that a principal may do. */
export interface Grant {
  readonly role: Role;
  /** The pipelines for which it holds: names, in which `*` stands for any characters. `*` alone is all, and the server itself. */
  readonly pipelines: readonly string[];
  /** Whether chains of modules that a call brings along may be run. */
  readonly inline: boolean;
}

/** A caller that the file names. */
export interface AccessPrincipal {
  readonly name: string;
  /** Digests of its tokens, as 64 hex digits. */
  readonly tokens: readonly string[];
  /** Names in its client certificates: `DNS:…`, `URI:…`, `email:…`, `IP Address:…` or `CN=…`. */
  readonly certificates: readonly string[];
  readonly grants: readonly Grant[];
}

/** What the bearer of a signed token may do, by a claim in it. */
export interface AccessRule {
  readonly claim: string;
  readonly value: string;
  readonly grants: readonly Grant[];
}

/** Which signed tokens are trusted. */
export interface AccessJwt {
  readonly issuer: string;
  readonly audience: string;
  /** The issuer's public keys: a URL, or the path of a file. */
  readonly jwks: string;
  readonly algorithms: readonly string[];
  readonly rules: readonly AccessRule[];
}

/** The access file. */
export interface AccessFile {
  readonly principals: readonly AccessPrincipal[];
  readonly jwt: AccessJwt | undefined;
  /** What needs no credentials. */
  readonly open: readonly OpenThing[];
}

const maxEntries = 100;

const digest = pattern(
  /^sha256:[0-9a-f]{64}$/,
  'a digest as "leat token new" prints it: sha256: and 64 hex digits',
);
const pipelineName = pattern(
  /^[A-Za-z0-9._*-]{1,64}$/,
  "a pipeline's name, in which `*` stands for any characters",
);
const certificateName = pattern(
  /^(?:(?:DNS|URI|email|IP Address):|CN=)./,
  "a name such as DNS:client.example.com, URI:spiffe://example.com/client or CN=client",
);
const principalName = pattern(
  /^[A-Za-z0-9][A-Za-z0-9._@/-]{0,127}$/,
  "1 to 128 letters, digits, `.`, `_`, `@`, `/` or `-`",
);

/** The issuer's keys: remote ones are fetched over TLS, or from this machine. */
const keySource: Kind<string> = {
  allowed: "the path of a file, or an https URL (http for this machine alone)",
  parse: (written) => {
    if (typeof written !== "string" || written.trim() === "") return undefined;
    const url = /^[a-z]+:\/\//i.test(written) ? URL.parse(written) : undefined;
    if (url === undefined) return written;
    if (url?.protocol === "https:") return written;
    const onThisMachine = ["127.0.0.1", "[::1]", "localhost"].includes(url?.hostname ?? "");
    return url?.protocol === "http:" && onThisMachine ? written : undefined;
  },
};

const grantSchema = mapping({
  role: value(oneOf(roles)),
  pipelines: list(value(pipelineName), "names of pipelines", maxEntries).optional(),
  inline: value(yesOrNo).optional(),
}).transform(
  ({ role, pipelines = ["*"], inline }): Grant => ({
    role,
    pipelines,
    inline: inline ?? (role !== "data" && pipelines.includes("*")),
  }),
);

const grants = list(grantSchema, "grants", maxEntries);

const accessSchema = mapping({
  principals: list(
    mapping({
      name: value(principalName),
      tokens: list(value(digest), "digests of tokens", maxEntries).optional(),
      certificates: list(value(certificateName), "names in certificates", maxEntries).optional(),
      grants,
    }),
    "principals",
    defaultLimits.maxPrincipals,
  ).optional(),
  jwt: mapping({
    issuer: value(text("the issuer of the tokens")),
    audience: value(text("the audience that tokens must name")),
    jwks: value(keySource),
    algorithms: list(value(oneOf(tokenAlgorithms)), "algorithms", tokenAlgorithms.length).optional(),
    rules: list(
      mapping({
        claim: value(text("the name of a claim")),
        value: value(text("what the claim must be or hold")),
        grants,
      }),
      "rules",
      maxEntries,
    ),
  }).optional(),
  open: list(value(oneOf(openThings)), "things", openThings.length).optional(),
});

/**
 * Reads an access file.
 *
 * @param source - the YAML
 * @param fileName - what messages call it
 * @throws ConfigError with all mistakes
 */
export function parseAccessFile(source: string, fileName: string): AccessFile {
  const [document, ...more] = readYaml(source, fileName);
  if (document === undefined || more.length > 0) {
    throw new ConfigError([{ where: fileName, key: "", problem: "must be one document" }]);
  }
  const checked = check(accessSchema, document.value ?? {}, document.where);
  if (!checked.ok) throw new ConfigError(checked.problems.map(withoutToken));
  const { principals = [], jwt, open = ["health"] } = checked.value;
  const [twice] = [
    ...repeated(principals, ({ name }) => [name]),
    ...repeated(principals, ({ tokens = [] }) => tokens),
    ...repeated(principals, ({ certificates = [] }) => certificates),
  ];
  if (twice !== undefined) {
    const path = ["principals", twice.place];
    const problem = `${twice.value} is there twice; names, tokens and certificates stand for one principal each`;
    throw new ConfigError([{ where: document.where(path, false), key: formatPath(path), problem }]);
  }
  if (principals.length === 0 && jwt === undefined) {
    const problem = "names nobody; give principals or jwt";
    throw new ConfigError([{ where: fileName, key: "", problem }]);
  }
  return {
    principals: principals.map(({ name, tokens = [], certificates = [], grants: own }) => ({
      name,
      tokens: tokens.map((written) => written.slice("sha256:".length)),
      certificates,
      grants: own,
    })),
    jwt: jwt && { ...jwt, algorithms: jwt.algorithms ?? ["RS256", "ES256", "EdDSA"] },
    open,
  };
}

/** What stands for several entries, with the place of the second. */
function repeated<Entry>(
  entries: readonly Entry[],
  valuesOf: (entry: Entry) => readonly string[],
): { readonly value: string; readonly place: number }[] {
  const seen = new Set<string>();
  return entries.flatMap((entry, place) =>
    valuesOf(entry).flatMap((found) => {
      if (seen.has(found)) return [{ value: found, place }];
      seen.add(found);
      return [];
    }),
  );
}

/** Who writes a token where its digest belongs must not find it in the log. */
function withoutToken(problem: ConfigProblem): ConfigProblem {
  if (!/\.tokens(?:\[|$)/.test(problem.key)) return problem;
  return { ...problem, problem: `is not allowed; give ${digest.allowed}` };
}
