import { buildExamples, examplePath } from "./index.ts";

const built = await buildExamples({ force: process.argv.includes("--force") });
for (const name of built) process.stdout.write(`${examplePath(name)}\n`);
