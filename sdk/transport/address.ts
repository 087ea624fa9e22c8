import { isIPv4, isIPv6 } from "node:net";

/**
 * What a list of addresses comes to: channel targets, and whether they ask for TLS.
 *
 * @internal
 */
export interface ResolvedAddresses {
  /** Targets as grpc-js names them. One holds all addresses where grpc-js can balance over them by itself. */
  readonly targets: readonly string[];
  /** Whether the addresses were `https:` URLs. */
  readonly secure: boolean;
}

interface ParsedAddress {
  readonly host: string | undefined;
  readonly port: string;
  readonly target: string;
  readonly secure: boolean;
}

function parse(address: string): ParsedAddress {
  if (/^https?:\/\//i.test(address)) {
    const url = new URL(address);
    const secure = url.protocol === "https:";
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const port = url.port || (secure ? "443" : "80");
    return { host, port, target: `dns:${url.hostname}:${port}`, secure };
  }
  const plain = /^(?:\[([^\]]+)\]|([^:/[\]]+)):(\d{1,5})$/.exec(address);
  if (plain) {
    const host = plain[1] ?? plain[2];
    return { host, port: plain[3] ?? "", target: `dns:${address}`, secure: false };
  }
  // A target that names its own scheme, as unix:/path or dns:///name:port.
  if (/^[a-z][a-z0-9+.-]*:/i.test(address))
    return { host: undefined, port: "", target: address, secure: false };
  throw new TypeError(
    `not an address: ${JSON.stringify(address)}; expected host:port, unix:/path, or a URL with http: or https:`,
  );
}

/**
 * Resolves what the caller wrote into channel targets. Several IP addresses of one family become one
 * target, over which grpc-js balances call by call; host names become a channel each, because grpc-js
 * has no public way to list them in one target.
 *
 * @throws TypeError when an address cannot be understood, or some are `https:` and some not
 * @internal
 */
export function resolveAddresses(addresses: readonly string[]): ResolvedAddresses {
  if (addresses.length === 0) throw new TypeError("at least one address is needed");
  const parsed = addresses.map(parse);
  const secure = parsed[0]?.secure ?? false;
  if (parsed.some((address) => address.secure !== secure)) {
    throw new TypeError(`addresses mix https: with others: ${addresses.join(", ")}`);
  }
  if (parsed.length === 1) return { targets: parsed.map(({ target }) => target), secure };
  if (parsed.every(({ host }) => host !== undefined && isIPv4(host))) {
    return { targets: [`ipv4:${parsed.map(({ host, port }) => `${host}:${port}`).join(",")}`], secure };
  }
  if (parsed.every(({ host }) => host !== undefined && isIPv6(host))) {
    return { targets: [`ipv6:${parsed.map(({ host, port }) => `[${host}]:${port}`).join(",")}`], secure };
  }
  return { targets: parsed.map(({ target }) => target), secure };
}
