/**
 * The real `leat` command, in a process of its own.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { root } from "../repository/root.ts";

/** What the command's shell would give it. */
export interface CommandOptions {
  /** What it reads from stdin; undefined for nothing at all. */
  readonly input?: string | Uint8Array | Readable;
  /** Variables that differ from this process's; those that are undefined are not set. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The current folder. */
  readonly cwd?: string;
  /** Whether it leads a process group of its own, which can be signalled as a terminal does. */
  readonly detached?: boolean;
}

/** What a command did. */
export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as it came. */
  readonly bytes: Buffer;
}

/** A server that `leat serve` runs. */
export interface ServeProcess extends AsyncDisposable {
  /** The launcher. */
  readonly child: ChildProcess;
  /** Where gRPC listens. */
  readonly address: string;
  /** Where HTTP listens, as a URL; undefined where it does not. */
  readonly url: string | undefined;
  /** Resolves to the exit code. */
  readonly ended: Promise<number | null>;
  /** All that it has said on stderr. */
  stderr(): string;
  /** Asks it to end, and waits until it has. */
  stop(): Promise<number | null>;
}

/** Flags for a server in tests that are about neither its threads nor its process: one worker, and nothing and nobody that stands by. */
export const lean = ["--workers", "1", "--limit", "maxSpareWorkers=0", "--standby", "false"] as const;

const main = join(root, "server/cli/leat.mjs");

/** A command's environment: this process's, without what it says about Leat and telemetry, and what the options set. */
export function environmentOf({ env }: CommandOptions): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(?:LEAT|OTEL)_|^NODE_OPTIONS$/.test(name),
  );
  return { ...Object.fromEntries(inherited), ...env };
}

/** Starts the command. */
export function startCommand(args: readonly string[], options: CommandOptions = {}): ChildProcess {
  return spawn(process.execPath, [main, ...args], {
    cwd: options.cwd ?? root,
    detached: options.detached ?? false,
    env: environmentOf(options),
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
}

/** Runs the command to its end. */
export async function runCommand(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = startCommand(args, options);
  feed(child, options.input);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const bytes = Buffer.concat(stdout);
  return { code, bytes, stdout: bytes.toString(), stderr: Buffer.concat(stderr).toString() };
}

function feed(child: ChildProcess, input: CommandOptions["input"]): void {
  if (input === undefined || child.stdin === null) return;
  // A command that ends early leaves its input unread; that is for the test to judge.
  child.stdin.on("error", () => {});
  if (typeof input === "string" || input instanceof Uint8Array) child.stdin.end(input);
  else input.pipe(child.stdin);
}

/**
 * Starts `leat serve` on free ports and waits until it takes calls.
 *
 * @throws Error with what it said when it ends before that
 */
export async function startServe(
  args: readonly string[] = [],
  options: CommandOptions = {},
): Promise<ServeProcess> {
  const ports = ["--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"];
  const child = startCommand(["serve", ...ports, ...args], options);
  let stderr = "";
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  // Whoever exits without stopping it must not leave it behind.
  const kill = (): void => void child.kill();
  process.once("exit", kill);
  child.once("close", () => process.off("exit", kill));
  const serving = new Promise<RegExpExecArray>((resolve, reject) => {
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
      const match = /serves gRPC on (\S+?)(?: and HTTP on (\S+))?\n/.exec(stderr);
      if (match !== null) resolve(match);
    });
    child.once("close", (code) => reject(new Error(`leat serve ended with ${code}:\n${stderr}`)));
  });
  const [, address = "", http] = await serving;
  const stop = (): Promise<number | null> => {
    child.kill("SIGTERM");
    return ended;
  };
  return {
    child,
    address,
    url: http === undefined ? undefined : `http://${http}`,
    ended,
    stderr: () => stderr,
    stop,
    [Symbol.asyncDispose]: async () => {
      // The second signal ends what a failed test has left in flight.
      child.kill("SIGINT");
      await stop();
    },
  };
}
