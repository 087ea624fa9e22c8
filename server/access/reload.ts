/**
 * Takes files anew when they change, and keeps what there was when the new ones are of no use.
 *
 * The files are read and compared at intervals. Events of the file system would be quicker, and get lost where files are
 * replaced by links, as Kubernetes does with secrets, or lie on a network.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Logger } from "../telemetry/logger.ts";

/** What to watch. */
export interface ReloadOptions {
  /** What it is, for the log: `the certificate`. */
  readonly what: string;
  /** The files at this moment. */
  readonly files: () => readonly string[];
  /** Told of what was taken after the start. Default: nobody is. */
  readonly onTaken?: (taken: TakenFile) => void;
  /** Takes what changed. What it throws is logged, and nothing has changed then. */
  readonly take: () => unknown;
  readonly intervalMs: number;
  readonly logger: Pick<Logger, "info" | "error">;
}

/** The first of the files that were taken anew. */
export interface TakenFile {
  /** What they are, for the log. */
  readonly what: string;
  readonly file: string;
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
}

/** Watches files. */
export class Reload {
  readonly #options: ReloadOptions;
  readonly #timer: NodeJS.Timeout;
  #seen: string | undefined;
  #running: Promise<void> = Promise.resolve();
  /** The look that will begin when the one that runs has ended. */
  #next: Promise<void> | undefined;

  /** Begins to watch; what the files hold is taken once more at once. */
  constructor(options: ReloadOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.check(), options.intervalMs).unref();
    void this.check();
  }

  /** Looks at the files as they are now. Resolves when what has changed is taken or refused. */
  check(): Promise<void> {
    // One that runs may have read them before they changed, so it does not answer for those who ask now.
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      this.#running = this.#check();
      return this.#running;
    });
    return this.#next;
  }

  async #check(): Promise<void> {
    const { what, files, take, logger, onTaken } = this.#options;
    const paths = files();
    const contents = await Promise.all(
      paths.map((file) =>
        readFile(file, "latin1").catch(
          (error: NodeJS.ErrnoException) => `${file} cannot be read: ${error.code}`,
        ),
      ),
    );
    const found = JSON.stringify(contents);
    const first = this.#seen === undefined;
    if (found === this.#seen) return;
    this.#seen = found;
    try {
      // The first time as well: the file may have changed since it was taken at the start.
      await take();
      if (first) return;
      logger.info(`${what} was taken anew`);
      const [[file = "", content = ""] = []] = paths.map((path, at) => [path, contents[at]]);
      onTaken?.({
        what,
        file,
        digest: `sha256:${createHash("sha256").update(content, "latin1").digest("hex")}`,
      });
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      logger.error({ problem }, `${what} has changed and cannot be used; the one before still serves`);
    }
  }

  /** Watches no more. */
  close(): void {
    clearInterval(this.#timer);
  }
}
