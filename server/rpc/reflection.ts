/**
 * Server reflection, so that tools such as grpcurl need no .proto files.
 *
 * @module
 */

import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { Server } from "@grpc/grpc-js";
import type { PackageDefinition } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import {
  file_google_rpc_error_details,
  file_grpc_health_v1_health,
  file_leat_v1_dead_letter,
  file_leat_v1_metrics,
  file_leat_v1_module,
  file_leat_v1_pipeline,
  file_leat_v1_transform,
} from "@leat/proto";

/** Lets clients ask the server for its services and messages. */
export function addReflection(server: Pick<Server, "addService">): void {
  const files = new Map<string, Buffer>();
  for (const file of [
    file_leat_v1_transform,
    file_leat_v1_module,
    file_leat_v1_pipeline,
    file_leat_v1_metrics,
    file_leat_v1_dead_letter,
    file_google_rpc_error_details,
    file_grpc_health_v1_health,
  ]) {
    collect(file, files);
  }
  // What the library reads of a package are these encoded files alone.
  const reflected: PackageDefinition = {
    leat: {
      format: "Protocol Buffer 3 DescriptorProto",
      type: {},
      fileDescriptorProtos: [...files.values()],
      serialize: refuse,
      deserialize: refuse,
    },
  };
  new ReflectionService(reflected).addToServer(server);
}

function refuse(): never {
  throw new Error("only the descriptors are used");
}

function collect(file: DescFile, into: Map<string, Buffer>): void {
  if (into.has(file.name)) return;
  for (const dependency of file.dependencies) collect(dependency, into);
  into.set(file.name, Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
}
