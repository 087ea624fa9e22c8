/**
 * Reads a .heapprofile and sums up which functions allocated how much.
 *
 * @module
 */

import { type CallFrame, nameFrame } from "./call-frame.ts";

/** The part of a .heapprofile that is used here (Chrome DevTools protocol, HeapProfiler.SamplingHeapProfile). */
interface HeapProfile {
  head: HeapProfileNode;
}

interface HeapProfileNode {
  callFrame: CallFrame;
  selfSize: number;
  children: HeapProfileNode[];
}

/** What one function allocated itself. */
export interface SelfAllocation {
  /** Name and place. */
  what: string;
  bytes: number;
}

/** Sums up one .heapprofile: functions by what they allocated, the most first. */
export function summarizeHeapProfile(json: string, root: URL): SelfAllocation[] {
  const bytes = new Map<string, number>();
  const left = [(JSON.parse(json) as HeapProfile).head];
  for (let node = left.pop(); node; node = left.pop()) {
    const what = nameFrame(node.callFrame, root);
    bytes.set(what, (bytes.get(what) ?? 0) + node.selfSize);
    left.push(...node.children);
  }
  const sites = [...bytes].map(([what, bytes]) => ({ what, bytes })).filter((site) => site.bytes > 0);
  return sites.sort((a, b) => b.bytes - a.bytes);
}
