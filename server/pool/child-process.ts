/**
 * Starts the process that a worker has for itself.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const entry = fileURLToPath(new URL(`../child/entry${extension}`, import.meta.url));

/**
 * Node's flags for it. Its permission model leaves the process neither network nor children nor files, but for reading
 * the program itself; it keeps a guest that has broken out of V8's sandbox from what Node offers, not from system calls.
 */
export function childFlags(): string[] {
  return [
    "--permission",
    "--allow-worker",
    ...programFolders().map((folder) => `--allow-fs-read=${join(folder, "*")}`),
    "--disable-warning=PERM0006",
    "--disable-proto=throw",
    "--max-old-space-size=256",
  ];
}

/** The folder of this package: in it, or in a checkout beside it, is all that the process imports. */
function programFolders(): string[] {
  return [dirname(dirname(entry))];
}

/** Starts the process, with an empty environment and no terminal. Frames come and go on its fourth descriptor. */
export function startChild(): ChildProcess {
  return spawn(process.execPath, [...childFlags(), entry], {
    stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
    env: {},
    serialization: "json",
  });
}

/** Where Linux tells of its threads. */
export function childTasks({ pid }: ChildProcess): string {
  return `/proc/${pid}/task`;
}
