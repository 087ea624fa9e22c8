import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { leatError } from "../errors.ts";
import { defaultLimits } from "../limits.ts";
import { createLogger, type LoggerOptions, traceFields } from "./logger.ts";

function logged(use: (log: ReturnType<typeof createLogger>) => void, options: LoggerOptions = {}) {
  const lines: string[] = [];
  use(createLogger({ ...options, destination: { write: (line) => lines.push(line) } }));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("the log", () => {
  test("is one JSON object a line, with level, time and message", () => {
    const [line] = logged((log) => log.info({ pipeline: "flights" }, "pipeline stored"));
    expect(line).toMatchObject({
      level: "info",
      pid: process.pid,
      pipeline: "flights",
      msg: "pipeline stored",
    });
    expect(line?.["time"]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  test("leaves out what is below its level", () => {
    const lines = logged(
      (log) => {
        log.info("no");
        log.warn("yes");
      },
      { level: "warn" },
    );
    expect(lines.map(({ msg }) => msg)).toEqual(["yes"]);
  });

  test("joins lines to traces", () => {
    const [traced, plain] = logged((log) => {
      log.info(traceFields({ traceId: "aa", spanId: "bb" }), "traced");
      log.info(traceFields(undefined), "plain");
    });
    expect(traced).toMatchObject({ trace_id: "aa", span_id: "bb" });
    expect(plain).not.toHaveProperty("trace_id");
  });

  test("goes to stderr, all of it, even when the process exits at once", async () => {
    const module = JSON.stringify(new URL("./logger.ts", import.meta.url).href);
    const program = `
      import { createLogger } from ${module};
      const log = createLogger();
      for (let line = 0; line < 500; line += 1) log.info({ line }, "x".repeat(200));
      process.exit();
    `;
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [
      "--input-type=module",
      "--eval",
      program,
    ]);
    expect(stdout).toBe("");
    expect(stderr.trimEnd().split("\n").at(-1)).toContain('"line":499');
  });

  test("keeps no more than its bound for a stderr that nobody reads, and goes on when it is read", async () => {
    const module = JSON.stringify(new URL("./logger.ts", import.meta.url).href);
    const lines = 500;
    const program = `
      import { createLogger } from ${module};
      const log = createLogger();
      const text = "x".repeat(100_000);
      for (let line = 0; line < ${lines}; line++) log.info({ line }, text);
      console.log("all said");
    `;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = once(child, "close");
    // Said while nobody reads stderr: the log has not held it up.
    expect(String(await once(child.stdout, "data"))).toBe("all said\n");
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    expect(await ended).toEqual([0, null]);
    // A pipe has room of its own, and a line may be on its way there.
    expect(stderr.length).toBeLessThan(defaultLimits.maxWaitingLogBytes + 2 * 2 ** 20);
    const kept = stderr
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { line: number }).line);
    expect(kept[0]).toBe(0);
    expect(kept.length).toBeLessThan(lines / 10);
  });

  test("shows no secret", () => {
    const lines = logged((log) =>
      log.info(
        { token: "hush", headers: { authorization: "hush" }, call: { metadata: { cookie: "hush" } } },
        "m",
      ),
    );
    expect(JSON.stringify(lines)).not.toContain("hush");
  });

  test("shows an error of the catalogue by its reason, an accident by its stack and cause", () => {
    const accident = leatError("INTERNAL", { problem: "oops" }, { cause: new Error("the cause") });
    const [answer, internal] = logged((log) => {
      log.warn({ err: leatError("MODULE_NOT_FOUND", { module: "upper@2" }) }, "refused");
      log.error({ err: accident }, "broke");
    });
    expect(answer?.["err"]).toEqual({
      type: "LeatError",
      reason: "MODULE_NOT_FOUND",
      status: "NOT_FOUND",
      message: "no module upper@2",
      metadata: { module: "upper@2" },
    });
    expect(JSON.stringify(internal?.["err"])).toContain("the cause");
    expect(internal?.["err"]).toHaveProperty("stack");
  });
});
