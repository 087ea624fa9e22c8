import type { Module, ModuleSignature, Quarantine } from "@leat/sdk";

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

/** By whom a module is signed, in a few words: names of keys, `unsigned`, or `not verified`; empty where nobody has looked. */
export function signerNames(signature: ModuleSignature | undefined): string {
  if (signature === undefined || !isLookedAt(signature)) return "";
  const { signers, problem } = signature;
  if (problem === "") return signers.flatMap(({ counts, key }) => (counts ? [key] : [])).join(", ");
  return problem.startsWith("MODULE_UNSIGNED:") ? "unsigned" : "not verified";
}

/** What there is to say of a module's signature. */
export function signatureFields(signature: ModuleSignature | undefined): [name: string, value: string][] {
  if (signature === undefined || !isLookedAt(signature)) return [["signature", "not looked at"]];
  const { signers, detached, problem, refused, time } = signature;
  const where = signers.length === 0 ? "" : ` (${detached ? "beside it" : "in it"}, taken ${utc(time)})`;
  const fields: [string, string][] = [
    ["signature", problem === "" ? `verified${where}` : `not verified${where}: ${problem}`],
  ];
  for (const { key, keyId, counts, problem: why } of signers) {
    const name = key === "" ? keyId || "no key" : `${key} (${keyId})`;
    fields.push(["signed by", counts ? name : `${name}, which does not count: ${why}`]);
  }
  if (refused) fields.push(["refused", "this server does not run it for that"]);
  return fields;
}

/** A policy that looks at no signature finds neither signers nor a problem. */
function isLookedAt({ signers, problem }: ModuleSignature): boolean {
  return signers.length > 0 || problem !== "";
}

/** A time to the second, in UTC. */
export function utc(time: Module["loadTime"]): string {
  if (time === undefined) return "";
  return `${new Date(Number(time.seconds) * 1_000).toISOString().slice(0, 19)}Z`;
}
