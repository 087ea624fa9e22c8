/**
 * What the reflection library makes of this server's description.
 *
 * @module
 */

import type { Duplex } from "node:stream";
import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { MethodDefinition } from "@grpc/grpc-js";
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

/** A method of a reflection service. */
export interface ReflectionMethod {
  readonly definition: MethodDefinition<unknown, unknown>;
  /** Answers a call. Of that it takes what any stream has: requests as objects, and the same for responses. */
  readonly handle: (messages: Duplex) => void;
}

/** The methods, by their paths. */
export function reflectionMethods(): ReadonlyMap<string, ReflectionMethod> {
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
  const methods = new Map<string, ReflectionMethod>();
  new ReflectionService(reflected).addToServer({
    addService: (service, implementation) => {
      for (const [name, definition] of Object.entries(service)) {
        const handle = implementation[name] as unknown as ReflectionMethod["handle"];
        methods.set(definition.path, { definition, handle });
      }
    },
  });
  return methods;
}

function refuse(): never {
  throw new Error("only the descriptors are used");
}

function collect(file: DescFile, into: Map<string, Buffer>): void {
  if (into.has(file.name)) return;
  for (const dependency of file.dependencies) collect(dependency, into);
  into.set(file.name, Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
}
