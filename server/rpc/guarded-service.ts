/**
 * Checks what a call asks for, once its request is known: the pipelines that it names, and those that its answer shows.
 *
 * @module
 */

import type { DescService } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { Gate } from "../access/gate.ts";
import { type Need, needOf } from "../access/method-needs.ts";
import type { Principal } from "../access/principal.ts";
import { peerOf, principalOf } from "./call-principal.ts";

type Handler<Answer> = (request: unknown, context: HandlerContext) => Answer;
type AnyNeed = Need<unknown, unknown>;

/** The same service, which asks the gate before each method that is in the table of needs; others the gate has refused. */
export function guarded<Service extends DescService>(
  gate: Gate | undefined,
  service: Service,
  methods: ServiceImpl<Service>,
): ServiceImpl<Service> {
  if (gate === undefined) return methods;
  const own: Record<string, unknown> = { ...methods };
  for (const { localName, name, methodKind } of service.methods) {
    const path = `${service.typeName}/${name}`;
    const needed = needOf(path);
    if (needed.t !== "role" || needed.need.pipelines === "target") continue;
    // The table has each need under the method whose messages it reads.
    const need = needed.need as unknown as AnyNeed;
    const handler = own[localName];
    own[localName] =
      methodKind === "server_streaming"
        ? guardedStream(gate, need, path, handler as Handler<AsyncIterable<unknown>>)
        : guardedUnary(gate, need, path, handler as Handler<unknown>);
  }
  return own as ServiceImpl<Service>;
}

function guardedUnary(
  gate: Gate,
  need: AnyNeed,
  path: string,
  handler: Handler<unknown>,
): Handler<Promise<unknown>> {
  return async (request, context) => {
    const principal = principalOf(context);
    gate.checkRequest(principal, need, request, { name: path, peer: peerOf(context) });
    const response = await handler(request, context);
    need.narrow?.(response, (pipeline) => gate.may(principal, need, pipeline));
    return response;
  };
}

function guardedStream(
  gate: Gate,
  need: AnyNeed,
  path: string,
  handler: Handler<AsyncIterable<unknown>>,
): Handler<AsyncIterable<unknown>> {
  return async function* (request, context) {
    const principal = principalOf(context);
    gate.checkRequest(principal, need, request, { name: path, peer: peerOf(context) });
    yield* whileValid(gate, principal, handler(request, context));
  };
}

/** Ends with an error once the caller's credentials have expired. */
async function* whileValid<Message>(
  gate: Gate,
  principal: Principal,
  responses: AsyncIterable<Message>,
): AsyncGenerator<Message> {
  for await (const response of responses) {
    gate.checkStillValid(principal);
    yield response;
  }
}
