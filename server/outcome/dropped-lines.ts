/**
 * Tells the log how many lines of guests were dropped, once an interval: a flood of lines is one line.
 *
 * @module
 */

import type { StageIdentity } from "../bridge/pipeline-spec.ts";
import type { Limits } from "../limits.ts";
import type { Logger } from "../telemetry/logger.ts";

/** Module versions that one line names; the others are in its total. */
const maxNamed = 10;

/** Counts lines that were dropped until it is time to tell. */
export class DroppedLines {
  readonly #logger: Pick<Logger, "warn">;
  readonly #intervalMs: number;
  readonly #lines = new Map<string, number>();
  #total = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(logger: Pick<Logger, "warn">, limits: Pick<Limits, "droppedLinesIntervalMs">) {
    this.#logger = logger;
    this.#intervalMs = limits.droppedLinesIntervalMs;
  }

  /** So many lines of a module were dropped. */
  note({ module, version }: StageIdentity, lines: number): void {
    this.#total += lines;
    const name = `${module}@${version}`;
    const known = this.#lines.get(name);
    if (known !== undefined || this.#lines.size < maxNamed) this.#lines.set(name, (known ?? 0) + lines);
    this.#timer ??= setTimeout(() => this.tell(), this.#intervalMs).unref();
  }

  /** Tells what was dropped since it was told last, if anything was. */
  tell(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#total === 0) return;
    const droppedLines = this.#total;
    const modules = Object.fromEntries(this.#lines);
    this.#total = 0;
    this.#lines.clear();
    this.#logger.warn({ droppedLines, modules }, "lines that modules logged were dropped");
  }
}
