import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TargetSchema } from "@leat/proto";

/**
 * What records run through: the name of a stored pipeline, or a chain of modules given with the call.
 * A module is `name`, `name@version` or `sha256:<64 hex digits>`.
 *
 * @example
 * import type { TargetInput } from "@leat/sdk";
 *
 * const stored: TargetInput = "orders";
 * const chain: TargetInput = { modules: ["normalise@2", "redact"] };
 * console.log(stored, chain);
 */
export type TargetInput = string | { readonly modules: readonly string[] };

/** The target as the protocol has it. */
export function targetInit(target: TargetInput): MessageInitShape<typeof TargetSchema> {
  if (typeof target === "string") return { target: { case: "pipeline", value: target } };
  return { target: { case: "inline", value: { modules: [...target.modules] } } };
}

/** What to call the target in traces: the pipeline's name, or the modules joined by commas. */
export function targetName(target: TargetInput): string {
  return typeof target === "string" ? target : target.modules.join(",");
}
