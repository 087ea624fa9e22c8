import { describe, expect, test } from "vitest";
import { checkExposure } from "./exposure.ts";

describe("a server that others can reach", () => {
  const hosts = { "grpc.address": "0.0.0.0", "http.address": "127.0.0.1" };

  test("needs TLS and an access file, or a word that it is meant so", () => {
    const check =
      (tls: boolean, access: boolean, insecure = false) =>
      () =>
        checkExposure({ hosts, tls, access, insecure });
    expect(check(false, false)).toThrow(
      /grpc\.address: 0\.0\.0\.0 can be reached.*no TLS.*no authentication.*insecure/,
    );
    expect(check(true, false)).toThrow(/no authentication/);
    expect(check(false, true)).toThrow(/no TLS/);
    expect(check(true, true)).not.toThrow();
    expect(check(false, false, true)).not.toThrow();
  });

  test.each(["127.0.0.1", "127.1.2.3", "::1", "localhost"])("is not one on %s", (host) => {
    const exposure = { hosts: { "grpc.address": host }, tls: false, access: false, insecure: false };
    expect(() => checkExposure(exposure)).not.toThrow();
  });
});
