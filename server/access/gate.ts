/**
 * Who may come in: finds out who makes a call, once a call, and whether its role reaches.
 *
 * @module
 */

import type { PeerCertificate } from "node:tls";
import type { Clock } from "../clock.ts";
import type { AccessFile, OpenThing } from "../config/access-file.ts";
import { LeatError, leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { AccessStats } from "../telemetry/stats.ts";
import { namesOf } from "./certificate-names.ts";
import { holds, holdsFor, holdsForAll, holdsForInline } from "./grants.ts";
import { JwtVerifier } from "./jwt.ts";
import { type MethodNeed, type Need, needOf } from "./method-needs.ts";
import { nobody, type Principal } from "./principal.ts";
import type { RefusalLog } from "./refusal-log.ts";
import { digestOf, TokenTable } from "./tokens.ts";

/** What a caller shows. */
export interface Credentials {
  /** The header `authorization`. */
  readonly authorization: string | undefined;
  /** The client's certificate, when the connection has one that was verified. */
  readonly certificate: () => PeerCertificate | undefined;
  /** The address that the call comes from. */
  readonly peer: () => string;
}

/** A call of somebody known that was refused for what the caller may not do. */
export interface Forbidden {
  readonly error: LeatError;
  /** `package.Service/Method`. */
  readonly method: string;
  readonly principal: Principal;
  readonly peer: string;
}

/** Everything that the access file says, ready to be asked. */
interface Rules {
  readonly tokens: TokenTable<Principal>;
  readonly certificates: ReadonlyMap<string, Principal>;
  readonly jwt: JwtVerifier | undefined;
  readonly open: ReadonlySet<OpenThing>;
  readonly revisions: ReadonlySet<string>;
}

interface Remembered {
  readonly principal: Principal;
  readonly untilMs: number;
}

/** What the gate is made from. */
export interface GateParts {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly stats: AccessStats;
  readonly log: RefusalLog;
  /** Told of each call that a caller's role does not allow. */
  readonly onForbidden: (refused: Forbidden) => void;
}

/** Decides who may come in. */
export class Gate {
  readonly #parts: GateParts;
  #rules: Rules;
  /** Principals by the digest of their token; the one unused for longest gives way. */
  readonly #remembered = new Map<string, Remembered>();

  /** @throws Error when keys in a file cannot be read */
  constructor(file: AccessFile, parts: GateParts) {
    this.#parts = parts;
    this.#rules = readRules(file, parts);
  }

  /**
   * Takes an access file that has changed. Whoever is in already stays only if it says the same of them.
   *
   * @throws Error when keys in a file cannot be read; nothing changes then
   */
  change(file: AccessFile): void {
    this.#rules = readRules(file, this.#parts);
    this.#remembered.clear();
  }

  /**
   * Lets a call in, before anything of its body is read.
   *
   * @param path - `/package.Service/Method`, or the path of a page
   * @returns who calls, at once where nothing has to be waited for
   * @throws LeatError CREDENTIALS_MISSING, CREDENTIALS_INVALID, CREDENTIALS_EXPIRED, KEYS_UNAVAILABLE, ROLE_MISSING
   */
  admit(path: string, credentials: Credentials): Principal | Promise<Principal> {
    const method = path.slice(1);
    return this.#enter(method, needOf(method), credentials);
  }

  /** Lets in whoever may see something beside the calls. Throws as {@link admit} does. */
  admitTo(thing: OpenThing, credentials: Credentials): Principal | Promise<Principal> {
    return this.#enter(thing, { t: "openable", thing }, credentials);
  }

  #enter(name: string, needed: MethodNeed, credentials: Credentials): Principal | Promise<Principal> {
    if (needed.t === "openable" && this.#rules.open.has(needed.thing)) return this.#whoever(credentials);
    try {
      const found = this.#identify(credentials);
      if (!(found instanceof Promise)) return this.#authorise(name, needed, found);
      return found
        .then((principal) => this.#authorise(name, needed, principal))
        .catch((error) => this.#refuse(error, name, credentials.peer()));
    } catch (error) {
      return this.#refuse(error, name, credentials.peer());
    }
  }

  /** Who calls what is open to everybody: what is shown in vain is as nothing. */
  #whoever(credentials: Credentials): Principal | Promise<Principal> {
    try {
      const found = this.#identify(credentials);
      return found instanceof Promise ? found.catch(() => nobody) : found;
    } catch {
      return nobody;
    }
  }

  #identify({ authorization, certificate }: Credentials): Principal | Promise<Principal> {
    if (authorization !== undefined) return this.#bearer(authorization);
    const shown = certificate();
    if (shown === undefined) throw leatError("CREDENTIALS_MISSING");
    for (const name of namesOf(shown)) {
      const principal = this.#rules.certificates.get(name);
      if (principal !== undefined) return this.#untilExpiry(principal, shown);
    }
    throw leatError("CREDENTIALS_INVALID");
  }

  /** TLS looks at a certificate's time when the connection begins, which may be long ago. */
  #untilExpiry(principal: Principal, { valid_to }: PeerCertificate): Principal {
    const expiresAtMs = Date.parse(valid_to);
    if (!(this.#parts.clock.wallMs() < expiresAtMs)) throw leatError("CREDENTIALS_EXPIRED");
    return { ...principal, expiresAtMs };
  }

  #bearer(authorization: string): Principal | Promise<Principal> {
    const { limits } = this.#parts;
    if (authorization.length > limits.maxTokenBytes) throw leatError("CREDENTIALS_INVALID");
    const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1];
    if (token === undefined) throw leatError("CREDENTIALS_INVALID");
    const digest = digestOf(token);
    const key = digest.toString("base64");
    const remembered = this.#recall(key);
    if (remembered !== undefined) return remembered;
    const rules = this.#rules;
    const known = rules.tokens.find(digest);
    if (known !== undefined) {
      this.#remember(key, known);
      return known;
    }
    if (rules.jwt === undefined || token.split(".").length !== 3) throw leatError("CREDENTIALS_INVALID");
    return rules.jwt.verify(token).then((principal) => {
      if (rules === this.#rules) this.#remember(key, principal);
      return principal;
    });
  }

  #recall(key: string): Principal | undefined {
    const found = this.#remembered.get(key);
    if (found === undefined) return undefined;
    this.#remembered.delete(key);
    const { principal } = found;
    const { clock } = this.#parts;
    if (principal.expiresAtMs !== undefined && clock.wallMs() >= principal.expiresAtMs)
      throw leatError("CREDENTIALS_EXPIRED");
    if (clock.nowMs() >= found.untilMs) return undefined;
    this.#remembered.set(key, found);
    return principal;
  }

  #remember(key: string, principal: Principal): void {
    const { limits, clock } = this.#parts;
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size < limits.maxRememberedTokens) break;
      this.#remembered.delete(oldest);
    }
    this.#remembered.set(key, { principal, untilMs: clock.nowMs() + limits.maxTokenRememberedMs });
  }

  #authorise(name: string, needed: MethodNeed, principal: Principal): Principal {
    const { grants } = principal;
    switch (needed.t) {
      case "unlisted":
        throw this.#about(principal, leatError("ROLE_MISSING", { method: name, role: "(none reaches)" }));
      case "openable": {
        const role = needed.thing === "metrics" ? "operator" : "data";
        const reaches = role === "operator" ? holdsForAll(grants, role) : holds(grants, role);
        if (!reaches) throw this.#about(principal, leatError("ROLE_MISSING", { method: name, role }));
        return principal;
      }
      case "role": {
        const { role, pipelines } = needed.need;
        const reaches = pipelines === "all" ? holdsForAll(grants, role) : holds(grants, role);
        if (!reaches) throw this.#about(principal, leatError("ROLE_MISSING", { method: name, role }));
        return principal;
      }
    }
  }

  /** @throws LeatError PIPELINE_FORBIDDEN unless the caller may do what the request asks with the pipelines that it names */
  checkRequest<Request>(
    principal: Principal,
    { role, pipelines }: Need<Request>,
    request: Request,
    { name, peer }: { readonly name: string; readonly peer: string },
  ): void {
    if (typeof pipelines !== "function") return;
    for (const pipeline of pipelines(request)) {
      const reaches =
        pipeline === "" ? holdsForAll(principal.grants, role) : holdsFor(principal.grants, role, pipeline);
      if (reaches) continue;
      const error = leatError("PIPELINE_FORBIDDEN", { pipeline: pipeline || "*", role });
      this.#refuse(this.#about(principal, error), name, peer);
    }
  }

  /** Whether the caller may do something with a pipeline. */
  may(principal: Principal, { role }: Need, pipeline: string): boolean {
    return holdsFor(principal.grants, role, pipeline);
  }

  /**
   * Checks the target of records.
   *
   * @param pipeline - the stored pipeline; undefined for a chain that the call brings along
   * @throws LeatError PIPELINE_FORBIDDEN, INLINE_CHAIN_FORBIDDEN
   */
  checkTarget(principal: Principal, pipeline: string | undefined): void {
    const { grants } = principal;
    if (pipeline === undefined) {
      if (holdsForInline(grants)) return;
      this.#refuse(this.#about(principal, leatError("INLINE_CHAIN_FORBIDDEN")), "target", "");
    } else if (!holdsFor(grants, "data", pipeline)) {
      const error = leatError("PIPELINE_FORBIDDEN", { pipeline, role: "data" });
      this.#refuse(this.#about(principal, error), "target", "");
    }
  }

  /** @throws LeatError CREDENTIALS_EXPIRED when what a caller showed is not valid any more */
  checkStillValid({ by, expiresAtMs, revision }: Principal): void {
    if (by === "nothing") return;
    const expired = expiresAtMs !== undefined && this.#parts.clock.wallMs() >= expiresAtMs;
    if (expired || !this.#rules.revisions.has(revision)) throw leatError("CREDENTIALS_EXPIRED");
  }

  readonly #refused = new WeakMap<LeatError, Principal>();

  #about(principal: Principal, error: LeatError): LeatError {
    this.#refused.set(error, principal);
    return error;
  }

  #refuse(thrown: unknown, method: string, peer: string): never {
    const error = LeatError.from(thrown);
    const { stats, log, onForbidden } = this.#parts;
    stats.refused.set(error.reason, (stats.refused.get(error.reason) ?? 0) + 1);
    const principal = this.#refused.get(error);
    log.refused(error, method, principal?.name);
    if (principal !== undefined) onForbidden({ error, method, principal, peer });
    throw error;
  }
}

function readRules(file: AccessFile, { limits, clock }: GateParts): Rules {
  const tokens = new TokenTable<Principal>();
  const certificates = new Map<string, Principal>();
  const revisions = new Set<string>();
  for (const entry of file.principals) {
    const revision = JSON.stringify(entry);
    const { name, grants } = entry;
    revisions.add(revision);
    const base = { name, grants, expiresAtMs: undefined, revision };
    for (const digest of entry.tokens) tokens.add(digest, { ...base, by: "token" });
    for (const shown of entry.certificates) certificates.set(shown, { ...base, by: "certificate" });
  }
  const jwtRevision = JSON.stringify(file.jwt ?? "");
  revisions.add(jwtRevision);
  const jwt = file.jwt && new JwtVerifier(file.jwt, jwtRevision, limits, clock);
  return { tokens, certificates, jwt, open: new Set(file.open), revisions };
}
