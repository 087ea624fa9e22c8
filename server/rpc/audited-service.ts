/**
 * Makes the audit entry of every call that changes something: the one place where that is done for calls.
 *
 * @module
 */

import { createHash, type Hash } from "node:crypto";
import type { DescService } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { Principal } from "../access/principal.ts";
import { LeatError } from "../errors.ts";
import { type AuditActor, auditOk } from "../store/audit-entry.ts";
import type { AuditLog, BegunChange } from "../store/audit-log.ts";
import { peerOf, principalOf } from "./call-principal.ts";
import { type Change, changeOf, type Described } from "./method-effects.ts";

type AnyChange = Change<unknown, unknown>;
type Handler<Request, Answer> = (request: Request, context: HandlerContext) => Answer;

/** The same service, whose methods that change something are in the audit log. */
export function audited<Service extends DescService>(
  audit: AuditLog,
  service: Service,
  methods: ServiceImpl<Service>,
): ServiceImpl<Service> {
  const own: Record<string, unknown> = { ...methods };
  for (const { localName, name, methodKind } of service.methods) {
    const action = `${service.typeName}/${name}`;
    // The table has each change under the method whose messages it reads.
    const change = changeOf(action) as unknown as AnyChange | undefined;
    if (change === undefined) continue;
    const method: AuditedMethod = { audit, change, action };
    const handler = own[localName];
    if (methodKind === "unary") own[localName] = unary(method, handler as Handler<unknown, unknown>);
    else if (methodKind === "client_streaming")
      own[localName] = gathering(method, handler as Handler<AsyncIterable<unknown>, unknown>);
    else if (methodKind === "server_streaming")
      own[localName] = streaming(method, handler as Handler<unknown, AsyncIterable<unknown>>);
    else throw new Error(`${action} streams both ways, which only the data plane does`);
  }
  return own as ServiceImpl<Service>;
}

interface AuditedMethod {
  readonly audit: AuditLog;
  readonly change: AnyChange;
  readonly action: string;
}

/** Who calls, as the audit log has it. */
export function actorOf({ name, by, grants }: Principal, peer: string): AuditActor {
  const roles = grants.map(({ role, pipelines }) =>
    pipelines.includes("*") ? role : `${role} ${pipelines.join(" ")}`,
  );
  return { kind: by === "nothing" ? "anonymous" : by, name, roles, peer };
}

function begin(
  { audit, change, action }: AuditedMethod,
  request: unknown,
  context: HandlerContext,
): Promise<BegunChange> {
  const actor = actorOf(principalOf(context), peerOf(context));
  const { target, detail = "" } = change.describe(request, undefined);
  return audit.begin({ actor, action, target, detail });
}

/** The target of a call that failed, with the digest of what it brought. */
function failedWith({ target, detail = "" }: Described, digest: string): Required<Described> {
  return { target: target.digest === "" && digest !== "" ? { ...target, digest } : target, detail };
}

function reasonOf(error: unknown): string {
  return LeatError.from(error).reason;
}

function unary(
  method: AuditedMethod,
  handler: Handler<unknown, unknown>,
): Handler<unknown, Promise<unknown>> {
  const { audit, change } = method;
  return async (request, context) => {
    const begun = await begin(method, request, context);
    let response: unknown;
    try {
      response = await handler(request, context);
    } catch (error) {
      const digest = await digestOf(change.content?.(request));
      await audit.end(begun, reasonOf(error), failedWith(change.describe(request, undefined), digest));
      throw error;
    }
    await audit.end(begun, auditOk, change.describe(request, response));
    return response;
  };
}

/** Of a stream that comes in, the change begins when it has come to its end: nothing is changed before. */
function gathering(
  method: AuditedMethod,
  handler: Handler<AsyncIterable<unknown>, unknown>,
): Handler<AsyncIterable<unknown>, Promise<unknown>> {
  const { audit, change, action } = method;
  return async (requests, context) => {
    let first: unknown;
    let begun: BegunChange | undefined;
    const hash = createHash("sha256");
    async function* passed(): AsyncGenerator<unknown> {
      for await (const request of requests) {
        first ??= request;
        hash.update(change.content?.(request) ?? "");
        yield request;
      }
      if (first !== undefined) begun = await begin(method, first, context);
    }
    let response: unknown;
    try {
      response = await handler(passed(), context);
    } catch (error) {
      const reason = reasonOf(error);
      // A caller that has sent nothing has named nothing; and what the audit log cannot take it cannot take now.
      if (first === undefined || (begun === undefined && reason === "AUDIT_UNAVAILABLE")) throw error;
      const known = failedWith(change.describe(first, undefined), digestIn(hash, begun !== undefined));
      if (begun !== undefined) await audit.end(begun, reason, known);
      else {
        const actor = actorOf(principalOf(context), peerOf(context));
        await audit.note({ actor, action, ...known }, reason);
      }
      throw error;
    }
    if (begun !== undefined) await audit.end(begun, auditOk, change.describe(first, response));
    return response;
  };
}

function streaming(
  method: AuditedMethod,
  handler: Handler<unknown, AsyncIterable<unknown>>,
): Handler<unknown, AsyncIterable<unknown>> {
  const { audit, change } = method;
  return async function* (request, context) {
    const begun = await begin(method, request, context);
    let answers = 0;
    // Until the handler has come to its end, the caller has gone.
    let outcome = "CANCELLED";
    try {
      for await (const response of handler(request, context)) {
        answers++;
        yield response;
      }
      outcome = auditOk;
    } catch (error) {
      outcome = reasonOf(error);
      throw error;
    } finally {
      const { target, detail = "" } = change.describe(request, undefined);
      await audit.end(begun, outcome, { target, detail: [`answered ${answers}`, detail].join(", ") });
    }
  };
}

/** The digest of what a call brought, made beside the main thread. */
async function digestOf(content: Uint8Array | undefined): Promise<string> {
  if (content === undefined || content.length === 0) return "";
  const hash = await crypto.subtle.digest("SHA-256", content as Uint8Array<ArrayBuffer>);
  return `sha256:${Buffer.from(hash).toString("hex")}`;
}

/** The digest of all that came; a part of a module has none that means anything. */
function digestIn(hash: Hash, whole: boolean): string {
  return whole ? `sha256:${hash.digest("hex")}` : "";
}
