/**
 * Whether a server would be open to whoever reaches its machine.
 *
 * @module
 */

import { ConfigError } from "./config-error.ts";

/** Whether a host is this machine alone. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** What a server would show to others. */
export interface Exposure {
  /** The hosts that its doors listen on, by the key that sets each. */
  readonly hosts: Readonly<Record<string, string>>;
  readonly tls: boolean;
  readonly access: boolean;
  /** Whether the operator said that it is meant so. */
  readonly insecure: boolean;
}

/** @throws ConfigError unless a server that others can reach has TLS and asks who calls, or is meant to be open */
export function checkExposure({ hosts, tls, access, insecure }: Exposure): void {
  if (insecure || (tls && access)) return;
  const missing = [
    ...(tls ? [] : ["TLS (tls.cert, tls.key)"]),
    ...(access ? [] : ["authentication (access)"]),
  ];
  const problems = Object.entries(hosts)
    .filter(([, host]) => !isLoopback(host))
    .map(([key, host]) => ({
      where: "",
      key,
      problem: `${host} can be reached from other machines, and there is no ${missing.join(" and no ")}; set that, listen on 127.0.0.1, or set insecure.expose to true (--insecure-expose true) where the network keeps others out`,
    }));
  if (problems.length > 0) throw new ConfigError(problems);
}
