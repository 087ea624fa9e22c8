import { Code } from "@connectrpc/connect";
import type { LeatCallError } from "../errors.ts";

const resets: ReadonlySet<Code> = new Set([Code.Internal, Code.Canceled, Code.Aborted]);

/**
 * Tells whether a call that ended so may be resumed. UNAVAILABLE always may, and so may what the server
 * says to try again later. INTERNAL, CANCELLED and ABORTED may when Leat did not give a reason: then HTTP/2 reset
 * the stream, as happens when a server process dies or a proxy in between restarts; ABORTED is what Connect's transport
 * for Node makes of a connection that was cut. Credentials that expired
 * under way may: the next call shows those that the token's provider gives then.
 */
export function interrupted(error: LeatCallError): boolean {
  if (error.code === Code.Unavailable || error.retryAfterMs !== undefined) return true;
  if (error.reason === "CREDENTIALS_EXPIRED") return true;
  return error.reason === "" && resets.has(error.code);
}
