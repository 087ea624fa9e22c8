import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { markedNaming, namings } from "../kit/modules.ts";
import { batchOf, request, shapeOf, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

beforeAll(async () => {
  const named = Object.keys(namings) as (keyof typeof namings)[];
  const liars = await Promise.all(named.map(async (naming) => [naming, await markedNaming(naming)] as const));
  kit = await startTestServer({
    modules: { marked: "marked", program: "program", ...Object.fromEntries(liars) },
    pipelines: { chain: ["program", "marked"] },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** The instances made for a pipeline's stage so far. */
async function instances(pipeline: string): Promise<number> {
  const { stages } = await kit.pipelineMetrics(pipeline);
  return Number(stages[0]?.instancesCreated ?? 0);
}

describe("a fault fails the record that caused it and no other", () => {
  const faults = { trap: "%", stack_overflow: "^", out_of_memory: "$" } as const;
  const honest = ["marked", "silent", "negative", "huge"];
  const cases = honest.flatMap((module) =>
    Object.entries(faults).map(([code, mark]) => ({ module, code, mark })),
  );

  test.each(cases)("$code in $module", async ({ module, code, mark }) => {
    const result = await kit.raw.transform(request(module, "a", "b", "c", mark, "d", "e", "f"));
    expect(shapeOf(result, 7)).toEqual({
      values: ["a", "b", "c", "d", "e", "f"],
      fanout: [1, 1, 1, 0, 1, 1, 1],
      failures: [`3 ${code}@${module}`],
    });
  });

  test.each(["first", "next"])(
    "but for three more in a module that names the wrong record: %s",
    async (module) => {
      const values = [..."abcdefghi"].toSpliced(4, 0, "%");
      const result = await kit.raw.transform(request(module, ...values));
      const failed = result.failures.map(({ index }) => index);
      expect(failed).toContain(4);
      expect(failed.length).toBeLessThanOrEqual(4);
      expect(valuesOf(result)).toEqual(values.filter((_, index) => !failed.includes(index)));
    },
  );

  test("wherever it stands in the batch", async () => {
    for (const module of ["marked", "silent"]) {
      for (const at of [0, 4]) {
        const values = ["a", "b", "c", "d", "e"];
        const result = await kit.raw.transform(request(module, ...values.with(at, "%")));
        expect(shapeOf(result, 5)).toEqual({
          values: values.toSpliced(at, 1),
          fanout: values.map((_, index) => (index === at ? 0 : 1)),
          failures: [`${at} trap@${module}`],
        });
      }
    }
  });

  test("and the lone record of a batch", async () => {
    for (const module of ["marked", "silent", "huge"]) {
      const result = await kit.raw.transform(request(module, "%"));
      expect(shapeOf(result, 1)).toEqual({ values: [], fanout: [0], failures: [`0 trap@${module}`] });
    }
  });

  test("with a message that says what happened and where", async () => {
    const result = await kit.raw.transform(request("marked", "%"));
    expect(result.failures[0]).toMatchObject({
      message: expect.stringMatching(/^unreachable in (\S+ )?\(?function \d+, byte \d+/),
      attempts: 1,
      retryable: false,
    });
  });

  test("at a later stage, by the number of the record that came in", async () => {
    const result = await kit.raw.transform(request("chain", "ma", "3%%b", "0", "mc"));
    // The second input becomes `%%b`, `%b` and `b`.
    expect(shapeOf(result, 4)).toEqual({
      values: ["a", "b", "c"],
      fanout: [1, 1, 0, 1],
      failures: ["1 trap@s2", "1 trap@s2"],
    });
  });
});

describe("what poison costs is bounded", () => {
  test("three faults that name their record cost three instances more", async () => {
    const values = Array.from({ length: 100 }, (_, index) => (index % 40 === 7 ? "%" : `r${index}`));
    const before = await instances("marked");
    const result = await kit.raw.transform(request("marked", ...values));
    expect(result.failures.map(({ index }) => index)).toEqual([7, 47, 87]);
    expect((await instances("marked")) - before).toBeLessThanOrEqual(4);
  });

  test("after three the rest runs record by record, an instance for each poison record", async () => {
    const values = Array.from({ length: 200 }, (_, index) => (index % 4 === 0 ? "%" : `r${index}`));
    const before = await instances("marked");
    const result = await kit.raw.transform(request("marked", ...values));
    expect(result.failures).toHaveLength(50);
    expect(valuesOf(result)).toEqual(values.filter((value) => value !== "%"));
    // 50 poison records, each ends one instance; the last good one makes one more.
    expect((await instances("marked")) - before).toBeLessThanOrEqual(51);
  });

  test("a fault that names nothing is found in a number of runs that grows with the logarithm", async () => {
    const values = Array.from({ length: 1_024 }, (_, index) => (index === 700 ? "%" : `r${index}`));
    const before = await instances("silent");
    const result = await kit.raw.transform(request("silent", ...values));
    expect(result.failures.map(({ index }) => index)).toEqual([700]);
    expect((await instances("silent")) - before).toBeLessThanOrEqual(13);
  });

  test("a batch of nothing but poison ends, too", async () => {
    const values = new Array(300).fill("%");
    for (const module of ["marked", "silent", "first", "huge"]) {
      const result = await kit.raw.transform(request(module, ...values));
      expect(result.failures).toHaveLength(300);
      expect(valuesOf(result)).toEqual([]);
    }
  });
});

describe("an instance that has trapped is gone", () => {
  test("its state does not reach the next batch", async () => {
    await kit.raw.transform(request("marked", "%"));
    expect(valuesOf(await kit.raw.transform(request("marked", "+")))).toEqual(["1"]);
    expect(valuesOf(await kit.raw.transform(request("marked", "+")))).toEqual(["2"]);
    await kit.raw.transform(request("marked", "%"));
    expect(valuesOf(await kit.raw.transform(request("marked", "+")))).toEqual(["1"]);
  });

  test("nor the rest of its own batch", async () => {
    await kit.raw.transform(request("marked", "a"));
    expect(valuesOf(await kit.raw.transform(request("marked", "%", "+")))).toEqual(["1"]);
  });
});

test("streams and calls of others go on", async () => {
  const stream = kit.leat.stream(
    "program",
    [["mx"], ["my"], ["mz"]].map((values) => values.map((value) => ({ value }))),
  );
  const poison = Promise.all(
    Array.from({ length: 20 }, () =>
      kit.raw.transform({ target: request("marked").target, batch: batchOf("%", "a") }),
    ),
  );
  const got: string[] = [];
  for await (const { records } of stream)
    got.push(...records.map(({ value }) => Buffer.from(value ?? []).toString()));
  expect(got).toEqual(["x", "y", "z"]);
  for (const result of await poison) {
    expect(shapeOf(result, 2)).toEqual({ values: ["a"], fanout: [0, 1], failures: ["0 trap@marked"] });
  }
});
