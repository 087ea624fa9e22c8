/**
 * Walks the audit log from its beginning to its end, and says where it is broken.
 *
 * @module
 */

import { leatError } from "../errors.ts";
import { type AuditPoint, auditOrigin } from "./audit-entry.ts";
import type { StoreClient } from "./store-client.ts";

/** What a part of the log was found to be. */
export type AuditCheck = {
  /** The last entry that was found good. */
  readonly last: AuditPoint;
  /** The digest in the last entry about retention that was met. */
  readonly retained: string | undefined;
  readonly anchor: AuditPoint;
} & (
  | { readonly t: "more" | "end" }
  | { readonly t: "broken"; readonly sequence: number; readonly problem: string }
);

/** What the whole log was found to be. */
export interface AuditVerdict {
  readonly last: AuditPoint;
  readonly anchor: AuditPoint;
  /** The first entry that does not follow from the one before it. */
  readonly broken: { readonly sequence: number; readonly problem: string } | undefined;
}

/** Entries of one step: other calls of the store go between. */
const stepEntries = 500;

type Client = Pick<StoreClient, "call">;

/** What the log must have, and what ends the walk. */
export interface AuditWalk {
  /** The last entry that this process has seen. */
  readonly remembered: AuditPoint | undefined;
  /** An entry that a caller knows. */
  readonly known: AuditPoint | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Walks the log.
 *
 * @throws LeatError as {@link AuditLog.verify}
 */
export async function walkAudit(
  client: Client,
  { remembered, known, signal }: AuditWalk,
): Promise<AuditVerdict> {
  let after: AuditPoint = auditOrigin;
  let retained: string | undefined;
  let step: AuditCheck;
  do {
    if (signal?.aborted) throw leatError("CANCELLED");
    step = await client.call("checkAudit", { after, count: stepEntries });
    after = step.last;
    retained = step.retained ?? retained;
  } while (step.t === "more");
  const { last, anchor } = step;
  if (step.t === "broken")
    return { last, anchor, broken: { sequence: step.sequence, problem: step.problem } };
  if (known !== undefined && known.sequence < anchor.sequence) {
    const problem = `${known.sequence} was removed by retention, which has removed entries up to ${anchor.sequence}`;
    throw leatError("REQUEST_INVALID", { field: "known_sequence", problem });
  }
  if (anchor.sequence > 0 && retained !== `sha256:${anchor.hash}`) {
    const problem = "no entry says that those before it were removed";
    return { last, anchor, broken: { sequence: anchor.sequence + 1, problem } };
  }
  for (const point of [remembered, known]) {
    const broken = point && (await differenceFrom(client, point, last, anchor));
    if (broken !== undefined) return { last, anchor, broken };
  }
  return { last, anchor, broken: undefined };
}

/** Says in what the log differs from an entry that it had. */
async function differenceFrom(
  client: Client,
  point: AuditPoint,
  last: AuditPoint,
  anchor: AuditPoint,
): Promise<AuditVerdict["broken"]> {
  if (point.sequence > last.sequence) return { sequence: last.sequence + 1, problem: "it is missing" };
  if (point.sequence < anchor.sequence || point.sequence === 0) return undefined;
  const found =
    point.sequence === anchor.sequence ? anchor : await client.call("getAudit", { sequence: point.sequence });
  if (found?.hash === point.hash) return undefined;
  return { sequence: point.sequence, problem: "it is not the entry that was there before" };
}
