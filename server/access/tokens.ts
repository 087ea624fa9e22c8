/**
 * Tokens that the server itself gives out: random ones, of which the access file keeps only the digest.
 *
 * A plain SHA-256 is enough for them, and a slow hash would be wrong. Slow hashes protect what people choose, which can be
 * guessed; 256 random bits cannot. And a hash that takes 50 ms would let anybody stop the server with wrong tokens.
 *
 * @module
 */

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** How each token begins, so that scanners find one that was published by mistake. */
const prefix = "leat_";

/** Makes a token. It is shown once; the access file gets its digest. */
export function newToken(): string {
  return prefix + randomBytes(32).toString("base64url");
}

/** A token's digest. */
export function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** Finds whose token it is, in a time that depends on nothing but how many there are. */
export class TokenTable<Owner> {
  readonly #entries: { readonly digest: Buffer; readonly owner: Owner }[] = [];

  /** Adds a token by its digest in hexadecimal. */
  add(digest: string, owner: Owner): void {
    this.#entries.push({ digest: Buffer.from(digest, "hex"), owner });
  }

  /** The owner of the token with a digest. */
  find(digest: Buffer): Owner | undefined {
    let found: Owner | undefined;
    for (const entry of this.#entries) {
      if (timingSafeEqual(entry.digest, digest)) found = entry.owner;
    }
    return found;
  }
}
