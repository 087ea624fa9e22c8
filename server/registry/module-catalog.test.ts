import { describe, expect, test } from "vitest";
import { resolveLimits } from "../limits.ts";
import type { Activation, ActivationCause } from "../store/registry-store.ts";
import { ModuleCatalog, type ModuleEntry } from "./module-catalog.ts";

const limits = resolveLimits({ maxModules: 4 });

function entry(name: string, version: string, digit: string): ModuleEntry {
  const digest = `sha256:${digit.repeat(64)}`;
  return {
    name,
    version,
    digest,
    sizeBytes: 1,
    abi: "leat/1",
    loadTimeMs: 0,
    compileUs: 1,
    imports: [],
    exports: [],
  };
}

function activation({ name, version, digest }: ModuleEntry, cause: ActivationCause = "load"): Activation {
  return { name, version, digest, cause, timeMs: 0 };
}

/** Modules that were loaded in this order, each active from its load on. */
function catalogOf(...entries: ModuleEntry[]): ModuleCatalog {
  const catalog = new ModuleCatalog(limits);
  for (const each of entries) {
    catalog.add(each);
    catalog.activate(activation(each));
  }
  return catalog;
}

const [a1, a2, b1] = [entry("a", "1", "1"), entry("a", "2", "2"), entry("b", "1", "1")] as const;

describe("the catalog", () => {
  test("lists by name, then in the order of loading", () => {
    const catalog = catalogOf(b1, a2, a1);
    expect(catalog.list()).toEqual([a2, a1, b1]);
    expect(catalog.list("a")).toEqual([a2, a1]);
    expect(catalog.list("c")).toEqual([]);
  });

  test("takes a bare name for the version that was made active last", () => {
    const catalog = catalogOf(a2, a1);
    expect(catalog.resolve("a")).toBe(a1);
    expect([catalog.isActive(a1), catalog.isActive(a2)]).toEqual([true, false]);
    catalog.activate(activation(a2, "activate"));
    expect(catalog.resolve("a")).toBe(a2);
    expect(catalog.history("a").map(({ version, cause }) => [version, cause])).toEqual([
      ["2", "load"],
      ["1", "load"],
      ["2", "activate"],
    ]);
  });

  test("says of a name without an active version which ones there are", () => {
    const catalog = new ModuleCatalog(limits);
    catalog.add(a1);
    expect(() => catalog.resolve("a")).toThrow(
      expect.objectContaining({ reason: "MODULE_NOT_ACTIVE", metadata: { module: "a", versions: "1" } }),
    );
    expect(catalog.resolve("a@1")).toBe(a1);
    expect(catalog.resolveExactly("a")).toBe(a1);
  });

  test("remembers what an unloaded version is bound to", () => {
    const catalog = catalogOf(a1);
    catalog.remove(a1);
    expect(catalog.boundTo("a", "1")).toBe(a1.digest);
    expect(catalog.list()).toEqual([]);
    catalog.add(a1);
    expect(catalog.list()).toEqual([a1]);
  });

  test("finds versions and digests", () => {
    const catalog = catalogOf(a1, a2);
    expect(catalog.resolve("a@2")).toBe(a2);
    expect(catalog.resolve(a1.digest)).toBe(a1);
    for (const reference of ["a@3", "c", b1.digest.replaceAll("1", "9")]) {
      expect(() => catalog.resolve(reference)).toThrow(
        expect.objectContaining({ reason: "MODULE_NOT_FOUND", metadata: { module: reference } }),
      );
    }
  });

  test("does not guess which of several versions is meant", () => {
    const catalog = catalogOf(a1, a2, b1);
    expect(() => catalog.resolveExactly("a")).toThrow(
      expect.objectContaining({ reason: "MODULE_AMBIGUOUS", metadata: { module: "a", versions: "1, 2" } }),
    );
    expect(catalog.resolveExactly("a@1")).toBe(a1);
    expect(catalog.resolveExactly("b")).toBe(b1);
  });

  test("says whether another module has the bytes of one that goes", () => {
    const catalog = catalogOf(a1, b1, a2);
    expect(catalog.remove(a1)).toEqual({ digestStillUsed: true });
    expect(catalog.remove(b1)).toEqual({ digestStillUsed: false });
    expect(catalog.list()).toEqual([a2]);
  });

  test("is bounded, and has room again when something goes", () => {
    const catalog = catalogOf(a1, a2, b1, entry("c", "1", "3"));
    expect(() => catalog.checkRoom()).toThrow(
      expect.objectContaining({
        reason: "TOO_MANY_MODULES",
        metadata: { limit: "maxModules", value: "4", measured: "5" },
      }),
    );
    catalog.remove(b1);
    expect(() => catalog.checkRoom()).not.toThrow();
  });

  test("bounds the versions that it remembers, too", () => {
    const catalog = new ModuleCatalog(resolveLimits({ maxModuleVersions: 1 }));
    catalog.add(a1);
    catalog.remove(a1);
    expect(() => catalog.checkRoom()).toThrow(
      expect.objectContaining({ metadata: { limit: "maxModuleVersions", value: "1", measured: "2" } }),
    );
  });
});
