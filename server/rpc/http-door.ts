/**
 * The HTTP door: the same services over Connect, gRPC-Web and plain JSON, beside metrics and probes.
 *
 * @module
 */

import { pipeline, Readable } from "node:stream";
import { type PeerCertificate, TLSSocket } from "node:tls";
import {
  createContextKey,
  createContextValues,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { TransformService } from "@leat/proto";
import type { Certificates } from "../access/certificates.ts";
import type { Gate } from "../access/gate.ts";
import { anonymous, type Principal } from "../access/principal.ts";
import type { OpenThing } from "../config/access-file.ts";
import { LeatError } from "../errors.ts";
import type { ConnectionStats } from "../telemetry/stats.ts";
import { peerKey, principalKey } from "./call-principal.ts";
import { connectTransformService } from "./connect-transform.ts";
import { controlPlane } from "./control-plane.ts";
import { type Engine, maxMessageBytes } from "./engine.ts";
import { healthzPage, type Page, type PageRequest, readyzPage } from "./health/pages.ts";
import { HostCheck } from "./host-check.ts";
import { type AnyRequest, type AnyResponse, type Handle, HttpFront } from "./http-front.ts";

/** What the door shows beside the services. */
export interface HttpDoorOptions {
  /** All figures in Prometheus's text format, in pieces, and its content type. */
  readonly prometheusText: () => Promise<readonly Buffer[]>;
  readonly prometheusContentType: string;
  /** The certificates; undefined serves without TLS. */
  readonly certificates: Certificates | undefined;
  /** Counts its connections. */
  readonly connections: ConnectionStats;
  /** The names under which the door may be called; undefined for the usual ones. */
  readonly hosts: readonly string[] | undefined;
}

/** HTTP/1.1 and, for streams in both directions, HTTP/2, on one address. */
export class HttpDoor {
  readonly #engine: Engine;
  readonly #options: HttpDoorOptions;
  readonly #front: HttpFront;
  readonly #services: Handle;
  #hosts = new HostCheck("", undefined);

  constructor(engine: Engine, options: HttpDoorOptions) {
    this.#engine = engine;
    this.#options = options;
    const { gate } = engine;
    this.#services = connectNodeAdapter({
      routes: (router) => {
        router.service(TransformService, connectTransformService(engine));
        for (const { service, methods } of controlPlane(engine)) router.service(service, methods);
      },
      readMaxBytes: maxMessageBytes(engine.limits),
      interceptors: [mapErrors(engine)],
      contextValues: (request) =>
        createContextValues()
          .set(peerKey, peerAddress(request))
          .set(certificateKey, () => clientCertificate(request)),
      ...(gate && {
        requestGate: (context) => enter(engine, gate, context),
      }),
    });
    this.#front = new HttpFront(
      (request, response) => this.#handle(request, response),
      options.certificates,
      engine.limits,
      options.connections,
    );
  }

  #handle(request: AnyRequest, response: AnyResponse): void {
    const { headers } = request;
    const host = headers.host ?? ("authority" in request ? request.authority : undefined);
    const problem = this.#hosts.problem({ host, origin: headers.origin });
    if (problem !== undefined) text(response, misdirected, `${problem}\n`);
    else if (!servePage(request, response, this.#engine, this.#options)) this.#services(request, response);
  }

  /** Listens. @returns the port */
  async listen(host: string, port: number): Promise<number> {
    this.#hosts = new HostCheck(host, this.#options.hosts);
    return this.#front.listen(host, port);
  }

  /** Takes no new connections and resolves when the calls in flight have ended. */
  async finish(): Promise<void> {
    await this.#front.finish();
  }

  /** Ends everything at once. */
  close(): void {
    this.#front.close();
  }
}

/** For a name that this server is not called by. Source: RFC 9110, 15.5.20. */
const misdirected = 421;

/** Where a call's client certificate can be had. */
const certificateKey = createContextKey<() => PeerCertificate | undefined>(() => undefined);

function peerAddress({ socket }: AnyRequest): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}

/** The certificate that a client showed and TLS verified. */
function clientCertificate({ socket }: AnyRequest): PeerCertificate | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const certificate = socket.getPeerCertificate();
  return certificate.raw === undefined ? undefined : certificate;
}

/** Lets a call in, before its body is read, and notes who calls. */
async function enter({ statuses }: Engine, gate: Gate, context: HandlerContext): Promise<void> {
  const { service, method, requestHeader, values } = context;
  try {
    const principal = await gate.admit(`/${service.typeName}/${method.name}`, {
      authorization: requestHeader.get("authorization") ?? undefined,
      certificate: values.get(certificateKey),
      peer: () => values.get(peerKey),
    });
    values.set(principalKey, principal);
  } catch (error) {
    throw statuses.connect(error);
  }
}

/** Turns what a handler throws, at once or in the middle of its responses, into an error of Connect's. */
function mapErrors({ statuses }: Engine): Interceptor {
  async function* mapped<Message>(responses: AsyncIterable<Message>): AsyncGenerator<Message> {
    try {
      yield* responses;
    } catch (error) {
      throw statuses.connect(error);
    }
  }
  return (next) => async (request) => {
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: mapped(response.message) } : response;
    } catch (error) {
      throw statuses.connect(error);
    }
  };
}

/** The pages, each with what it counts as for the gate. */
const pages: Readonly<Record<string, OpenThing>> = {
  "/healthz": "health",
  "/readyz": "health",
  "/metrics": "metrics",
};

/** Serves what is no RPC. @returns whether it did */
function servePage(
  request: AnyRequest,
  response: AnyResponse,
  engine: Engine,
  options: HttpDoorOptions,
): boolean {
  if (request.method !== "GET" && request.method !== "HEAD") return false;
  const path = request.url?.split("?", 1)[0] ?? "";
  const thing = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (thing === undefined) return false;
  const { gate } = engine;
  const show = (principal: Principal): void => {
    makePage(path, engine, options, {
      url: request.url ?? "",
      headers: request.headers,
      principal,
    }).then(
      ({ status, body, type }) => {
        if (typeof body === "string") text(response, status, body, type);
        else sendPieces(response, status, body, type);
      },
      () => text(response, 500, "the page could not be made\n"),
    );
  };
  if (gate === undefined) {
    show(anonymous);
    return true;
  }
  const { authorization } = request.headers;
  const certificate = (): PeerCertificate | undefined => clientCertificate(request);
  const peer = (): string => peerAddress(request);
  Promise.try(() => gate.admitTo(thing, { authorization, certificate, peer })).then(show, (error) =>
    refusePage(response, LeatError.from(error)),
  );
  return true;
}

function refusePage(response: AnyResponse, { status, reason, message }: LeatError): void {
  if (status === "UNAUTHENTICATED") response.setHeader("www-authenticate", "Bearer");
  const code = status === "UNAUTHENTICATED" ? 401 : status === "PERMISSION_DENIED" ? 403 : 503;
  text(response, code, `${reason}: ${message}\n`);
}

async function makePage(
  path: string,
  { health, limits }: Engine,
  options: HttpDoorOptions,
  request: PageRequest,
): Promise<Page> {
  switch (path) {
    case "/healthz":
      return healthzPage(limits, request);
    case "/readyz":
      return readyzPage(health, request);
    default:
      return { status: 200, type: options.prometheusContentType, body: await options.prometheusText() };
  }
}

/** Sends a long text as the client takes it. */
function sendPieces(response: AnyResponse, status: number, pieces: readonly Buffer[], type: string): void {
  response.statusCode = status;
  response.setHeader("content-type", type);
  response.setHeader(
    "content-length",
    pieces.reduce((bytes, piece) => bytes + piece.length, 0),
  );
  if (response.req.method === "HEAD") response.end();
  // Who goes away in the middle has ended the response; there is nobody to tell.
  else pipeline(Readable.from(pieces), response, () => {});
}

function text(response: AnyResponse, status: number, body: string, type = "text/plain; charset=utf-8"): void {
  response.statusCode = status;
  response.setHeader("content-type", type);
  response.setHeader("content-length", Buffer.byteLength(body));
  response.end(body);
}
