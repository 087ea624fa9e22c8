/**
 * Reads what `--cpu-prof` writes and sums up where the time went.
 *
 * @module
 */

import { type CallFrame, nameFrame } from "./call-frame.ts";

/** The part of a .cpuprofile that is used here (Chrome DevTools protocol, Profiler.Profile). */
interface CpuProfile {
  nodes: { id: number; callFrame: CallFrame }[];
  /** The node that was on top at each sample. */
  samples: number[];
  /** Microseconds from the sample before to each sample. */
  timeDeltas: number[];
}

/** One function's own time. */
export interface SelfTime {
  /** Name and place, with the folder of the repository taken off. */
  what: string;
  selfMs: number;
}

/** One thread's profile, summed up. */
export interface ThreadProfile {
  /** All time that was sampled, in milliseconds. */
  totalMs: number;
  /** Time in which the thread had nothing to do, in milliseconds. */
  idleMs: number;
  /** Whether the thread is the process's main thread. */
  main: boolean;
  /** Functions by own time, the largest first, without idling. */
  functions: SelfTime[];
}

/**
 * Sums up one .cpuprofile.
 *
 * @param json - the file's text
 * @param main - whether it is the main thread's
 * @param root - the folder that paths are shown relative to
 */
export function summarizeProfile(json: string, main: boolean, root: URL): ThreadProfile {
  const profile = JSON.parse(json) as CpuProfile;
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameFrame(callFrame, root)]));
  const selfUs = new Map<string, number>();
  let totalUs = 0;
  for (const [index, id] of profile.samples.entries()) {
    const what = names.get(id) ?? "(unknown)";
    // A delta leads up to its sample, so the next one tells how long this sample's function went on.
    const lasted = profile.timeDeltas[index + 1] ?? 0;
    selfUs.set(what, (selfUs.get(what) ?? 0) + lasted);
    totalUs += lasted;
  }
  const idleUs = selfUs.get("(idle)") ?? 0;
  selfUs.delete("(idle)");
  const functions = [...selfUs].map(([what, us]) => ({ what, selfMs: us / 1e3 }));
  functions.sort((a, b) => b.selfMs - a.selfMs);
  return { totalMs: totalUs / 1e3, idleMs: idleUs / 1e3, main, functions };
}
