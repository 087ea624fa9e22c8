/**
 * The layer rule: which folder of the server may import which. A record goes down on the main
 * thread (`rpc` to `pool`), crosses `bridge`, and goes down again in the worker (`thread` to
 * `module`); neither side imports the other.
 *
 * @module
 */

import type { Import } from "./source-graph.ts";

const mainThread = [
  "rpc",
  "access",
  "admission",
  "scheduling",
  "outcome",
  "registry",
  "signing",
  "supervision",
  "store",
  "pool",
  "bridge",
];
const middle = ["admission", "scheduling", "outcome", "registry"];

/** For each folder of `server/`, the folders below it. Its own, the leaves and `telemetry` go without saying. */
const below: Readonly<Record<string, readonly string[]>> = {
  cli: ["composition", "config", ...mainThread],
  composition: ["config", ...mainThread],
  rpc: ["access", "config", ...middle, "signing", "supervision", "store", "pool", "bridge"],
  access: ["config"],
  admission: [...middle, "store", "pool", "bridge"],
  scheduling: [...middle, "store", "pool", "bridge"],
  outcome: [...middle, "store", "pool", "bridge"],
  registry: [...middle, "signing", "supervision", "store", "pool", "bridge"],
  signing: ["config"],
  supervision: [],
  store: [],
  pool: ["supervision", "bridge"],
  child: ["pool", "module", "bridge"],
  thread: ["supervision", "stages", "module", "bridge"],
  stages: ["module", "bridge"],
  module: [],
  bridge: ["supervision"],
  telemetry: [],
  config: [],
  leaf: [],
};

/** Imports that the rule would refuse, each with its reason. */
const exceptions: readonly { from: RegExp; to: RegExp; why: string }[] = [
  {
    from: /^server\/(?:registry\/.*|server\.ts|core\.ts|data-path\.ts|places\.ts)$/,
    to: /^server\/module\/(?:abi|cache|compile|engine-flags|inspect|inspect-apart|printable)\.ts$/,
    why: "a module is inspected and compiled once, on the main thread, and posted to the workers",
  },
  {
    from: /^server\/cli\/module\/schema\.ts$/,
    to: /^server\/module\/(?:config-schema|inspect)\.ts$/,
    why: "the command writes the section that inspection reads",
  },
];

/** Which packages of this repository a folder may import; nothing else may. */
const packagesAllowed: readonly { from: RegExp; packages: readonly string[] }[] = [
  { from: /^proto\//, packages: [] },
  { from: /^sdk\//, packages: ["@leat/proto"] },
  { from: /^server\/cli\//, packages: ["@leat/proto", "@leat/sdk"] },
  { from: /^server\//, packages: ["@leat/proto"] },
  { from: /^guest\//, packages: ["@leat/proto", "@leat/assemblyscript"] },
];

/** The layer of a file in `server/`. A file at the top is a leaf, but for those that put the server together. */
function layerOf(path: string): string {
  const [folder, ...rest] = path.slice("server/".length).split("/");
  if (rest.length > 0) return folder === "record" ? "leaf" : (folder ?? "");
  return ["server.ts", "core.ts", "data-path.ts", "places.ts", "running-config.ts", "index.ts"].includes(
    folder ?? "",
  )
    ? "composition"
    : "leaf";
}

/** Says what is wrong with an import, or nothing. */
export function layerProblem({ from, to, specifier }: Import): string | undefined {
  const where = `${from} imports ${specifier}`;
  if (/^@leat\//.test(specifier)) return packageProblem(from, specifier, where);
  if (to === undefined) return undefined;
  if (packageOf(from) !== packageOf(to))
    return `${where}: that file is in another package; import it by name`;
  if (packageOf(from) !== "server") return undefined;
  if (exceptions.some((exception) => exception.from.test(from) && exception.to.test(to))) return undefined;

  const [upper, lower] = [layerOf(from), layerOf(to)];
  const allowed = below[upper];
  if (!allowed) return `${where}: the layer rule does not know the folder server/${upper}`;
  if (upper === lower || lower === "leaf" || lower === "telemetry" || allowed.includes(lower))
    return undefined;
  return `${where}: ${upper} may import ${["the leaves", "telemetry", ...allowed].join(", ")}, not ${lower}`;
}

function packageProblem(from: string, specifier: string, where: string): string | undefined {
  const rule = packagesAllowed.find((candidate) => candidate.from.test(from));
  const name = specifier.split("/").slice(0, 2).join("/");
  if (!rule || rule.packages.includes(name)) return undefined;
  return `${where}: it may import ${rule.packages.join(", ") || "no package of this repository"}`;
}

function packageOf(path: string): string {
  return path.startsWith("guest/") ? path.split("/").slice(0, 2).join("/") : (path.split("/")[0] ?? "");
}
