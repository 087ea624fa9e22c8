import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readLimitDescriptions } from "../../test/kit/limit-descriptions.ts";
import { defaultLimits } from "../limits.ts";
import { configKeys, limitsElsewhere } from "./schema.ts";

describe("the table of keys", () => {
  test("has every limit once, here or under its own key", () => {
    const names = new Set(configKeys.map(({ key }) => key));
    for (const name of Object.keys(defaultLimits)) {
      const elsewhere = new Map<string, string>(Object.entries(limitsElsewhere)).get(name);
      expect(names.has(elsewhere ?? `limits.${name}`), name).toBe(true);
      expect(names.has(`limits.${name}`), name).toBe(elsewhere === undefined);
    }
  });

  test("gives each key a variable and a flag of its own", () => {
    expect(new Set(configKeys.map(({ env }) => env)).size).toBe(configKeys.length);
    expect(new Set(configKeys.map(({ flag }) => flag)).size).toBe(configKeys.length);
    expect(configKeys.find(({ key }) => key === "telemetry.otlpEndpoint")).toMatchObject({
      env: "LEAT_TELEMETRY_OTLP_ENDPOINT",
      flag: "--telemetry-otlp-endpoint",
    });
    expect(configKeys.find(({ key }) => key === "limits.maxBatchBytes")).toMatchObject({
      env: "LEAT_LIMITS_MAX_BATCH_BYTES",
      flag: "--limit maxBatchBytes",
      defaultText: "4MiB",
    });
  });

  test("shows defaults of limits that its own kinds take and that are the defaults", () => {
    for (const { key, kind, defaultText } of configKeys) {
      const [section, name = ""] = key.split(".");
      if (section !== "limits") continue;
      expect(kind.parse(defaultText), key).toBe(new Map(Object.entries(defaultLimits)).get(name));
    }
  });

  test("takes 0 where a limit's description says what that means", () => {
    const limits = readLimitDescriptions(readFileSync(new URL("../limits.ts", import.meta.url), "utf8"));
    const keys = configKeys.filter(({ key }) =>
      / 0 means /.test(limits.get(key.replace("limits.", "")) ?? ""),
    );
    expect(keys.map(({ key }) => key)).toContain("limits.maxWorkerStops");
    for (const { key, kind } of keys) expect(kind.parse("0"), key).toBe(0);
  });

  test("describes every key", () => {
    const source = readFileSync(new URL("../limits.ts", import.meta.url), "utf8");
    const limits = readLimitDescriptions(source);
    for (const { key, description } of configKeys) {
      expect(description ?? limits.get(key.replace("limits.", "")), key).toMatch(/^[A-Z].*\.$/);
    }
  });
});
