import { readFileSync } from "node:fs";
import { checkServerIdentity } from "node:tls";
import type { Interceptor } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";
import type { ChannelCredentials, ChannelOptions, VerifyOptions } from "@grpc/grpc-js";
import { compressionAlgorithms, credentials as grpcCredentials } from "@grpc/grpc-js";
import { atLeast } from "../stream/options.ts";
import type { ChannelTarget } from "./address.ts";
import { repeatableMethods } from "./repeatable-methods.ts";
import type { RetryPolicy } from "./retry.ts";

/**
 * How to spread calls over several addresses.
 *
 * @example
 * import { Leat, type LoadBalancing } from "@leat/sdk";
 *
 * const loadBalancing: LoadBalancing = "pick_first";
 * await using leat = new Leat({ addresses: ["10.0.0.1:7070", "10.0.0.2:7070"], loadBalancing });
 */
export type LoadBalancing = "round_robin" | "pick_first";

/**
 * TLS for a connection to a server.
 *
 * @example
 * import type { TlsOptions } from "@leat/sdk";
 *
 * const mutual: TlsOptions = { ca: "/etc/leat/ca.pem", cert: "/etc/leat/tls.crt", key: "/etc/leat/tls.key" };
 * console.log(Object.keys(mutual));
 */
export interface TlsOptions {
  /** Certificate authorities to trust: a path, or PEM bytes. Default: those that Node trusts. */
  ca?: string | Uint8Array;
  /** The client's certificate chain, for mutual TLS: a path, or PEM bytes. Needs `key`. */
  cert?: string | Uint8Array;
  /** The client's private key: a path, or PEM bytes. Needs `cert`. */
  key?: string | Uint8Array;
  /** The name to expect in the server's certificate. Default: the host of the address. */
  serverName?: string;
}

/**
 * A bearer token, or a function that is asked for one with each call and each stream: keep it until it expires there.
 *
 * @example
 * import { readFile } from "node:fs/promises";
 * import { Leat, type TokenSource } from "@leat/sdk";
 *
 * const token: TokenSource = async () => (await readFile("/run/secrets/leat-token", "utf8")).trim();
 * await using leat = new Leat({ address: "https://leat.example.com:7070", token });
 */
export type TokenSource = string | (() => string | Promise<string>);

/**
 * Pings that find a dead connection. gRPC: `keepalive_time`, `keepalive_timeout`, `keepalive_permit_without_calls`.
 *
 * @example
 * import { type KeepaliveOptions, Leat } from "@leat/sdk";
 *
 * const keepalive: KeepaliveOptions = { timeMs: 60_000, timeoutMs: 5_000 };
 * await using leat = new Leat({ keepalive });
 */
export interface KeepaliveOptions {
  /** A ping after so many quiet milliseconds. Default 30,000. */
  timeMs?: number;
  /** How long to wait for its answer before the connection counts as dead. Default 10,000 ms. */
  timeoutMs?: number;
  /** Ping while no call is open, too. Default false: servers may refuse that. */
  permitWithoutCalls?: boolean;
}

/**
 * When a unary call is tried again, before its caller hears of it: as often as this says, within the call's deadline, until its signal aborts.
 *
 * A call that the server refused with RESOURCE_EXHAUSTED or UNAVAILABLE and a time to wait (`google.rpc.RetryInfo`) waits for
 * that long, and up to a fifth longer. One that failed with one of `codes` and without such a time waits for growing times.
 *
 * Only methods that may run twice without harm are tried again. A transform is such a method: Leat gives its result to the caller alone and keeps
 * nothing of it but dead letters, and of these no second one: all tries of a call carry the same random `leat-call-id`, unless the call's headers have one. Streams are not retried here: `Leat.stream` resumes them instead.
 *
 * @example
 * import { Code, Leat, type RetryOptions } from "@leat/sdk";
 *
 * const retry: RetryOptions = { maxAttempts: 5, codes: [Code.Unavailable], budget: { tokens: 20 } };
 * await using leat = new Leat({ address: process.env.LEAT_ADDRESS ?? "127.0.0.1:7070", retry });
 * await leat.transform("uppercase", [{ value: "a" }]);
 */
export interface RetryOptions {
  /** Tries in all, at least 1. Default 4. */
  maxAttempts?: number;
  /** The wait before the second try where the server names none, ±20 %. Default 100 ms. */
  initialMs?: number;
  /** The longest such wait. Default 2,000 ms. */
  maxMs?: number;
  /** How much longer each such wait is than the one before. Default 2. */
  factor?: number;
  /** The longest wait that the server may ask for; a call that should wait longer fails at once. Default 10,000 ms. */
  maxRetryAfterMs?: number;
  /** The codes to try again on where the server names no time. Default: UNAVAILABLE alone. */
  codes?: readonly Code[];
  /**
   * The methods to try again, as `package.Service/Method`, or `package.Service` for all of its methods.
   * Default: what may run twice without harm: transforms, loading a module, and all that only reads.
   */
  methods?: readonly string[];
  /** What bounds the retries of all calls of a transport together. */
  budget?: RetryBudgetOptions;
}

/**
 * The retries that all calls of a transport share, as gRPC's `retryThrottling`: each failure that could be tried again takes a token,
 * each success gives a part of one back, and with half of them gone failures are final until calls succeed again.
 *
 * @example
 * import { Leat, type RetryBudgetOptions } from "@leat/sdk";
 *
 * const budget: RetryBudgetOptions = { tokens: 10, perSuccess: 0.5 };
 * await using leat = new Leat({ address: process.env.LEAT_ADDRESS ?? "127.0.0.1:7070", retry: { budget } });
 */
export interface RetryBudgetOptions {
  /** The tokens that there are at the start, and at most. Default 100. */
  tokens?: number;
  /** What a call that succeeds gives back. Default 0.1. */
  perSuccess?: number;
}

/**
 * Options of {@link createGrpcTransport}.
 *
 * @example
 * import { createGrpcTransport } from "@leat/sdk";
 *
 * using transport = createGrpcTransport({
 *   addresses: ["10.0.0.1:7070", "10.0.0.2:7070"],
 *   keepalive: { timeMs: 20_000 },
 *   compression: "gzip",
 *   defaultTimeoutMs: 5_000,
 * });
 * console.log(transport.target);
 */
export interface GrpcTransportOptions {
  /** `host:port`, `unix:/path`, or a URL with `http:` or `https:`. Default `127.0.0.1:7070`. */
  address?: string;
  /** Several servers that do the same work. Takes the place of `address`. */
  addresses?: readonly string[];
  /** TLS. Default: on for an `https:` address, else off. */
  tls?: boolean | TlsOptions;
  /** Credentials made with grpc-js, in place of `tls`. */
  credentials?: ChannelCredentials;
  /** The bearer token of each call, or what gives it. */
  token?: TokenSource;
  /** Send the token without TLS to other machines, too. Default false: whoever is on the way could take it. */
  insecureToken?: boolean;
  /** Pings on quiet connections; false turns them off. */
  keepalive?: KeepaliveOptions | false;
  /** How calls are spread over the addresses. Default `round_robin`. */
  loadBalancing?: LoadBalancing;
  /** Retries of unary calls; false turns them off, also those that the server asks for. */
  retry?: RetryOptions | false;
  /** Compression of what is sent. Default `identity`. What is received may be compressed either way. */
  compression?: "gzip" | "identity";
  /** Smaller messages are sent uncompressed. Default 1,024 bytes. */
  compressMinBytes?: number;
  /** The deadline of unary calls that set none. Default: none. */
  defaultTimeoutMs?: number;
  /** Connect interceptors; the last one in the list is closest to the caller. */
  interceptors?: Interceptor[];
  /** The largest message to accept. Default 32 MiB: a result may be larger than its batch. */
  maxReceiveMessageBytes?: number;
  /** The largest message to send. Default: no bound here; the server has its own. */
  maxSendMessageBytes?: number;
  /** HTTP/2 flow-control window for what is received. Default 1 MiB. */
  flowControlWindowBytes?: number;
  /** Options of grpc-js that have no name here; they win over those that have. */
  channelOptions?: ChannelOptions;
}

const MiB = 1024 * 1024;

/**
 * Completes the options of retries; undefined where there are to be none.
 *
 * @throws RangeError for a number out of range
 * @internal
 */
export function retryPolicy({ retry = {} }: GrpcTransportOptions): RetryPolicy | undefined {
  if (retry === false) return undefined;
  const { budget = {} } = retry;
  return {
    maxAttempts: atLeast("retry.maxAttempts", retry.maxAttempts ?? 4, 1),
    initialMs: atLeast("retry.initialMs", retry.initialMs ?? 100, 0),
    maxMs: atLeast("retry.maxMs", retry.maxMs ?? 2_000, 0),
    factor: atLeast("retry.factor", retry.factor ?? 2, 1),
    maxRetryAfterMs: atLeast("retry.maxRetryAfterMs", retry.maxRetryAfterMs ?? 10_000, 0),
    codes: new Set(retry.codes ?? [Code.Unavailable]),
    methods: new Set(retry.methods ?? repeatableMethods),
    budget: {
      tokens: atLeast("retry.budget.tokens", budget.tokens ?? 100, 0),
      perSuccess: atLeast("retry.budget.perSuccess", budget.perSuccess ?? 0.1, 0),
    },
  };
}

/**
 * Turns the options into those of a grpc-js channel.
 *
 * @internal
 */
export function channelOptions(
  options: GrpcTransportOptions,
  target: Pick<ChannelTarget, "ips">,
): ChannelOptions {
  const keepalive = options.keepalive === false ? undefined : (options.keepalive ?? {});
  const serverName = serverNameOf(options);
  return {
    "grpc.primary_user_agent": "leat-sdk-js",
    // Without a retry policy: see retry.ts.
    "grpc.service_config": JSON.stringify({
      loadBalancingConfig: [{ [options.loadBalancing ?? "round_robin"]: {} }],
      methodConfig: [],
    }),
    // A TXT record in DNS must not silently change how this client retries.
    "grpc.service_config_disable_resolution": 1,
    // Connections of its own: closing this transport closes them, and no other client slows them down.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 5_000,
    "grpc.max_receive_message_length": options.maxReceiveMessageBytes ?? 32 * MiB,
    "grpc.max_send_message_length": options.maxSendMessageBytes ?? -1,
    "grpc-node.flow_control_window": options.flowControlWindowBytes ?? MiB,
    ...(options.retry === false && { "grpc.enable_retries": 0 }),
    ...(options.compression === "gzip" && {
      "grpc.default_compression_algorithm": compressionAlgorithms.gzip,
    }),
    ...(keepalive && {
      "grpc.keepalive_time_ms": keepalive.timeMs ?? 30_000,
      "grpc.keepalive_timeout_ms": keepalive.timeoutMs ?? 10_000,
      "grpc.keepalive_permit_without_calls": keepalive.permitWithoutCalls ? 1 : 0,
    }),
    ...(serverName !== undefined && {
      "grpc.ssl_target_name_override": serverName,
      "grpc.default_authority": serverName,
    }),
    // grpc-js would send the IP address as the name of the server, which TLS forbids and Node refuses.
    ...(serverName === undefined &&
      target.ips.length > 0 && { "grpc.ssl_target_name_override": "localhost" }),
    ...options.channelOptions,
  };
}

function pem(source: string | Uint8Array | undefined): Buffer | null {
  if (source === undefined) return null;
  return typeof source === "string" ? readFileSync(source) : Buffer.from(source);
}

function serverNameOf(options: GrpcTransportOptions): string | undefined {
  return typeof options.tls === "object" ? options.tls.serverName : undefined;
}

/** Checks a certificate against the IP addresses that were asked for, in place of a name. */
function verifyByIp(ips: readonly string[]): VerifyOptions {
  return {
    checkServerIdentity(_name, certificate) {
      const problems = ips.map((ip) => checkServerIdentity(ip, certificate));
      return problems.includes(undefined) ? undefined : problems[0];
    },
  };
}

/**
 * Makes the credentials that the options ask for.
 *
 * @param secure - whether the address itself asks for TLS
 * @internal
 */
export function channelCredentials(
  options: GrpcTransportOptions,
  target: Pick<ChannelTarget, "ips">,
  secure: boolean,
): ChannelCredentials {
  if (options.credentials) return options.credentials;
  const tls = options.tls ?? secure;
  if (tls === false) return grpcCredentials.createInsecure();
  const { ca, key, cert } = tls === true ? ({} as TlsOptions) : tls;
  const byIp = serverNameOf(options) === undefined && target.ips.length > 0;
  return grpcCredentials.createSsl(pem(ca), pem(key), pem(cert), byIp ? verifyByIp(target.ips) : {});
}
