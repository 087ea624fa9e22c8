/** Sends every request's bytes back. */

import type { RawHandlers } from "./raw-service.ts";

/** What an echo server does. */
export const echoHandlers: RawHandlers = {
  Transform: (call, callback) => callback(null, call.request),
  StreamTransform: (call) => {
    call.on("data", (request: Buffer) => call.write(request));
    call.on("end", () => call.end());
  },
};
