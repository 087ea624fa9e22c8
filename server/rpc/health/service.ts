/**
 * `grpc.health.v1` over the board.
 *
 * @module
 */

import type { ServiceImpl } from "@connectrpc/connect";
import { type Health, HealthCheckResponse_ServingStatus as ServingStatus } from "@leat/proto";
import { holdsFor } from "../../access/grants.ts";
import { leatError } from "../../errors.ts";
import { principalOf } from "../call-principal.ts";
import type { Engine } from "../engine.ts";
import { HealthBoard } from "./board.ts";
import type { Status } from "./watches.ts";

const wire: Readonly<Record<Status, ServingStatus>> = {
  serving: ServingStatus.SERVING,
  not_serving: ServingStatus.NOT_SERVING,
  unknown: ServingStatus.SERVICE_UNKNOWN,
};

function statusOf(serving: boolean): { status: ServingStatus } {
  return { status: serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING };
}

/** The health service. */
export function healthService({ health, healthWatches, gate }: Engine): ServiceImpl<typeof Health> {
  return {
    check: ({ service }) => {
      const found = health.of(service);
      if (found === undefined) throw leatError("HEALTH_SERVICE_UNKNOWN", { service });
      return statusOf(found.serving);
    },
    async *watch({ service }, context) {
      const principal = principalOf(context);
      let told: Status | undefined;
      for await (const status of healthWatches.follow(service, context.signal)) {
        gate?.checkStillValid(principal);
        if (status !== told) yield { status: wire[status] };
        told = status;
      }
    },
    list: (_request, context) => {
      const { grants } = principalOf(context);
      const seen = health.names().filter((name) => {
        const pipeline = HealthBoard.pipelineOf(name);
        return pipeline === undefined || holdsFor(grants, "data", pipeline);
      });
      return {
        statuses: Object.fromEntries(seen.map((name) => [name, statusOf(health.of(name)?.serving === true)])),
      };
    },
  };
}
