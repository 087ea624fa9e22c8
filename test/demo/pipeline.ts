/**
 * The demo's pipeline: what the server is started with.
 *
 * @module
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadExample } from "@leat/examples";
import { stringify } from "yaml";

/** What the pipeline is called. */
export const pipelineName = "movies";

/** The stages: the example modules, each with its configuration. */
const stages = [
  {
    module: "normalize",
    config: {
      rename: {
        Title: "title",
        "Release Date": "released",
        "US Gross": "us_gross",
        "Worldwide Gross": "worldwide_gross",
        "Production Budget": "budget",
        "MPAA Rating": "mpaa_rating",
        "Running Time min": "minutes",
        Distributor: "distributor",
        "Major Genre": "genre",
        Director: "director",
        "IMDB Rating": "imdb_rating",
        "IMDB Votes": "imdb_votes",
      },
      remove: ["US DVD Sales", "Source", "Creative Type", "Rotten Tomatoes Rating"],
      text: ["Title"],
      date: ["Release Date"],
      null_if: ["", "Not Rated"],
      required: ["Title", "Release Date", "US Gross"],
    },
  },
  {
    module: "filter",
    // The data set is from 2010: later films are old ones whose year had two digits.
    config: { expression: 'has(imdb_rating) && released < "2011"' },
  },
  { module: "json-redact", config: { fields: ["director"], mask: "***" } },
];

/** Writes the modules and the pipeline into a folder. @returns the arguments of `leat serve`, and what they say */
export async function writeServerFolder(folder: string): Promise<{ args: string[]; summary: string }> {
  const modules = join(folder, "modules");
  await mkdir(modules);
  for (const name of ["normalize", "filter", "json-redact"] as const) {
    await writeFile(join(modules, `${name}@1.0.0.wasm`), await loadExample(name));
  }
  const pipelines = join(folder, "pipelines.yaml");
  await writeFile(pipelines, stringify({ pipelines: [{ name: pipelineName, stages }] }));
  const [normalize, filter, redact] = stages.map(({ config }) => config);
  const summary = [
    `Pipeline ${pipelineName}, three WebAssembly modules written in AssemblyScript:`,
    `  normalize    names without spaces, dates as 1998-06-12, titles as text; required: ${normalize?.required?.join(", ")}`,
    `  filter       ${filter?.expression}`,
    `  json-redact  masks ${redact?.fields?.join(", ")}`,
  ].join("\n");
  return { args: ["--modules", modules, "--pipelines", pipelines], summary };
}
