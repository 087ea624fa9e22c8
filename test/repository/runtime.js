/*
 * Stops with a clear message unless this is Node 26. It is plain JavaScript because the Node
 * that it has to turn away cannot run TypeScript. Imported by the test and build configuration
 * and run before every npm script that needs it.
 */

import { existsSync } from "node:fs";

const wanted = 26;
const found = Number(process.versions.node.split(".")[0]);
const installed = new URL("../../node_modules/.bin/node", import.meta.url);

if (found < wanted) {
  const advice = existsSync(installed)
    ? `Node ${wanted} is installed here as node_modules/.bin/node, and npm scripts find it first.
Start this through npm (npm test, npm run demo, npm exec leat), or put node_modules/.bin first on the PATH.`
    : `npm ci installs Node ${wanted} as node_modules/.bin/node, but it is not there. Run npm ci again,
without --ignore-scripts, since the package "node" fetches the binary in its install script.
If there is no binary for ${process.platform}-${process.arch}, install Node ${wanted} and put it first on the PATH.`;
  process.stderr.write(
    `Leat runs on Node ${wanted}; this is Node ${process.versions.node} (${process.execPath}).\n${advice}\n`,
  );
  process.exit(1);
}
