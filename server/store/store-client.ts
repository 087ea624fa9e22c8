/**
 * The main thread's side of the store's thread: calls with their answers, and a new thread when it has died.
 *
 * @module
 */

import { Worker } from "node:worker_threads";
import { leatError } from "../errors.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { StoreStatus } from "./dead-letter-store.ts";
import type {
  FromStoreThread,
  StoreCall,
  StoreCallName,
  StoreCalls,
  StoreNotice,
  StoreThreadStart,
} from "./store-calls.ts";

/** The thread's entry: `.ts` in the source tree, `.js` in a published package. */
const entry = new URL(`./store-thread${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

/** Calls that need room on the disk. A full one can still be read. */
const writing: ReadonlySet<StoreCallName> = new Set([
  "change",
  "changeRegistry",
  "purge",
  "beginAudit",
  "appendAudit",
  "probe",
]);

interface Pending {
  readonly name: StoreCallName;
  resolve(value: never): void;
  reject(error: Error): void;
}

/** Calls into the store's thread. */
export class StoreClient {
  status: StoreStatus = { t: "ok" };
  /** Called when `status` has changed. */
  onStatus: () => void = () => {};
  /** Called when a new file was begun in place of one that was broken or gone. */
  onNewFile: () => void = () => {};
  /** Called for the audit log with what became of the file before. */
  onNotice: (notice: StoreNotice) => void = () => {};
  readonly #start: StoreThreadStart;
  readonly #logger: Logger | undefined;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #calls = 0;
  /** Whether it was a call of {@link writing} that failed: until one succeeds, the store does not work. */
  #failedToWrite = false;
  #closed = false;

  constructor(start: StoreThreadStart, logger: Logger | undefined) {
    this.#start = start;
    this.#logger = logger;
  }

  /**
   * Calls the thread, and starts it where it does not run.
   *
   * @param transfer - memory that the thread may have, and this one gives up
   * @throws LeatError STORE_UNAVAILABLE
   */
  call<Name extends StoreCallName>(
    name: Name,
    request: StoreCalls[Name]["request"],
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<StoreCalls[Name]["reply"]> {
    // A thread that began now would outlive the server.
    if (this.#closed) return Promise.reject(leatError("STORE_UNAVAILABLE", { problem: "it is closed" }));
    this.#worker ??= this.#startThread();
    const { promise, resolve, reject } = Promise.withResolvers<StoreCalls[Name]["reply"]>();
    const number = ++this.#calls;
    this.#pending.set(number, { name, resolve, reject });
    this.#worker.postMessage({ number, name, request } as StoreCall, transfer);
    return promise;
  }

  /** Closes the file and ends the thread. */
  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined || this.#closed) {
      this.#closed = true;
      return;
    }
    const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    // A thread that dies meanwhile is closed as well.
    const closing = this.call("close", {}).catch(() => undefined);
    this.#closed = true;
    await closing;
    await ended;
  }

  #startThread(): Worker {
    const worker = new Worker(entry, {
      name: "leat-store",
      workerData: this.#start,
      execArgv: [],
      stdout: false,
      stderr: false,
    });
    let problem = "its thread ended";
    worker.on("message", (message: FromStoreThread) => this.#receive(message));
    worker.on("error", (error) => {
      problem = `its thread ended: ${error instanceof Error ? error.message : String(error)}`;
    });
    worker.on("exit", () => {
      this.#worker = undefined;
      if (this.#pending.size === 0) return;
      this.#failed(problem);
      const error = leatError("STORE_UNAVAILABLE", { problem });
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
    });
    return worker;
  }

  #receive(message: FromStoreThread): void {
    if (message.t === "set-aside" || message.t === "gone") {
      this.#notice(message);
      return;
    }
    const pending = this.#pending.get(message.number);
    this.#pending.delete(message.number);
    if (message.t === "reply") {
      this.#works(pending?.name);
      pending?.resolve(message.value as never);
      return;
    }
    const { problem } = message;
    this.#failedToWrite ||= pending !== undefined && writing.has(pending.name);
    this.#failed(problem);
    pending?.reject(leatError("STORE_UNAVAILABLE", { problem }));
  }

  #notice(notice: StoreNotice): void {
    this.onNewFile();
    this.onNotice(notice);
    if (notice.t === "gone") {
      this.#logger?.warn({ file: notice.file }, "the store's file was gone; a new one is begun");
      return;
    }
    const { file, to, problem } = notice;
    this.#logger?.warn(
      { file, to, problem },
      "the store's file was broken and is set aside; a new one is begun",
    );
  }

  #works(name: StoreCallName | undefined): void {
    if (this.#failedToWrite && (name === undefined || !writing.has(name))) return;
    this.#failedToWrite = false;
    if (this.status.t === "ok") return;
    this.#logger?.info({ file: this.#start.file }, "the store works again");
    this.status = { t: "ok" };
    this.onStatus();
  }

  /** One line for each new problem: every call fails while a disk is full. */
  #failed(reason: string): void {
    if (this.status.t === "ok" || this.status.reason !== reason)
      this.#logger?.error({ file: this.#start.file, problem: reason }, "the store failed");
    this.status = { t: "failed", reason };
    this.onStatus();
  }
}
