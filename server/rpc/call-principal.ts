/**
 * How a service's implementation learns who calls it, whichever door the call came through.
 *
 * @module
 */

import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { Metadata } from "@grpc/grpc-js";
import { anonymous, type Principal } from "../access/principal.ts";

/** Where the doors put the principal. */
export const principalKey = createContextKey<Principal>(anonymous, { description: "who makes the call" });

/**
 * Who makes a call.
 *
 * @example
 * getModule: (request, context) => log(principalOf(context).name)
 */
export function principalOf({ values }: Pick<HandlerContext, "values">): Principal {
  return values.get(principalKey);
}

/** Where the doors put the address that a call came from. */
export const peerKey = createContextKey<string>("", { description: "where the call comes from" });

/** The address that a call came from; empty where that is not known. */
export function peerOf({ values }: Pick<HandlerContext, "values">): string {
  return values.get(peerKey);
}

/** The principals of calls on the gRPC door, by the metadata that came with them. */
const senders = new WeakMap<Metadata, Principal>();

/** Says who sent metadata, and with it a call on the gRPC door. */
export function setSender(metadata: Metadata, principal: Principal): void {
  senders.set(metadata, principal);
}

/** Who sent metadata, and with it a call on the gRPC door. */
export function senderOf(metadata: Metadata): Principal {
  return senders.get(metadata) ?? anonymous;
}
