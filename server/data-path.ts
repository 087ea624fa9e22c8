import { CompiledModuleCache } from "./module/cache.ts";
import { Accounting } from "./outcome/accounting.ts";
import { Aftermath, type AftermathParts } from "./outcome/aftermath.ts";
import { Breakers } from "./outcome/breakers.ts";
import { Completion } from "./outcome/completion.ts";
import { DroppedLines } from "./outcome/dropped-lines.ts";
import { GuestTalk } from "./outcome/guest-talk.ts";
import { makeOffenders, makePlaces, type PlacesOptions, refusalBefore } from "./places.ts";
import type { Crossing } from "./pool/crossing.ts";
import { noteRollout } from "./registry/audited-events.ts";
import { ModuleSignatures } from "./registry/module-signatures.ts";
import { Registry } from "./registry/registry.ts";
import type { Rollout } from "./registry/rollout.ts";
import type { Workplaces } from "./scheduling/workplaces.ts";
import type { SignaturePolicy } from "./signing/signature-policy.ts";
import type { DeadLetterSink } from "./store/dead-letter-store.ts";
import type { ModuleStore } from "./store/module-store.ts";
import type { RegistryStore } from "./store/registry-store.ts";
import type { BatchTracer } from "./telemetry/batch-trace.ts";
import { LineBudget } from "./telemetry/line-budget.ts";
import type { Logger } from "./telemetry/logger.ts";

/** What the data path is made from. */
export interface DataPathOptions extends PlacesOptions {
  readonly tracer: BatchTracer;
  readonly moduleStore: ModuleStore;
  readonly registryStore: RegistryStore;
  readonly deadLetters: DeadLetterSink | undefined;
  /** What is asked of modules' signatures. */
  readonly policy: SignaturePolicy;
}

/** The data path, and the registry that feeds it. */
export interface DataPath {
  readonly places: Workplaces;
  readonly cache: CompiledModuleCache;
  readonly registry: Registry;
  readonly breakers: Breakers;
}

/** Makes and wires the parts. */
export function makeDataPath(options: DataPathOptions): DataPath {
  const { limits, clock, logger, stats } = options;
  const breakers = makeBreakers(options, (digest) => registry.rollouts.breakerOpened(digest));
  const offenders = makeOffenders(options, {
    othersWait: (crossing) => places.othersWait(crossing),
    nobodyConfined: () => places.closeLane(),
  });
  const accounting = new Accounting(
    stats,
    new DroppedLines(logger, limits),
    (crossing, stage, cpuMs, faults) => offenders.ran(crossing, stage, cpuMs, faults),
  );
  const completion: Completion = makeCompletion(
    options,
    accounting,
    breakers,
    (job) => places.submit(job),
    (crossing) => places.again(crossing),
  );
  const places: Workplaces = makePlaces(
    options,
    { accounting, breakers, completion, offenders },
    {
      refusalBefore: (crossing) => refusalBefore(options.quarantine, signatures, crossing),
      guest: (message) => guests.take(message),
    },
  );
  const cache = new CompiledModuleCache(limits);
  const signatures = makeSignatures(options);
  const registry: Registry = new Registry({
    limits,
    clock,
    store: options.moduleStore,
    records: options.registryStore,
    cache,
    places,
    isolation: options.isolation,
    quarantine: options.quarantine,
    signatures,
    ledger: options.ledger,
    onCompiled: (compileUs) => stats.moduleCache.compile.add(compileUs * 1_000),
    onUnloaded: (digest) => {
      for (const part of [breakers, offenders, stats]) part.forget(digest);
    },
    shadows: {
      submit: (job) => places.submit(job),
      idle: (pipeline) => places.idle(pipeline),
      random: Math.random,
    },
    onChange: () => options.health.changed(),
    onRolloutEnded: (rollout) => {
      logRollout(logger, rollout);
      noteRollout(options.audit, rollout);
    },
    onPipelineMade: (pipeline) => breakers.pipelineMade(pipeline),
    onPipelineUnused: (pipeline) => {
      places.forget(pipeline);
      breakers.pipelineUnused(pipeline);
    },
  });
  const guests = new GuestTalk(stats, logger, (id) => registry.pipelines.byId(id));
  return { places, cache, registry, breakers };
}

/** Breakers whose changes are logged, traced, and looked at by health. */
function makeBreakers(
  { clock, logger, tracer, health }: DataPathOptions,
  onOpen: (digest: string) => void,
): Breakers {
  return new Breakers(
    clock,
    (module, digest, from, to) => {
      logger.warn({ module, digest, from, to }, "a breaker changed");
      tracer.breakerChanged(module, digest, from, to);
      // May end the breaker, which is told as the next change.
      if (to === "open") onOpen(digest);
      health.changed();
    },
    () => health.changed(),
  );
}

/** What is known of modules' signatures; what comes of it is logged and counted. */
function makeSignatures({
  clock,
  limits,
  logger,
  moduleStore,
  policy,
  stats,
}: DataPathOptions): ModuleSignatures {
  const outcomes = stats.signatures.loads;
  const lines = new LineBudget(clock, limits.maxRefusalLinesPerSecond);
  return new ModuleSignatures({
    policy,
    store: moduleStore,
    limits,
    clock,
    onLoad: ({ module, problem, refused }) => {
      const outcome = problem?.reason ?? "verified";
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      const line = problem && lines.take();
      if (problem === undefined || line === undefined) return;
      const { reason, message } = problem;
      logger.warn(
        { module, reason, problem: message, ...line },
        refused ? "a module is refused" : "a module is taken all the same",
      );
    },
    onChange: ({ module, problem, refused }) => {
      if (problem === undefined) logger.info({ module }, "a module's signature counts");
      else if (refused)
        logger.error(
          { module, problem: problem.message },
          "a module is not served any more, for its signature",
        );
      else logger.warn({ module, problem: problem.message }, "a module's signature does not count");
    },
  });
}

function logRollout(logger: Logger, { base, candidate, mode, state }: Rollout): void {
  const versions = { module: base.name, from: base.version, to: candidate.version };
  logger.info({ ...versions, mode, state }, "a rollout has ended");
}

/** Answers to crossings, and what comes after those with failures that policies deal with. */
function makeCompletion(
  { limits, clock, logger, stats, tracer, deadLetters }: DataPathOptions,
  accounting: Accounting,
  breakers: Breakers,
  submit: AftermathParts["submit"],
  again: (crossing: Crossing) => void,
): Completion {
  const completion: Completion = new Completion(
    limits,
    clock,
    stats,
    accounting,
    breakers,
    (job, result, matters) => Aftermath.begin(aftermath, job, result, matters),
    again,
  );
  const aftermath: AftermathParts = {
    limits,
    held: { bytes: 0 },
    clock,
    stats,
    tracer,
    random: Math.random,
    submit,
    answer: (job, result) => completion.answer(job, result),
    deadLetters,
    onLettersLost: (err, letters) => {
      stats.lettersLost += letters;
      logger.error({ err, letters }, "dead letters could not be kept");
    },
  };
  return completion;
}
