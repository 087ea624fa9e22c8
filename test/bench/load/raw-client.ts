/**
 * The client of all servers under measurement: plain grpc-js that leaves messages in wire form, so that its
 * own cost is the same whatever it talks to. Its HTTP/2 window is the SDK's.
 *
 * @module
 */

import * as grpc from "@grpc/grpc-js";
import { streamTransformPath, transformPath } from "../subjects/raw-service.ts";

const asIs = (bytes: Buffer): Buffer => bytes;

/** A channel to one server. */
export class RawClient implements Disposable {
  readonly #client: grpc.Client;

  /** @param address - `host:port` */
  constructor(address: string) {
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure(), {
      // One TCP connection of its own for each client, not one shared by all to the same address.
      "grpc.use_local_subchannel_pool": 1,
      "grpc-node.flow_control_window": 1024 * 1024,
    });
  }

  /** Makes one unary call. */
  call(request: Buffer, path: string = transformPath): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, asIs, asIs, request, (error, response) => {
        if (error) reject(error);
        else if (response) resolve(response);
        else reject(new Error("no response and no error"));
      });
    });
  }

  /** Makes one unary call with the callback that grpc-js wants, which is cheaper. */
  callBack(request: Buffer, done: grpc.requestCallback<Buffer>): void {
    this.#client.makeUnaryRequest(transformPath, asIs, asIs, request, done);
  }

  /** Opens a StreamTransform call. */
  stream(): grpc.ClientDuplexStream<Buffer, Buffer> {
    return this.#client.makeBidiStreamRequest(streamTransformPath, asIs, asIs);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
