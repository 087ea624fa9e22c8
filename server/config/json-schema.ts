/**
 * JSON Schemas of the files that people write, for editors: made from what checks the files, so they say no less and no
 * other than it. What they cannot say, such as limits that must fit together, `leat config check` finds.
 *
 * @module
 */

import { z } from "zod";
import { defaultLimits } from "../limits.ts";
import { pipelineDocuments } from "./pipelines-file.ts";
import { configKeys, configSchema } from "./schema.ts";

/** The files that have a schema. */
export const schemaNames = ["config", "pipelines"] as const;

/** A file that has a schema. */
export type SchemaName = (typeof schemaNames)[number];

/** The JSON Schema (draft 2020-12) of a file. */
export function jsonSchemaOf(name: SchemaName): object {
  return name === "config" ? configFile() : pipelinesFile();
}

interface Node {
  description?: string;
  default?: unknown;
  properties?: Record<string, Node>;
}

const options = { io: "input", target: "draft-2020-12", unrepresentable: "any" } as const;

function configFile(): object {
  const schema = z.toJSONSchema(configSchema, options) as Node;
  for (const { key, kind, defaultText, description = "" } of configKeys) {
    const node = key.split(".").reduce<Node | undefined>((found, part) => found?.properties?.[part], schema);
    if (node === undefined) throw new Error(`the schema has no ${key}`);
    const text = description.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1");
    const isValue = kind.parse(defaultText) !== undefined && !/^none/.test(defaultText);
    node.description = [text, node.description, isValue ? "" : `Default: ${defaultText}.`]
      .filter((part) => part !== undefined && part !== "")
      .join(" ");
    if (isValue) node.default = written(defaultText);
  }
  return { title: "leat.yaml", ...schema };
}

function pipelinesFile(): object {
  const [one, many] = pipelineDocuments();
  const title = "Pipelines of Leat: one document";
  const description = `A pipeline, or a list of up to ${defaultLimits.maxPipelines} of them.`;
  return { title, description, ...z.toJSONSchema(z.union([one, many]), { ...options, reused: "ref" }) };
}

/** A default as the file would have it. */
function written(text: string): unknown {
  return /^(?:\d+(?:\.\d+)?|true|false)$/.test(text) ? JSON.parse(text) : text;
}
