import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { TransformResultSchema } from "@leat/proto";
import { expect, test } from "vitest";
import { batchOf } from "../kit/records.ts";
import { judgeAccount } from "./module-cases.ts";

const judge = (init: MessageInitShape<typeof TransformResultSchema>) =>
  judgeAccount(create(TransformResultSchema, init), 3);

test("a result that accounts for each input is right", () => {
  expect(judge({ batch: batchOf("a", "b", "c") })).toBe("all ran");
  expect(judge({ batch: batchOf("a", "b"), fanout: [2, 0, 0], failures: [{ index: 1, code: "trap" }] })).toBe(
    "trap",
  );
  expect(judge({ fanout: [0, 0, 0], failures: [{ index: 2, code: "own" }] })).toBe("a code of its own");
});

test.each<[string, MessageInitShape<typeof TransformResultSchema>, RegExp]>([
  ["loses a record", { batch: batchOf("a", "b") }, /a fanout of 1 1 1 for 2 records/],
  ["tells of too many inputs", { batch: batchOf("a"), fanout: [1, 0, 0, 0] }, /a fanout of 4 for 3 records/],
  [
    "fails what has outputs",
    { batch: batchOf("a", "b", "c"), failures: [{ index: 0, code: "trap" }] },
    /and gave 1/,
  ],
  [
    "fails a record twice",
    {
      fanout: [0, 0, 0],
      failures: [
        { index: 0, code: "trap" },
        { index: 0, code: "trap" },
      ],
    },
    /once too often/,
  ],
  [
    "fails a record that was not sent",
    { fanout: [0, 0, 0], failures: [{ index: 3, code: "trap" }] },
    /once too often/,
  ],
  ["gives no code", { fanout: [0, 0, 0], failures: [{ index: 0, code: "" }] }, /without a code/],
])("a result is wrong that %s", (_, init, problem) => {
  expect(() => judge(init)).toThrow(problem);
});
