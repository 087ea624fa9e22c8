#!/usr/bin/env node
/*
 * Starts the `leat` command. It is plain JavaScript because the older Node that it has to turn
 * away can read nothing else of it: `main.ts` in the source tree, `main.js` in a published package.
 */

import { existsSync } from "node:fs";

const wanted = 26;
const found = Number(process.versions.node.split(".")[0]);

if (found >= wanted) {
  const built = new URL("./main.js", import.meta.url);
  await import((existsSync(built) ? built : new URL("./main.ts", import.meta.url)).href);
} else {
  process.stderr.write(
    `leat: needs Node ${wanted} or newer; this is Node ${process.versions.node} (${process.execPath}). ` +
      "Put a newer node first on the PATH. Where Leat was installed by `npm ci` from its repository, " +
      "`npm exec leat` does that.\n",
  );
  process.exitCode = 1;
}
