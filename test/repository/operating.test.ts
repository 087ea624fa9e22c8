/** What docs/operating.md shows is what the code reads, answers and emits. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadExample } from "../../guest/examples/index.ts";
import { layoutFor } from "../../server/bridge/layout.ts";
import { parsePipelines } from "../../server/config/pipelines-file.ts";
import { resolveConfig } from "../../server/config/resolve.ts";
import { defaultLimits } from "../../server/limits.ts";
import { metricNames } from "../../server/telemetry/names.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { withTables } from "./operating-tables.ts";
import { textOf } from "./source-files.ts";

const text = textOf("docs/operating.md");
const blocks = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```/gm)].map(([, , code = ""]) => code);

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({ http: true, modules: { uppercase: await loadExample("uppercase") } });
});

afterAll(() => kit[Symbol.asyncDispose]());

test("its tables of keys and limits say what the code says", () => {
  expect(text).toBe(withTables(text));
});

test("its leat.yaml is a configuration", () => {
  const folder = mkdtempSync(join(tmpdir(), "leat-operating-"));
  try {
    writeFileSync(join(folder, "leat.yaml"), blockWith("# leat.yaml"));
    const { limits, modulesFolder } = resolveConfig({ env: {}, flags: {}, folder });
    expect(modulesFolder).toBe(join(folder, "modules"));
    expect([limits.maxWorkers, limits.maxBatchBytes, limits.maxRecordExecutionMs]).toEqual([3, 2 ** 23, 500]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("its pipelines are pipelines, and their modules take their configurations", async () => {
  const [pipeline] = parsePipelines(blockWith("# pipelines.yaml"), "pipelines.yaml");
  await kit.load("filter", await loadExample("filter"), "1.0.0");
  await kit.load("json-redact", await loadExample("json-redact"));
  await expect(kit.leat.pipelines.putPipeline({ pipeline: pipeline ?? {} })).resolves.toMatchObject({
    pipeline: { revision: 1 },
  });
});

test("its call with curl gives the answer that stands below it", async () => {
  const code = blockWith("curl -s");
  const [, body = ""] = /-d '([^']+)'/.exec(code) ?? [];
  const [, answer = ""] = /^# (.*)$/m.exec(code) ?? [];
  const response = await fetch(`${kit.url}/leat.v1.TransformService/Transform`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  expect(await response.json()).toEqual(JSON.parse(answer));
});

test("its figure for the shared memory of a worker, and that of the architecture, is what a worker takes", () => {
  const figure = `${(layoutFor(defaultLimits).totalBytes / 2 ** 20).toFixed(1)} MiB`;
  expect(text).toContain(`${figure} of shared memory for each worker and spare`);
  expect(textOf("docs/architecture.md")).toContain(`memory with the main thread, ${figure} by default`);
});

test("its metrics are those that there are", () => {
  const rows = text.split("\n").filter((line) => line.startsWith("| `leat_"));
  const shown = [...rows.join("\n").matchAll(/`(leat_\w+)`/g)].map(([, name = ""]) =>
    name.replace(/_total$/, ""),
  );
  const emitted = Object.values(metricNames).map((name) => name.replaceAll(".", "_"));
  expect([...new Set(shown)].sort()).toEqual(emitted.sort());
});

function blockWith(part: string): string {
  const found = blocks.find((code) => code.includes(part));
  if (found === undefined) throw new Error(`no block with ${part}`);
  return found;
}
