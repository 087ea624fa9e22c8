/**
 * Runs that measure a server under load.
 *
 * @module
 */

import { create } from "@bufbuild/protobuf";
import { Isolation, type Target, TargetSchema } from "@leat/proto";
import type { Child } from "../child.ts";
import type { LoadOrder } from "../load/load.ts";
import type { SdkOrder } from "../load/sdk.ts";
import type { StreamOrder } from "../load/stream.ts";
import type { UnaryOrder } from "../load/unary.ts";
import { loadUppercase } from "../modules/uppercase.ts";
import type { SubjectHandlers } from "../subjects/subject.ts";
import { type SubjectName, setUpLeat, startSubject } from "./launch.ts";
import { type Bench, type OpenRun, pause, type Run, type Sample, type Window } from "./run.ts";

/** Batches unanswered at once on a stream. */
export const streamWindow = 32;
/** Unary calls open at once. */
export const unaryCallers = 64;

/** SDK calls open at once. */
export const sdkCallers = 1_000;

const uppercasePipeline = "uppercase";

/** A server that has what the load asks for. */
export interface ReadyServer {
  subject: Child<SubjectHandlers>;
  address: string;
  target: Target;
  expect: "echo" | "uppercase";
}

/** How Leat's pipeline is made. */
export interface ServerSetUp {
  /** How many uppercase stages it has. Default 1. */
  stages?: number;
  /** Whether it runs in a process of its own. Default false. */
  isolated?: boolean;
}

/** Starts a server; Leat gets a pipeline of so many uppercase stages. */
export async function readyServer(
  name: SubjectName,
  options: ServerSetUp & { extraFlags?: readonly string[] } = {},
): Promise<ReadyServer> {
  const subject = await startSubject(name, { extraFlags: options.extraFlags ?? [] });
  try {
    const address = await subject.ask("address");
    if (name === "leat") {
      const stages = Array.from({ length: options.stages ?? 1 }, () => ({
        module: "uppercase",
        isolation: options.isolated === true ? Isolation.PROCESS : Isolation.UNSPECIFIED,
      }));
      await setUpLeat(address, {
        modules: { uppercase: await loadUppercase("uppercase") },
        pipelines: { [uppercasePipeline]: stages },
      });
    }
    const target = create(TargetSchema, { target: { case: "pipeline", value: uppercasePipeline } });
    return { subject, address, target, expect: name.startsWith("echo") ? "echo" : "uppercase" };
  } catch (error) {
    await subject[Symbol.asyncDispose]();
    throw error;
  }
}

/** One stream whose window is kept full. */
export function streamOrder({ address, target, expect }: ReadyServer, window = streamWindow): StreamOrder {
  return { kind: "stream", address, target, expect, window };
}

/** Many callers of one record each. */
export function unaryOrder({ address, target, expect }: ReadyServer): UnaryOrder {
  return { kind: "unary", address, target, expect, callers: unaryCallers };
}

/**
 * Measures a server with one stream whose window is kept full. The unit is a batch.
 *
 * @param window - batches unanswered at once. Default {@link streamWindow}
 */
export function streamRun(name: SubjectName, options: ServerSetUp & { window?: number } = {}): Run {
  const suffix = [
    options.stages === undefined ? "" : `-${options.stages}`,
    options.isolated === true ? "-isolated" : "",
    options.window === undefined ? "" : `-window-${options.window}`,
  ].join("");
  return servedRun(`stream:${name}${suffix}`, "batch", name, options, (server) =>
    streamOrder(server, options.window),
  );
}

/** Measures a server with many callers of one record each. The unit is a call. */
export function unaryRun(name: SubjectName): Run {
  return servedRun(`unary:${name}`, "call", name, {}, unaryOrder);
}

/** Measures Leat with many SDK callers of one record each. The unit is a call. */
export function sdkRun(through: SdkOrder["through"]): Run {
  return servedRun(`sdk:${through}`, "call", "leat", {}, ({ address }) => ({
    kind: "sdk",
    address,
    pipeline: uppercasePipeline,
    callers: sdkCallers,
    through,
  }));
}

function servedRun(
  name: string,
  unit: string,
  subjectName: SubjectName,
  options: ServerSetUp,
  order: (server: ReadyServer) => LoadOrder,
): Run {
  return {
    name,
    unit,
    async open(bench): Promise<OpenRun> {
      const server = await readyServer(subjectName, options);
      return {
        measure: (window) => measureLoad(bench, server.subject, order(server), window),
        [Symbol.asyncDispose]: () => server.subject[Symbol.asyncDispose](),
      };
    },
  };
}

/** Makes load on a server for a while and tells what both sides used. */
export async function measureLoad(
  { load }: Bench,
  subject: Child<SubjectHandlers>,
  order: LoadOrder,
  window: Window,
): Promise<Sample> {
  const look = () => Promise.all([load.ask("progress"), subject.ask("usage")]);
  await load.ask("start", order);
  try {
    await pause(window.warmupSeconds);
    const [loadBefore, usageBefore] = await look();
    await pause(window.seconds);
    const [loadAfter, usageAfter] = await look();
    const units = loadAfter.units - loadBefore.units;
    if (units === 0) throw new Error(`${subject.name} answered nothing in ${window.seconds} s`);
    return {
      units,
      seconds: (loadAfter.atMs - loadBefore.atMs) / 1e3,
      cpuUs: usageAfter.cpuUs - usageBefore.cpuUs,
      clientCpuUs: loadAfter.cpuUs - loadBefore.cpuUs,
      collections: usageAfter.collections - usageBefore.collections,
    };
  } finally {
    await load.ask("stop");
  }
}
