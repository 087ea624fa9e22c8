/** Baseline: the least a grpc-js server can do with a message. It sends every request's bytes back. With Leat's HTTP/2 windows. */

import { echoHandlers } from "./echo-handlers.ts";
import { serveRaw } from "./raw-service.ts";
import { serveSubject } from "./subject.ts";

serveSubject(() => serveRaw(echoHandlers));
