/**
 * Keeps web pages out of the HTTP door. A page may make its own name point to 127.0.0.1 (DNS rebinding); its browser then
 * takes the door for the page's own server, and says so in the headers `Host` and `Origin`.
 *
 * @module
 */

import { isIP } from "node:net";
import { isLoopback } from "../config/exposure.ts";

/** The headers of a request that tell of a page. */
export interface PageHeaders {
  /** `host`, or `:authority`. */
  readonly host: string | undefined;
  readonly origin: string | undefined;
}

/** Decides by the names under which the door may be called. */
export class HostCheck {
  readonly #names: ReadonlySet<string> | undefined;

  /**
   * @param boundTo - the host that the door listens on
   * @param names - the names under which it may be called; undefined for those of this machine where it listens on that alone,
   * and for any elsewhere, where clients come by names that the server does not know
   */
  constructor(boundTo: string, names: readonly string[] | undefined) {
    if (names === undefined && !isLoopback(boundTo)) return;
    this.#names = new Set(["localhost", boundTo, ...(names ?? [])].map((name) => name.toLowerCase()));
  }

  /** Says why a request is refused; undefined when it is not. */
  problem({ host, origin }: PageHeaders): string | undefined {
    if (this.#names === undefined) return undefined;
    if (host !== undefined && !this.#allows(nameIn(host))) {
      return "this server is not called by that name; http.hosts lists the names that it answers to";
    }
    if (origin === undefined) return undefined;
    const from = URL.parse(origin)?.host;
    if (from !== undefined && (from === host?.toLowerCase() || this.#allows(nameIn(from)))) return undefined;
    return "pages of other sites may not call this server; http.hosts lists those that may";
  }

  /** An address was typed and never looked up, so nobody can have made it point here. */
  #allows(name: string): boolean {
    return isIP(name) !== 0 || this.#names?.has(name) === true;
  }
}

/** `host:port` or `[v6]:port` without its port. */
function nameIn(host: string): string {
  const [, v6, name] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? [];
  return (v6 ?? name ?? "").toLowerCase();
}
