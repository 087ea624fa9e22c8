/**
 * Notices that the configuration's file has changed.
 *
 * The file is read and compared at intervals. Events of the file system get lost where a file is replaced by another, as
 * editors do, or by a link, as Kubernetes does with a ConfigMap. A change counts when two looks in a row have found the
 * same, so that half of a file that is being written is not taken.
 *
 * @module
 */

import { readFile } from "node:fs/promises";

/** How long after a change has been noticed the file is looked at again, in milliseconds. */
const settleMs = 200;

/** What to watch. */
export interface ConfigWatchParts {
  readonly file: string;
  readonly intervalMs: number;
  /** The text that was read last; undefined while none was. */
  readonly lastText: () => string | undefined;
  /** Takes a text that has changed. What it rejects with is dropped: it was told already. */
  readonly changed: () => Promise<unknown>;
}

/** Watches the file of a configuration. */
export class ConfigWatch {
  readonly #parts: ConfigWatchParts;
  #timer: NodeJS.Timeout | undefined;
  /** A text that is new, and seen once. */
  #fresh: string | undefined;
  #closed = false;

  constructor(parts: ConfigWatchParts) {
    this.#parts = parts;
    this.#later(parts.intervalMs);
  }

  /** Looks once. @returns whether the file has changed and was taken */
  async look(): Promise<boolean> {
    const { file, lastText, changed } = this.#parts;
    // One that is missing for a moment is being replaced.
    const text = await readFile(file, "utf8").catch(() => undefined);
    if (text === undefined || text === lastText()) {
      this.#fresh = undefined;
      return false;
    }
    if (text !== this.#fresh) {
      this.#fresh = text;
      return false;
    }
    this.#fresh = undefined;
    await changed().catch(() => undefined);
    return true;
  }

  /** Watches no more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #later(ms: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(async () => {
      await this.look();
      this.#later(this.#fresh === undefined ? this.#parts.intervalMs : settleMs);
    }, ms).unref();
  }
}
