// Starts the server that was installed, loads the module named by the argument, and sends a record through it.

import { readFile } from "node:fs/promises";
import { Leat, text } from "@leat/sdk";
import { startServer } from "@leat/server";

await using server = await startServer({ grpcAddress: "127.0.0.1:0", httpAddress: false });
await using leat = new Leat(`127.0.0.1:${server.grpcPort}`);
const wasm = await readFile(process.argv[2] ?? "module.wasm");
await leat.modules.loadModule({ name: "uppercase", version: "1", wasm });
const result = await leat.transform({ modules: ["uppercase@1"] }, ["from dist"], { codec: text() });
process.stdout.write(`${result.outputs.join()}\n`);
