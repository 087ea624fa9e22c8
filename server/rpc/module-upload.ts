/**
 * Puts a module together that comes in pieces.
 *
 * @module
 */

import type { LoadModuleRequest, UploadModuleRequest } from "@leat/proto";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";

/**
 * The module that an upload brings.
 *
 * @throws LeatError REQUEST_INVALID for pieces out of order, MODULE_TOO_LARGE as soon as there are too many bytes
 */
export async function collectUpload(
  pieces: AsyncIterable<UploadModuleRequest>,
  { maxModuleBytes }: Pick<Limits, "maxModuleBytes">,
): Promise<LoadModuleRequest> {
  let module: LoadModuleRequest | undefined;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const { piece } of pieces) {
    if (piece.case === "module") {
      if (module !== undefined) throw outOfOrder("module", "may only be set in the first message");
      module = piece.value;
      if (module.wasm.length > 0) throw outOfOrder("module.wasm", "must be empty; send chunks");
      continue;
    }
    if (module === undefined) throw outOfOrder("module", "must be set in the first message");
    if (piece.case === undefined) throw outOfOrder("piece", "is not set");
    bytes += piece.value.length;
    if (bytes > maxModuleBytes)
      throw leatError("MODULE_TOO_LARGE", {
        limit: "maxModuleBytes",
        value: maxModuleBytes,
        measured: bytes,
        where: "the pieces so far",
      });
    chunks.push(piece.value);
  }
  if (module === undefined) throw outOfOrder("module", "must be set in the first message");
  return { ...module, wasm: Buffer.concat(chunks, bytes) };
}

function outOfOrder(field: string, problem: string): Error {
  return leatError("REQUEST_INVALID", { field, problem });
}
