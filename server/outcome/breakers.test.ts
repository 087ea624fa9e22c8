import { create } from "@bufbuild/protobuf";
import { PipelineSchema } from "@leat/proto";
import { expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { idlePipeline, idleStage, jobOf } from "../../test/kit/jobs.ts";
import type { BreakerSpec, PipelineSpec } from "../bridge/pipeline-spec.ts";
import { defaultLimits } from "../limits.ts";
import { Crossing } from "../pool/crossing.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";
import { PipelineTable } from "../registry/pipeline-table.ts";
import { takeSnapshot } from "../telemetry/snapshot.ts";
import { Stats } from "../telemetry/stats.ts";
import { Breakers } from "./breakers.ts";

const lenient: BreakerSpec = { faults: 3, window: 10, openMs: 1_000, probes: 1, recordFailures: false };
const strict: BreakerSpec = { ...lenient, faults: 1 };

/** Breakers of the pipelines of a table, and what they told. */
function breakersOf() {
  const told: string[] = [];
  let nowMs = 0;
  const breakers = new Breakers(
    clockOf(() => nowMs),
    (module, _, from, to) => told.push(`${module} ${from}>${to}`),
    () => {},
  );
  const table = new PipelineTable(
    defaultLimits,
    (spec) => breakers.pipelineMade(spec),
    (spec) => breakers.pipelineUnused(spec),
  );
  const put = (name: string, ...policies: (BreakerSpec | undefined)[]): ServingPipeline =>
    table.serve(create(PipelineSchema, { name }), specOf(name, policies));
  const wait = (ms: number): void => {
    nowMs += ms;
  };
  return { breakers, table, told, put, wait };
}

function specOf(name: string, policies: readonly (BreakerSpec | undefined)[]): PipelineSpec {
  return { ...idlePipeline(policies.map((breaker) => idleStage({ breaker }))).spec, name };
}

const { digest } = idleStage();

function fault(breakers: Breakers, pipeline: ServingPipeline, times = 1): void {
  for (let time = 0; time < times; time++) {
    breakers.fault(new Crossing([jobOf(pipeline)]), 0);
    pipeline.release();
  }
}

test("the strictest policy of the pipelines in use holds, and no longer than its pipeline", () => {
  const { breakers, table, put } = breakersOf();
  const lasting = put("lasting", lenient);
  put("passing", lenient, strict);
  table.delete("passing");
  fault(breakers, lasting, 2);
  expect(breakers.figuresOf(digest).state).toBe("closed");
  put("passing", strict);
  fault(breakers, lasting);
  expect(breakers.figuresOf(digest).state).toBe("open");
});

test("a policy holds until the last batch of its pipeline is answered", () => {
  const { breakers, table, put } = breakersOf();
  const lasting = put("lasting", lenient);
  const passing = put("passing", strict);
  passing.hold();
  table.delete("passing");
  expect(breakers.policyCount).toBe(2);
  passing.release();
  expect(breakers.policyCount).toBe(1);
  fault(breakers, lasting, 2);
  expect(breakers.figuresOf(digest).state).toBe("closed");
});

test("a pipeline that is put and deleted under a thousand names leaves no policies", () => {
  const { breakers, table, put } = breakersOf();
  for (let name = 0; name < 1_000; name++) {
    put(`p${name}`, strict, undefined, lenient);
    table.delete(`p${name}`);
  }
  expect(breakers.policyCount).toBe(0);
});

test("a breaker stays open when its pipeline is replaced, and ends with the last pipeline that asks for it", () => {
  const { breakers, table, told, put } = breakersOf();
  fault(breakers, put("p", strict));
  put("p", { ...strict, faults: 2 });
  expect(breakers.figuresOf(digest).state).toBe("open");
  put("other", undefined);
  table.delete("p");
  const transitions = { closed: 1, open: 1, half_open: 0 };
  expect(breakers.figuresOf(digest)).toEqual({ state: "closed", transitions });
  expect(breakers.refusedUntilMs(digest)).toBeUndefined();
  expect(told).toEqual(["m@1 closed>open", "m@1 open>closed"]);
  breakers.forget(digest);
  expect(breakers.figuresOf(digest).transitions.open).toBe(0);
});

test("a shadow asks for no breaker", () => {
  const { breakers, table } = breakersOf();
  const shadow = table.makeServing(specOf("shadow:p", [strict]), "shadow");
  expect(breakers.policyCount).toBe(0);
  shadow.retire();
  expect(breakers.policyCount).toBe(0);
});

test("figures of a stage show its breaker, whichever version has run last and whenever they began", () => {
  const { breakers, put, wait } = breakersOf();
  const stats = new Stats(0);
  stats.breaker = (each) => breakers.figuresOf(each);
  const { identity } = idleStage();
  const other = { ...identity, version: "2", digest: "sha256:02" };
  stats.pipeline("p").stage(0, identity);
  stats.pipeline("p").stage(0, other);
  const pipeline = put("p", strict);
  fault(breakers, pipeline);
  stats.pipeline("later").stage(0, identity);
  const shown = () =>
    takeSnapshot(stats).pipelines.flatMap(({ pipeline: name, stages }) =>
      stages.map((stage) => [name, stage.version, stage.breaker, Number(stage.breakerOpened)]),
    );
  expect(shown()).toEqual([
    ["later", "1", "open", 1],
    ["p", "2", "closed", 0],
    ["p", "1", "open", 1],
  ]);
  wait(lenient.openMs);
  const probe = new Crossing([jobOf(pipeline)]);
  expect(breakers.admit(probe)).toBeUndefined();
  expect(shown()[0]).toEqual(["later", "1", "half_open", 1]);
  breakers.fault(probe, 0);
  expect(shown()[0]).toEqual(["later", "1", "open", 2]);
});
