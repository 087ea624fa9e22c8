import { create, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, type TransformResult } from "@leat/proto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anyCondition, anyRecord, holds, type PlainRecord } from "../../test/kit/conditions.ts";
import { type LocalPipeline, localPipeline } from "../../test/kit/local-pipeline.ts";
import { batchOf, fanoutOf, shapeOf } from "../../test/kit/records.ts";
import { ExclusionCode, wholeStage } from "../bridge/layout.ts";
import type { ConditionSpec, FailurePolicy } from "../bridge/pipeline-spec.ts";

/** A stage that runs `program.wat`. */
interface ProgramStage {
  readonly onFailure: FailurePolicy;
  readonly when: ConditionSpec | undefined;
}

interface Item extends PlainRecord {
  readonly origin: number;
  readonly value: string;
}

const codes: Readonly<Record<string, string>> = { x: "refused", y: "later", t: "trap" };

/** What `program.wat` makes of one value: values, or the code of a failure. */
function step(value: string): string[] | string {
  if (value === "") return [value];
  const act = value.slice(0, 1);
  const code = codes[act];
  if (code !== undefined) return code;
  const copies = /\d/.test(act) ? Number(act) : 1;
  return Array.from({ length: copies }, (_, copy) => value.slice(copy + 1));
}

/** What a chain makes of a batch. */
function model(stages: readonly ProgramStage[], inputs: readonly Item[]) {
  let items = inputs;
  const failures: string[][] = inputs.map(() => []);
  stages.forEach(({ onFailure, when }, stage) => {
    items = items.flatMap((item) => {
      if (when !== undefined && !holds(when, item)) return [item];
      const given = step(item.value);
      if (typeof given !== "string") return given.map((value) => ({ ...item, value }));
      if (onFailure === "fail") failures[item.origin]?.push(`${given}@s${stage + 1}`);
      return onFailure === "pass" ? [item] : [];
    });
  });
  return {
    outputs: items.map(({ origin, value }) => `${origin} ${value}`),
    fanout: inputs.map(({ origin }) => items.filter((item) => item.origin === origin).length),
    failures: failures.flatMap((each, index) => each.map((failure) => `${index} ${failure}`)),
  };
}

/** Each record says in its first header which input it is. */
function encode(items: readonly Item[]): Uint8Array {
  const records = items.map(({ origin, key, value, headers }) => ({
    ...(key !== undefined && { key: Buffer.from(key) }),
    value: Buffer.from(value),
    headers: [["origin", String(origin)] as const, ...headers].map(([name, text]) => ({
      key: name,
      value: Buffer.from(text),
    })),
  }));
  return toBinary(RecordBatchSchema, create(RecordBatchSchema, { records }));
}

function read(result: TransformResult, inputs: number) {
  return {
    outputs: (result.batch?.records ?? []).map(
      ({ headers, value }) => `${Buffer.from(headers[0]?.value ?? [])} ${Buffer.from(value ?? [])}`,
    ),
    fanout: fanoutOf(result, inputs),
    failures: result.failures.map(({ index, code, stage }) => `${index} ${code}@${stage}`),
  };
}

const anyStages: fc.Arbitrary<ProgramStage[]> = fc.array(
  fc.record({
    onFailure: fc.constantFrom<FailurePolicy>("fail", "drop", "pass"),
    when: fc.option(anyCondition, { nil: undefined, freq: 4 }),
  }),
  { minLength: 1, maxLength: 4 },
);

const anyBatch: fc.Arbitrary<Item[]> = fc
  .array(fc.tuple(anyRecord, fc.string({ unit: fc.constantFrom(..."mmmmmmm0123xyt"), maxLength: 6 })), {
    maxLength: 14,
  })
  .map((all) => all.map(([record, value], origin) => ({ ...record, origin, value })));

test("stages with conditions do what a model of them says, for calls that share a crossing as well", async () => {
  await fc.assert(
    fc.asyncProperty(
      anyStages,
      fc.array(anyBatch, { minLength: 1, maxLength: 4 }),
      async (stages, batches) => {
        const pipeline = await localPipeline(stages.map((stage) => ({ source: "program", ...stage })));
        const { outcome, results } = pipeline.runTogether(batches.map(encode));
        expect(outcome).toBe("result");
        batches.forEach((batch, call) => {
          expect(read(results[call] as TransformResult, batch.length)).toEqual(model(stages, batch));
        });
      },
    ),
    { numRuns: 100 },
  );
}, 60_000);

const marked: ConditionSpec = { t: "header", name: "run", match: { t: "exists" } };

/** A batch of values; those with a `!` before them have the header `run`. */
function batch(...values: string[]) {
  const made = batchOf(...values.map((value) => value.replace("!", "")));
  values.forEach((value, index) => {
    if (value.startsWith("!"))
      made.records[index]?.headers.push({ $typeName: "leat.v1.Header", key: "run", value: new Uint8Array() });
  });
  return made;
}

async function program(onFailure: FailurePolicy = "fail", overrides = {}): Promise<LocalPipeline> {
  return localPipeline([{ source: "program", when: marked, onFailure }], overrides);
}

function shape(
  pipeline: LocalPipeline,
  values: string[],
  exclusions: Parameters<LocalPipeline["run"]>[1] = [],
) {
  const [result] = pipeline.run(batch(...values), exclusions).results;
  return result && shapeOf(result, values.length);
}

/** Where the last output lay when it was used. */
function watchOutput({ runner }: LocalPipeline): { bytes: Uint8Array } {
  const seen = { bytes: runner.bytes };
  const { release } = runner;
  runner.release = () => {
    seen.bytes = runner.bytes;
    release.call(runner);
  };
  return seen;
}

describe("a batch costs no copy", () => {
  test("where no record is run, and its module is not even started", async () => {
    const pipeline = await program();
    const written = watchOutput(pipeline);
    expect(shape(pipeline, ["a", "b"])).toEqual({ values: ["a", "b"], fanout: [1, 1], failures: [] });
    expect(written.bytes).toBe(pipeline.memory.bytes);
    expect(pipeline.runner.stages[0]?.live).toBe(false);
  });

  test("where all records are run", async () => {
    const pipeline = await program();
    const written = watchOutput(pipeline);
    expect(shape(pipeline, ["!ma", "!mb"])).toMatchObject({ values: ["a", "b"] });
    // What comes out lies in the guest's memory.
    expect(written.bytes.length).toBe(256 * 65_536);
  });

  test("beyond the records that are run and the result, where some are", async () => {
    const pipeline = await program();
    const written = watchOutput(pipeline);
    shape(pipeline, ["!ma", "b"]);
    const first = written.bytes;
    shape(pipeline, ["!ma", "b"]);
    shape(pipeline, ["!ma", "b"]);
    expect(written.bytes).toBe(first);
  });
});

test("a record that stopped a worker before is left out by its place among those that the stage runs", async () => {
  const pipeline = await program();
  const excluded = { stage: 0, record: 1, code: ExclusionCode.timeout };
  expect(shape(pipeline, ["a", "!mb", "c", "!md", "!me"], [excluded])).toEqual({
    values: ["a", "b", "c", "e"],
    fanout: [1, 1, 1, 0, 1],
    failures: ["3 timeout@s1"],
  });
});

test("a breaker that is open fails the records that the stage would run, and no others", async () => {
  const excluded = { stage: 0, record: wholeStage, code: ExclusionCode.breakerOpen };
  expect(shape(await program(), ["a", "!mb"], [excluded])).toEqual({
    values: ["a"],
    fanout: [1, 0],
    failures: ["1 breaker_open@s1"],
  });
  expect(shape(await program("pass"), ["a", "!mb"], [excluded])).toMatchObject({ values: ["a", "mb"] });
});

test("what a stage returns and what passes it by keep the bounds of one result together", async () => {
  const pipeline = await program("fail", { maxResultRecords: 6 });
  expect(shape(pipeline, ["a", "b", "!3", "!2", "c"])).toEqual({
    values: ["a", "b", "", "", "", "c"],
    fanout: [1, 1, 3, 0, 1],
    failures: ["3 output_too_large@s1"],
  });
  const [result] = pipeline.run(batch("a", "!6")).results;
  expect(result?.failures[0]?.message).toContain(
    "7 records (1 of them pass the stage by), the limit maxResultRecords is 6",
  );
});

test("large buffers are let go after their batch", async () => {
  const pipeline = await program();
  const long = "a".repeat(400_000);
  expect(shape(pipeline, [`!${long}`, long])?.values.map((value) => value.length)).toEqual([
    399_999, 400_000,
  ]);
  const written = watchOutput(pipeline);
  shape(pipeline, ["!ma", "b"]);
  expect(written.bytes.length).toBeLessThan(400_000);
});

describe("batches of any size follow each other in one worker", () => {
  /** A batch of so many records, every `step`th of which, from the first or from the last, is run. */
  function sized(records: number, step: number, fromLast: boolean): string[] {
    return Array.from({ length: records }, (_, index) => {
      const run = (fromLast ? records - 1 - index : index) % step === 0;
      return run ? `!m${index}` : `${index}`;
    });
  }

  function expectDone(pipeline: LocalPipeline, values: string[]): void {
    const outputs = values.map((value) => value.replace("!m", ""));
    expect(shape(pipeline, values)).toEqual({
      values: outputs,
      fanout: outputs.map(() => 1),
      failures: [],
    });
  }

  test.each([
    [10, 1_024],
    [1_025, 2_048],
    [2_049, 4_096],
    [4_097, 8_192],
  ])("%d records, then %d", async (before, records) => {
    for (const fromLast of [true, false]) {
      const pipeline = await program();
      expectDone(pipeline, sized(before, 3, fromLast));
      expectDone(pipeline, sized(records, 3, fromLast));
      expectDone(pipeline, sized(before, 3, fromLast));
    }
  });

  test("around the powers of two", async () => {
    const size = fc.constantFrom(1, 10, ...[1_024, 2_048, 4_096].flatMap((at) => [at - 1, at, at + 1]));
    const sizes = fc.array(fc.tuple(size, fc.integer({ min: 2, max: 700 }), fc.boolean()), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(sizes, async (batches) => {
        const pipeline = await program();
        for (const [records, step, fromLast] of batches) expectDone(pipeline, sized(records, step, fromLast));
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});
