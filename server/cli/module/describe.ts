import type { Module, Quarantine } from "@leat/sdk";

/** When a module was loaded, to the second, in UTC. */
export function loadTime({ loadTime: time }: Module): string {
  return utc(time);
}

/** What there is to say of a module's quarantine, as names and values; nothing of one that runs. */
export function quarantineFields(quarantine: Quarantine | undefined): [name: string, value: string][] {
  if (quarantine === undefined) return [];
  const { sinceTime, untilTime, why } = quarantine;
  const until = untilTime === undefined ? "it is released" : utc(untilTime);
  return [["quarantined", `since ${utc(sinceTime)} until ${until}: ${why}`]];
}

/** What is wrong with a module's file, when something is. */
export function problemFields({ problem }: Module): [name: string, value: string][] {
  return problem === "" ? [] : [["problem", `its file cannot be used: ${problem}`]];
}

/** A time to the second, in UTC. */
export function utc(time: Module["loadTime"]): string {
  if (time === undefined) return "";
  return `${new Date(Number(time.seconds) * 1_000).toISOString().slice(0, 19)}Z`;
}
