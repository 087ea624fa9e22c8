import { describe, expect, test } from "vitest";
import { resolveAddresses } from "./address.ts";

describe("resolveAddresses", () => {
  test.each([
    ["127.0.0.1:7070", "dns:127.0.0.1:7070"],
    ["localhost:7070", "dns:localhost:7070"],
    ["[::1]:7070", "dns:[::1]:7070"],
    ["http://leat.example:8080", "dns:leat.example:8080"],
    ["http://leat.example", "dns:leat.example:80"],
    ["unix:/run/leat.sock", "unix:/run/leat.sock"],
    ["dns:///leat.example:7070", "dns:///leat.example:7070"],
  ])("%s becomes the target %s, without TLS", (address, target) => {
    const resolved = resolveAddresses([address]);
    expect(resolved.targets.map((channel) => channel.target)).toEqual([target]);
    expect(resolved.secure).toBe(false);
  });

  test("an https URL asks for TLS, on port 443 unless it says otherwise", () => {
    expect(resolveAddresses(["https://leat.example"])).toEqual({
      targets: [{ target: "dns:leat.example:443", ips: [] }],
      authority: "leat.example:443",
      hosts: ["leat.example"],
      secure: true,
    });
    expect(resolveAddresses(["https://[::1]:7443"])).toEqual({
      targets: [{ target: "dns:[::1]:7443", ips: ["::1"] }],
      authority: "[::1]:7443",
      hosts: ["::1"],
      secure: true,
    });
  });

  test("several IP addresses of one family become one target, which grpc-js balances over", () => {
    expect(resolveAddresses(["10.0.0.1:1", "10.0.0.2:2"]).targets).toEqual([
      { target: "ipv4:10.0.0.1:1,10.0.0.2:2", ips: ["10.0.0.1", "10.0.0.2"] },
    ]);
    expect(resolveAddresses(["[::1]:1", "[::2]:2"]).targets).toEqual([
      { target: "ipv6:[::1]:1,[::2]:2", ips: ["::1", "::2"] },
    ]);
  });

  test("several host names become a target each", () => {
    expect(resolveAddresses(["a:1", "10.0.0.2:2"]).targets).toEqual([
      { target: "dns:a:1", ips: [] },
      { target: "dns:10.0.0.2:2", ips: ["10.0.0.2"] },
    ]);
  });

  test.each([[""], ["nowhere"], ["host:"], ["host:port"]])("%j is refused, and named", (address) => {
    expect(() => resolveAddresses([address])).toThrow(TypeError);
    expect(() => resolveAddresses([address])).toThrow(JSON.stringify(address));
  });

  test("no address at all, and a mix of https with others, are refused", () => {
    expect(() => resolveAddresses([])).toThrow("at least one address");
    expect(() => resolveAddresses(["https://a", "b:1"])).toThrow("mix https:");
  });
});
