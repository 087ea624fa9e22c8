import { Code, ConnectError, decodeBinaryHeader, encodeBinaryHeader } from "@connectrpc/connect";
import { Metadata } from "@grpc/grpc-js";

/** Whatever the constructor of `Headers` takes. */
export type HeadersInput = ConstructorParameters<typeof Headers>[0];

/** Headers that belong to HTTP/2 or to grpc-js, which sets them itself. */
const reserved = new Set([
  "accept-encoding",
  "connection",
  "content-length",
  "content-type",
  "grpc-accept-encoding",
  "grpc-encoding",
  "grpc-timeout",
  "host",
  "te",
  "transfer-encoding",
  "user-agent",
]);

/**
 * Turns request headers into gRPC metadata. A name that ends with `-bin` holds base64, several values
 * joined by commas, as Connect has it; everything else is text.
 *
 * @throws ConnectError with INVALID_ARGUMENT for a value that gRPC metadata cannot hold
 * @internal
 */
export function toMetadata(init: HeadersInput): Metadata {
  const metadata = new Metadata();
  if (init === undefined) return metadata;
  const headers = init instanceof Headers ? init : new Headers(init);
  for (const [name, value] of headers) {
    if (reserved.has(name) || name.startsWith(":")) continue;
    try {
      if (name.endsWith("-bin")) {
        for (const part of value.split(",")) metadata.add(name, Buffer.from(decodeBinaryHeader(part.trim())));
      } else {
        metadata.add(name, value);
      }
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      throw new ConnectError(`header ${name}: ${problem}`, Code.InvalidArgument, undefined, undefined, error);
    }
  }
  return metadata;
}

/**
 * Turns gRPC metadata into headers; the opposite of {@link toMetadata}.
 *
 * @internal
 */
export function toHeaders(...sources: readonly (Metadata | undefined)[]): Headers {
  const headers = new Headers();
  for (const metadata of sources) {
    if (metadata === undefined) continue;
    for (const [name, values] of Object.entries(metadata.toJSON())) {
      for (const value of values) {
        headers.append(name, typeof value === "string" ? value : encodeBinaryHeader(value));
      }
    }
  }
  return headers;
}
