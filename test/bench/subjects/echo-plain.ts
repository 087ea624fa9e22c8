/** Baseline: the same as `echo`, with the HTTP/2 windows that grpc-js gives a server. */

import { echoHandlers } from "./echo-handlers.ts";
import { serveRaw } from "./raw-service.ts";
import { serveSubject } from "./subject.ts";

serveSubject(() => serveRaw(echoHandlers, "plain"));
