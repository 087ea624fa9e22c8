/**
 * `/healthz` and `/readyz`: whether the process lives, and whether it should be sent calls.
 *
 * @module
 */

import type { IncomingHttpHeaders } from "node:http";
import { holds, holdsFor, holdsForAll } from "../../access/grants.ts";
import { nobody, type Principal } from "../../access/principal.ts";
import type { Limits } from "../../limits.ts";
import type { HealthBoard } from "./board.ts";
import { measureTurn } from "./loop-lag.ts";
import type { Health, HealthReason } from "./reasons.ts";

/** What a page answers with. */
export interface Page {
  readonly status: number;
  readonly type: string;
  /** The text, or its pieces where it is long. */
  readonly body: string | readonly Buffer[];
}

/** What was asked. */
export interface PageRequest {
  /** The path with its query, as it came. */
  readonly url: string;
  readonly headers: Pick<IncomingHttpHeaders, "accept">;
  /** Who asks: modules and pipelines are named only to those who may see them, and to nobody none. */
  readonly principal: Principal;
}

/**
 * `/healthz`: 200 for as long as anything answers. A busy process is not a dead one, so lag is told and changes nothing.
 */
export async function healthzPage(
  { maxLoopTurnMs }: Pick<Limits, "maxLoopTurnMs">,
  request: PageRequest,
): Promise<Page> {
  const turnMs = Math.round(await measureTurn());
  const lags = turnMs > maxLoopTurnMs;
  if (wantsJson(request)) return json(200, { alive: true, lags, turnMs });
  return plain(200, lags ? `ok, but the event loop lags: a turn took ${turnMs} ms` : "ok");
}

/** `/readyz`: 200 or 503, and why. With `?pipeline=NAME`, the same of a stored pipeline, and 404 when there is none. */
export function readyzPage(board: HealthBoard, request: PageRequest): Page {
  const pipeline = queryOf(request).get("pipeline");
  const verbose = wantsJson(request);
  if (pipeline !== null) {
    const health = board.pipeline(pipeline);
    return health === undefined ? unknownPipeline(verbose) : readiness(health, request, verbose);
  }
  // What nobody is told need not be gathered.
  const gathers = verbose || request.principal !== nobody;
  return readiness(gathers ? board.serverWithRemarks() : board.server(), request, verbose);
}

function readiness({ serving, reasons }: Health, { principal }: PageRequest, verbose: boolean): Page {
  const status = serving ? 200 : 503;
  const shown = reasonsFor(principal, reasons);
  if (verbose) {
    const told = principal === nobody ? countsOf(reasons) : shown.map(described);
    return json(status, { ready: serving, reasons: told });
  }
  const blocking = reasons.filter((reason) => reason.blocking);
  const remarks = shown.filter((reason) => !reason.blocking);
  const first = serving ? "ready" : `not ready: ${blocking.map(({ code }) => code).join(", ")}`;
  const details = [...shown.filter((reason) => reason.blocking), ...remarks];
  const lines = details.map(({ code, message }) => `${code}: ${message}`);
  return plain(status, [first, ...lines].join("\n"));
}

/** What a caller may see: all of the server, and of modules what concerns pipelines of its own. */
function reasonsFor({ grants }: Principal, reasons: readonly HealthReason[]): HealthReason[] {
  if (holdsForAll(grants, "data")) return [...reasons];
  if (!holds(grants, "data")) return [];
  return reasons.flatMap((reason) => {
    if (reason.pipelines === undefined) return reason.module === undefined ? [reason] : [];
    const pipelines = reason.pipelines.filter((name) => holdsFor(grants, "data", name));
    return pipelines.length === 0 ? [] : [{ ...reason, pipelines }];
  });
}

function described({ code, blocking, message, module, pipelines }: HealthReason): object {
  return { code, blocking, message, ...(module && { module }), ...(pipelines && { pipelines }) };
}

/** The reasons without what they name, each code once. */
function countsOf(reasons: readonly HealthReason[]): object[] {
  const counts = new Map<string, { code: string; blocking: boolean; count: number }>();
  for (const { code, blocking } of reasons) {
    const key = `${code} ${blocking}`;
    counts.set(key, { code, blocking, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts.values()];
}

function unknownPipeline(verbose: boolean): Page {
  return verbose
    ? json(404, { ready: false, reasons: [{ code: "unknown_pipeline", blocking: true }] })
    : plain(404, "no such pipeline");
}

function queryOf({ url }: PageRequest): URLSearchParams {
  const at = url.indexOf("?");
  return new URLSearchParams(at < 0 ? "" : url.slice(at + 1));
}

function wantsJson(request: PageRequest): boolean {
  return queryOf(request).has("verbose") || /\bapplication\/json\b/.test(request.headers.accept ?? "");
}

function plain(status: number, body: string): Page {
  return { status, type: "text/plain; charset=utf-8", body: `${body}\n` };
}

function json(status: number, body: object): Page {
  return { status, type: "application/json", body: `${JSON.stringify(body)}\n` };
}
