import { Code } from "@connectrpc/connect";
import type { LeatCallError } from "../errors.ts";

/**
 * Tells whether a call that ended so may be resumed. UNAVAILABLE always may, and so may what the server
 * says to try again later. INTERNAL and CANCELLED may when Leat did not give a reason: then HTTP/2 reset
 * the stream, as happens when a server process dies or a proxy in between restarts. Credentials that expired
 * under way may: the next call shows those that the token's provider gives then.
 */
export function interrupted(error: LeatCallError): boolean {
  if (error.code === Code.Unavailable || error.retryAfterMs !== undefined) return true;
  if (error.reason === "CREDENTIALS_EXPIRED") return true;
  return error.reason === "" && (error.code === Code.Internal || error.code === Code.Canceled);
}
