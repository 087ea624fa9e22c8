/**
 * `leat bench`: puts a load on a server, and measures it from the client's side.
 *
 * @module
 */

import type { Command } from "commander";
import { count, size, time } from "../config/kinds.ts";
import { checkTarget, withLeat } from "./connection.ts";
import { CommandError, usageError } from "./failure.ts";
import { addressOption, jsonOption, readAs } from "./options.ts";
import { addTargetOptions, type TargetOptions, targetOf } from "./target.ts";
import { print } from "./text-table.ts";

const help = `
Records are letters, or the lines of --input in turn. All load comes from this one process, on one core:
where it is the bottleneck, start several.

Latency is that of one batch. With --callers it is the time of one unary call, and each caller has one call
under way. With --streams it is the time from when the stream took the batch until its answer came in order,
so it grows with --window: that many batches of each stream are under way at once.

The exit code is 1 when calls failed. Records that failed are counted.

Examples:
  leat bench --pipeline orders --input orders.ndjson
  leat bench --module uppercase --streams 4 --window 8 --duration 30s
  leat bench --module uppercase --callers 64 --batch-records 1 --json >bench.json`;

/** The options of `bench`. */
export interface BenchOptions extends TargetOptions {
  readonly streams?: number;
  readonly callers?: number;
  readonly window?: number;
  readonly recordBytes: number;
  readonly batchRecords: number;
  readonly input?: string;
  readonly duration: number;
  readonly warmUp: number;
  readonly json?: boolean;
}

/** Adds `bench`. */
export function addBenchCommand(program: Command): void {
  const command = program.command("bench").description("put a load on a server, and measure it");
  addTargetOptions(command)
    .option("--streams <N>", "load from so many streams (default: 1)", readAs(count(1)))
    .option("--callers <N>", "load from so many unary callers instead", readAs(count(1)))
    .option(
      "--window <N>",
      "batches under way on a stream (default: what the server allows)",
      readAs(count(1)),
    )
    .option("--record-bytes <SIZE>", "the size of a record", readAs(size(1)), 256)
    .option("--batch-records <N>", "records in a batch", readAs(count(1)), 100)
    .option("--input <FILE>", "take the records from the lines of a file")
    .option("--duration <TIME>", "how long to measure", readAs(time(1)), 10_000)
    .option("--warm-up <TIME>", "how long to load before that", readAs(time(0)), 1_000)
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(bench);
}

async function bench(options: BenchOptions, command: Command): Promise<void> {
  const target = targetOf(options);
  if (options.streams !== undefined && options.callers !== undefined) {
    throw usageError("--streams and --callers exclude each other");
  }
  await withLeat(command, async (leat) => {
    await checkTarget(leat, target);
    const { measure } = await import("./bench/measure.ts");
    const { formatReport } = await import("./bench/report.ts");
    const report = await measure(leat, target, options);
    await print(options.json ? `${JSON.stringify(report, undefined, 2)}\n` : formatReport(report));
    if (report.callErrors > 0) {
      throw new CommandError(`${report.callErrors} batches failed as a whole: ${report.firstCallError}`);
    }
  });
}
