import type { Transport } from "@connectrpc/connect";
import type { Codec } from "./record/codec.ts";
import type { StreamOptions } from "./stream/options.ts";
import type { GrpcTransportOptions } from "./transport/options.ts";

/**
 * Options of `Leat`: those of its transport, or a transport of your own.
 *
 * @example
 * import { Leat, type LeatOptions } from "@leat/sdk";
 *
 * const options: LeatOptions = { addresses: ["10.0.0.1:7070", "10.0.0.2:7070"], compression: "gzip" };
 * await using leat = new Leat(options);
 */
export interface LeatOptions extends GrpcTransportOptions {
  /**
   * A Connect transport to use in place of one made from the other options, which are then ignored.
   * It must carry bidirectional streams for `stream` and `batcher`. `close` leaves it open.
   */
  transport?: Transport;
}

/**
 * Names the codec of a call.
 *
 * @example
 * import { type CodecOption, json } from "@leat/sdk";
 *
 * const typed: CodecOption<number, number> = { codec: json<number>() };
 * console.log(typed.codec.name);
 */
export interface CodecOption<In, Out> {
  /** How values become the bytes of records, and back. */
  codec: Codec<In, Out>;
}

/** What a batcher's stream may be told: how it is ordered and how long it lives is the batcher's business. */
export type BatcherStreamOptions = Omit<StreamOptions, "unordered" | "window" | "timeoutMs">;

/** Says that records go and come as they are. */
export interface NoCodec {
  codec?: undefined;
}

/** Either of the two. */
export interface MaybeCodec<In, Out> {
  codec?: Codec<In, Out> | undefined;
}

/**
 * Options of `Leat.transform`.
 *
 * @example
 * import { Leat, type TransformOptions } from "@leat/sdk";
 *
 * const options: TransformOptions = { timeoutMs: 2_000, headers: { "x-tenant": "mill" } };
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * await leat.transform("uppercase", [{ value: "a" }], options);
 */
export interface TransformOptions {
  /** Gives the call up. */
  signal?: AbortSignal;
  /** The call's deadline, which goes with it to the worker. Default: the transport's. */
  timeoutMs?: number;
  /** gRPC metadata. */
  headers?: Record<string, string>;
}
