/**
 * Calls between the bench and the processes it starts: one message a question, one an answer.
 *
 * @module
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";

/** What a child process can be asked: by name, one parameter each, data only. */
// biome-ignore lint/suspicious/noExplicitAny: the parameter's type is known where a handler is picked by name
export type Handlers = Record<string, (parameter: any) => unknown>;

type Question = { id: number; method: string; parameter: unknown };
type Answer = { id: number; value: unknown } | { id: number; error: string };
type Opening = { ready: true } | { unavailable: string };

/** A child process that could not do what it was started for, for example because its package is not there. */
export class Unavailable extends Error {
  override name = "Unavailable";
}

/**
 * The child's side: says that it is ready, then answers until it is told to end.
 *
 * @param start - makes the handlers; what it throws is reported as the reason why the child is unavailable
 */
export async function answerParent<H extends Handlers>(start: () => Promise<H>): Promise<void> {
  let handlers: H;
  try {
    handlers = await start();
  } catch (error) {
    send({ unavailable: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    process.exitCode = 1;
    process.disconnect?.();
    return;
  }
  process.on("message", async (question: Question) => {
    try {
      const handler = handlers[question.method];
      if (!handler) throw new Error(`nothing answers ${question.method}`);
      send({ id: question.id, value: await handler(question.parameter) });
    } catch (error) {
      send({
        id: question.id,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    }
  });
  // The bench is gone: so is the reason to live.
  process.on("disconnect", () => process.exit());
  send({ ready: true });
}

function send(message: Answer | Opening): void {
  process.send?.(message);
}

/** How a child process is started. */
export interface ChildOptions {
  /** Node's own flags, such as `--expose-gc`. */
  nodeFlags: readonly string[];
  /** Arguments for the child's entry file. */
  args?: readonly string[];
  /** A name for messages about it. */
  name: string;
}

/** The parent's side of one child process. */
export class Child<H extends Handlers> implements AsyncDisposable {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;

  private constructor(name: string, process: ChildProcess) {
    this.name = name;
    this.#process = process;
    process.on("message", (answer: Answer) => this.#settle(answer));
    process.on("exit", (code, signal) => {
      for (const waiting of this.#waiting.values()) {
        waiting.reject(new Error(`process ${name} ended (${signal ?? code}) with a question open`));
      }
      this.#waiting.clear();
    });
  }

  /**
   * Starts a process and waits until it is ready.
   *
   * @throws Unavailable when the child says that it cannot work, or ends before it is ready
   */
  static async start<H extends Handlers>(file: URL, options: ChildOptions): Promise<Child<H>> {
    const process = fork(file, [...(options.args ?? [])], {
      execArgv: [...options.nodeFlags],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      serialization: "advanced",
    });
    const ended = once(process, "exit").then(([code]) => ({ unavailable: `ended with code ${code}` }));
    const opened = once(process, "message").then(([message]) => message as Opening);
    const opening = await Promise.race([opened, ended]);
    if ("unavailable" in opening) {
      process.kill();
      throw new Unavailable(`${options.name}: ${opening.unavailable}`);
    }
    return new Child<H>(options.name, process);
  }

  /** Asks the child one of its questions. */
  ask<K extends keyof H & string>(
    method: K,
    ...[parameter]: Parameters<H[K]>
  ): Promise<Awaited<ReturnType<H[K]>>> {
    const id = ++this.#lastId;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiting);
    this.#process.send({ id, method, parameter } satisfies Question);
    return waiting.promise as Promise<Awaited<ReturnType<H[K]>>>;
  }

  /** Ends the process: politely, and after 5 seconds by force. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, "exit");
    const force = setTimeout(() => this.#process.kill("SIGKILL"), 5_000);
    if (this.#process.connected) this.#process.disconnect?.();
    await ended;
    clearTimeout(force);
  }

  #settle(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ("error" in answer) waiting?.reject(new Error(`${this.name}: ${answer.error}`));
    else waiting?.resolve(answer.value);
  }
}
