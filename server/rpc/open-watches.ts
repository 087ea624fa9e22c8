/**
 * Ends what clients only watch when the server drains. A service that comes from a library (reflection) keeps
 * such calls open for as long as the client does, which would hold the drain for ever.
 *
 * @module
 */

import type { Server, ServerDuplexStream, ServerWritableStream, UntypedHandleCall } from "@grpc/grpc-js";

type Watch = ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>;

/** The server as such a service sees it: calls that answer with a stream end well when the signal is aborted. */
export function endingWatches(server: Server, signal: AbortSignal): Pick<Server, "addService"> {
  const open = new Set<Watch>();
  signal.addEventListener("abort", () => {
    for (const call of open) call.end();
  });
  const watched = (handler: (call: Watch) => void) => (call: Watch) => {
    open.add(call);
    call.once("close", () => open.delete(call));
    handler(call);
  };
  return {
    addService: (definition, implementation) => {
      const handlers = { ...implementation };
      for (const [key, method] of Object.entries(definition)) {
        const name = key in handlers ? key : (method.originalName ?? key);
        if (method.responseStream)
          handlers[name] = watched(handlers[name] as (call: Watch) => void) as UntypedHandleCall;
      }
      server.addService(definition, handlers);
    },
  };
}
