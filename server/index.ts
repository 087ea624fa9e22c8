/**
 * The Leat server as a library.
 *
 * @example
 * import { startServer } from "@leat/server";
 * await using server = await startServer({ grpcAddress: "127.0.0.1:0", httpAddress: false });
 * console.log(server.grpcPort);
 *
 * @module
 */

export { LeatError, type Reason } from "./errors.ts";
export { defaultLimits, type Limits } from "./limits.ts";
export { nodeFlags } from "./node-flags.ts";
export { type LeatServer, type ServerOptions, startServer } from "./server.ts";
