/**
 * What probes are told.
 *
 * @module
 */

import type { Server } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";

const services = [
  "",
  "leat.v1.TransformService",
  "leat.v1.ModuleService",
  "leat.v1.PipelineService",
  "leat.v1.MetricsService",
  "leat.v1.DeadLetterService",
];

/** Health of the whole server, told over grpc.health.v1 and HTTP alike. */
export class HealthBoard {
  readonly #health = new HealthImplementation();
  #reason = "starting";

  constructor() {
    this.notServing("starting");
  }

  /** Whether the server takes calls; when not, why. */
  get status(): { readonly serving: true } | { readonly serving: false; readonly reason: string } {
    return this.#reason === "" ? { serving: true } : { serving: false, reason: this.#reason };
  }

  /** The server takes calls. */
  serving(): void {
    this.#reason = "";
    for (const service of services) this.#health.setStatus(service, "SERVING");
  }

  /** The server takes no new calls. */
  notServing(reason: string): void {
    this.#reason = reason;
    for (const service of services) this.#health.setStatus(service, "NOT_SERVING");
  }

  /** Serves grpc.health.v1. */
  addTo(server: Pick<Server, "addService">): void {
    this.#health.addToServer(server);
  }
}
