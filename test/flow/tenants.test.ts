import { TransformRequestSchema } from "@leat/proto";
import { InstancePolicy } from "@leat/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encode } from "../kit/raw-client.ts";
import { batchOf, inlineTarget, request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

/** What one tenant's records have in them, and no other's answer. */
const canary = "canary-of-a-tenant";
/** More than a slot holds: it goes by transfer. */
const largeBytes = 200_000;

const nothing = "m0g0t0p0";
const everything = "m1g1t1p1";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    limits: {
      maxExtraWorkers: 0,
      maxStallMs: 600_000,
      maxRecordExecutionMs: 200,
      maxBatchExecutionMs: 400,
    },
    modules: { spy: "spy" },
    pipelines: {
      fresh: [{ module: "spy", instances: InstancePolicy.FRESH }],
      ...Object.fromEntries(
        ["reused", "trapped", "stopped", "exhausted", "one", "other", "revised", "beside"].map((name) => [
          name,
          ["spy"],
        ]),
      ),
      stages: ["spy", "spy"],
    },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** A record that makes the guest leave it behind, or that only asks. */
function record(act: string, bytes = 0): string {
  return `${act} ${canary}`.padEnd(bytes, ".");
}

async function ask(pipeline: string): Promise<string> {
  return valuesOf(await kit.raw.transform(request(pipeline, "?"))).join();
}

async function leave(pipeline: string, act = "p", bytes = 0): Promise<string | undefined> {
  const { failures } = await kit.raw.transform(request(pipeline, record(act, bytes)));
  return failures[0]?.code;
}

describe("under fresh", () => {
  test.each([
    ["a record", 0],
    ["a record that goes by transfer", largeBytes],
  ])("nothing of %s is in the next one's memory, global, table, or beside its input", async (_, bytes) => {
    for (let round = 0; round < 3; round++) {
      expect(await leave("fresh", "p", bytes)).toBeUndefined();
      expect(await ask("fresh")).toBe(nothing);
    }
  });

  test.each(["t", "l", "o"])("nothing is left of one that broke its instance: %s", async (act) => {
    expect(await leave("fresh", act)).toBeDefined();
    expect(await ask("fresh")).toBe(nothing);
  });

  test("calls that come together do not share an instance", async () => {
    const calls = Array.from({ length: 20 }, (_, call) =>
      kit.raw.transform(request("fresh", call % 2 === 0 ? record("p") : "?")),
    );
    const found = (await Promise.all(calls)).flatMap(valuesOf);
    expect(found).toEqual(new Array(20).fill(nothing));
  });

  test("a long record leaves nothing in the shared memory through which the next answer comes", async () => {
    for (const bytes of [0, 100_000, largeBytes]) {
      await leave("fresh", "p", bytes);
      // Every slot is used once.
      for (let call = 0; call < 64; call++) {
        const path = "/leat.v1.TransformService/Transform";
        const { response } = kit.raw.call(path, encode(TransformRequestSchema, request("fresh", "?")));
        expect((await response).includes(canary)).toBe(false);
      }
    }
  });
});

describe("under reuse", () => {
  test("a module finds what it kept: this is what the other tests would see", async () => {
    await leave("reused");
    expect(await ask("reused")).toBe(everything);
  });

  test.each([
    ["trapped", "t", "trap"],
    ["stopped", "l", "timeout"],
    ["exhausted", "o", "out_of_memory"],
  ])("no state is left when an instance was %s", async (pipeline, act, code) => {
    await leave(pipeline);
    expect(await ask(pipeline)).toBe(everything);
    expect(await leave(pipeline, act)).toBe(code);
    expect(await ask(pipeline)).toBe(nothing);
  });

  test("pipelines of the same module version share no instance", async () => {
    await leave("one");
    expect(await ask("other")).toBe(nothing);
    expect(await ask("one")).toBe(everything);
  });

  test("a pipeline and an inline chain of the same module share no instance", async () => {
    await leave("beside");
    const inline = await kit.raw.transform({ target: inlineTarget("spy"), batch: batchOf("?") });
    expect(valuesOf(inline)).toEqual([nothing]);
  });

  test("callers of the same inline chain share one", async () => {
    const call = (value: string) => kit.raw.transform({ target: inlineTarget("spy"), batch: batchOf(value) });
    await call(record("p"));
    expect(valuesOf(await call("?"))).toEqual([everything]);
  });

  test("a pipeline's new revision begins with new instances", async () => {
    await leave("revised");
    await kit.put("revised", [{ module: "spy", name: "again" }]);
    expect(await ask("revised")).toBe(nothing);
  });

  test("two stages of one module share no instance", async () => {
    const { failures } = await kit.raw.transform(request("stages", record("p")));
    expect(failures).toEqual([]);
    // The first stage kept the record and says so. The second has seen the first's answers only, and left nothing.
    expect(await ask("stages")).toMatch(/g0t0/);
  });
});
