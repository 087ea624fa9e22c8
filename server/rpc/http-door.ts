/**
 * The HTTP door: the same services over Connect, gRPC-Web and plain JSON, beside metrics and probes.
 *
 * @module
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { MetricsService, ModuleService, PipelineService, TransformService } from "@leat/proto";
import { connectTransformService } from "./connect-transform.ts";
import { metricsService, moduleService, pipelineService } from "./control-services.ts";
import type { Engine } from "./engine.ts";
import type { HealthBoard } from "./health.ts";
import { connectError } from "./status.ts";

/** What the door shows beside the services. */
export interface HttpDoorOptions {
  readonly health: HealthBoard;
  /** All figures in Prometheus's text format, and its content type. */
  readonly prometheusText: () => Promise<string>;
  readonly prometheusContentType: string;
  /** Lines about what does not run although the server does. */
  readonly remarks: () => readonly string[];
}

/** An HTTP/1.1 server on one address. */
export class HttpDoor {
  readonly #server: Server;

  constructor(engine: Engine, options: HttpDoorOptions) {
    const services = connectNodeAdapter({
      routes: (router) => {
        router.service(TransformService, connectTransformService(engine));
        router.service(ModuleService, moduleService(engine));
        router.service(PipelineService, pipelineService(engine));
        router.service(MetricsService, metricsService(engine));
      },
      readMaxBytes: Math.max(engine.limits.maxModuleBytes, engine.limits.maxBatchBytes) * 2,
      interceptors: [
        (next) => async (request) => {
          try {
            return await next(request);
          } catch (error) {
            throw connectError(error);
          }
        },
      ],
    });
    this.#server = createServer((request, response) => {
      if (!servePage(request, response, options)) services(request, response);
    });
  }

  /** Listens. @returns the port */
  async listen(host: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, host, () => resolve());
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes no new connections and resolves when the calls in flight have ended. */
  async finish(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
    });
  }

  /** Ends everything at once. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** Serves what is no RPC. @returns whether it did */
function servePage(request: IncomingMessage, response: ServerResponse, options: HttpDoorOptions): boolean {
  if (request.method !== "GET" && request.method !== "HEAD") return false;
  const path = request.url?.split("?", 1)[0];
  switch (path) {
    case "/healthz":
      text(response, 200, "ok\n");
      return true;
    case "/readyz": {
      const { status } = options.health;
      if (status.serving) text(response, 200, ["ready", ...options.remarks(), ""].join("\n"));
      else text(response, 503, `not ready: ${status.reason}\n`);
      return true;
    }
    case "/metrics":
      options.prometheusText().then(
        (body) => text(response, 200, body, options.prometheusContentType),
        () => text(response, 500, "metrics could not be read\n"),
      );
      return true;
    default:
      return false;
  }
}

function text(
  response: ServerResponse,
  status: number,
  body: string,
  type = "text/plain; charset=utf-8",
): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}
