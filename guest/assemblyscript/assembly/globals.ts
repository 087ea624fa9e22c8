// What the language reaches for outside the module. The build aliases its names to these (`--use`), so that no
// import but the host's own remains.

import { hostLog, hostNowMs } from "./host";
import { log as lines } from "./log";

// @ts-ignore: decorator
@global
function leat_abort(message: string | null, file: string | null, line: u32, column: u32): void {
  lines.error((message ? message : "abort") + " at " + (file ? file : "?") + ":" + line.toString() + ":" + column.toString());
  unreachable();
}

// @ts-ignore: decorator
@global
function leat_trace(message: string, n: i32 = 0, a0: f64 = 0, a1: f64 = 0, a2: f64 = 0, a3: f64 = 0, a4: f64 = 0): void {
  let line = message;
  if (n > 0) line += " " + a0.toString();
  if (n > 1) line += " " + a1.toString();
  if (n > 2) line += " " + a2.toString();
  if (n > 3) line += " " + a3.toString();
  if (n > 4) line += " " + a4.toString();
  lines.debug(line);
}

// @ts-ignore: decorator
@global
function leat_seed(): f64 {
  return <f64>hostNowMs();
}

// @ts-ignore: decorator
@global
namespace leat_console {
  export function assert<T>(condition: T, message: string = ""): void {
    if (!condition) lines.error("assertion failed: " + message);
  }
  export function log(message: string = ""): void {
    lines.info(message);
  }
  export function debug(message: string = ""): void {
    lines.debug(message);
  }
  export function info(message: string = ""): void {
    lines.info(message);
  }
  export function warn(message: string = ""): void {
    lines.warn(message);
  }
  export function error(message: string = ""): void {
    lines.error(message);
  }
}
