/**
 * The processor time of one thread of this process, and its rank, from outside and at once.
 *
 * `worker.cpuUsage()` asks the thread itself, and a guest in a loop of bulk operations may take 150 ms to hear the question.
 * Linux tells it in `/proc/self/task/TID/schedstat` without asking anybody (proc_pid_schedstat(5): the first number is
 * the time on a processor in nanoseconds). Node tells no TID, but gives a worker's name to its thread.
 *
 * @module
 */

import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { setPriority } from "node:os";

const ownTasks = "/proc/self/task";
/** What Linux keeps of a thread's name. */
const maxNameBytes = 15;
/** How far a thread stands back: beside a busy one it gets a tenth of a processor (sched(7): each step is worth a quarter more). */
const yieldingNice = 10;

/** Reads the processor time of a thread. Where the system does not tell it, there is none. */
export class ThreadCpu {
  readonly #name: string;
  readonly #tasks: string;
  readonly #buffer = Buffer.alloc(64);
  #file: { readonly t: "unopened" } | { readonly t: "open"; readonly fd: number } | { readonly t: "none" } = {
    t: "unopened",
  };

  /**
   * @param name - of the worker, unique in the process in its first 15 characters
   * @param tasks - the folder that tells of the process's threads. Default: of this process
   */
  constructor(name: string, tasks = ownTasks) {
    this.#name = name.slice(0, maxNameBytes);
    this.#tasks = tasks;
  }

  /** Milliseconds on a processor since the thread began, or undefined where nobody tells. */
  usedMs(): number | undefined {
    if (this.#file.t === "unopened") this.#file = this.#open();
    if (this.#file.t === "none") return undefined;
    try {
      const length = readSync(this.#file.fd, this.#buffer, 0, this.#buffer.length, 0);
      return Number.parseInt(this.#buffer.toString("latin1", 0, length), 10) / 1e6;
    } catch {
      // The thread has ended.
      return undefined;
    }
  }

  /**
   * Has the system prefer other threads to it, from now on: there is no way back without privileges. Linux ranks threads one by one,
   * where setpriority(2) means processes by POSIX. Elsewhere nothing happens.
   */
  yieldToOthers(): void {
    try {
      const thread = this.#find();
      if (thread !== undefined) setPriority(Number(thread), yieldingNice);
    } catch {
      // The thread has ended, or the system does not tell of threads.
    }
  }

  /** Lets go of the file. The thread is not asked for any more. */
  close(): void {
    if (this.#file.t === "open") closeSync(this.#file.fd);
    this.#file = { t: "none" };
  }

  #open(): { readonly t: "open"; readonly fd: number } | { readonly t: "none" } {
    try {
      const task = this.#find();
      if (task !== undefined) return { t: "open", fd: openSync(`${this.#tasks}/${task}/schedstat`, "r") };
    } catch {
      // No Linux, no /proc, or a thread that ended while it was looked at.
    }
    return { t: "none" };
  }

  #find(): string | undefined {
    return readdirSync(this.#tasks).find(
      (task) => readFileSync(`${this.#tasks}/${task}/comm`, "utf8").trimEnd() === this.#name,
    );
  }
}
