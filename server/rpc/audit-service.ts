/**
 * AuditService over the audit log. Both doors serve this same implementation.
 *
 * @module
 */

import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  AuditActorKind,
  type AuditEntry as AuditEntryMessage,
  AuditEntrySchema,
  type AuditFilter as AuditFilterMessage,
  type AuditService,
  AuditTargetKind,
} from "@leat/proto";
import { leatError } from "../errors.ts";
import type { AuditActor, AuditEntry, AuditPoint, AuditTarget } from "../store/audit-entry.ts";
import type { AuditFilter } from "../store/audit-log.ts";
import type { Engine } from "./engine.ts";

const defaultPageSize = 100;
const maxPageSize = 1_000;

/** AuditService over the engine's audit log. */
export function auditService({ audit }: Engine): ServiceImpl<typeof AuditService> {
  const { durable } = audit;
  return {
    listAuditEntries: async ({ filter, pageSize, pageToken }) => {
      if (pageSize > maxPageSize)
        throw leatError("REQUEST_INVALID", {
          field: "page_size",
          problem: `${pageSize} is above ${maxPageSize}`,
        });
      const before = pageToken === "" ? undefined : parseToken(pageToken);
      const page = await audit.list(readFilter(filter), pageSize || defaultPageSize, before);
      const nextPageToken = page.next === undefined ? "" : tokenOf(page.next);
      return { entries: page.entries.map(describeEntry), nextPageToken, durable };
    },
    getAuditEntry: async ({ sequence }) => {
      const place = placeOf("sequence", sequence);
      const entry = await audit.get(place);
      if (entry === undefined) throw leatError("AUDIT_ENTRY_NOT_FOUND", { sequence: String(place) });
      return { entry: describeEntry(entry) };
    },
    verifyAudit: async ({ knownSequence, knownHash }, { signal }) => {
      const { last, anchor, broken } = await audit.verify(readKnown(knownSequence, knownHash), signal);
      return {
        valid: broken === undefined,
        brokenSequence: BigInt(broken?.sequence ?? 0),
        problem: broken?.problem ?? "",
        entries: BigInt(last.sequence - anchor.sequence),
        anchorSequence: BigInt(anchor.sequence),
        anchorHash: anchor.hash,
        headSequence: BigInt(last.sequence),
        headHash: last.hash,
        durable,
      };
    },
  };
}

/** A filter as the log takes it: what is empty is not set. */
function readFilter(filter: AuditFilterMessage | undefined): AuditFilter {
  if (filter === undefined) return {};
  const { since, until, principal, action, target, outcome } = filter;
  return {
    ...(since !== undefined && { sinceMs: timestampMs(since) }),
    ...(until !== undefined && { untilMs: timestampMs(until) }),
    ...(principal !== "" && { principal }),
    ...(action !== "" && { action }),
    ...(target !== "" && { target }),
    ...(outcome !== "" && { outcome }),
  };
}

function readKnown(sequence: bigint, hash: string): AuditPoint | undefined {
  if (sequence === 0n && hash === "") return undefined;
  if (!/^[0-9a-f]{64}$/.test(hash))
    throw leatError("REQUEST_INVALID", { field: "known_hash", problem: "is not 64 hex digits" });
  return { sequence: placeOf("known_sequence", sequence), hash };
}

function placeOf(field: string, sequence: bigint): number {
  if (sequence < 1n || sequence > Number.MAX_SAFE_INTEGER)
    throw leatError("REQUEST_INVALID", { field, problem: `${sequence} is no entry's place` });
  return Number(sequence);
}

function tokenOf(before: number): string {
  return Buffer.from(String(before)).toString("base64url");
}

function parseToken(token: string): number {
  const text = Buffer.from(token, "base64url").toString("latin1");
  if (!/^\d{1,15}$/.test(text))
    throw leatError("REQUEST_INVALID", { field: "page_token", problem: "is none that this server gave" });
  return Number(text);
}

const actorKinds: Readonly<Record<AuditActor["kind"], AuditActorKind>> = {
  anonymous: AuditActorKind.ANONYMOUS,
  token: AuditActorKind.TOKEN,
  jwt: AuditActorKind.JWT,
  certificate: AuditActorKind.CERTIFICATE,
  start: AuditActorKind.START,
  server: AuditActorKind.SERVER,
};

const targetKinds: Readonly<Record<AuditTarget["kind"], AuditTargetKind>> = {
  "": AuditTargetKind.UNSPECIFIED,
  module: AuditTargetKind.MODULE,
  pipeline: AuditTargetKind.PIPELINE,
  "dead-letters": AuditTargetKind.DEAD_LETTERS,
  configuration: AuditTargetKind.CONFIGURATION,
  server: AuditTargetKind.SERVER,
  "audit-log": AuditTargetKind.AUDIT_LOG,
};

function describeEntry(entry: AuditEntry): AuditEntryMessage {
  const { actor, target, action, outcome, detail, omitted, previousHash, hash } = entry;
  return create(AuditEntrySchema, {
    ...{ action, outcome, detail, omitted, previousHash, hash },
    sequence: BigInt(entry.sequence),
    time: timestampFromMs(entry.timeMs),
    actor: { ...actor, kind: actorKinds[actor.kind], roles: [...actor.roles] },
    target: { ...target, kind: targetKinds[target.kind], signers: [...target.signers] },
  });
}
