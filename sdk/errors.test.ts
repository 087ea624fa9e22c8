import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, BatchErrorSchema, ErrorInfoSchema, RetryInfoSchema } from "@leat/proto";
import { expect, test } from "vitest";
import { LeatCallError } from "./errors.ts";

test("reads code, reason, metadata, the wait and the fields from a ConnectError, which stays the cause", () => {
  const cause = new ConnectError("full", Code.ResourceExhausted, undefined, [
    { desc: ErrorInfoSchema, value: { domain: "other", reason: "NOT_OURS" } },
    {
      desc: ErrorInfoSchema,
      value: { domain: "leat", reason: "QUEUE_FULL", metadata: { limit: "maxQueue" } },
    },
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 1n, nanos: 500_000_000 } } },
    { desc: BadRequestSchema, value: { fieldViolations: [{ field: "f", description: "d" }] } },
  ]);
  expect(LeatCallError.from(cause)).toMatchObject({
    name: "LeatCallError",
    message: "full",
    code: Code.ResourceExhausted,
    reason: "QUEUE_FULL",
    metadata: { limit: "maxQueue" },
    retryAfterMs: 1_500,
    violations: [{ field: "f", description: "d" }],
    cause,
  });
});

test("takes whatever else is thrown, and leaves its own kind alone", () => {
  const cause = new Error("odd");
  const error = LeatCallError.from(cause);
  expect(error).toMatchObject({ code: Code.Unknown, reason: "", retryAfterMs: undefined, message: "odd" });
  expect(LeatCallError.from(error)).toBe(error);
});

test("reads a batch's error, with an unknown code as UNKNOWN", () => {
  const init = { code: 8, reason: "QUEUE_FULL", message: "full", retryAfter: { nanos: 20_000_000 } };
  expect(LeatCallError.fromBatch(create(BatchErrorSchema, init))).toMatchObject({
    code: Code.ResourceExhausted,
    reason: "QUEUE_FULL",
    retryAfterMs: 20,
  });
  expect(LeatCallError.fromBatch(create(BatchErrorSchema, { code: 99 })).code).toBe(Code.Unknown);
});
