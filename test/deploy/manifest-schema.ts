/**
 * Checks Kubernetes manifests against the definitions of its API, and refuses fields that those do not have: the API server
 * would drop a misspelt field without a word.
 *
 * @module
 */

import { readFileSync } from "node:fs";

/** As much of a JSON Schema as the definitions use. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
  readonly enum?: readonly unknown[];
  readonly oneOf?: readonly Schema[];
}

const { definitions } = JSON.parse(
  readFileSync(new URL("./kubernetes-1.34.json", import.meta.url), "utf8"),
) as { readonly definitions: Readonly<Record<string, Schema>> };

/** A manifest's kind in the definitions. */
const kinds: Readonly<Record<string, string>> = {
  "v1 Service": "io.k8s.api.core.v1.Service",
  "v1 ServiceAccount": "io.k8s.api.core.v1.ServiceAccount",
  "apps/v1 StatefulSet": "io.k8s.api.apps.v1.StatefulSet",
  "policy/v1 PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
};

/** What is wrong with a manifest, each with its path. */
export function manifestProblems(manifest: { readonly apiVersion: string; readonly kind: string }): string[] {
  const kind = `${manifest.apiVersion} ${manifest.kind}`;
  const definition = kinds[kind];
  if (definition === undefined) return [`${kind} is no kind that is known here`];
  const problems: string[] = [];
  check(manifest, named(definition), manifest.kind, problems);
  return problems;
}

function named(name: string): Schema {
  const found = definitions[name];
  if (found === undefined) throw new Error(`no definition of ${name}`);
  return found;
}

function check(value: unknown, schema: Schema, path: string, problems: string[]): void {
  const { $ref, type, oneOf, properties, required, items, additionalProperties } = schema;
  if ($ref !== undefined) {
    check(value, named($ref.slice($ref.lastIndexOf("/") + 1)), path, problems);
    return;
  }
  if (oneOf !== undefined) {
    if (!oneOf.some((each) => problemsOf(value, each).length === 0)) problems.push(`${path}: fits nothing`);
    return;
  }
  const types = type === undefined ? [] : [type].flat();
  if (
    types.length > 0 &&
    !types.includes(typeOf(value)) &&
    !(types.includes("number") && typeOf(value) === "integer")
  ) {
    problems.push(`${path}: ${typeOf(value)} in place of ${types.join(" or ")}`);
    return;
  }
  if (schema.enum !== undefined && !schema.enum.includes(value))
    problems.push(`${path}: ${String(value)} is not allowed`);
  if (Array.isArray(value)) {
    for (const [index, each] of value.entries()) if (items) check(each, items, `${path}[${index}]`, problems);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  for (const name of required ?? []) if (!(name in value)) problems.push(`${path}.${name}: is missing`);
  for (const [name, each] of Object.entries(value)) {
    const inner = properties?.[name] ?? additionalProperties;
    if (inner !== undefined) check(each, inner, `${path}.${name}`, problems);
    else if (properties !== undefined) problems.push(`${path}.${name}: there is no such field`);
  }
}

function problemsOf(value: unknown, schema: Schema): string[] {
  const problems: string[] = [];
  check(value, schema, "", problems);
  return problems;
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}
