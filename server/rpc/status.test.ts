import { expect, test } from "vitest";
import { LeatError, leatError } from "../errors.ts";
import { Statuses } from "./status.ts";

test("the server's own faults are logged with their cause, and not told to the caller", () => {
  const logged: LeatError[] = [];
  const statuses = new Statuses((error) => logged.push(error));
  const cause = new TypeError("secret detail");
  for (const message of [
    statuses.grpc(cause).details,
    statuses.connect(cause).rawMessage,
    statuses.inBand(LeatError.from(cause)).message,
  ]) {
    expect(message).not.toContain("secret");
  }
  expect(logged.map((error) => error.cause)).toEqual([cause, cause, cause]);
});

test("what the caller did is told and not logged", () => {
  const logged: LeatError[] = [];
  const { details } = new Statuses((error) => logged.push(error)).grpc(
    leatError("PIPELINE_NOT_FOUND", { pipeline: "p" }),
  );
  expect(details).toBe("no pipeline p");
  expect(logged).toEqual([]);
});
