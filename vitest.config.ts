import "./test/repository/runtime.js";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// Each file of tests has a process, and most start threads and processes: they all read the same sources.
process.env["NODE_COMPILE_CACHE"] ??= fileURLToPath(new URL("node_modules/.cache/tests", import.meta.url));

export default defineConfig({
  test: {
    // Processes, not threads: the tests set V8 flags and start worker threads of their own.
    pool: "forks",
    maxWorkers: 2,
    retry: 0,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    reporters: ["default", "./test/repository/closing-line.ts"],
    projects: [
      {
        extends: true,
        test: {
          name: "main",
          include: ["{proto,sdk,server,guest,test}/**/*.test.ts"],
          exclude: ["**/node_modules/**", "**/dist/**"],
          globalSetup: ["./test/repository/examples-setup.ts"],
        },
      },
    ],
  },
});
