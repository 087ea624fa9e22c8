/** Leat itself. Modules and pipelines are loaded over its own RPCs. Its one argument is the limits, as JSON. */

import { startServer } from "@leat/server";
import { serveSubject } from "./subject.ts";

serveSubject(async () => {
  const limits = JSON.parse(process.argv[2] ?? "{}");
  const server = await startServer({ grpcAddress: "127.0.0.1:0", httpAddress: false, limits });
  return { address: `127.0.0.1:${server.grpcPort}`, close: () => server.close() };
});
