import { isIP } from "node:net";
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
    const value = typeof token === "string" ? token : await token();
    metadata.set("authorization", `Bearer ${value}`);
  };
}

function isThisMachine(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
