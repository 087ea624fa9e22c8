import { isIP } from "node:net";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Metadata } from "@grpc/grpc-js";
import { longestTimerMs } from "../stream/options.ts";
import type { GrpcTransportOptions } from "./options.ts";
import { errorFromAbort } from "./status.ts";

/** Adds the credentials of a call to what it sends. */
export type Authorise = (metadata: Metadata, bounds: TokenBounds) => Promise<void>;

/** How long a call waits for its credentials. */
export interface TokenBounds {
  readonly deadline: Date | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * What adds the token to calls; undefined where there is none.
 *
 * @throws TypeError where the token would go to another machine in the clear
 * @internal
 */
export function authoriser(
  options: GrpcTransportOptions,
  { hosts, secure }: { hosts: readonly string[]; secure: boolean },
): Authorise | undefined {
  const { token } = options;
  if (token === undefined) return undefined;
  const encrypted = options.credentials !== undefined || (options.tls ?? secure) !== false;
  const exposed = hosts.find((host) => !isThisMachine(host));
  if (!encrypted && exposed !== undefined && options.insecureToken !== true) {
    const where = exposed === "" ? "the server" : exposed;
    throw new TypeError(`the token would go to ${where} in the clear; set tls, or insecureToken`);
  }
  return async (metadata, bounds) => {
    const value = typeof token === "string" ? token : await within(bounds, () => ask(token));
    metadata.set("authorization", `Bearer ${value}`);
  };
}

/** A source that fails now may give a token later: a stream asks again when it resumes. */
async function ask(source: () => string | Promise<string>): Promise<string> {
  try {
    return await source();
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new ConnectError(
      `no token could be had: ${problem}`,
      Code.Unavailable,
      undefined,
      undefined,
      error,
    );
  }
}

/**
 * Waits as long as the call itself may take: a source that hangs must not hold it.
 *
 * @throws ConnectError with DEADLINE_EXCEEDED, or with the signal's reason
 */
function within<Value>({ deadline, signal }: TokenBounds, action: () => Promise<Value>): Promise<Value> {
  if (signal?.aborted) return Promise.reject(errorFromAbort(signal));
  if (deadline === undefined && signal === undefined) return action();
  const { promise, resolve, reject } = Promise.withResolvers<Value>();
  const abort = (): void => {
    if (signal !== undefined) reject(errorFromAbort(signal));
  };
  const expire = (): void =>
    reject(new ConnectError("the deadline passed before there was a token", Code.DeadlineExceeded));
  signal?.addEventListener("abort", abort, { once: true });
  const leftMs = deadline === undefined ? Infinity : deadline.getTime() - Date.now();
  const timer = leftMs > longestTimerMs ? undefined : setTimeout(expire, Math.max(0, leftMs));
  action().then(resolve, reject);
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  });
}

function isThisMachine(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
