import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ConditionSchema,
  type KeyConditionSchema,
  type PipelineSchema,
  PutPipelineRequestSchema,
  StageSchema,
} from "@leat/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { defaultLimits } from "../../server/limits.ts";
import { failureOf } from "../kit/call-error.ts";
import { encode } from "../kit/raw-client.ts";
import { inlineTarget, request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

const limits = { maxPipelines: 3, maxStages: 4, maxConfigBytes: 1_000 };

beforeAll(async () => {
  kit = await startTestServer({ limits, modules: { program: "program" } });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

type PipelineInit = MessageInitShape<typeof PipelineSchema>;

const path = "/leat.v1.PipelineService/PutPipeline";

/** Puts with plain grpc-js what must be refused; sees that nothing has changed, and that the server serves on. */
async function refused(pipeline: PipelineInit | undefined) {
  const before = await kit.leat.pipelines.listPipelines({});
  const bytes = encode(PutPipelineRequestSchema, pipeline === undefined ? {} : { pipeline });
  const failure = await failureOf(kit.raw.call(path, bytes).response);
  expect(await kit.leat.pipelines.listPipelines({})).toEqual(before);
  expect(failure.domain).toBe("leat");
  expect(valuesOf(await kit.raw.transform(request("program", "ma")))).toEqual(["a"]);
  return failure;
}

function stage(init: MessageInitShape<typeof StageSchema>) {
  return create(StageSchema, { module: "program", ...init });
}

type ConditionInit = MessageInitShape<typeof ConditionSchema>;

function any(...conditions: ConditionInit[]): ConditionInit {
  return { condition: { case: "any", value: { conditions } } };
}

function key(match: MessageInitShape<typeof KeyConditionSchema>["match"]): ConditionInit {
  return { condition: { case: "key", value: match === undefined ? {} : { match } } };
}

describe("a pipeline that is wrong is refused with the field that is", () => {
  const cases: [string, PipelineInit, string][] = [
    ["no name", { stages: [stage({})] }, "pipeline.name"],
    ["a name in capitals", { name: "Bad", stages: [stage({})] }, "pipeline.name"],
    ["a long name", { name: "a".repeat(65), stages: [stage({})] }, "pipeline.name"],
    ["no stages", { name: "good" }, "pipeline.stages"],
    ["too many stages", { name: "good", stages: new Array(5).fill(stage({})) }, "pipeline.stages"],
    [
      "a stage without a module",
      { name: "good", stages: [stage({ module: "" })] },
      "pipeline.stages[0].module",
    ],
    [
      "a stage with a bad name",
      { name: "good", stages: [stage({ name: "a b" })] },
      "pipeline.stages[0].name",
    ],
    [
      "a condition that says nothing",
      { name: "good", stages: [stage({ when: {} })] },
      "pipeline.stages[0].when",
    ],
    [
      "a header without a name, deep in a condition",
      {
        name: "good",
        stages: [
          stage({
            when: any({ condition: { case: "not", value: { condition: { case: "header", value: {} } } } }),
          }),
        ],
      },
      "pipeline.stages[0].when.any[0].not.header",
    ],
    [
      "a key that is not said anything of",
      { name: "good", stages: [stage({ when: { condition: { case: "key", value: {} } } })] },
      "pipeline.stages[0].when.key",
    ],
    [
      "an empty prefix",
      { name: "good", stages: [stage({ when: key({ case: "prefix", value: "" }) })] },
      "pipeline.stages[0].when.key.prefix",
    ],
    [
      "a list of no texts",
      { name: "good", stages: [stage({ when: key({ case: "in", value: {} }) })] },
      "pipeline.stages[0].when.key.in",
    ],
    [
      "a list of no conditions",
      { name: "good", stages: [stage({ when: any() })] },
      "pipeline.stages[0].when.any",
    ],
    [
      "conditions that nest too deep",
      { name: "good", stages: [stage({ when: any(any(any(any(any(any(any(any(any())))))))) })] },
      `pipeline.stages[0].when${".any[0]".repeat(8)}`,
    ],
    [
      "too many texts",
      {
        name: "good",
        stages: [stage({ when: key({ case: "in", value: { texts: new Array(64).fill("a") } }) })],
      },
      "pipeline.stages[0].when",
    ],
    [
      "too long a text",
      { name: "good", stages: [stage({ when: key({ case: "equals", value: "é".repeat(2_049) }) })] },
      "pipeline.stages[0].when",
    ],
    [
      "two stages of one name",
      { name: "good", stages: [stage({}), stage({ name: "x" }), stage({ name: "x" })] },
      "pipeline.stages[2].name",
    ],
    [
      "two stages of one module without names",
      { name: "good", stages: [stage({}), stage({})] },
      "pipeline.stages[1].name",
    ],
    [
      "a configuration that is no JSON",
      { name: "good", stages: [stage({ configJson: "{'a': 1}" })] },
      "pipeline.stages[0].config_json",
    ],
    [
      "a configuration that is too long",
      { name: "good", stages: [stage({ configJson: JSON.stringify("x".repeat(1_000)) })] },
      "pipeline.stages[0].config_json",
    ],
    [
      "an unknown policy",
      { name: "good", stages: [stage({ onFailure: 99 as 1 })] },
      "pipeline.stages[0].on_failure",
    ],
    [
      "an unknown instance policy",
      { name: "good", stages: [stage({ instances: -1 as 1 })] },
      "pipeline.stages[0].instances",
    ],
    [
      "a batch limit of nothing",
      { name: "good", stages: [stage({ limits: { batchTimeoutMs: 0 } })] },
      "pipeline.stages[0].limits.batch_timeout_ms",
    ],
    [
      "a batch limit above the server's",
      { name: "good", stages: [stage({ limits: { batchTimeoutMs: 5_001 } })] },
      "pipeline.stages[0].limits.batch_timeout_ms",
    ],
    [
      "a record limit above the server's",
      { name: "good", stages: [stage({ limits: { recordTimeoutMs: 4_000_000_000 } })] },
      "pipeline.stages[0].limits.record_timeout_ms",
    ],
    [
      "a memory limit above the server's",
      { name: "good", stages: [stage({ limits: { memoryBytes: 2n ** 63n } })] },
      "pipeline.stages[0].limits.memory_bytes",
    ],
    [
      "a factor above what there may be",
      { name: "good", stages: [stage({ retry: { attempts: 2, factor: 11 } })] },
      "pipeline.stages[0].retry.factor",
    ],
    [
      "a memory limit below a page",
      { name: "good", stages: [stage({ limits: { memoryBytes: 1_000n } })] },
      "pipeline.stages[0].limits.memory_bytes",
    ],
  ];

  test.each(cases)("%s", async (_, pipeline, field) => {
    expect(await refused(pipeline)).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "PIPELINE_INVALID",
      metadata: { field },
      fields: [field],
      message: expect.stringContaining(field),
    });
  });

  const beyond: [keyof typeof defaultLimits, number, number, MessageInitShape<typeof StageSchema>][] = [
    ["maxBatchExecutionMs", 5_000, 5_001, { limits: { batchTimeoutMs: 5_001 } }],
    ["maxRecordExecutionMs", 1_000, 1_001, { limits: { recordTimeoutMs: 1_001 } }],
    ["maxGuestMemoryBytes", 67_108_864, 67_108_865, { limits: { memoryBytes: 67_108_865n } }],
    ["maxRetryAttempts", 10, 11, { retry: { attempts: 11 } }],
    ["maxRetryBackoffMs", 60_000, 60_001, { retry: { attempts: 2, maxBackoffMs: 60_001 } }],
    ["maxBreakerWindow", 1_000, 1_001, { breaker: { window: 1_001 } }],
    ["maxConfigBytes", 1_000, 1_002, { configJson: JSON.stringify("x".repeat(1_000)) }],
    ["maxConditionTerms", 64, 65, { when: key({ case: "in", value: { texts: new Array(64).fill("a") } }) }],
  ];

  test.each(beyond)(
    "%s is named with its value and what was measured",
    async (limit, value, measured, init) => {
      const failure = await refused({ name: "good", stages: [stage(init)] });
      expect(failure.metadata).toMatchObject({ limit, value: String(value), measured: String(measured) });
      for (const part of [limit, String(value), String(measured)]) expect(failure.message).toContain(part);
    },
  );

  test("maxStages is named with its value and what was measured", async () => {
    const many = await refused({ name: "good", stages: new Array(5).fill(stage({})) });
    expect(many.message).toMatch(/5.*maxStages is 4/);
    expect(many.metadata).toMatchObject({ limit: "maxStages", value: "4", measured: "5" });
  });

  test("no pipeline at all", async () => {
    expect(await refused(undefined)).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "REQUEST_INVALID",
      metadata: { field: "pipeline" },
    });
  });

  test.each([
    ["unknown", "no-such-module"],
    ["unknown version", "program@2"],
    ["unknown digest", `sha256:${"0".repeat(64)}`],
  ])("a stage with an %s is NOT_FOUND", async (_, module) => {
    expect(await refused({ name: "good", stages: [stage({ module })] })).toMatchObject({
      status: "NOT_FOUND",
      reason: "MODULE_NOT_FOUND",
      metadata: { module },
    });
  });

  test("a reference that is none", async () => {
    expect(await refused({ name: "good", stages: [stage({ name: "x", module: "a@b@c" })] })).toMatchObject({
      status: "INVALID_ARGUMENT",
    });
  });

  test("one pipeline too many", async () => {
    await kit.put("second", ["program"]);
    await kit.put("third", ["program"]);
    expect(await refused({ name: "fourth", stages: [stage({})] })).toMatchObject({
      status: "RESOURCE_EXHAUSTED",
      reason: "TOO_MANY_PIPELINES",
      metadata: { limit: "maxPipelines", value: "3", measured: "4" },
    });
    // One that is there can still be changed.
    await kit.put("third", ["program", "program"]);
    await kit.leat.pipelines.deletePipeline({ name: "second" });
    await kit.leat.pipelines.deletePipeline({ name: "third" });
  });

  test("bytes that are no request", async () => {
    for (const method of ["PutPipeline", "GetPipeline", "DeletePipeline"]) {
      const call = kit.raw.call(`/leat.v1.PipelineService/${method}`, Buffer.from([0x0a, 0xff])).response;
      expect(await failureOf(call)).toMatchObject({
        status: "INVALID_ARGUMENT",
        reason: "REQUEST_MALFORMED",
      });
    }
  });
});

test.each(["getPipeline", "deletePipeline"] as const)(
  "%s of an unknown pipeline is NOT_FOUND",
  async (method) => {
    await expect(kit.leat.pipelines[method]({ name: "no-such-pipeline" })).rejects.toMatchObject({
      code: 5,
      reason: "PIPELINE_NOT_FOUND",
      metadata: { pipeline: "no-such-pipeline" },
    });
  },
);

describe("an inline chain that is wrong is refused", () => {
  const transform = (...modules: string[]) =>
    failureOf(kit.raw.transform({ target: inlineTarget(...modules), batch: { records: [] } }));

  test("an unknown module", async () => {
    expect(await transform("program", "no-such-module")).toMatchObject({
      status: "NOT_FOUND",
      reason: "MODULE_NOT_FOUND",
      metadata: { module: "no-such-module" },
    });
  });

  test("a reference that is none", async () => {
    expect(await transform("NOT A NAME")).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "REQUEST_INVALID",
    });
  });

  test("no modules, and too many", async () => {
    expect((await transform()).status).toBe("INVALID_ARGUMENT");
    const many = await transform(...new Array(5).fill("program"));
    expect(many).toMatchObject({ status: "INVALID_ARGUMENT" });
    expect(many.message).toMatch(/5.*maxStages is 4/);
  });

  test("and one that is right runs, with a module twice", async () => {
    const result = await kit.raw.transform({
      target: inlineTarget("program", "program"),
      batch: { records: [{ value: Buffer.from("mma") }] },
    });
    expect(valuesOf(result)).toEqual(["a"]);
  });
});
