/**
 * A client of `grpc.health.v1` that keeps what it is told.
 *
 * @module
 */

import { createClient, type Transport } from "@connectrpc/connect";
import {
  Health,
  type HealthCheckResponse_ServingStatus,
  HealthCheckResponse_ServingStatusSchema,
} from "@leat/proto";
import { until } from "./until.ts";

/** The name of a status on the wire. */
export function statusName(status: HealthCheckResponse_ServingStatus | undefined): string {
  const found = HealthCheckResponse_ServingStatusSchema.values.find(({ number }) => number === status);
  return found?.name ?? String(status);
}

/** Asks once. */
export async function checkHealth(transport: Transport, service = ""): Promise<string> {
  return statusName((await createClient(Health, transport).check({ service })).status);
}

/** Follows the status of a service. */
export class HealthWatch {
  /** All that was told so far. */
  readonly statuses: string[] = [];
  /** Resolves when the watch has ended, with its error when there was one. */
  readonly ended: Promise<unknown>;
  readonly #abort = new AbortController();
  readonly #service: string;

  constructor(transport: Transport, service = "", headers: Record<string, string> = {}) {
    this.#service = service;
    this.ended = this.#follow(transport, headers).catch((error: unknown) => error);
  }

  async #follow(transport: Transport, headers: Record<string, string>): Promise<void> {
    const { signal } = this.#abort;
    const request = { service: this.#service };
    for await (const { status } of createClient(Health, transport).watch(request, { signal, headers })) {
      this.statuses.push(statusName(status));
    }
  }

  /** Resolves when the last status is this one. */
  async says(status: string): Promise<void> {
    await until(() => this.statuses.at(-1) === status, `${this.#service || "the server"} is ${status}`);
  }

  close(): void {
    this.#abort.abort();
  }
}
