/**
 * Signed tokens (JWT) of an identity provider: checks the signature against its published keys, and what the token says.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from "jose";
import type { Clock } from "../clock.ts";
import type { AccessJwt } from "../config/access-file.ts";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { Principal } from "./principal.ts";

/** How long the keys are not asked for again after they could not be fetched, in milliseconds. */
const failedFetchPauseMs = 1_000;

const maxNameLength = 128;

/** Checks signed tokens. */
export class JwtVerifier {
  readonly #config: AccessJwt;
  readonly #limits: Limits;
  readonly #clock: Clock;
  readonly #keys: JWTVerifyGetKey;
  readonly #revision: string;
  #pausedUntilMs = 0;

  /** @throws Error when keys in a file cannot be read */
  constructor(config: AccessJwt, revision: string, limits: Limits, clock: Clock) {
    this.#config = config;
    this.#revision = revision;
    this.#limits = limits;
    this.#clock = clock;
    const url = /^https?:/i.test(config.jwks) ? new URL(config.jwks) : undefined;
    this.#keys =
      url === undefined
        ? createLocalJWKSet(JSON.parse(readFileSync(config.jwks, "utf8")))
        : this.#remoteKeys(url);
  }

  /**
   * Who bears a token.
   *
   * @throws LeatError CREDENTIALS_INVALID, CREDENTIALS_EXPIRED, KEYS_UNAVAILABLE
   */
  async verify(token: string): Promise<Principal> {
    const { issuer, audience, algorithms } = this.#config;
    let payload: JWTPayload;
    try {
      ({ payload } = await jwtVerify(token, this.#keys, {
        issuer,
        audience,
        algorithms: [...algorithms],
        requiredClaims: ["exp", "sub"],
        clockTolerance: this.#limits.maxClockSkewMs / 1_000,
        currentDate: new Date(this.#clock.wallMs()),
      }));
    } catch (error) {
      throw refusal(error);
    }
    return {
      name: nameIn(payload),
      by: "jwt",
      grants: this.#config.rules
        .filter(({ claim, value }) => hasValue(claimIn(payload, claim), value))
        .flatMap(({ grants }) => grants),
      expiresAtMs: (payload.exp ?? 0) * 1_000 + this.#limits.maxClockSkewMs,
      revision: this.#revision,
    };
  }

  #remoteKeys(url: URL): JWTVerifyGetKey {
    const keys = createRemoteJWKSet(url, {
      timeoutDuration: this.#limits.maxKeyFetchMs,
      [customFetch]: async (from, { headers, method, signal }) => {
        const response = await fetch(from, { headers, method, signal, redirect: "error" });
        return new Response(await readBounded(response, this.#limits.maxKeySetBytes), {
          status: response.status,
        });
      },
    });
    return async (header, token) => {
      if (this.#clock.nowMs() < this.#pausedUntilMs) {
        // A token with a key that nobody knows must not shut out the others while the issuer is away.
        const known = keys.fresh ? keys.jwks() : undefined;
        if (known === undefined) throw new KeysUnavailable();
        return createLocalJWKSet(known)(header, token);
      }
      try {
        return await keys(header, token);
      } catch (cause) {
        // A key that is not in the set says nothing against the set.
        if (cause instanceof errors.JWKSNoMatchingKey || cause instanceof errors.JWKSMultipleMatchingKeys)
          throw cause;
        if (cause instanceof errors.JOSENotSupported) throw cause;
        this.#pausedUntilMs = this.#clock.nowMs() + failedFetchPauseMs;
        throw new KeysUnavailable({ cause });
      }
    };
  }
}

/** The issuer's keys could not be had. */
class KeysUnavailable extends Error {
  override readonly name = "KeysUnavailable";

  constructor(options?: ErrorOptions) {
    super("the issuer's keys could not be fetched", options);
  }
}

async function readBounded(response: Response, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > maxBytes) throw new Error(`the key set has more than ${maxBytes} bytes`);
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** What a caller is told: whether to come back, and not which part of the check failed. The cause is for the log. */
function refusal(error: unknown) {
  if (error instanceof KeysUnavailable) return leatError("KEYS_UNAVAILABLE", undefined, { cause: error });
  if (error instanceof errors.JWTExpired) return leatError("CREDENTIALS_EXPIRED");
  return leatError("CREDENTIALS_INVALID", undefined, { cause: error });
}

/** The subject as logs can show it. */
function nameIn({ sub = "" }: JWTPayload): string {
  return sub.replaceAll(/[^\x21-\x7e]/g, "?").slice(0, maxNameLength);
}

/** A claim by its name, else by its path: `realm_access.roles`. */
function claimIn(payload: JWTPayload, name: string): unknown {
  if (Object.hasOwn(payload, name)) return payload[name];
  let found: unknown = payload;
  for (const part of name.split(".")) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, part)) return undefined;
    found = (found as Record<string, unknown>)[part];
  }
  return found;
}

/** Whether a claim is a value, or holds it: in a list, or among words as in `scope`. */
function hasValue(claim: unknown, value: string): boolean {
  if (typeof claim === "string") return claim === value || claim.split(" ").includes(value);
  return Array.isArray(claim) ? claim.includes(value) : false;
}
