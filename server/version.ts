/**
 * The server's version.
 *
 * @module
 */

import packageJson from "./package.json" with { type: "json" };

/** As in the package. */
export const serverVersion: string = packageJson.version;
