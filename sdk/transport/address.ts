import { isIP, isIPv4, isIPv6 } from "node:net";

/**
 * One channel's target.
 *
 * @internal
 */
export interface ChannelTarget {
  /** The target as grpc-js names it. */
  readonly target: string;
  /** The IP addresses in it; empty when it goes by a name. */
  readonly ips: readonly string[];
}

/**
 * What a list of addresses comes to: channel targets, and whether they ask for TLS.
 *
 * @internal
 */
export interface ResolvedAddresses {
  /** A target for each channel: one with all addresses where grpc-js can balance over them by itself. */
  readonly targets: readonly ChannelTarget[];
  /** What calls name as the server, as in a URL: the first address. */
  readonly authority: string;
  /** The hosts by name or IP address; empty text where an address is in words of grpc-js. */
  readonly hosts: readonly string[];
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
  // A target in the words of grpc-js, as dns:///name:port.
  if (/^(?:unix|dns|ipv4|ipv6):./.test(address)) {
    return { host: undefined, port: "", target: address, secure: false };
  }
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
  const authority = (parsed[0]?.target ?? "").replace(/^[a-z0-9]+:\/*/, "");
  const hosts = parsed.map(({ host = "", target }) => (target.startsWith("unix:") ? "localhost" : host));
  const ips = parsed.map(({ host = "" }) => host).filter((host) => isIP(host) > 0);
  const joined = (part: (address: ParsedAddress) => string): string => parsed.map(part).join(",");
  if (parsed.length > 1 && ips.length === parsed.length && ips.every(isIPv4)) {
    return {
      targets: [{ target: `ipv4:${joined(({ host, port }) => `${host}:${port}`)}`, ips }],
      authority,
      hosts,
      secure,
    };
  }
  if (parsed.length > 1 && ips.length === parsed.length && ips.every(isIPv6)) {
    return {
      targets: [{ target: `ipv6:${joined(({ host, port }) => `[${host}]:${port}`)}`, ips }],
      authority,
      hosts,
      secure,
    };
  }
  const targets = parsed.map(({ target, host = "" }) => ({ target, ips: isIP(host) > 0 ? [host] : [] }));
  return { targets, authority, hosts, secure };
}
