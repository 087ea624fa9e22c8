/**
 * What only shows after a long time or very often: `npm run soak`.
 *
 * @module
 */

import { inspect } from "node:util";
import { churnModules } from "./module-churn.ts";
import { cases, numbers } from "./soak-flags.ts";

if (cases.includes("mixed")) await import("./mixed-load.ts");
if (cases.includes("modules")) {
  try {
    console.log(`modules: ${await churnModules(numbers.modules)}`);
  } catch (error) {
    console.log(`modules: FAILED: ${inspect(error)}`);
    process.exitCode = 1;
  }
}
