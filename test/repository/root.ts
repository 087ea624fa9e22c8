/**
 * Where the repository is, and the environment in which its own tools come first.
 *
 * @module
 */

import { delimiter, dirname, join } from "node:path";

/** The repository's top folder. */
export const root = dirname(dirname(import.meta.dirname));

/** This process's environment with the repository's tools, Node 26 included, first on the PATH. */
export const toolEnvironment: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env["PATH"] ?? ""}`,
};
