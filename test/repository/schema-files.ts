/**
 * The JSON Schemas in `docs/schema`, made from what checks the files.
 *
 *     npm exec -- node test/repository/schema-files.ts     writes them
 *
 * @module
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { jsonSchemaOf, type SchemaName } from "../../server/config/json-schema.ts";
import { root } from "./root.ts";

/** The file of each schema. */
export const schemaFiles: Readonly<Record<SchemaName, string>> = {
  config: join(root, "docs/schema/leat.schema.json"),
  pipelines: join(root, "docs/schema/pipelines.schema.json"),
};

/** What a schema's file has. The number of cores of this machine is in none. */
export function schemaText(name: SchemaName): string {
  return `${JSON.stringify(jsonSchemaOf(name), undefined, 2)}\n`;
}

if (import.meta.main) {
  mkdirSync(join(root, "docs/schema"), { recursive: true });
  for (const name of Object.keys(schemaFiles) as SchemaName[])
    writeFileSync(schemaFiles[name], schemaText(name));
}
