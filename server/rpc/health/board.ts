/**
 * Whether the server serves, as a whole, by service and by pipeline: the one source of what probes and watchers are told.
 *
 * Nothing here waits for a worker, a queue or the store: an answer costs a look at the state.
 *
 * @module
 */

import type { Clock } from "../../clock.ts";
import type { Limits } from "../../limits.ts";
import { type PipelineHealthParts, pipelineHealth } from "./pipeline-health.ts";
import { type Health, type HealthReason, healthOf } from "./reasons.ts";
import { gatherRemarks } from "./remarks.ts";

/** What the board looks at. */
export interface HealthParts extends PipelineHealthParts {
  readonly registry: PipelineHealthParts["registry"] & Parameters<typeof gatherRemarks>[0]["registry"];
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  /** How many worker threads are ready. */
  readonly readyWorkers: () => number;
}

/** How far the server is in its life. */
type Phase = "starting" | "serving" | "draining";

/** Under this and a slash each stored pipeline has a health of its own. */
const pipelinePrefix = "pipeline/";

/** The services whose health is that of the server. */
const services: ReadonlySet<string> = new Set([
  "leat.v1.TransformService",
  "leat.v1.ModuleService",
  "leat.v1.PipelineService",
  "leat.v1.MetricsService",
  "leat.v1.DeadLetterService",
  "leat.v1.AuditService",
  "leat.v1.ConfigService",
]);

/** The service that is nothing but the store's. */
const storeService = "leat.v1.DeadLetterService";

/** How soon to look again whether there is a worker. */
const workerCheckMs = 1_000;

/** Knows what serves. */
export class HealthBoard {
  readonly #parts: HealthParts;
  #phase: Phase = "starting";
  /** Since when no worker has been ready, as far as is known; undefined when one is. */
  #workerlessSinceMs: number | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(parts: HealthParts) {
    this.#parts = parts;
  }

  /** Whether the server has been told to end. */
  get draining(): boolean {
    return this.#phase === "draining";
  }

  /** The server takes calls. */
  serving(): void {
    this.#phase = "serving";
    this.changed();
  }

  /** The server takes no more calls: everything is NOT_SERVING from now on. */
  drain(): void {
    this.#phase = "draining";
    this.changed();
  }

  /** A worker thread was stopped or has died. */
  workerStopped(): void {
    // The figure is from before its end: where it is not 0, there was a worker until now.
    if (this.#workerlessSinceMs === undefined || this.#parts.readyWorkers() > 0)
      this.#workerlessSinceMs = this.#parts.clock.nowMs();
    this.changed();
  }

  /** Something has changed that health may follow. */
  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Calls a function with each change that health may follow. @returns a function that stops that */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The health of the whole server: what is wrong with single modules and pipelines does not count. */
  server(): Health {
    const reasons: HealthReason[] = [];
    if (this.#phase === "starting")
      reasons.push({ code: "starting", blocking: true, message: "the server is starting" });
    if (this.#phase === "draining")
      reasons.push({ code: "draining", blocking: true, message: "the server is draining" });
    const untilMs = this.#addWorkerless(reasons);
    const { storeStatus, needsStore } = this.#parts;
    const status = storeStatus();
    if (status.t === "failed")
      reasons.push({
        code: "store_down",
        blocking: needsStore,
        message: `dead letters cannot be kept: ${status.reason}`,
      });
    return healthOf(reasons, untilMs);
  }

  #addWorkerless(reasons: HealthReason[]): number {
    if (this.#parts.readyWorkers() > 0) this.#workerlessSinceMs = undefined;
    if (this.#workerlessSinceMs === undefined) return Number.POSITIVE_INFINITY;
    const nowMs = this.#parts.clock.nowMs();
    const blockingFromMs = this.#workerlessSinceMs + this.#parts.limits.maxWorkerlessMs;
    if (nowMs < blockingFromMs) return blockingFromMs;
    reasons.push({ code: "no_worker", blocking: true, message: "no worker thread is ready" });
    return nowMs + workerCheckMs;
  }

  /** As {@link server}, with remarks on what does not run although the server does. */
  serverWithRemarks(): Health {
    const { reasons, untilMs } = this.server();
    return healthOf([...reasons, ...gatherRemarks(this.#parts)], untilMs);
  }

  /** The health of a stored pipeline; undefined when there is none. */
  pipeline(name: string): Health | undefined {
    const own = pipelineHealth(this.#parts, name);
    if (own === undefined) return undefined;
    const server = this.server();
    const reasons = [...server.reasons.filter(({ blocking }) => blocking), ...own.reasons];
    return healthOf(reasons, Math.min(server.untilMs, own.untilMs));
  }

  /**
   * What `grpc.health.v1` tells.
   *
   * @param name - empty for the server, a service's name, or `pipeline/NAME`
   * @returns undefined for what there is not
   */
  of(name: string): Health | undefined {
    if (name.startsWith(pipelinePrefix)) return this.pipeline(name.slice(pipelinePrefix.length));
    if (name !== "" && !services.has(name)) return undefined;
    const server = this.server();
    if (name !== storeService) return server;
    // Whatever the policy, its calls fail while the store does.
    const reasons = server.reasons.map((each) =>
      each.code === "store_down" ? { ...each, blocking: true } : each,
    );
    return healthOf(reasons, server.untilMs);
  }

  /** Every name that {@link of} knows now. */
  names(): string[] {
    const pipelines = this.#parts.registry.pipelines.list();
    return ["", ...services, ...pipelines.map(({ definition }) => `${pipelinePrefix}${definition.name}`)];
  }

  /** The pipeline that a name of {@link of} stands for; undefined for the server and its services. */
  static pipelineOf(name: string): string | undefined {
    return name.startsWith(pipelinePrefix) ? name.slice(pipelinePrefix.length) : undefined;
  }
}
