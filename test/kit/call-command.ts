/**
 * Many `leat` commands in one process, for tests of what a command says, does and exits with: how its process starts and
 * ends is for `runCommand`, and costs half a second of CPU each time.
 *
 * @module
 */

import { type ChildProcess, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { root } from "../repository/root.ts";
import type { CommandCall } from "./command-host.ts";
import { type CommandOptions, type CommandResult, environmentOf } from "./leat-command.ts";

/** What {@link callCommand} takes of a command's options. */
export interface CallOptions extends Pick<CommandOptions, "env" | "cwd"> {
  readonly input?: string | Uint8Array;
}

interface Host {
  readonly process: ChildProcess;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

let host: Host | undefined;
let last: Promise<unknown> = Promise.resolve();

/** Runs the command to its end, after those that were called before, in the process in which these ran. */
export function callCommand(args: readonly string[], options: CallOptions = {}): Promise<CommandResult> {
  const result = last.then(() => call(args, options));
  last = result.catch(() => undefined);
  return result;
}

async function call(args: readonly string[], options: CallOptions): Promise<CommandResult> {
  host ??= startHost();
  const mark = `\n${randomUUID()}\n`;
  const env = Object.entries(environmentOf(options)).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value]],
  );
  const { cwd = root, input = "" } = options;
  const order: CommandCall = { mark, args, cwd, env: Object.fromEntries(env), input };
  const { process, stdout, stderr } = host;
  const said = Promise.all([once(process, "message"), readUntil(mark, stdout), readUntil(mark, stderr)]);
  process.send(order);
  const [[code], bytes, errors] = await said;
  return { code: Number(code), bytes, stdout: bytes.toString(), stderr: errors.toString() };
}

/** Starts the process; it ends with this one. */
function startHost(): Host {
  const entry = fileURLToPath(new URL("command-host.ts", import.meta.url));
  const process = fork(entry, { execArgv: [], silent: true, serialization: "advanced" });
  const { stdout, stderr } = process;
  if (stdout === null || stderr === null) throw new Error("a silent child has pipes");
  return { process, stdout, stderr };
}

/** What comes until the mark, which ends it. */
async function readUntil(mark: string, stream: Readable): Promise<Buffer> {
  const end = Buffer.from(mark);
  const chunks: Buffer[] = [];
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer);
    // A mark in parts needs the parts before; it is short, and comes once.
    const tail = Buffer.concat(chunks.slice(-end.length)).subarray(-end.length);
    if (tail.equals(end)) return Buffer.concat(chunks).subarray(0, -end.length);
  }
  throw new Error(`the host of commands ended: ${Buffer.concat(chunks)}`);
}
