/**
 * The server's log: one JSON object a line, on stderr, because stdout is for data.
 *
 * @module
 */

import pino, { type DestinationStream, type Logger } from "pino";
import { LeatError } from "../errors.ts";
import { defaultLimits } from "../limits.ts";

export type { Logger } from "pino";

/** The levels, from the one that says most. */
export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

/** How much is logged. */
export type LogLevel = (typeof logLevels)[number];

/** What a log writes and where. */
export interface LoggerOptions {
  /** What is less important than this is left out. Default `info`. */
  level?: LogLevel;
  /** Takes the lines. Default: stderr. */
  destination?: DestinationStream;
  /** Bytes that may wait for a stderr that nobody reads; further lines are dropped. Default `maxWaitingLogBytes`. */
  maxWaitingBytes?: number;
}

/** Fields whose values never reach the log, wherever a caller puts them: what callers authenticate with. */
const secretFields = ["authorization", "cookie", "password", "secret", "token", "apiKey", "privateKey"];

/**
 * Makes a log.
 *
 * Writing never blocks the event loop; what waits is written when the process exits.
 *
 * @example
 * createLogger({ level: "debug" }).info({ pipeline: "flights" }, "pipeline stored");
 */
export function createLogger(options: LoggerOptions = {}): Logger {
  const { level = "info", destination, maxWaitingBytes = defaultLimits.maxWaitingLogBytes } = options;
  return pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: serializeError },
      redact: {
        paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
        censor: "(secret)",
      },
    },
    destination ?? pino.destination({ dest: 2, sync: false, maxLength: maxWaitingBytes }),
  );
}

/** The fields that join a log line to a trace, by the names OpenTelemetry has for them; none without a trace. */
export function traceFields(trace: { readonly traceId: string; readonly spanId?: string } | undefined): {
  trace_id?: string;
  span_id?: string;
} {
  if (trace === undefined) return {};
  return { trace_id: trace.traceId, ...(trace.spanId === undefined ? {} : { span_id: trace.spanId }) };
}

function serializeError(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return thrown;
  const serialized = pino.stdSerializers.err(thrown);
  // An error of the catalogue is an answer, not an accident: its reason says where it comes from.
  if (!(thrown instanceof LeatError) || thrown.reason === "INTERNAL") return serialized;
  const { reason, status, message, metadata } = thrown;
  return { type: "LeatError", reason, status, message, metadata };
}
