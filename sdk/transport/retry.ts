/**
 * Tries calls again that the server refused, or that never reached it.
 *
 * grpc-js can do that too, but it knows nothing of `google.rpc.RetryInfo`: it would come back to a full server long before, or long after,
 * the time that the server named. So its policy stays empty, and this is the only place that repeats a unary call. What grpc-js repeats by itself is a call
 * that no server has seen.
 *
 * @module
 */

import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "@leat/proto";
import { durationMs } from "../errors.ts";
import { errorFromAbort } from "./status.ts";

/** The options of retries, complete. */
export interface RetryPolicy {
  readonly maxAttempts: number;
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor: number;
  readonly maxRetryAfterMs: number;
  readonly codes: ReadonlySet<Code>;
  /** The methods that may run twice, as `package.Service/Method` or `package.Service`. */
  readonly methods: ReadonlySet<string>;
  readonly budget: { readonly tokens: number; readonly perSuccess: number };
}

/** What passes and what is drawn by lot, for tests to decide. */
export interface RetryTimes {
  /** The time, in milliseconds. */
  nowMs(): number;
  /** Calls back after so long. @returns a function that forgets it */
  after(delayMs: number, callback: () => void): () => void;
  /** From 0 up to 1. */
  random(): number;
}

const systemTimes: RetryTimes = {
  nowMs: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

/** Codes with which a server refuses a call before it runs, when a time to wait comes along. */
const refusals: ReadonlySet<Code> = new Set([Code.Unavailable, Code.ResourceExhausted]);

/**
 * The time to wait that the server named, lengthened by up to a fifth: those who were refused together shall not come back together,
 * and nobody earlier than told.
 */
export function spreadMs(retryAfterMs: number, random: () => number = Math.random): number {
  return retryAfterMs * (1 + random() / 5);
}

/**
 * Tokens that failures take and successes give back. With half of them gone nothing is tried again: where most calls fail, repeating them would
 * be most of a server's load. As gRPC's `retryThrottling`.
 */
export class RetryBudget {
  readonly #maxTokens: number;
  readonly #perSuccess: number;
  #tokens: number;

  constructor({ tokens, perSuccess }: { readonly tokens: number; readonly perSuccess: number }) {
    this.#maxTokens = tokens;
    this.#perSuccess = perSuccess;
    this.#tokens = tokens;
  }

  /** A call has succeeded. */
  succeeded(): void {
    if (this.#tokens < this.#maxTokens)
      this.#tokens = Math.min(this.#maxTokens, this.#tokens + this.#perSuccess);
  }

  /** A call has failed in a way that could be tried again. @returns whether it may be */
  failed(): boolean {
    this.#tokens = Math.max(0, this.#tokens - 1);
    return this.#tokens > this.#maxTokens / 2;
  }
}

/** What bounds the tries of one call. */
export interface RetryBounds {
  readonly deadline: Date | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Repeats the calls of one transport. */
export class Retrier {
  readonly #policy: RetryPolicy;
  readonly #budget: RetryBudget;
  readonly #times: RetryTimes;

  constructor(policy: RetryPolicy, times: RetryTimes = systemTimes) {
    this.#policy = policy;
    this.#budget = new RetryBudget(policy.budget);
    this.#times = times;
  }

  /** Whether the method may run twice. */
  repeats(method: string): boolean {
    const { methods } = this.#policy;
    return methods.has(method) || methods.has(method.slice(0, method.indexOf("/")));
  }

  /**
   * Runs a call until it succeeds, fails for good, or has used up what it may.
   *
   * @param attempt - makes the call once; told how many tries there were before
   * @throws what the last try threw, or the ConnectError of the caller's signal
   */
  async run<Answer>(bounds: RetryBounds, attempt: (before: number) => Promise<Answer>): Promise<Answer> {
    for (let tries = 1; ; tries++) {
      try {
        const answer = await attempt(tries - 1);
        this.#budget.succeeded();
        return answer;
      } catch (error) {
        const delayMs = this.#delayMs(error, tries);
        if (delayMs === undefined || bounds.signal?.aborted || !this.#budget.failed()) throw error;
        if (tries >= this.#policy.maxAttempts) throw error;
        const { deadline } = bounds;
        // What would come too late says now what is wrong, rather than nothing until the deadline.
        if (deadline !== undefined && this.#times.nowMs() + delayMs >= deadline.getTime()) throw error;
        await this.#wait(delayMs, bounds.signal);
      }
    }
  }

  /** How long to wait after a failed try; undefined where another one is of no use. */
  #delayMs(error: unknown, tries: number): number | undefined {
    if (!(error instanceof ConnectError)) return undefined;
    const { codes, initialMs, factor, maxMs, maxRetryAfterMs } = this.#policy;
    const told = refusals.has(error.code)
      ? durationMs(error.findDetails(RetryInfoSchema)[0]?.retryDelay)
      : undefined;
    if (told !== undefined) {
      const usable = told >= 0 && told <= maxRetryAfterMs;
      return usable ? spreadMs(told, () => this.#times.random()) : undefined;
    }
    if (!codes.has(error.code)) return undefined;
    const full = Math.min(maxMs, initialMs * factor ** (tries - 1));
    return full * (0.8 + 0.4 * this.#times.random());
  }

  #wait(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const forget = this.#times.after(delayMs, () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      });
      const abort = (): void => {
        forget();
        if (signal !== undefined) reject(errorFromAbort(signal));
      };
      signal?.addEventListener("abort", abort, { once: true });
    });
  }
}
