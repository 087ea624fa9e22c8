import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root, toolEnvironment } from "./root.ts";

/** A repository of its own with a small protocol in it, and the checks to run there. */
class Sandbox implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "leat-checks-"));

  constructor() {
    for (const file of ["buf.yaml", "buf.gen.yaml"]) cpSync(join(root, file), join(this.#folder, file));
    mkdirSync(join(this.#folder, "proto/mill/v1"), { recursive: true });
    this.git("init", "--quiet", "--initial-branch=main");
    this.protocol("uint64 flow = 1;");
    this.commit("Begin");
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  protocol(fields: string): void {
    const text = `syntax = "proto3";\n\npackage mill.v1;\n\nmessage Wheel {\n  ${fields}\n}\n`;
    writeFileSync(join(this.#folder, "proto/mill/v1/wheel.proto"), text);
  }

  commit(message: string): void {
    this.git("add", "--all");
    this.git("commit", "--quiet", "--allow-empty", "--message", message);
  }

  git(...args: string[]): void {
    const identity = ["-c", "user.name=Miller", "-c", "user.email=miller@example.org"];
    execFileSync("git", [...identity, ...args], { cwd: this.#folder });
  }

  run(check: "breaking.ts" | "drift.ts"): { status: number | null; output: string } {
    const script = join(root, "test/repository", check);
    const run = spawnSync(process.execPath, [script], { cwd: this.#folder, encoding: "utf8" });
    return { status: run.status, output: run.stdout + run.stderr };
  }

  generate(): void {
    execFileSync("buf", ["generate"], { cwd: this.#folder, env: toolEnvironment });
  }

  append(path: string, text: string): void {
    const whole = join(this.#folder, path);
    writeFileSync(whole, readFileSync(whole, "utf8") + text);
  }
}

describe("the check for breaking changes", () => {
  test("refuses one while it is edited, once it is committed, and under later commits", () => {
    using sandbox = new Sandbox();
    expect(sandbox.run("breaking.ts").status).toBe(0);
    sandbox.protocol("string flow = 1;");
    expect(sandbox.run("breaking.ts")).toMatchObject({
      status: 1,
      output: expect.stringContaining('changed type from "uint64" to "string"'),
    });
    sandbox.commit("Break it");
    expect(sandbox.run("breaking.ts").status).toBe(1);
    sandbox.commit("Do something else");
    expect(sandbox.run("breaking.ts").status).toBe(1);
  });

  test("lets an addition pass", () => {
    using sandbox = new Sandbox();
    sandbox.protocol("uint64 flow = 1;\n  uint32 paddles = 2;");
    sandbox.commit("Count the paddles");
    expect(sandbox.run("breaking.ts")).toEqual({ status: 0, output: "" });
  });

  test("lets a break pass whose commit says why", () => {
    using sandbox = new Sandbox();
    sandbox.protocol("string flow = 1;");
    sandbox.commit("Break it\n\nBreaks-Protocol: nobody uses it yet");
    expect(sandbox.run("breaking.ts")).toMatchObject({
      status: 0,
      output: expect.stringContaining("nobody uses it yet"),
    });
  });

  test("compares a branch with origin/main", () => {
    using sandbox = new Sandbox();
    sandbox.git("update-ref", "refs/remotes/origin/main", "HEAD");
    sandbox.protocol("string flow = 1;");
    sandbox.commit("Break it");
    sandbox.protocol("string flow = 1;\n  uint32 paddles = 2;");
    sandbox.commit("Count the paddles");
    expect(sandbox.run("breaking.ts").status).toBe(1);
  });
});

test("the check for drift names generated code that is missing, stale or edited", () => {
  using sandbox = new Sandbox();
  expect(sandbox.run("drift.ts").output).toContain("mill/v1/wheel_pb.ts is missing");
  sandbox.generate();
  expect(sandbox.run("drift.ts")).toEqual({ status: 0, output: "" });
  sandbox.append("proto/gen/mill/v1/wheel_pb.ts", "// edited\n");
  expect(sandbox.run("drift.ts")).toMatchObject({
    status: 1,
    output: expect.stringContaining("mill/v1/wheel_pb.ts differs"),
  });
});
