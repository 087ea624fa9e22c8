/**
 * All films once, as typed values: what went in, what came out, and what became of the rest.
 *
 * @module
 */

import { json, type Leat } from "@leat/sdk";
import type { Movie } from "./movies.ts";
import { pipelineName } from "./pipeline.ts";

/** How many examples are shown of each kind. */
const maxExamples = 3;

/** What failed with one code at one stage. */
interface Failures {
  count: number;
  readonly examples: string[];
}

/** Runs all films. @returns the report, and what came out as lines of JSON */
export async function runOnce(
  leat: Leat,
  movies: readonly Movie[],
): Promise<{ report: string; lines: readonly string[] }> {
  const lines: string[] = [];
  const dropped: Movie[] = [];
  const failed = new Map<string, Failures>();
  let failedCount = 0;
  for await (const result of leat.stream(pipelineName, movies, { codec: json<Movie>() })) {
    for (const [index, outcome] of result.outcomes.entries()) {
      const input = result.inputs[index] as Movie;
      if (outcome.status === "ok") lines.push(...outcome.outputs.map((movie) => JSON.stringify(movie)));
      else if (outcome.status === "dropped") dropped.push(input);
      else {
        const { stage, code, message } = outcome.failure;
        const kind = `${code} at ${stage}: ${message}`;
        const failures = failed.get(kind) ?? { count: 0, examples: [] };
        failed.set(kind, failures);
        failures.count++;
        failedCount++;
        if (failures.examples.length < maxExamples) failures.examples.push(nameOf(input));
      }
    }
  }
  const kinds = [...failed].toSorted(([, a], [, b]) => b.count - a.count);
  const report = [
    `${movies.length} went in, ${lines.length} came out, ${dropped.length} were dropped by the filter, ${failedCount} failed.`,
    `dropped, for example: ${exampleDrops(dropped).join("; ")}`,
    ...kinds.map(
      ([kind, { count, examples }]) =>
        `failed, ${count === 1 ? "once" : `${count} times`}: ${kind} (${examples.join(", ")})`,
    ),
  ].join("\n");
  return { report, lines };
}

/** A film by its title; one without is known by what else it has. */
function nameOf(movie: Movie): string {
  const { Title: title } = movie;
  return title === null
    ? `the film without a title by ${movie["Distributor"] ?? "nobody"}`
    : JSON.stringify(title);
}

/** Some films of each reason for which the filter drops. */
function exampleDrops(dropped: readonly Movie[]): string[] {
  const unrated = dropped.filter((movie) => movie["IMDB Rating"] === null);
  const future = dropped.filter((movie) => movie["IMDB Rating"] !== null);
  return [
    ...unrated.slice(0, 1).map((movie) => `${nameOf(movie)} has no rating`),
    ...future.slice(0, 2).map((movie) => `${nameOf(movie)} says it came out on ${movie["Release Date"]}`),
  ];
}
