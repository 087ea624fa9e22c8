/**
 * Which call needs which role: the one table of it. A method that is not in it does not compile here, and is refused by the
 * doors.
 *
 * @module
 */

import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import {
  AuditService,
  ConfigService,
  DeadLetterService,
  MetricsService,
  ModuleService,
  PipelineService,
  TransformService,
} from "@leat/proto";
import type { OpenThing, Role } from "../config/access-file.ts";
import { leatError } from "../errors.ts";

/** What a call needs. */
export interface Need<Request = never, Response = never> {
  readonly role: Role;
  /**
   * For which pipelines: `some` for whichever, `all` for all of them, `target` for those of the call's target, which the data
   * plane checks; or those that the request names, where an empty name stands for all.
   */
  readonly pipelines: "some" | "all" | "target" | ((request: Request) => readonly string[]);
  /** Takes from an answer what the caller may not see, or refuses it. */
  readonly narrow?: (response: Response, may: (pipeline: string) => boolean) => void;
}

/** What every method of a service needs. */
type NeedsOf<Methods> = {
  readonly [Name in keyof Methods]: Methods[Name] extends { input: infer Input; output: infer Output }
    ? Need<MessageShape<Input & MessageDescriptor>, MessageInitShape<Output & MessageDescriptor>>
    : never;
};

type MessageDescriptor = Parameters<typeof import("@bufbuild/protobuf").create>[0];

const transformNeeds: NeedsOf<typeof TransformService.method> = {
  transform: { role: "data", pipelines: "target" },
  streamTransform: { role: "data", pipelines: "target" },
};

const moduleNeeds: NeedsOf<typeof ModuleService.method> = {
  // A module may serve any pipeline, those of others included.
  loadModule: { role: "operator", pipelines: "all" },
  uploadModule: { role: "operator", pipelines: "all" },
  activateModule: { role: "operator", pipelines: "all" },
  startRollout: { role: "operator", pipelines: "all" },
  getRollout: { role: "operator", pipelines: "all" },
  listRollouts: { role: "operator", pipelines: "all" },
  promoteRollout: { role: "operator", pipelines: "all" },
  abortRollout: { role: "operator", pipelines: "all" },
  rollbackModule: { role: "operator", pipelines: "all" },
  getModuleHistory: { role: "operator", pipelines: "some" },
  listModules: { role: "operator", pipelines: "some" },
  getModule: { role: "data", pipelines: "some" },
  unloadModule: { role: "operator", pipelines: "all" },
  // It took the whole server down once.
  releaseModule: { role: "admin", pipelines: "all" },
};

const pipelineNeeds: NeedsOf<typeof PipelineService.method> = {
  putPipeline: { role: "operator", pipelines: ({ pipeline }) => [pipeline?.name ?? ""] },
  getPipeline: { role: "data", pipelines: ({ name }) => [name] },
  listPipelines: {
    role: "data",
    pipelines: "some",
    narrow: (response, may) => {
      response.pipelines = (response.pipelines ?? []).filter(({ name = "" }) => may(name));
    },
  },
  // Says who changed what.
  listPipelineRevisions: { role: "operator", pipelines: ({ name }) => [name] },
  rollbackPipeline: { role: "operator", pipelines: ({ name }) => [name] },
  deletePipeline: { role: "operator", pipelines: ({ name }) => [name] },
};

const metricsNeeds: NeedsOf<typeof MetricsService.method> = {
  metrics: { role: "operator", pipelines: ({ pipeline }) => [pipeline] },
  watchMetrics: { role: "operator", pipelines: ({ pipeline }) => [pipeline] },
};

const deadLetterNeeds: NeedsOf<typeof DeadLetterService.method> = {
  listDeadLetters: { role: "operator", pipelines: ({ filter }) => [filter?.pipeline ?? ""] },
  getDeadLetter: {
    role: "operator",
    pipelines: "some",
    narrow: ({ deadLetter }, may) => {
      const pipeline = deadLetter?.pipeline ?? "";
      if (!may(pipeline)) throw leatError("PIPELINE_FORBIDDEN", { pipeline, role: "operator" });
    },
  },
  replayDeadLetters: {
    role: "operator",
    pipelines: ({ filter, pipeline }) => [filter?.pipeline ?? "", ...(pipeline === "" ? [] : [pipeline])],
  },
  purgeDeadLetters: { role: "operator", pipelines: ({ filter }) => [filter?.pipeline ?? ""] },
};

const auditNeeds: NeedsOf<typeof AuditService.method> = {
  // It has who may do what, and what was refused to whom.
  listAuditEntries: { role: "admin", pipelines: "all" },
  getAuditEntry: { role: "admin", pipelines: "all" },
  verifyAudit: { role: "admin", pipelines: "all" },
};

const configNeeds: NeedsOf<typeof ConfigService.method> = {
  getConfig: { role: "admin", pipelines: "all" },
  reloadConfig: { role: "admin", pipelines: "all" },
  setConfig: { role: "admin", pipelines: "all" },
};

const services: readonly (readonly [
  {
    readonly typeName: string;
    readonly methods: readonly { readonly localName: string; readonly name: string }[];
  },
  Readonly<Record<string, Need>>,
])[] = [
  [TransformService, transformNeeds],
  [ModuleService, moduleNeeds],
  [PipelineService, pipelineNeeds],
  [MetricsService, metricsNeeds],
  [DeadLetterService, deadLetterNeeds],
  [AuditService, auditNeeds],
  [ConfigService, configNeeds],
];

/** Services of libraries: open to everybody where the access file says so, else for whoever has any role. */
const openable: Readonly<Record<string, OpenThing>> = {
  "grpc.health.v1.Health": "health",
  "grpc.reflection.v1.ServerReflection": "reflection",
  "grpc.reflection.v1alpha.ServerReflection": "reflection",
};

const needs = new Map<string, Need>(
  services.flatMap(([{ typeName, methods }, needsOfService]) =>
    methods.flatMap(({ localName, name }) => {
      const need = needsOfService[localName];
      return need === undefined ? [] : [[`${typeName}/${name}`, need] as const];
    }),
  ),
);

/** What a method needs. */
export type MethodNeed =
  | { readonly t: "role"; readonly need: Need }
  | { readonly t: "openable"; readonly thing: OpenThing }
  | { readonly t: "unlisted" };

/**
 * What a method needs.
 *
 * @param method - `package.Service/Method`
 */
export function needOf(method: string): MethodNeed {
  const need = needs.get(method);
  if (need !== undefined) return { t: "role", need };
  const service = method.slice(0, method.indexOf("/"));
  const thing = Object.hasOwn(openable, service) ? openable[service] : undefined;
  return thing === undefined ? { t: "unlisted" } : { t: "openable", thing };
}
