import { describe, expect, test } from "vitest";
import { HostCheck } from "./host-check.ts";

describe("the check of hosts", () => {
  const here = new HostCheck("127.0.0.1", undefined);
  const refused = (check: HostCheck, host?: string, origin?: string): boolean =>
    check.problem({ host, origin }) !== undefined;

  test.each([
    ["127.0.0.1:7071", undefined, false],
    ["localhost:7071", undefined, false],
    ["[::1]:7071", undefined, false],
    [undefined, undefined, false],
    ["evil.test:7071", undefined, true],
    ["localhost.evil.test", undefined, true],
    ["127.0.0.1.evil.test", undefined, true],
    ["localhost:7071", "http://localhost:7071", false],
    ["localhost:7071", "http://evil.test", true],
    ["127.0.0.1:7071", "null", true],
    ["evil.test", "http://evil.test", true],
  ])("on this machine, host %s and origin %s: refused %s", (host, origin, is) => {
    expect(refused(here, host, origin)).toBe(is);
  });

  test("goes by the names that are set, and elsewhere lets any in without them", () => {
    const named = new HostCheck("0.0.0.0", ["leat.test"]);
    expect([refused(named, "LEAT.test:1"), refused(named, "other.test:1")]).toEqual([false, true]);
    expect(refused(new HostCheck("0.0.0.0", undefined), "other.test", "http://evil.test")).toBe(false);
  });
});
