/**
 * A supervised `leat serve` to be hurt, and what `/proc` tells of its server process. Linux only.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ServeProcess, startServe } from "../kit/leat-command.ts";
import { type ModuleSource, moduleBytes } from "../kit/modules.ts";

/** What to serve. */
export interface SupervisedOptions {
  readonly modules: Readonly<Record<string, ModuleSource>>;
  /** YAML of `pipelines.yaml`. */
  readonly pipelines: string;
  /** The data folder. Default: one of its own. */
  readonly data?: string;
  /** Flags of `leat serve`. */
  readonly flags?: readonly string[];
  /** Variables of its environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A server process under its supervisor, in folders of its own. */
export interface Supervised extends AsyncDisposable {
  readonly serve: ServeProcess;
  /** The server process that runs now; undefined between two. */
  pid(): number | undefined;
  /** How often a server process took calls. */
  starts(): number;
}

/** Starts `leat serve` with these modules and pipelines, which it finds again after each restart. */
export async function startSupervised(options: SupervisedOptions): Promise<Supervised> {
  const folder = await mkdtemp(join(tmpdir(), "leat-faults-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const modules = join(folder, "modules");
    await mkdir(modules);
    for (const [name, source] of Object.entries(options.modules))
      await writeFile(join(modules, `${name}@1.wasm`), await moduleBytes(source));
    const pipelines = join(folder, "pipelines.yaml");
    await writeFile(pipelines, options.pipelines);
    const given = [
      "--modules",
      modules,
      "--pipelines",
      pipelines,
      "--data",
      options.data ?? join(folder, "data"),
    ];
    const serve = await startServe([...given, "--log-level", "error", ...(options.flags ?? [])], {
      env: options.env ?? {},
    });
    return {
      serve,
      pid: () => childOf(serve.child.pid ?? 0),
      starts: () => serve.stderr().match(/ serves gRPC on /g)?.length ?? 0,
      [Symbol.asyncDispose]: async () => {
        await serve[Symbol.asyncDispose]();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

function childOf(pid: number): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return children === "" ? undefined : Number(children.split(" ")[0]);
}

/** What a process holds. */
export interface Holdings {
  readonly rssMiB: number;
  /** Open files, sockets among them. */
  readonly handles: number;
  readonly threads: number;
}

/** Reads what a process holds right now. */
export function holdingsOf(pid: number): Holdings {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]);
  return {
    rssMiB: Math.round(field("VmRSS") / 1_024),
    handles: readdirSync(`/proc/${pid}/fd`).length,
    threads: field("Threads"),
  };
}

/** Ticks of `/proc`: Linux has 100 a second, whatever the machine. */
const ticksPerSecond = 100;

/** The processor time that a process has used, in seconds. */
export function cpuSecondsOf(pid: number): number {
  // The name, in brackets, may hold blanks.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Time of all processors since the machine started, in ticks. */
export function machineTicks(): { readonly all: number; readonly idle: number } {
  const fields = readFileSync("/proc/stat", "utf8").split("\n", 1)[0]?.trim().split(/\s+/).slice(1) ?? [];
  // What guests of a hypervisor use is counted in the first two already.
  const ticks = fields.slice(0, 8).map(Number);
  return { all: ticks.reduce((sum, value) => sum + value, 0), idle: (ticks[3] ?? 0) + (ticks[4] ?? 0) };
}
