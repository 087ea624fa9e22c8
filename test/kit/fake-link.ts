/**
 * Workers that are nowhere, for tests of the pool: they start and end when they are told to.
 *
 * @module
 */

import { RingReader, RingWriter, type SlotMemory } from "../../server/bridge/channel.ts";
import type { Clock } from "../../server/clock.ts";
import { resolveLimits } from "../../server/limits.ts";
import { Pool } from "../../server/pool/pool.ts";
import type { PoolEvents } from "../../server/pool/pool-events.ts";
import type { LinkEvents, StartLink, WorkerLink } from "../../server/pool/worker-link.ts";
import { Stats } from "../../server/telemetry/stats.ts";
import { clockOf } from "./clocks.ts";

/** The way to a worker that does nothing. */
export class FakeLink implements WorkerLink {
  readonly cpu = { usedMs: () => undefined, yieldToOthers: () => {}, close: () => {} };
  /** Is told when slots were submitted, with their numbers. */
  onSlots: (slots: readonly number[]) => void = () => {};
  readonly #events: LinkEvents;
  readonly #submitted: RingReader;
  readonly #completed: RingWriter;
  readonly #ended = Promise.withResolvers<void>();

  constructor(memory: SlotMemory, events: LinkEvents) {
    this.#events = events;
    this.#submitted = new RingReader(memory, "submit");
    this.#completed = new RingWriter(memory, "complete");
  }

  /** The worker waits for slots. */
  ready(): void {
    this.#events.message({ type: "ready" });
  }

  /** The worker has completed a slot, and does not tell. */
  complete(slot: number): void {
    this.#completed.push(slot);
  }

  /** The worker ends, by itself unless it was told to. */
  end(): void {
    this.#events.exited({ reason: "crash", problem: "it was told to" });
    this.#ended.resolve();
  }

  ring(): void {
    const slots: number[] = [];
    for (let slot = this.#submitted.take(); slot >= 0; slot = this.#submitted.take()) slots.push(slot);
    if (slots.length > 0) this.onSlots(slots);
  }

  terminate(): void {
    queueMicrotask(() => this.end());
  }

  ended(): Promise<void> {
    return this.#ended.promise;
  }

  post(): void {}
  cancelled(): void {}
  recall(): void {}
  close(): void {}
  take(): undefined {
    return undefined;
  }
}

/** A pool of such workers, with those that it has started, the first first. */
export function fakePool(
  limits: Parameters<typeof resolveLimits>[0],
  events: Partial<PoolEvents> = {},
  clock: Clock = clockOf(() => 0),
): { readonly pool: Pool; readonly links: FakeLink[] } {
  const links: FakeLink[] = [];
  const start: StartLink = (memory, _, linkEvents) => {
    const link = new FakeLink(memory, linkEvents);
    links.push(link);
    return link;
  };
  const silent: PoolEvents = {
    completed: () => {},
    again: () => {},
    lost: () => {},
    fault: () => {},
    room: () => {},
    guest: () => {},
    stopped: () => {},
    undying: () => {},
  };
  const small = {
    maxCoalescedBytes: 1_024,
    slotInputBytes: 1_024,
    slotOutputBytes: 1_024,
    maxWorkerQueue: 4,
  };
  const parts = { limits: resolveLimits({ ...small, ...limits }), clock, ledger: undefined, start };
  return { pool: new Pool(parts, new Stats(0).pool, { ...silent, ...events }), links };
}
