/**
 * A progress bar on stderr, where that is a terminal.
 *
 * @module
 */

import { MultiBar } from "cli-progress";
import { formatCount, formatSize } from "./text-table.ts";

/** What has been done so far. */
export interface Tally {
  /** Bytes read. */
  bytes: number;
  /** Records sent. */
  in: number;
  /** Records that came back. */
  out: number;
  /** Inputs that gave nothing. */
  dropped: number;
  /** Inputs that failed. */
  failed: number;
}

/** Shows how far the work is. */
export interface Progress {
  /** Writes a line that stays. */
  log(line: string): void;
  /** Shows the last state, and ends. */
  stop(): void;
}

/** Shows nothing but the lines. */
function quietProgress(stream: NodeJS.WritableStream): Progress {
  return { log: (line) => void stream.write(line), stop: () => {} };
}

/**
 * Shows a tally while it grows: a bar where the total is known, else the figures alone.
 *
 * @param tally - read a few times a second
 * @param totalBytes - how many bytes will be read; undefined when nobody knows
 * @param stream - where to show it: nothing is shown unless it is a terminal
 */
export function showProgress(
  tally: Readonly<Tally>,
  totalBytes: number | undefined,
  stream: NodeJS.WritableStream & { isTTY?: boolean } = process.stderr,
): Progress {
  if (!stream.isTTY) return quietProgress(stream);
  const startMs = performance.now();
  const bars = new MultiBar({
    stream,
    fps: 5,
    barsize: 24,
    hideCursor: null,
    linewrap: null,
    // Its handler would take the signal away from the command.
    gracefulExit: false,
    forceRedraw: true,
    clearOnComplete: true,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    format: ({ barsize = 24, barCompleteChar = "", barIncompleteChar = "" }) => {
      const seconds = (performance.now() - startMs) / 1_000;
      const share = totalBytes ? Math.min(1, tally.bytes / totalBytes) : 0;
      const filled = Math.round(share * barsize);
      const bar = `${barCompleteChar.repeat(filled)}${barIncompleteChar.repeat(barsize - filled)} ${Math.floor(share * 100)}%  `;
      return `${totalBytes ? bar : ""}${formatTally(tally, seconds)}`;
    },
  });
  bars.create(1, 0);
  return {
    log: (line) => bars.log(line),
    stop: () => {
      // Without this the lines that it has not written yet would be lost.
      bars.update();
      bars.stop();
    },
  };
}

/** A tally in words, with the rate. */
export function formatTally(tally: Readonly<Tally>, seconds: number): string {
  const rate =
    seconds > 0 ? `, ${formatCount(tally.in / seconds)}/s, ${formatSize(tally.bytes / seconds)}/s` : "";
  const { out, dropped, failed } = tally;
  return `${formatCount(tally.in)} in, ${formatCount(out)} out, ${formatCount(dropped)} dropped, ${formatCount(failed)} failed${rate}`;
}
