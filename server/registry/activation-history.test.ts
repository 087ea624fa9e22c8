import { describe, expect, test } from "vitest";
import type { ActivationCause } from "../store/registry-store.ts";
import { previousVersion, standingActivations } from "./activation-history.ts";

/** A history written as versions, each with `<` before it where it was gone back to, and `-` after an unload. */
function history(text: string) {
  return text.split(" ").map((word) => {
    const cause: ActivationCause = word.startsWith("<")
      ? "rollback"
      : word.startsWith("-")
        ? "unload"
        : "activate";
    return { name: "a", version: word.replace(/^[<-]/, ""), digest: "", timeMs: 0, cause };
  });
}

const everywhere = (): boolean => true;

describe("the versions that stand", () => {
  test.each([
    ["1 2 3", "1 2 3"],
    ["1 2 3 <2", "1 2"],
    ["1 2 3 <2 <1", "1"],
    ["1 2 3 <2 4", "1 2 4"],
    ["1 2 1", "1 2 1"],
    ["1 2 2", "1 2"],
    ["2 3 <1", "1"],
    ["1 2 -1", "1"],
  ])("of %s are %s", (all, standing) => {
    expect(standingActivations(history(all)).map(({ version }) => version)).toEqual(standing.split(" "));
  });
});

describe("a rollback", () => {
  test.each([
    ["1 2", "1"],
    ["1 2 <1", undefined],
    ["1 2 3 <2", "1"],
    ["1 2 1", "2"],
    ["1", undefined],
  ])("after %s goes to %s", (all, version) => {
    expect(previousVersion(history(all), everywhere)).toBe(version);
  });

  test("passes over versions that were unloaded", () => {
    expect(previousVersion(history("1 2 3"), (version) => version !== "2")).toBe("1");
  });
});
