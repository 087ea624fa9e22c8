/**
 * The gate on the gRPC door: a call is let in or refused when its headers are there, before its messages are read.
 *
 * @module
 */

import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import type { Gate } from "../access/gate.ts";
import type { Principal } from "../access/principal.ts";
import { setSender } from "./call-principal.ts";
import type { Statuses } from "./status.ts";

/** Asks the gate about every call, those of libraries' services included. */
export function guardingCalls(gate: Gate, statuses: Statuses): ServerInterceptor {
  return ({ path }, call) => new GuardedCall(call, path, gate, statuses);
}

type Listener = Parameters<ServerInterceptingCallInterface["start"]>[0];

/** Adds nothing to a message's way: what is not about headers goes straight through. */
class GuardedCall extends ServerInterceptingCall {
  readonly #call: ServerInterceptingCallInterface;
  readonly #path: string;
  readonly #gate: Gate;
  readonly #statuses: Statuses;

  constructor(call: ServerInterceptingCallInterface, path: string, gate: Gate, statuses: Statuses) {
    super(call);
    this.#call = call;
    this.#path = path;
    this.#gate = gate;
    this.#statuses = statuses;
  }

  override start(listener: Listener): void {
    let cancelled = false;
    const enter = (metadata: Metadata, principal: Principal): void => {
      if (cancelled) return;
      setSender(metadata, principal);
      listener.onReceiveMetadata(metadata);
    };
    const refuse = (error: unknown): void => {
      if (!cancelled) this.#call.sendStatus(this.#statuses.grpc(error));
    };
    this.#call.start({
      // Nothing else comes before the handler asks for it, and there is none until it has the metadata.
      onReceiveMetadata: (metadata) => {
        try {
          const principal = this.#gate.admit(this.#path, {
            authorization: metadata.get("authorization")[0]?.toString(),
            certificate: () => this.#call.getAuthContext().sslPeerCertificate,
            peer: () => this.#call.getPeer(),
          });
          if (principal instanceof Promise) {
            principal.then((found) => enter(metadata, found)).catch(refuse);
          } else {
            enter(metadata, principal);
          }
        } catch (error) {
          refuse(error);
        }
      },
      onReceiveMessage: (message) => listener.onReceiveMessage(message),
      onReceiveHalfClose: () => listener.onReceiveHalfClose(),
      onCancel: () => {
        cancelled = true;
        listener.onCancel();
      },
    });
  }

  override sendMetadata(metadata: Metadata): void {
    this.#call.sendMetadata(metadata);
  }

  override sendMessage(message: unknown, callback: () => void): void {
    this.#call.sendMessage(message, callback);
  }

  override sendStatus(status: Parameters<ServerInterceptingCallInterface["sendStatus"]>[0]): void {
    this.#call.sendStatus(status);
  }
}
