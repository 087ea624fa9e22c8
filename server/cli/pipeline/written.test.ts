import { create } from "@bufbuild/protobuf";
import { type Condition, PipelineSchema } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../config/config-error.ts";
import { parsePipelines } from "../../config/pipelines-file.ts";
import { writtenYaml } from "./written.ts";

function parsed(when: string) {
  const [pipeline] = parsePipelines(
    `name: orders\nstages:\n  - module: redact\n    when: ${when}\n`,
    "p.yaml",
  );
  return create(PipelineSchema, pipeline);
}

function mistake(when: string): string {
  try {
    parsed(when);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "";
}

const conditions: [written: string, message: object][] = [
  [
    "{ header: type, equals: order }",
    { case: "header", value: { name: "type", match: { case: "equals", value: "order" } } },
  ],
  ["{ header: type, exists: false }", { case: "header", value: { match: { case: "exists", value: false } } }],
  ['{ key: { prefix: "eu-" } }', { case: "key", value: { match: { case: "prefix", value: "eu-" } } }],
  ['{ key: { equals: "" } }', { case: "key", value: { match: { case: "equals", value: "" } } }],
  [
    "{ key: { in: [a, b] } }",
    { case: "key", value: { match: { case: "in", value: { texts: ["a", "b"] } } } },
  ],
  [
    "{ not: { any: [{ header: a, exists: true }, { all: [{ key: { exists: true } }] }] } }",
    {
      case: "not",
      value: { condition: { case: "any", value: { conditions: [{}, { condition: { case: "all" } }] } } },
    },
  ],
];

describe("a condition of a pipelines file", () => {
  test.each(conditions)("%s", async (written, message) => {
    const pipeline = parsed(written);
    expect(pipeline.stages[0]?.when?.condition).toMatchObject(message);
    // What `pipeline show` writes is the same condition.
    const [again] = parsePipelines(await writtenYaml(pipeline), "shown.yaml");
    expect(create(PipelineSchema, again)).toEqual(pipeline);
  });
});

const nested = (levels: number): string =>
  levels === 1 ? "{ key: { exists: true } }" : `{ not: ${nested(levels - 1)} }`;

test("what is shown of a pipeline is all that was written", async () => {
  const [written] = parsePipelines(
    `name: orders
description: all keys
stages:
  - name: first
    module: redact@1
    when: { header: type, equals: order }
    config: { a: 1 }
    on_failure: dead_letter
    instances: fresh
    isolation: process
    retry: { attempts: 3, initial: 100ms, max: 10s, factor: 3, jitter: 0.5, faults: true }
    breaker: { faults: 20, window: 90, open: 4s, probes: 2, record_failures: true }
    limits: { record_timeout_ms: 500ms, batch_timeout_ms: 2s, memory_bytes: 16MiB }
`,
    "p.yaml",
  );
  const pipeline = create(PipelineSchema, written);
  const [again] = parsePipelines(await writtenYaml(pipeline), "shown.yaml");
  expect(create(PipelineSchema, again)).toEqual(pipeline);
});

describe("a mistake in a condition names its place and what is allowed", () => {
  test.each([
    ["{ header: type }", "stages[0].when", "exactly one of exists, equals, prefix, in"],
    ["{ header: type, equals: a, prefix: b }", "stages[0].when", "exactly one of exists, equals, prefix, in"],
    ["{ equals: a }", "stages[0].when", "exactly one of header, key, not, all, any"],
    ["{ key: {} }", "stages[0].when.key", "exactly one of exists, equals, prefix, in"],
    ["{ key: { exists: true }, equals: a }", "stages[0].when", "key alone"],
    ["{ header: type, prefix: '' }", "stages[0].when.prefix", "text of at least 1 character"],
    ["{ header: type, in: [] }", "stages[0].when.in", "a list of 1 to 64 texts"],
    ["{ any: [{ header: a, exists: 1 }] }", "stages[0].when.any[0].exists", "true or false"],
    ["{ any: [{ haeder: a }] }", "stages[0].when.any[0].haeder", "did you mean header?"],
    [nested(9), `stages[0].when${".not".repeat(8)}`, "conditions of at most 8 levels"],
  ])("%s", (written, path, allowed) => {
    expect(mistake(written)).toMatch(/^p\.yaml:4:\d+: /);
    expect(mistake(written)).toContain(`${path}: `);
    expect(mistake(written)).toContain(allowed);
  });

  test("and as many levels as are allowed are none", () => {
    expect(mistake(nested(8))).toBe("");
    expect(depthOf(parsed(nested(8)).stages[0]?.when)).toBe(8);
  });
});

function depthOf(when: Condition | undefined): number {
  return when?.condition.case === "not" ? 1 + depthOf(when.condition.value) : 1;
}
