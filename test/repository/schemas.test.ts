import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Validator } from "@cfworker/json-schema";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { jsonSchemaOf, type SchemaName, schemaNames } from "../../server/config/json-schema.ts";
import { configKeys } from "../../server/config/schema.ts";
import { root } from "./root.ts";
import { schemaFiles, schemaText } from "./schema-files.ts";

/** Says whether a validator of others takes all documents of a YAML text. */
function takes(name: SchemaName, text: string): boolean {
  const validator = new Validator(jsonSchemaOf(name), "2020-12");
  return [...parseAllDocuments(text)].every((document) => validator.validate(document.toJS()).valid);
}

const textOf = (path: string): string => readFileSync(join(root, path), "utf8");

test.each(schemaNames)("the schema of %s is in step with what checks the file", (name) => {
  expect(readFileSync(schemaFiles[name], "utf8")).toBe(schemaText(name));
});

describe("the schema of leat.yaml", () => {
  test.each(["deploy/systemd/leat.yaml", "deploy/kubernetes/leat.yaml"])("takes %s", (path) => {
    expect(takes("config", textOf(path))).toBe(true);
  });

  test("describes every key", () => {
    for (const { key, kind } of configKeys) expect(kind.json, key).toBeDefined();
  });

  test.each([
    "grpc: { adress: x }",
    "workers: 0",
    "workers: many",
    "limits: { maxBatchBytes: 4MB }",
    "log: { level: loud }",
    "http: { address: 80 }",
    "telemetry: { sampleRatio: 2 }",
  ])("refuses %s", (text) => {
    expect(takes("config", text)).toBe(false);
  });

  test("takes times and sizes as numbers and as text", () => {
    expect(
      takes("config", "drain: 2m\nlimits: { maxBatchBytes: 8MiB, maxInitMs: 100, maxConfigBytes: 100 }"),
    ).toBe(true);
  });
});

describe("the schema of pipelines", () => {
  test("takes those of the recipes, and conditions within conditions", () => {
    expect(takes("pipelines", textOf("deploy/kubernetes/pipelines.yaml"))).toBe(true);
    const nested = "{ all: [{ not: { header: a, exists: true } }, { any: [{ key: { prefix: x } }] }] }";
    expect(takes("pipelines", `name: p\nstages:\n  - module: m\n    when: ${nested}\n`)).toBe(true);
  });

  test.each([
    "name: P\nstages: [{ module: m }]",
    "name: p\nstages: []",
    "name: p\nstages: [{ module: m, retries: 1 }]",
  ])("refuses %j", (text) => {
    expect(takes("pipelines", text)).toBe(false);
  });
});
