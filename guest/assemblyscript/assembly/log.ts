import { hostLog, hostNowMs } from "./host";

// @ts-ignore: decorator
@inline
function write(level: i32, message: string): void {
  const encoded = String.UTF8.encode(message, false, String.UTF8.ErrorMode.REPLACE);
  hostLog(level, changetype<usize>(encoded), encoded.byteLength);
}

/** Lines for the host's log. They carry the pipeline, the stage and the module; the host may drop lines beyond its rate limit. */
export namespace log {
  export function debug(message: string): void {
    write(0, message);
  }
  export function info(message: string): void {
    write(1, message);
  }
  export function warn(message: string): void {
    write(2, message);
  }
  export function error(message: string): void {
    write(3, message);
  }
}

/** The host's clock in milliseconds since the Unix epoch. It is coarse; within a batch it may stand still. */
export function nowMs(): i64 {
  return hostNowMs();
}
