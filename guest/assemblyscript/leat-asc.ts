#!/usr/bin/env node
/**
 * `leat-asc`: compiles a module that is written with the kit. Exit codes: 0, 1 (does not compile), 2 (usage).
 *
 * @module
 */

import { parseArgs } from "node:util";
import type { BuildOptions } from "./build.ts";

const usage = `Usage: leat-asc <entry.ts> -o <module.wasm> [options]

Compiles an AssemblyScript file that exports \`transform\` (and \`configure\`) to a module of guest ABI 1.

  -o, --out-file FILE   where the module goes (required)
  -t, --text-file FILE  also write it as WebAssembly text
      --source-map      also write a source map beside the module
      --no-names        leave out function names: traps and profiles then show numbers
      --no-simd         use no 16-byte vector instructions
      --config-schema FILE  put the JSON Schema of the configuration into the module
      --raw             the entry exports the whole ABI itself
  -h, --help            print this
`;

/** Parses the command line; undefined when it only asks for help. */
function parseCommand(args: string[]): BuildOptions | undefined {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      "out-file": { type: "string", short: "o" },
      "text-file": { type: "string", short: "t" },
      "source-map": { type: "boolean", default: false },
      "no-names": { type: "boolean", default: false },
      "no-simd": { type: "boolean", default: false },
      "config-schema": { type: "string" },
      raw: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  const [entry, ...others] = positionals;
  if (entry === undefined) throw new TypeError("an entry file is required");
  if (others.length > 0) throw new TypeError(`one entry file at a time, but there are ${positionals.length}`);
  const outFile = values["out-file"];
  if (outFile === undefined) throw new TypeError("--out-file is required");
  return {
    entry,
    outFile,
    ...(values["text-file"] === undefined ? {} : { textFile: values["text-file"] }),
    ...(values["config-schema"] === undefined ? {} : { configSchema: values["config-schema"] }),
    sourceMap: values["source-map"],
    names: !values["no-names"],
    simd: !values["no-simd"],
    raw: values.raw,
  };
}

async function run(args: string[]): Promise<number> {
  let options: BuildOptions | undefined;
  try {
    options = parseCommand(args);
  } catch (error) {
    process.stderr.write(`leat-asc: ${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return 2;
  }
  if (options === undefined) {
    process.stdout.write(usage);
    return 0;
  }
  // Loaded only when there is something to compile: the compiler takes most of a second to load.
  const { BuildError, buildModule } = await import("./build.ts");
  try {
    const { wasm, warnings } = await buildModule(options);
    process.stderr.write(warnings);
    process.stderr.write(`${options.outFile}: ${wasm.length} bytes\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    process.stderr.write(`leat-asc: ${error.message}\n`);
    return 1;
  }
}

process.exitCode = await run(process.argv.slice(2));
