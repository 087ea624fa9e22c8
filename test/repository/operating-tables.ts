/**
 * The tables of keys and limits in `docs/operating.md`, made from the code that they describe.
 *
 *     npm exec -- node test/repository/operating-tables.ts     puts them in place
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configKeys, limitsElsewhere } from "../../server/config/schema.ts";
import { limitChanges } from "../../server/limit-changes.ts";
import { defaultLimits, type Limits } from "../../server/limits.ts";
import { readLimitDescriptions } from "../kit/limit-descriptions.ts";
import { root } from "./root.ts";

const page = join(root, "docs/operating.md");

/** The page with each table between its marks made anew. */
export function withTables(text: string): string {
  return between(between(text, "keys", keyTable()), "limits", limitTable());
}

function between(text: string, name: string, table: string): string {
  const begin = `<!-- ${name}: made by test/repository/operating-tables.ts -->\n`;
  const end = `<!-- end of ${name} -->`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`${page} has no place for the table of ${name}`);
  return `${text.slice(0, from + begin.length)}\n${table}\n${text.slice(to)}`;
}

function keyTable(): string {
  const rows = configKeys
    .filter(({ key }) => !key.startsWith("limits."))
    .map(({ key, kind, defaultText, change, description = "" }) => [
      `\`${key}\``,
      kind.allowed,
      defaultText,
      change,
      description,
    ]);
  return table(["key", "values", "default", "change", "what for"], rows);
}

function limitTable(): string {
  const source = readFileSync(join(root, "server/limits.ts"), "utf8");
  const descriptions = readLimitDescriptions(source);
  const byName = new Map(configKeys.map(({ key, defaultText }) => [key, defaultText]));
  const rows = Object.keys(defaultLimits).map((name) => {
    const elsewhere = new Map<string, string>(Object.entries(limitsElsewhere)).get(name);
    const defaultText = byName.get(elsewhere ?? `limits.${name}`) ?? "";
    const where = elsewhere === undefined ? "" : ` Set by the key \`${elsewhere}\`.`;
    const change = limitChanges[name as keyof Limits] === "restart" ? "restart" : "live";
    return [`\`${name}\``, defaultText, change, withoutDefault(descriptions.get(name) ?? "") + where];
  });
  return table(["limit", "default", "change", "what it bounds"], rows);
}

/** Takes the default out of a description, which has a column of its own, and leaves its reason. */
function withoutDefault(description: string): string {
  return description
    .replace(/ Default:? [^.:]+\./, "")
    .replace(/ Default [^.:]+: (\w)/, (_, first: string) => ` ${first.toUpperCase()}`);
}

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, headings.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |\n`);
  return lines.join("");
}

if (import.meta.main) writeFileSync(page, withTables(readFileSync(page, "utf8")));
