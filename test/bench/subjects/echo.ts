/** Baseline: the least a grpc-js server can do with a message. It sends every request's bytes back. */

import { serveRaw } from "./raw-service.ts";
import { serveSubject } from "./subject.ts";

serveSubject(() =>
  serveRaw({
    Transform: (call, callback) => callback(null, call.request),
    StreamTransform: (call) => {
      call.on("data", (request: Buffer) => call.write(request));
      call.on("end", () => call.end());
    },
  }),
);
