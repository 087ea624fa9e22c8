import { isIP } from "node:net";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Metadata } from "@grpc/grpc-js";
import type { GrpcTransportOptions } from "./options.ts";

/** Adds the credentials of a call to what it sends. */
export type Authorise = (metadata: Metadata) => Promise<void>;

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
  return async (metadata) => {
    const value = typeof token === "string" ? token : await ask(token);
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

function isThisMachine(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
