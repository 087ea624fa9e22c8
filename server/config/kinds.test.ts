import { describe, expect, test } from "vitest";
import { address, addressOrFalse, count, formatAddress, type Kind, ratio, size, time, url } from "./kinds.ts";

function table<T>(
  kind: Kind<T>,
  cases: readonly (readonly [written: unknown, value: T | undefined])[],
): void {
  test.each(cases)("%j becomes %j", (written, value) => {
    expect(kind.parse(written)).toEqual(value);
  });
}

describe("sizes", () => {
  table(size(1), [
    [4_194_304, 4_194_304],
    ["4194304", 4_194_304],
    ["64MiB", 64 * 2 ** 20],
    ["256 KiB", 256 * 2 ** 10],
    ["1.5gib", 1.5 * 2 ** 30],
    ["12B", 12],
    ["4MB", undefined],
    ["MiB", undefined],
    ["-1", undefined],
    [-1, undefined],
    [0, undefined],
    [0.5, undefined],
    ["0.3B", undefined],
    [Number.NaN, undefined],
    [null, undefined],
    [true, undefined],
    ["", undefined],
  ]);
});

describe("times", () => {
  table(time(0), [
    [5_000, 5_000],
    ["500ms", 500],
    ["5s", 5_000],
    ["2 m", 120_000],
    ["0.5s", 500],
    ["1h", 3_600_000],
    [0, 0],
    ["5 seconds", undefined],
    ["0.5ms", undefined],
    [2 ** 31, undefined],
    ["1000h", undefined],
  ]);
});

describe("counts", () => {
  table(count(1), [
    [1, 1],
    ["16", 16],
    [0, undefined],
    ["many", undefined],
    ["1e3", undefined],
    [2 ** 53, undefined],
  ]);
});

describe("shares", () => {
  table(ratio, [
    [0, 0],
    ["0.25", 0.25],
    [1, 1],
    [1.1, undefined],
    ["half", undefined],
  ]);
});

describe("addresses", () => {
  table(address, [
    ["127.0.0.1:7070", { host: "127.0.0.1", port: 7070 }],
    ["localhost:0", { host: "localhost", port: 0 }],
    ["[::1]:7070", { host: "::1", port: 7070 }],
    [":7070", undefined],
    ["7070", undefined],
    [7070, undefined],
    ["::1:7070", undefined],
    ["host:65536", undefined],
    ["host:port", undefined],
  ]);
  table(addressOrFalse, [
    [false, false],
    ["false", false],
    [true, undefined],
    ["h:1", { host: "h", port: 1 }],
  ]);
  test("are written as they are read", () => {
    for (const written of ["127.0.0.1:7070", "[::1]:7070"]) {
      expect(formatAddress(address.parse(written) ?? { host: "", port: 0 })).toBe(written);
    }
  });
});

describe("URLs", () => {
  table(url, [
    ["http://127.0.0.1:4317", "http://127.0.0.1:4317"],
    ["ftp://host", undefined],
    ["127.0.0.1:4317", undefined],
    ["", undefined],
  ]);
});
