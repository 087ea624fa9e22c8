/**
 * Server reflection, so that tools such as grpcurl need no .proto files. Its library, which parses the protocol's own files and makes
 * code of them, takes a tenth of a server's start: it is loaded by the first call, which few servers ever get.
 *
 * @module
 */

import { Duplex } from "node:stream";
import { type MethodDefinition, type Server, type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { ReflectionMethod } from "./reflection-methods.ts";

/** A call whose messages are bytes still. */
type EncodedCall = ServerDuplexStream<Buffer, Buffer>;

/** Lets clients ask the server for its services and messages. */
export function addReflection(server: Pick<Server, "addService">): void {
  let methods: Promise<ReadonlyMap<string, ReflectionMethod>> | undefined;
  const load = () => {
    methods ??= import("./reflection-methods.ts").then(({ reflectionMethods }) => reflectionMethods());
    return methods;
  };
  for (const version of ["v1", "v1alpha"]) {
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const asItIs = (bytes: Buffer): Buffer => bytes;
    const definition: MethodDefinition<Buffer, Buffer> = {
      path,
      requestStream: true,
      responseStream: true,
      requestSerialize: asItIs,
      requestDeserialize: asItIs,
      responseSerialize: asItIs,
      responseDeserialize: asItIs,
    };
    const answer = (call: EncodedCall): void => {
      load()
        .then((loaded) => {
          const method = loaded.get(path);
          if (method === undefined) throw new Error(`the library has no ${path}`);
          method.handle(readingCall(call, method));
        })
        .catch((error: Error) => fail(call, error));
    };
    server.addService({ ServerReflectionInfo: definition }, { ServerReflectionInfo: answer });
  }
}

/** The call as the library sees it: with messages. The library answers whatever comes, so no more is read from who does not read. */
export function readingCall(call: EncodedCall, { definition }: Pick<ReflectionMethod, "definition">): Duplex {
  const attempt = (act: () => void): void => {
    try {
      act();
    } catch (error) {
      fail(call, error as Error);
    }
  };
  const messages: Duplex = new Duplex({
    objectMode: true,
    read: () => {
      if (!messages.writableNeedDrain) call.resume();
    },
    write: (response, _, done) => {
      let taken = true;
      attempt(() => {
        // Where a drain or the client has ended the call there is nobody to answer.
        if (call.writable) taken = call.write(definition.responseSerialize(response));
      });
      if (taken) done();
      else call.once("drain", done);
    },
    final: (done) => {
      call.end();
      done();
    },
  });
  call.on("data", (bytes: Buffer) =>
    attempt(() => {
      if (!messages.push(definition.requestDeserialize(bytes)) || messages.writableNeedDrain) call.pause();
    }),
  );
  messages.on("drain", () => void call.resume());
  call.on("end", () => messages.push(null));
  return messages;
}

function fail(call: EncodedCall, { message }: Error): void {
  if (call.writable) call.emit("error", { code: status.INTERNAL, details: message });
}
