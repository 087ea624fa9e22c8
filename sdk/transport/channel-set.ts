import { Code, ConnectError } from "@connectrpc/connect";
import type { ChannelCredentials, ChannelInterface, ChannelOptions } from "@grpc/grpc-js";
import { Channel, connectivityState } from "@grpc/grpc-js";
import type { LoadBalancing } from "./options.ts";

/**
 * What a channel is made of.
 *
 * @internal
 */
export interface ChannelParts {
  readonly target: string;
  readonly credentials: ChannelCredentials;
  readonly options: ChannelOptions;
}

/**
 * One grpc-js channel, or several that stand for one service. A call goes to the next channel that
 * is not known to be down (`round_robin`), or to the first such (`pick_first`).
 *
 * @internal
 */
export class ChannelSet {
  readonly #channels: readonly ChannelInterface[];
  readonly #policy: LoadBalancing;
  #next = 0;
  #closed = false;

  constructor(channels: readonly ChannelParts[], policy: LoadBalancing) {
    this.#channels = channels.map(
      ({ target, credentials, options }) => new Channel(target, credentials, options),
    );
    this.#policy = policy;
  }

  /**
   * The channel for the next call.
   *
   * @throws ConnectError with FAILED_PRECONDITION once the set is closed
   */
  pick(): ChannelInterface {
    if (this.#closed) throw new ConnectError("the transport is closed", Code.FailedPrecondition);
    const count = this.#channels.length;
    const first = this.#policy === "round_robin" ? this.#next++ % count : 0;
    let fallback: ChannelInterface | undefined;
    for (let step = 0; step < count; step++) {
      const channel = this.#channels[(first + step) % count];
      if (channel === undefined) continue;
      fallback ??= channel;
      // Asking also wakes an idle channel, so that one that was down is found again.
      if (count === 1 || channel.getConnectivityState(true) !== connectivityState.TRANSIENT_FAILURE) {
        return channel;
      }
    }
    if (fallback === undefined) throw new TypeError("a channel set needs at least one target");
    return fallback;
  }

  /** Resolves once some channel is ready; rejects when none is by the deadline. */
  ready(deadline: Date): Promise<void> {
    return Promise.any(this.#channels.map((channel) => channelReady(channel, deadline)));
  }

  /** Closes all channels: new calls fail, calls in flight go on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const channel of this.#channels) channel.close();
  }
}

function channelReady(channel: ChannelInterface, deadline: Date): Promise<void> {
  return new Promise((resolve, reject) => {
    const check = (error?: Error): void => {
      const state = channel.getConnectivityState(true);
      if (error) reject(error);
      else if (state === connectivityState.READY) resolve();
      else if (state === connectivityState.SHUTDOWN) reject(new Error("the channel is closed"));
      else channel.watchConnectivityState(state, deadline, check);
    };
    check();
  });
}
