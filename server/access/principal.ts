/**
 * Who makes a call, and what it may do.
 *
 * @module
 */

/** What may be done, from least to most: each role may do what those before it may. */
export const roles = ["data", "operator", "admin"] as const;

/** What may be done. */
export type Role = (typeof roles)[number];

/** Something that a principal may do. */
export interface Grant {
  readonly role: Role;
  /** The pipelines for which it holds: names, in which `*` stands for any characters. `*` alone is all, and the server itself. */
  readonly pipelines: readonly string[];
  /** Whether chains of modules that a call brings along may be run. */
  readonly inline: boolean;
}

/** Who makes a call. */
export interface Principal {
  /** The name for logs and audits: from the access file, the token's subject, or `anonymous`. Never a secret. */
  readonly name: string;
  /** What it proved that with: nothing, where the server asks nobody. */
  readonly by: "nothing" | "token" | "jwt" | "certificate";
  readonly grants: readonly Grant[];
  /** When what it showed ceases to be valid, in milliseconds since the Unix epoch; undefined for never. */
  readonly expiresAtMs: number | undefined;
}

/** Who calls a server that asks nobody: everybody may do everything. */
export const anonymous: Principal = {
  name: "anonymous",
  by: "nothing",
  grants: [{ role: "admin", pipelines: ["*"], inline: true }],
  expiresAtMs: undefined,
};
