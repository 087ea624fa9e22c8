/**
 * `leat.v1.TransformService` on grpc-js with Buffers in and out: nothing is decoded.
 *
 * @module
 */

import * as grpc from "@grpc/grpc-js";
import { defaultLimits } from "../../../server/limits.ts";
import { FlowWindows } from "../../../server/rpc/flow-window.ts";
import type { RunningServer } from "./subject.ts";

const asIs = (bytes: Buffer): Buffer => bytes;

/** The paths of the two RPCs. */
export const transformPath = "/leat.v1.TransformService/Transform";
export const streamTransformPath = "/leat.v1.TransformService/StreamTransform";

/** The service with its messages left in wire form. */
export const rawTransformService = {
  Transform: {
    path: transformPath,
    requestStream: false,
    responseStream: false,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  },
  StreamTransform: {
    path: streamTransformPath,
    requestStream: true,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  },
} satisfies grpc.ServiceDefinition;

/** Handlers of the raw service. */
export interface RawHandlers {
  Transform: grpc.handleUnaryCall<Buffer, Buffer>;
  StreamTransform: grpc.handleBidiStreamingCall<Buffer, Buffer>;
}

/**
 * Serves the raw service on a free port of 127.0.0.1.
 *
 * @param windows - HTTP/2's flow-control windows: those of Leat, or what grpc-js leaves
 */
export async function serveRaw(
  handlers: RawHandlers,
  windows: "leat" | "plain" = "leat",
): Promise<RunningServer> {
  const server = new grpc.Server();
  server.addService(rawTransformService, { ...handlers });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
    error ? reject(error) : resolve(port),
  );
  const port = await promise;
  if (windows === "leat") new FlowWindows(port, defaultLimits.streamWindowBytes);
  return {
    address: `127.0.0.1:${port}`,
    close: () => new Promise((closed) => server.tryShutdown(() => closed())),
  };
}
