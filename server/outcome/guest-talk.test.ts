import { describe, expect, test } from "vitest";
import { idlePipeline, idleStage } from "../../test/kit/jobs.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Stats } from "../telemetry/stats.ts";
import { GuestTalk } from "./guest-talk.ts";

function setUp() {
  const lines: [level: string, fields: unknown, text: unknown][] = [];
  const logger = Object.fromEntries(
    ["debug", "info", "warn", "error"].map((level) => [
      level,
      (fields: unknown, text: unknown) => lines.push([level, fields, text]),
    ]),
  ) as unknown as Logger;
  const stats = new Stats();
  const { spec } = idlePipeline([idleStage({ name: "clean", module: "m", version: "2" })]);
  const talk = new GuestTalk(stats, logger, (id) => (id === spec.id ? spec : undefined));
  return { lines, stats, spec, talk };
}

describe("what a guest logs", () => {
  test.each([
    [0, "debug"],
    [1, "info"],
    [2, "warn"],
    [3, "error"],
    [9, "info"],
  ])("at level %d goes to the log as %s, with where it comes from", (level, name) => {
    const { lines, spec, talk } = setUp();
    talk.take({ type: "log", pipeline: spec.id, stage: 0, level, text: "hello" });
    expect(lines).toEqual([
      [name, { pipeline: spec.name, stage: "clean", module: "m", version: "2" }, "hello"],
    ]);
  });

  test("from a pipeline or stage that is gone is dropped", () => {
    const { lines, spec, talk } = setUp();
    talk.take({ type: "log", pipeline: spec.id + 1, stage: 0, level: 1, text: "hello" });
    talk.take({ type: "log", pipeline: spec.id, stage: 1, level: 1, text: "hello" });
    expect(lines).toEqual([]);
  });
});

test("what a guest counts is added to its stage's counters", () => {
  const { spec, stats, talk } = setUp();
  for (const delta of [1, 2.5])
    talk.take({ type: "counters", pipeline: spec.id, stage: 0, deltas: [["rows", delta]] });
  const stage = spec.stages[0];
  if (stage === undefined) throw new Error("no stage");
  expect([...stats.pipeline(spec.name).stage(0, stage.identity).counters]).toEqual([["rows", 3.5]]);
});
