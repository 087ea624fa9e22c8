/**
 * Which methods may run twice without harm: the one table of it. A method that is not in it does not compile here.
 *
 * @module
 */

import type { DescService } from "@bufbuild/protobuf";
import {
  AuditService,
  ConfigService,
  DeadLetterService,
  Health,
  MetricsService,
  ModuleService,
  PipelineService,
  TransformService,
} from "@leat/proto";

/**
 * What a second run of a method does: `repeats` where it does no harm, `changes` where it could be seen, `streams` for a method that is not tried again
 * here, since whoever reads or writes the stream knows alone where to go on.
 */
export type Repetition = "repeats" | "changes" | "streams";

type RepetitionsOf<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]: Service["method"][Name] extends { methodKind: "unary" }
    ? "repeats" | "changes"
    : "streams";
};

interface Row {
  readonly service: DescService;
  readonly methods: Readonly<Record<string, Repetition>>;
}

function row<Service extends DescService>(service: Service, methods: RepetitionsOf<Service>): Row {
  return { service, methods };
}

/** The methods of all services. A second put or delete is visible, and so is a second switch of versions. */
export const repetitions: readonly Row[] = [
  row(TransformService, { transform: "repeats", streamTransform: "streams" }),
  row(ModuleService, {
    // The same bytes are the same version, which is then there already.
    loadModule: "repeats",
    uploadModule: "streams",
    activateModule: "changes",
    rollbackModule: "changes",
    getModuleHistory: "repeats",
    startRollout: "changes",
    getRollout: "repeats",
    listRollouts: "repeats",
    promoteRollout: "changes",
    abortRollout: "changes",
    listModules: "repeats",
    getModule: "repeats",
    unloadModule: "changes",
    releaseModule: "changes",
  }),
  row(PipelineService, {
    putPipeline: "changes",
    getPipeline: "repeats",
    listPipelines: "repeats",
    listPipelineRevisions: "repeats",
    rollbackPipeline: "changes",
    deletePipeline: "changes",
  }),
  row(MetricsService, { metrics: "repeats", watchMetrics: "streams" }),
  row(DeadLetterService, {
    listDeadLetters: "repeats",
    getDeadLetter: "repeats",
    replayDeadLetters: "streams",
    purgeDeadLetters: "changes",
  }),
  row(AuditService, { listAuditEntries: "repeats", getAuditEntry: "repeats", verifyAudit: "repeats" }),
  row(ConfigService, { getConfig: "repeats", reloadConfig: "changes", setConfig: "changes" }),
  row(Health, { check: "repeats", watch: "streams", list: "repeats" }),
];

/** The methods that may run twice, as `package.Service/Method`. */
export const repeatableMethods: readonly string[] = repetitions.flatMap(({ service, methods }) =>
  service.methods
    .filter(({ localName }) => methods[localName] === "repeats")
    .map(({ name }) => `${service.typeName}/${name}`),
);
