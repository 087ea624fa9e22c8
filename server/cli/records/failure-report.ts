/**
 * The records that failed, as NDJSON: to a file, or to stderr.
 *
 * @module
 */

import { createWriteStream } from "node:fs";
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
  /** Resolves when more can be written. */
  drained(): Promise<void>;
  /** Resolves when all is written. */
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
  await new Promise<void>((resolve, reject) => {
    stream.once("open", () => resolve());
    stream.once("error", reject);
  });
  return {
    write: (origin, failure) => stream.write(failureLine(format, origin, failure)),
    drained: () =>
      stream.writableNeedDrain ? new Promise((resolve) => stream.once("drain", resolve)) : Promise.resolve(),
    close: async () => {
      stream.end();
      await finished(stream);
    },
  };
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
