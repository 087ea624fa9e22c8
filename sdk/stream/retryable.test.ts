import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { LeatCallError } from "../errors.ts";
import { interrupted } from "./retryable.ts";

test.each([
  ["UNAVAILABLE", Code.Unavailable, "", undefined, true],
  ["UNAVAILABLE with a reason", Code.Unavailable, "DRAINING", undefined, true],
  ["a time to wait", Code.ResourceExhausted, "QUEUE_FULL", 5, true],
  ["credentials that expired", Code.Unauthenticated, "CREDENTIALS_EXPIRED", undefined, true],
  ["a reset without a reason: INTERNAL", Code.Internal, "", undefined, true],
  ["a reset without a reason: CANCELLED", Code.Canceled, "", undefined, true],
  ["a reset without a reason: ABORTED", Code.Aborted, "", undefined, true],
  ["INTERNAL with a reason", Code.Internal, "INTERNAL", undefined, false],
  ["ABORTED with a reason", Code.Aborted, "REVISION_MISMATCH", undefined, false],
  ["a breach of protocol", Code.InvalidArgument, "STREAM_OUT_OF_SEQUENCE", undefined, false],
  ["a call without a reason that is no reset", Code.NotFound, "", undefined, false],
])("a stream that ended with %s", (_, code, reason, retryAfterMs, resumes) => {
  expect(interrupted(new LeatCallError("", { code, reason, retryAfterMs }))).toBe(resumes);
});

test("a connection that was reset under Connect's transport for Node is an interruption", () => {
  expect(interrupted(LeatCallError.from(new ConnectError("read ECONNRESET", Code.Aborted)))).toBe(true);
});
