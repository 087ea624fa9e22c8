/**
 * Ends a test run with one plain line, `N passed, N failed, N skipped`, for scripts that read it.
 *
 * @module
 */

import type { Reporter, TestModule } from "vitest/node";

/** Prints how many tests passed, failed and were skipped. */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) counts[test.result().state]++;
      // What fails before its tests run, or after them, fails nonetheless.
      for (const group of [module, ...module.children.allSuites()]) {
        if (group.errors().length > 0) counts.failed++;
      }
    }
    const skipped = counts.skipped + counts.pending;
    process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed, ${skipped} skipped\n`);
  }
}
