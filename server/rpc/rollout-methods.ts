/**
 * The methods of ModuleService about rollouts.
 *
 * @module
 */

import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ModuleService,
  type Rollout as RolloutMessage,
  RolloutMode,
  RolloutSchema,
  RolloutState,
  type RolloutRule as RuleMessage,
} from "@leat/proto";
import { leatError } from "../errors.ts";
import type { ModuleEntry } from "../registry/module-catalog.ts";
import type { Registry } from "../registry/registry.ts";
import type { Rollout, RolloutRule } from "../registry/rollout.ts";
import type { ArmStats } from "../telemetry/arm-stats.ts";

type Methods = Pick<
  ServiceImpl<typeof ModuleService>,
  "startRollout" | "getRollout" | "listRollouts" | "promoteRollout" | "abortRollout"
>;

/** Starts, shows and ends rollouts. */
export function rolloutMethods({ rollouts }: Registry): Methods {
  return {
    startRollout: async ({ reference, mode, share, rule }) => {
      if (mode !== RolloutMode.UNSPECIFIED && mode !== RolloutMode.CANARY && mode !== RolloutMode.SHADOW)
        invalid("mode", `${mode} is no mode; use CANARY or SHADOW`);
      const kind = mode === RolloutMode.SHADOW ? "shadow" : "canary";
      const start = { reference, mode: kind, share: readShare(share, kind), rule: readRule(rule) } as const;
      return { rollout: describeRollout(await rollouts.start(start)) };
    },
    getRollout: ({ name }) => ({ rollout: describeRollout(rollouts.get(name)) }),
    listRollouts: () => ({ rollouts: rollouts.list().map(describeRollout) }),
    promoteRollout: async ({ name }) => ({ rollout: describeRollout(await rollouts.promote(name)) }),
    abortRollout: async ({ name }) => ({ rollout: describeRollout(await rollouts.abort(name)) }),
  };
}

function readShare(share: number, mode: "canary" | "shadow"): number {
  if (share > 0 && (share < 1 || (share === 1 && mode === "shadow"))) return share;
  return invalid("share", `${share} is not above 0 and ${mode === "shadow" ? "at most" : "below"} 1`);
}

const defaultMaxFactor = 1.5;

function readRule(rule: RuleMessage | undefined): RolloutRule | undefined {
  if (rule === undefined) return undefined;
  const { afterBatches, maxFactor } = rule;
  if (afterBatches < 20 || afterBatches > 1_000_000)
    invalid("rule.after_batches", `${afterBatches} is outside of 20 to 1000000`);
  const factor = maxFactor === 0 ? defaultMaxFactor : maxFactor;
  if (!(factor >= 1 && factor <= 100)) invalid("rule.max_factor", `${factor} is outside of 1 to 100`);
  return { afterBatches, maxFactor: factor };
}

function invalid(field: string, problem: string): never {
  throw leatError("REQUEST_INVALID", { field, problem });
}

const states: Readonly<Record<Rollout["state"]["t"], RolloutState>> = {
  running: RolloutState.RUNNING,
  promoted: RolloutState.PROMOTED,
  rolled_back: RolloutState.ROLLED_BACK,
  aborted: RolloutState.ABORTED,
};

function describeRollout(rollout: Rollout): RolloutMessage {
  const { base, candidate, state, rule, shadow } = rollout;
  return create(RolloutSchema, {
    name: base.name,
    mode: rollout.mode === "shadow" ? RolloutMode.SHADOW : RolloutMode.CANARY,
    share: rollout.share,
    state: states[state.t],
    startTime: timestampFromMs(Math.floor(rollout.startMs)),
    pipelines: [...rollout.pairs.keys()],
    base: describeArm(base, rollout.baseArm),
    candidate: describeArm(candidate, rollout.candidateArm),
    ...(rule && { rule }),
    ...(state.t !== "running" && { why: state.why, endTime: timestampFromMs(Math.floor(state.timeMs)) }),
    ...(rollout.mode === "shadow" && {
      shadow: {
        compared: BigInt(shadow.compared),
        different: BigInt(shadow.different),
        dropped: BigInt(shadow.dropped),
        samples: [...shadow.samples],
      },
    }),
  });
}

function describeArm({ version, digest }: ModuleEntry, arm: ArmStats) {
  return {
    version,
    digest,
    batches: BigInt(arm.batches),
    errors: BigInt(arm.errors),
    records: BigInt(arm.records),
    recordsFailed: BigInt(arm.recordsFailed),
    medianMs: arm.timeMs(0.5),
    p99Ms: arm.timeMs(0.99),
  };
}
