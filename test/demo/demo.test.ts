import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { root } from "../repository/root.ts";

const run = promisify(execFile);

test("the demo shows every film's fate, the command and a whole trace, and leaves its output in a file", async () => {
  const { stdout } = await run(process.execPath, [join(root, "test/demo/demo.ts")], { cwd: root });

  const [, ...counts] =
    /(\d+) went in, (\d+) came out, (\d+) were dropped by the filter, (\d+) failed/.exec(stdout) ?? [];
  const [into = 0, out = 0, dropped = 0, failed = 0] = counts.map(Number);
  expect(out + dropped + failed).toBe(into);
  expect([into, failed]).toEqual([3201, 8]);
  const lines = (await readFile(join(root, "demo-output/movies.ndjson"), "utf8")).trimEnd().split("\n");
  expect(lines).toHaveLength(out);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ released: "1998-06-12", director: "***" });

  expect(stdout).toMatch(/[\d,]+ records\/s through three stages/);
  expect(stdout).toMatch(/\$ leat transform [\s\S]*"code":"missing_field"[\s\S]*exit code 1\n/);
  const spans = ["send films", "leat.stream_batch", "leat.batch", "leat.queue"];
  const stages = ["normalize", "filter", "json-redact"].map((stage) => `leat.stage ${stage}`);
  const places = [...spans, ...stages].map((span) => stdout.lastIndexOf(` ${span} `));
  expect(places.every((place) => place > 0)).toBe(true);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
  expect(stdout).toMatch(/ended with exit code 0\.\n$/);
});
