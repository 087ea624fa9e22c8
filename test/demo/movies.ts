import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A film as the data set has it: names with spaces, titles that are numbers, much that is null. */
export type Movie = Readonly<Record<string, string | number | null>>;

/** Reads the films of the npm package vega-datasets, in their order. */
export async function readMovies(): Promise<readonly Movie[]> {
  const entry = fileURLToPath(import.meta.resolve("vega-datasets"));
  const file = join(dirname(dirname(entry)), "data", "movies.json");
  return JSON.parse(await readFile(file, "utf8")) as Movie[];
}
