import { describe, expect, test } from "vitest";
import { isName, parseReference } from "./names.ts";

describe("a name", () => {
  test.each(["a", "0", "a-b_c.D", "v1.2.3-rc.1", "a".repeat(64)])("may be %s", (name) => {
    expect(isName(name)).toBe(true);
  });

  test.each(["", "A", "_a", ".a", "-a", "a b", "a/b", "a@b", "a\n", "a\u0000", "é", "a".repeat(65), "../x"])(
    "may not be %j",
    (name) => {
      expect(isName(name)).toBe(false);
    },
  );
});

describe("a reference", () => {
  const digest = `sha256:${"0123456789abcdef".repeat(4)}`;

  test("is a name, a name with a version, or a digest", () => {
    expect(parseReference("upper")).toEqual({ t: "active", name: "upper" });
    expect(parseReference("upper@1.0")).toEqual({ t: "version", name: "upper", version: "1.0" });
    expect(parseReference(digest)).toEqual({ t: "digest", digest });
  });

  test.each([
    "",
    "@",
    "a@",
    "@1",
    "a@1@2",
    "A@1",
    "sha256:",
    digest.toUpperCase(),
    digest.slice(0, -1),
    `${digest}0`,
    "a b@1",
  ])("is not %j", (reference) => {
    expect(() => parseReference(reference)).toThrow(expect.objectContaining({ reason: "REQUEST_INVALID" }));
  });

  test("that is long is shown in part", () => {
    expect(() => parseReference("X".repeat(10_000))).toThrow(/^.{1,400}$/);
  });
});
