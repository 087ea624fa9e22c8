/**
 * Who makes a call, and what it may do.
 *
 * @module
 */

import type { Grant } from "../config/access-file.ts";

/** Who makes a call. */
export interface Principal {
  /** The name for logs and audits: from the access file, the token's subject, or `anonymous`. Never a secret. */
  readonly name: string;
  /** What it proved that with: nothing, where the server asks nobody. */
  readonly by: "nothing" | "token" | "jwt" | "certificate";
  readonly grants: readonly Grant[];
  /** When what it showed ceases to be valid, in milliseconds since the Unix epoch; undefined for never. */
  readonly expiresAtMs: number | undefined;
  /** Changes when the access file says something else of it. */
  readonly revision: string;
}

/** Who calls a server that asks nobody: everybody may do everything. */
export const anonymous: Principal = {
  name: "anonymous",
  by: "nothing",
  grants: [{ role: "admin", pipelines: ["*"], inline: true }],
  expiresAtMs: undefined,
  revision: "",
};

/** Who calls what is open to everybody on a server that asks: it may do nothing else. */
export const nobody: Principal = { ...anonymous, grants: [] };
