/**
 * What each method changes, and how the audit log names it: the one table of it. A method that is not in it does not compile
 * here.
 *
 * @module
 */

import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import {
  AuditService,
  ConfigService,
  type DeadLetterFilter,
  DeadLetterService,
  type LoadModuleRequest,
  MetricsService,
  type Module,
  ModuleService,
  type ModuleSigner,
  PipelineService,
  RolloutMode,
  TransformService,
} from "@leat/proto";
import { type AuditTarget, noTarget } from "../store/audit-entry.ts";

/** What an entry says of a call. */
export interface Described {
  readonly target: AuditTarget;
  readonly detail?: string;
}

/** What a method changes. */
export interface Change<Request = never, Response = never> {
  /**
   * Names what a call is about.
   *
   * @param request - of a method that takes a stream, its first message
   * @param response - undefined until the call has succeeded; of a method that answers with a stream, always
   */
  readonly describe: (request: Request, response: Response | undefined) => Described;
  /** The bytes that a call brings, or a message of it, whose digest is told where the call is refused. */
  readonly content?: (request: Request) => Uint8Array;
}

/** `reads` for a method that changes nothing, `runs-records` for the data plane; neither is in the audit log. */
export type MethodEffect<Request = never, Response = never> =
  | "reads"
  | "runs-records"
  | Change<Request, Response>;

type EffectsOf<Methods> = {
  readonly [Name in keyof Methods]: Methods[Name] extends { input: infer Input; output: infer Output }
    ? MethodEffect<MessageShape<Input & MessageDescriptor>, MessageInitShape<Output & MessageDescriptor>>
    : never;
};

type MessageDescriptor = Parameters<typeof import("@bufbuild/protobuf").create>[0];

const transformEffects: EffectsOf<typeof TransformService.method> = {
  transform: "runs-records",
  streamTransform: "runs-records",
};

const moduleEffects: EffectsOf<typeof ModuleService.method> = {
  loadModule: {
    describe: (request, response) => loaded(request, response),
    content: ({ wasm }) => wasm,
  },
  uploadModule: {
    describe: ({ piece }, response) => loaded(piece.case === "module" ? piece.value : undefined, response),
    content: ({ piece }) => (piece.case === "chunk" ? piece.value : new Uint8Array()),
  },
  activateModule: { describe: ({ reference }, response) => switched(reference, response) },
  rollbackModule: { describe: ({ name }, response) => switched(name, response) },
  startRollout: {
    describe: ({ reference, mode, share }, response) => ({
      target: response?.rollout ? candidateOf(response.rollout) : named(reference),
      detail: `${mode === RolloutMode.SHADOW ? "shadow" : "canary"} of ${share}`,
    }),
  },
  promoteRollout: {
    describe: ({ name }, response) => ({
      target: response?.rollout ? candidateOf(response.rollout) : named(name),
    }),
  },
  abortRollout: {
    describe: ({ name }, response) => ({
      target: response?.rollout ? candidateOf(response.rollout) : named(name),
    }),
  },
  unloadModule: {
    describe: ({ reference }, response) => ({
      target: response?.module ? moduleTarget(response.module) : named(reference),
    }),
  },
  releaseModule: {
    describe: ({ reference }, response) => ({
      target: { ...named(reference), ...(response?.digest && { digest: response.digest }) },
      ...(response && { detail: response.wasQuarantined ? "was in quarantine" : "was not in quarantine" }),
    }),
  },
  getRollout: "reads",
  listRollouts: "reads",
  getModuleHistory: "reads",
  listModules: "reads",
  getModule: "reads",
};

const pipelineEffects: EffectsOf<typeof PipelineService.method> = {
  putPipeline: {
    describe: ({ pipeline, validateOnly }, response) => ({
      target: pipelineTarget(pipeline?.name ?? "", response?.pipeline?.revision),
      detail: listed(validateOnly && "checked only", response?.unchanged && "was stored already"),
    }),
  },
  rollbackPipeline: {
    describe: ({ name, revision, validateOnly }, response) => ({
      target: pipelineTarget(name, response?.pipeline?.revision ?? revision),
      detail: listed(
        validateOnly && "checked only",
        response?.alreadyServing && "served already",
        response?.previousRevision && `in place of ${response.previousRevision}`,
      ),
    }),
  },
  deletePipeline: { describe: ({ name }) => ({ target: pipelineTarget(name, undefined) }) },
  getPipeline: "reads",
  listPipelines: "reads",
  listPipelineRevisions: "reads",
};

const metricsEffects: EffectsOf<typeof MetricsService.method> = {
  metrics: "reads",
  watchMetrics: "reads",
};

const deadLetterEffects: EffectsOf<typeof DeadLetterService.method> = {
  listDeadLetters: "reads",
  getDeadLetter: "reads",
  replayDeadLetters: {
    describe: ({ filter, pipeline, versions }) => ({
      target: lettersOf(filter),
      detail: selected(filter, [
        ...(pipeline === "" ? [] : [`through ${pipeline}`]),
        ...versions.slice(0, 16).map((version) => `with ${version}`),
      ]),
    }),
  },
  purgeDeadLetters: {
    describe: ({ filter }, response) => ({
      target: lettersOf(filter),
      detail: selected(filter, response ? [`removed ${response.removed ?? 0}`] : []),
    }),
  },
};

const auditEffects: EffectsOf<typeof AuditService.method> = {
  listAuditEntries: "reads",
  getAuditEntry: "reads",
  verifyAudit: "reads",
};

const configEffects: EffectsOf<typeof ConfigService.method> = {
  getConfig: "reads",
  reloadConfig: {
    describe: (_, response) => ({
      target: noTarget,
      detail: `configuration read again${keysIn(response?.changed)}`,
    }),
  },
  setConfig: {
    describe: ({ values, dryRun }) => ({
      target: noTarget,
      detail: `configuration set${dryRun ? ", checked only" : ""}${keysIn(Object.keys(values).map((key) => ({ key })))}`,
    }),
  },
};

/** The keys that a change is about, as many as say something. */
function keysIn(changes: readonly { readonly key?: string }[] = []): string {
  const names = changes.slice(0, 10).map(({ key = "" }) => key.slice(0, 100));
  if (names.length === 0) return "";
  return `: ${names.join(", ")}${changes.length > names.length ? ", …" : ""}`;
}

type ModuleInit = Partial<Pick<Module, "name" | "version" | "digest">> & {
  readonly signature?: { readonly signers?: readonly Partial<ModuleSigner>[] } | undefined;
};

/** A module's version, as a call names it or an answer describes it. */
function moduleTarget({ name = "", version = "", digest = "", signature }: ModuleInit): AuditTarget {
  const signers = (signature?.signers ?? []).filter(({ counts }) => counts);
  const ids = signers.map(({ key = "", keyId = "" }) => keyId || key);
  return { ...noTarget, kind: "module", name, version, digest, signers: ids };
}

/** What a reference says of a module: callers write it, so it may be no reference at all. */
function named(reference: string): AuditTarget {
  if (reference.startsWith("sha256:")) return moduleTarget({ digest: reference });
  const at = reference.indexOf("@");
  if (at < 0) return moduleTarget({ name: reference });
  return moduleTarget({ name: reference.slice(0, at), version: reference.slice(at + 1) });
}

function loaded(
  request: Pick<LoadModuleRequest, "name" | "version" | "dryRun" | "noActivate"> | undefined,
  response: { readonly module?: ModuleInit | undefined; readonly alreadyLoaded?: boolean } | undefined,
): Described {
  return {
    target: moduleTarget(response?.module ?? request ?? {}),
    detail: listed(
      request?.dryRun && "dry run",
      request?.noActivate && "not activated",
      response?.alreadyLoaded && "was loaded already",
    ),
  };
}

function switched(
  reference: string,
  response: { readonly module?: ModuleInit | undefined; readonly previousVersion?: string } | undefined,
): Described {
  return {
    target: response?.module ? moduleTarget(response.module) : named(reference),
    detail: response?.previousVersion ? `in place of ${response.previousVersion}` : "",
  };
}

/** The version that a rollout tries. */
function candidateOf({
  name = "",
  candidate,
}: {
  readonly name?: string;
  readonly candidate?: ModuleInit | undefined;
}): AuditTarget {
  return moduleTarget({ ...candidate, name });
}

function pipelineTarget(name: string, revision: number | undefined): AuditTarget {
  return { ...noTarget, kind: "pipeline", name, version: revision ? String(revision) : "" };
}

/** What applies of several things. */
function listed(...things: readonly (string | number | boolean | undefined)[]): string {
  return things.filter((thing) => typeof thing === "string" && thing !== "").join(", ");
}

function lettersOf(filter: DeadLetterFilter | undefined): AuditTarget {
  return { ...noTarget, kind: "dead-letters", name: filter?.pipeline ?? "" };
}

/** The conditions of a filter in words. */
function selected(filter: DeadLetterFilter | undefined, more: readonly string[]): string {
  const { ids = [], stage = "", code = "", module = "", since, until } = filter ?? {};
  return listed(
    ...more,
    ids.length > 0 && `${ids.length} ids`,
    stage && `stage ${stage}`,
    code && `code ${code}`,
    module && `module ${module}`,
    since && `since ${secondsOf(since)}`,
    until && `until ${secondsOf(until)}`,
  );
}

function secondsOf({ seconds }: { readonly seconds: bigint }): string {
  return `${seconds} s`;
}

const services: readonly (readonly [
  {
    readonly typeName: string;
    readonly methods: readonly { readonly localName: string; readonly name: string }[];
  },
  Readonly<Record<string, MethodEffect>>,
])[] = [
  [TransformService, transformEffects],
  [ModuleService, moduleEffects],
  [PipelineService, pipelineEffects],
  [MetricsService, metricsEffects],
  [DeadLetterService, deadLetterEffects],
  [AuditService, auditEffects],
  [ConfigService, configEffects],
];

const effects = new Map<string, MethodEffect>(
  services.flatMap(([{ typeName, methods }, effectsOfService]) =>
    methods.flatMap(({ localName, name }) => {
      const effect = effectsOfService[localName];
      return effect === undefined ? [] : [[`${typeName}/${name}`, effect] as const];
    }),
  ),
);

/**
 * What a method changes; undefined for one that is no method of ours.
 *
 * @param method - `package.Service/Method`
 */
export function effectOf(method: string): MethodEffect | undefined {
  return effects.get(method);
}

/** What a method changes; undefined for one that changes nothing that is in the audit log. */
export function changeOf(method: string): Change | undefined {
  const effect = effects.get(method);
  return typeof effect === "object" ? effect : undefined;
}
