/**
 * What an entry of the audit log says, and the hash that ties it to the one before it.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** Who made a change. */
export interface AuditActor {
  /** How that is known. `start`: the server did what its configuration says; `server`: it did so by itself. */
  readonly kind: "anonymous" | "token" | "jwt" | "certificate" | "start" | "server";
  /** The principal's name; empty for the server itself. Never a secret. */
  readonly name: string;
  /** What it may do, each as a role with its pipelines. */
  readonly roles: readonly string[];
  /** The address that the call came from; empty for the server itself. */
  readonly peer: string;
}

/** What was changed. Texts that do not apply are empty. */
export interface AuditTarget {
  readonly kind: "" | "module" | "pipeline" | "dead-letters" | "configuration" | "server" | "audit-log";
  readonly name: string;
  /** A module's version, or a pipeline's revision. */
  readonly version: string;
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  /** The ids of the keys that signed a module. */
  readonly signers: readonly string[];
}

/** An entry without its place in the log. */
export interface AuditDraft {
  /** When the change ended, in whole milliseconds since the Unix epoch by the wall clock. */
  readonly timeMs: number;
  readonly actor: AuditActor;
  /** `package.Service/Method`, or what the server did, as `start/load-module`. */
  readonly action: string;
  readonly target: AuditTarget;
  /** `ok`, or the reason with which it failed. */
  readonly outcome: string;
  /** More about it in a few words. */
  readonly detail: string;
  /** How many refusals before this one have no entry. */
  readonly omitted: number;
}

/** An entry of the log. */
export interface AuditEntry extends AuditDraft {
  /** Its place, from 1. */
  readonly sequence: number;
  /** The hash of the entry before, as 64 hex digits. */
  readonly previousHash: string;
  readonly hash: string;
}

/** A place in the log with the hash there. */
export interface AuditPoint {
  readonly sequence: number;
  readonly hash: string;
}

/** What is before the first entry. */
export const auditOrigin: AuditPoint = Object.freeze({ sequence: 0, hash: "0".repeat(64) });

/** The outcome of a change that worked. */
export const auditOk = "ok";
/** The outcome of a change that the server did not outlive. */
export const auditInterrupted = "INTERRUPTED";
/** The action of the entry that says up to where retention has removed entries. */
export const retainAction = "audit/retain";

/** The server itself, as the actor of what it does by itself. */
export const serverActor: AuditActor = Object.freeze({ kind: "server", name: "", roles: [], peer: "" });
/** The server itself, as the actor of what it does when it starts. */
export const startActor: AuditActor = Object.freeze({ ...serverActor, kind: "start" });
/** No target in particular. */
export const noTarget: AuditTarget = Object.freeze({
  kind: "",
  name: "",
  version: "",
  digest: "",
  signers: [],
});

/** Characters of one text, and texts of one list, that an entry keeps: they come from callers, and stay for years. */
const maxTextLength = 256;
const maxListLength = 16;

/** A draft whose texts are bounded, and the same when they are read again: no control characters, no halves of characters. */
export function boundedDraft(draft: AuditDraft): AuditDraft {
  const { actor, target } = draft;
  return {
    timeMs: Math.floor(draft.timeMs),
    actor: { kind: actor.kind, name: text(actor.name), roles: list(actor.roles), peer: text(actor.peer) },
    action: text(draft.action),
    target: {
      kind: target.kind,
      name: text(target.name),
      version: text(target.version),
      digest: text(target.digest),
      signers: list(target.signers),
    },
    outcome: text(draft.outcome),
    detail: text(draft.detail),
    omitted: draft.omitted,
  };
}

function text(given: string): string {
  const cut = given.length > maxTextLength ? `${given.slice(0, maxTextLength - 1)}…` : given;
  return cut.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\uFFFD");
}

function list(given: readonly string[]): string[] {
  return given.slice(0, maxListLength).map(text);
}

/**
 * The hash of an entry: SHA-256 over the hash before it, in hexadecimal, a line feed, and the entry's fields as a JSON array
 * without spaces. docs/security.md states the order, so that others can check it: to change it breaks every log there is.
 */
export function auditHash(previousHash: string, sequence: number, draft: AuditDraft): string {
  const { timeMs, actor, action, target, outcome, detail, omitted } = draft;
  const fields = [
    sequence,
    timeMs,
    actor.kind,
    actor.name,
    actor.roles,
    actor.peer,
    action,
    target.kind,
    target.name,
    target.version,
    target.digest,
    target.signers,
    outcome,
    detail,
    omitted,
  ];
  return createHash("sha256")
    .update(`${previousHash}\n${JSON.stringify(fields)}`)
    .digest("hex");
}
