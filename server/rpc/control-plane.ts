/**
 * The one list of the control plane's services, from which both doors mount them behind the gate and in sight of the audit log.
 *
 * @module
 */

import type { DescService } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  AuditService,
  ConfigService,
  DeadLetterService,
  Health,
  MetricsService,
  ModuleService,
  PipelineService,
} from "@leat/proto";
import { auditService } from "./audit-service.ts";
import { audited } from "./audited-service.ts";
import { configService } from "./config-service.ts";
import { metricsService, moduleService } from "./control-services.ts";
import { deadLetterService } from "./dead-letter-service.ts";
import type { Engine } from "./engine.ts";
import { guarded } from "./guarded-service.ts";
import { healthService } from "./health/service.ts";
import { pipelineService } from "./pipeline-service.ts";

/** A service with what it does. */
export interface ControlService {
  readonly service: DescService;
  readonly methods: ServiceImpl<DescService>;
}

/** All services of the control plane. */
export function controlPlane(engine: Engine): readonly ControlService[] {
  const behindGate = <Service extends DescService>(
    service: Service,
    methods: ServiceImpl<Service>,
  ): ControlService => ({
    service,
    methods: guarded(
      engine.gate,
      service,
      audited(engine.audit, service, methods),
    ) as ServiceImpl<DescService>,
  });
  return [
    behindGate(ModuleService, moduleService(engine)),
    behindGate(PipelineService, pipelineService(engine)),
    behindGate(MetricsService, metricsService(engine)),
    behindGate(DeadLetterService, deadLetterService(engine)),
    behindGate(AuditService, auditService(engine)),
    behindGate(ConfigService, configService(engine)),
    behindGate(Health, healthService(engine)),
  ];
}
