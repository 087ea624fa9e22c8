import { expect, test } from "vitest";
import { failureOf } from "../kit/call-error.ts";
import { inlineTarget, pipelineTarget, request, valuesOf } from "../kit/records.ts";
import { startTestServer } from "../kit/test-server.ts";

const long = "x".repeat(1_000_000);

test.each([
  ["a pipeline", pipelineTarget(long), "PIPELINE_NOT_FOUND"],
  ["a module", inlineTarget(long), "REQUEST_INVALID"],
  ["a pipeline of words that do not fit latin-1", pipelineTarget("🌊".repeat(100_000)), "PIPELINE_NOT_FOUND"],
])(
  "a name of a megabyte for %s is refused in words that fit, and the connection lives on",
  async (_, target, reason) => {
    await using kit = await startTestServer({ modules: { same: "init" } });
    const other = kit.raw.transform(request("same", "beside it"));
    const failure = await failureOf(kit.raw.transform({ target }));
    expect(failure).toMatchObject({ reason, domain: "leat" });
    expect(failure.message.length).toBeLessThan(2_000);
    expect(valuesOf(await other)).toEqual(["beside it"]);
    expect(valuesOf(await kit.raw.transform(request("same", "after it")))).toEqual(["after it"]);
  },
);

test("a stream that opens with such a name ends with a reason, too", async () => {
  await using kit = await startTestServer();
  const stream = kit.raw.stream();
  stream.write({ message: { case: "open", value: { target: pipelineTarget(long) } } });
  stream.halfClose();
  expect(await stream.rest()).toEqual([]);
  expect(await stream.ended).toMatchObject({ t: "failed", failure: { reason: "PIPELINE_NOT_FOUND" } });
});
