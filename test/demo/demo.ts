/**
 * The demo: a real data set flows through a pipeline of three sandboxed modules, in a real server,
 * called by the SDK and by the command; then one batch is traced.
 *
 *     npm run demo
 *
 * @module
 */

import { rmSync } from "node:fs";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { styleText } from "node:util";
import { Leat } from "@leat/sdk";
import { runCommand, startServe } from "../kit/leat-command.ts";
import { startOtlpReceiver } from "../kit/otlp-receiver.ts";
import { root } from "../repository/root.ts";
import { type Movie, readMovies } from "./movies.ts";
import { runOnce } from "./once.ts";
import { pipelineName, writeServerFolder } from "./pipeline.ts";
import { measureRate } from "./rate.ts";
import { traceOneBatch } from "./trace.ts";

function title(text: string): void {
  process.stdout.write(`\n${styleText("bold", text)}\n`);
}

function say(text: string): void {
  process.stdout.write(`${text.replaceAll(/^(?=.)/gm, "  ")}\n`);
}

/** What a person would type, and what comes of it. */
async function shell(args: readonly string[], address: string, cwd: string, maxLines = 10): Promise<void> {
  say(styleText("dim", `$ leat ${args.map((arg) => (/\s/.test(arg) ? `'${arg}'` : arg)).join(" ")}`));
  const { code, stdout, stderr } = await runCommand(args, { cwd, env: { LEAT_ADDRESS: address } });
  const lines = stdout.trimEnd().split("\n");
  const shown = lines.slice(0, maxLines).map((line) => (line.length > 150 ? `${line.slice(0, 149)}…` : line));
  say([...shown, ...(lines.length > maxLines ? [`… ${lines.length} lines in all`] : [])].join("\n"));
  say(`${stderr.trimEnd()}${stderr === "" ? "" : "\n"}exit code ${code}`);
}

async function demo(folder: string): Promise<void> {
  const movies = await readMovies();
  title("The records");
  say(`${movies.length} films from the npm package vega-datasets (movies.json), as they are. The first one:`);
  say(JSON.stringify(movies[0]));

  title("The server");
  const { args, summary } = await writeServerFolder(folder);
  await using receiver = await startOtlpReceiver();
  await using server = await startServe([...args, "--log-level", "warn"], {
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
      OTEL_METRICS_EXPORTER: "none",
      // Only what its producer traces is traced.
      OTEL_TRACES_SAMPLER: "parentbased_always_off",
      OTEL_BSP_SCHEDULE_DELAY: "100",
    },
  });
  say(server.stderr().trim());
  say(summary);

  await using leat = new Leat(server.address);
  title("All films once, through the SDK: for await (const result of leat.stream(pipeline, films))");
  const { report, lines } = await runOnce(leat, movies);
  say(report);
  const file = join(root, "demo-output", "movies.ndjson");
  await mkdir(join(root, "demo-output"), { recursive: true });
  await writeFile(file, lines.map((line) => `${line}\n`).join(""));
  say(`All that came out is in ${relative(process.cwd(), file)}. Its first line:`);
  say(lines[0] ?? "");

  title("The same films over and over, to see how fast it is");
  say(await measureRate(leat, movies));

  title("A part of them through the command");
  await writeFile(join(folder, "part.ndjson"), somePart(movies));
  await shell(["module", "list"], server.address, folder);
  await shell(["transform", "--pipeline", pipelineName, "part.ndjson"], server.address, folder, 2);

  title("One batch as a trace: from the SDK's call to the stages");
  say(await traceOneBatch(leat, receiver, movies));

  title("The end");
  say(`SIGTERM: the server drained and ended with exit code ${await server.stop()}.`);
}

/** Films around one that fails. */
function somePart(movies: readonly Movie[]): string {
  const bad = movies.findIndex((movie) => movie["US Gross"] === null);
  return movies
    .slice(Math.max(0, bad - 5), bad + 5)
    .map((movie) => `${JSON.stringify(movie)}\n`)
    .join("");
}

const folder = await mkdtemp(join(tmpdir(), "leat-demo-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
// An exit in order ends the server, too.
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));
await demo(folder);
