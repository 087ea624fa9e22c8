/**
 * The records that failed, as NDJSON: to a file, or to stderr.
 *
 * @module
 */

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type { Format } from "./format.ts";
import type { Origin } from "./source.ts";

/** Why a record failed. */
export interface ReportedFailure {
  readonly code: string;
  readonly message: string;
  /** The stage; empty when it was in none. */
  readonly stage: string;
  readonly attempts: number;
  readonly retryable: boolean;
}

/** Takes failures. */
export interface FailureReport {
  /** Writes one failure. @returns false when its reader is behind, until `drained` resolves */
  write(origin: Origin, failure: ReportedFailure): boolean;
  /** Resolves when more can be written. Rejects when what was given cannot be written. */
  drained(): Promise<void>;
  /** Resolves when all is written. Rejects when it cannot be. */
  close(): Promise<void>;
}

/** A failure as one line of JSON. */
function failureLine(format: Format, { file, number, bytes }: Origin, failure: ReportedFailure): string {
  const { code, message, stage, attempts, retryable } = failure;
  const input = bytes === undefined ? {} : format.show(bytes);
  return `${JSON.stringify({ file, [format.piece]: number, code, message, stage, attempts, retryable, ...input })}\n`;
}

/** Writes failures to a file, which is made anew. @throws when it cannot be made */
export async function failuresToFile(path: string, format: Format): Promise<FailureReport> {
  const stream = createWriteStream(path);
  await once(stream, "open");
  return failuresToStream(stream, format);
}

/** Writes failures to a stream. */
export function failuresToStream(stream: Writable, format: Format): FailureReport {
  // The stream may fail, as on a full disk, while nobody waits for it; whoever waits next is told.
  let failed: Error | undefined;
  stream.on("error", (error) => {
    failed = error;
  });
  return {
    write: (origin, failure) => stream.write(failureLine(format, origin, failure)) && failed === undefined,
    drained: async () => {
      if (failed !== undefined) throw failed;
      if (stream.writableNeedDrain) await drainOf(stream);
    },
    close: async () => {
      if (failed !== undefined) throw failed;
      stream.end();
      await finished(stream);
    },
  };
}

/** Resolves when the stream takes more, and rejects with what it fails with: it is never drained then. */
async function drainOf(stream: Writable): Promise<void> {
  const waited = new AbortController();
  const { signal } = waited;
  try {
    const closed = once(stream, "close", { signal }).then(() => {
      throw new Error("the file of failures was closed");
    });
    await Promise.race([once(stream, "drain", { signal }), closed]);
  } finally {
    waited.abort();
  }
}

/** Writes failures by a function, such as one that prints above a progress bar. */
export function failuresTo(write: (line: string) => void, format: Format): FailureReport {
  return {
    write: (origin, failure) => {
      write(failureLine(format, origin, failure));
      return true;
    },
    drained: async () => {},
    close: async () => {},
  };
}
