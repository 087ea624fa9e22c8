import type { Module } from "@leat/sdk";

/** When a module was loaded, to the second, in UTC. */
export function loadTime({ loadTime: time }: Module): string {
  if (time === undefined) return "";
  return `${new Date(Number(time.seconds) * 1_000).toISOString().slice(0, 19)}Z`;
}
