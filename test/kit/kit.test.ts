import { expect, test } from "vitest";
import { numbered, open, request, shapeOf } from "./records.ts";
import { holdingLimits, startTestServer } from "./test-server.ts";
import { until } from "./until.ts";

test("a test server runs modules and leaves nothing behind", async () => {
  await using kit = await startTestServer({
    modules: { program: "program", marked: "marked", init: "init" },
  });
  const result = await kit.raw.transform(request("program", "m", "3abc", "x", "t", "0", ""));
  expect(shapeOf(result, 6)).toEqual({
    values: ["", "abc", "bc", "c", ""],
    fanout: [1, 3, 0, 0, 0, 1],
    failures: ["2 refused@program", "3 trap@program"],
  });
  const held = await kit.hold();
  await held.release();
});

test("it says what was left behind: batches, bytes, streams, slots and pipelines", async () => {
  await using kit = await startTestServer({ limits: holdingLimits, modules: { marked: "marked" } });
  const held = await kit.hold();
  const stream = kit.raw.stream();
  stream.write(open("marked"));
  stream.write(numbered(1, "a"));
  await until(() => kit.server.stats.admission.batches === 2, "a batch waits");
  await expect(kit.idle(20)).rejects.toThrow(
    /2 batches admitted; \d+ bytes admitted; 1 streams open; worker \d+ has 2 slots .*; pipeline marked is held 2 times/,
  );
  await held.release();
  stream.halfClose();
  expect(await stream.rest()).toHaveLength(2);
  await kit.idle();
});

test("what never comes true is named", async () => {
  await expect(until(() => false, "the sky falls", 5)).rejects.toThrow(/the sky falls/);
});
