import { expect, test } from "vitest";
import { request, shapeOf } from "./records.ts";
import { startTestServer } from "./test-server.ts";

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
