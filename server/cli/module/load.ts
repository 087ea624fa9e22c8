/**
 * `leat module load`.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LoadModuleRequestSchema, UploadModuleRequestSchema } from "@leat/sdk";
import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, configOption, jsonOption, readConfigOption } from "../options.ts";
import { formatSize, print, printable } from "../text-table.ts";
import { parseModuleFileName } from "./file-name.ts";

/** Larger modules go in pieces of this size. */
const pieceBytes = 1024 * 1024;

interface LoadOptions {
  readonly name?: string;
  readonly version?: string;
  readonly config?: string;
  readonly signature?: string;
  readonly dryRun?: boolean;
  /** commander's `--no-activate`. */
  readonly activate?: boolean;
  readonly json?: boolean;
}

const help = `
The server checks, compiles and warms up the module before it takes it; a load that fails changes nothing.

Examples:
  leat module load redact.wasm --version 1.2.0
  leat module load redact@1.2.0.wasm
  leat module load redact.wasm --version 1.3.0 --no-activate
  leat module load redact.wasm --version 1.3.0 --signature redact.wasm.sig
  leat module load redact.wasm --dry-run --config '{"fields":["email"]}'`;

/** Adds `module load`. */
export function addLoadCommand(module: Command): void {
  module
    .command("load <FILE>")
    .description("load a module into the server")
    .option("--name <NAME>", "its name (default: from the file's name, NAME.wasm or NAME@VERSION.wasm)")
    .option("--version <VERSION>", "its version (default: from the file's name, else from its digest)")
    .addOption(configOption("a configuration to warm it up with, for a module that needs one"))
    .option("--signature <FILE>", 'the signature beside it, as "leat module sign --detached" writes it')
    .option("--dry-run", "check, compile and warm up only")
    .option("--no-activate", "leave the version active that is")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(load);
}

async function load(file: string, options: LoadOptions, command: Command): Promise<void> {
  const sampleConfigJson = readConfigOption(options.config);
  const wasm = await readFile(file);
  const signature = options.signature === undefined ? new Uint8Array() : await readFile(options.signature);
  const fromFile = parseModuleFileName(basename(file));
  const { name = fromFile.name, version = fromFile.version, dryRun = false } = options;
  await withLeat(command, async (leat) => {
    const noActivate = options.activate === false;
    const request = { name, version, signature, sampleConfigJson, dryRun, noActivate };
    const response =
      wasm.length <= pieceBytes
        ? await leat.modules.loadModule({ ...request, wasm })
        : await leat.modules.uploadModule(pieces(request, wasm));
    if (options.json) {
      const { LoadModuleResponseSchema } = await import("@leat/sdk");
      const { create, toJsonString } = await import("@bufbuild/protobuf");
      const { module, alreadyLoaded } = response;
      const shown = create(LoadModuleResponseSchema, { ...(module && { module }), alreadyLoaded });
      await print(`${toJsonString(LoadModuleResponseSchema, shown, { prettySpaces: 2 })}\n`);
      return;
    }
    const { module, alreadyLoaded } = response;
    if (module === undefined) return;
    const { problem = "" } = module.signature ?? {};
    if (problem !== "") process.stderr.write(`leat: its signature does not count: ${printable(problem)}\n`);
    const verb = dryRun ? "would load" : alreadyLoaded ? "had already loaded" : "loaded";
    const facts = `${formatSize(Number(module.sizeBytes))}, compiled in ${Number(module.compileUs) / 1_000} ms, ${module.digest}`;
    await print(`${verb} ${printable(`${module.name}@${module.version}`)} (${facts})\n`);
  });
}

/** An upload: what the module is, then its bytes. */
async function* pieces(
  module: MessageInitShape<typeof LoadModuleRequestSchema>,
  wasm: Uint8Array,
): AsyncGenerator<MessageInitShape<typeof UploadModuleRequestSchema>, void, undefined> {
  yield { piece: { case: "module", value: module } };
  for (let at = 0; at < wasm.length; at += pieceBytes)
    yield { piece: { case: "chunk", value: wasm.subarray(at, at + pieceBytes) } };
}
