/** The process that makes load. */

import { answerParent } from "../child.ts";
import { processCpuUs } from "../subjects/usage.ts";
import type { Load, LoadHandlers, LoadOrder, Progress } from "./load.ts";
import { startSdk } from "./sdk.ts";
import { startStream } from "./stream.ts";
import { startUnary } from "./unary.ts";

let current: Load | undefined;

function startLoad(order: LoadOrder): Load {
  switch (order.kind) {
    case "stream":
      return startStream(order);
    case "unary":
      return startUnary(order);
    case "sdk":
      return startSdk(order);
  }
}

function running(): Load {
  if (!current) throw new Error("no load is running");
  return current;
}

function progressOf(load: Load): Progress {
  return { units: load.units(), atMs: performance.now(), cpuUs: processCpuUs() };
}

void answerParent<LoadHandlers>(async () => ({
  async start(order) {
    if (current) throw new Error("another load is running");
    current = startLoad(order);
  },
  async progress() {
    const load = running();
    // Rejects at once when the load has failed already; a load that runs is not waited for.
    await Promise.race([load.failed, Promise.resolve()]);
    return progressOf(load);
  },
  async reach() {
    const load = running();
    await load.reached;
    return progressOf(load);
  },
  async advance(batches) {
    const load = running();
    await load.advance?.(batches);
    return progressOf(load);
  },
  async stop() {
    const load = running();
    current = undefined;
    await load.stop();
  },
}));
