import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

const check = new URL("runtime.js", import.meta.url).href;

/** Runs the check in a process that takes itself for another version of Node. */
function runAs(version: string): { status: number | null; stderr: string } {
  const code = `
    Object.defineProperty(process.versions, "node", { value: ${JSON.stringify(version)} });
    await import(${JSON.stringify(check)});`;
  return spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" });
}

test("an older Node is told which one is needed, and where it is", () => {
  const { status, stderr } = runAs("20.20.2");
  expect(status).toBe(1);
  expect(stderr).toContain("Leat runs on Node 26; this is Node 20.20.2");
  expect(stderr).toContain("node_modules/.bin");
});

test("Node 26 and later pass in silence", () => {
  expect(runAs(process.versions.node)).toMatchObject({ status: 0, stderr: "" });
  expect(runAs("28.1.0")).toMatchObject({ status: 0, stderr: "" });
});
