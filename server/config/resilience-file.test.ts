import { expect, test } from "vitest";
import { parsePipelines } from "./pipelines-file.ts";

const stageOf = (stage: string) =>
  parsePipelines(`name: p\nstages:\n  - { module: m, ${stage} }\n`, "p.yaml")[0]?.stages?.[0];

test("policies on failure are read with their times in words", () => {
  expect(
    stageOf('on_failure: dead_letter, retry: { attempts: 3, initial: 50ms, max: "2s", faults: true }'),
  ).toMatchObject({
    onFailure: 4,
    retry: { attempts: 3, initialBackoffMs: 50, maxBackoffMs: 2_000, factor: 0, faults: true },
  });
  expect(
    stageOf("breaker: { faults: 5, window: 10, open: 1m, probes: 1, record_failures: true }"),
  ).toMatchObject({
    breaker: { disabled: false, faults: 5, window: 10, openMs: 60_000, probes: 1, recordFailures: true },
  });
});

test.each([
  ["retry: { attempts: 0 }", "retry.attempts"],
  ["retry: { attempts: 2, jitter: 2 }", "retry.jitter"],
  ["retry: { tries: 2 }", "retry"],
  ["breaker: { disabled: 1 }", "breaker.disabled"],
])("a mistake is named by its key: %s", (stage, key) => {
  expect(() => stageOf(stage)).toThrow(`stages[0].${key}`);
});
