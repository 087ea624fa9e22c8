import type { Rollout, RolloutArm, RolloutDifference } from "@leat/sdk";
import { utc } from "../module/describe.ts";

const states = ["", "running", "promoted", "rolled back", "aborted"];

/** A share as people read it: `10 %`. */
export function percent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`;
}

/** A rollout as one row of a table. */
export function rolloutRow(rollout: Rollout): string[] {
  return [
    rollout.name,
    rollout.base?.version ?? "",
    rollout.candidate?.version ?? "",
    modeOf(rollout),
    percent(rollout.share),
    states[rollout.state] ?? "",
    utc(rollout.startTime),
    rollout.pipelines.join(", "),
  ];
}

/** All that there is to say of a rollout, as names and values. */
export function describeRollout(rollout: Rollout): [name: string, value: string][] {
  const { rule, shadow, base, candidate } = rollout;
  const fields: [string, string][] = [
    ["module", rollout.name],
    ["mode", `${modeOf(rollout)}, ${percent(rollout.share)} of the batches`],
    ["state", [states[rollout.state] ?? "", rollout.why].filter(Boolean).join(": ")],
    ["since", utc(rollout.startTime)],
    ["until", utc(rollout.endTime)],
    ["rule", rule === undefined ? "none" : `after ${rule.afterBatches} batches, factor ${rule.maxFactor}`],
    ["pipelines", rollout.pipelines.join(", ")],
    ["active version", armText(base)],
    ["tried version", armText(candidate)],
  ];
  if (shadow === undefined) return fields;
  const { compared, different, dropped, samples } = shadow;
  fields.push(["compared", `${compared} batches, ${different} of them different; ${dropped} left out`]);
  for (const sample of samples) fields.push(["difference", sampleText(sample)]);
  return fields;
}

function modeOf({ shadow }: Rollout): string {
  return shadow === undefined ? "canary" : "shadow";
}

function armText(arm: RolloutArm | undefined): string {
  if (arm === undefined) return "";
  const times = `median ${shown(arm.medianMs)} ms, p99 ${shown(arm.p99Ms)} ms`;
  const records = `${arm.records} records, ${arm.recordsFailed} failed`;
  return `${arm.version}: ${arm.batches} batches, ${arm.errors} with an error; ${records}; ${times}`;
}

function sampleText({ pipeline, what, place, base, candidate }: RolloutDifference): string {
  const [one, other] = [base, candidate].map((bytes) => JSON.stringify(Buffer.from(bytes).toString()));
  return `${pipeline}, ${what}[${place}]: ${one}, tried version ${other}`;
}

function shown(ms: number): string {
  return String(Number(ms.toPrecision(3)));
}
