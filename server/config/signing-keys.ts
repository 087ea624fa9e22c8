/**
 * The list of keys whose signatures count, as people write it, in YAML:
 *
 *     keys:
 *       - { name: release-2026, file: keys/release-2026.pk, notBefore: 2026-01-01 }
 *       - { name: release-2025, file: keys/release-2025.pk, notAfter: 2026-02-01 }
 *       - { name: laptop, key: "ssh-ed25519 AAAA…", revoked: true }
 *
 * @module
 */

import { ConfigError, type ConfigProblem } from "./config-error.ts";
import { type Kind, pattern, text, yesOrNo } from "./kinds.ts";
import { check, formatPath, list, mapping, value } from "./validate.ts";
import { readYaml } from "./yaml-text.ts";

/** What the server asks of modules: nothing; a signature, or else a warning; a signature. */
export const signatureModes = ["off", "warn", "require"] as const;

/** What the server asks of modules. */
export type SignatureMode = (typeof signatureModes)[number];

/** A key as it stands in the list. */
export interface SigningKeyEntry {
  readonly name: string;
  /** Where the key is: the path of its file, or the key itself. */
  readonly source: { readonly file: string } | { readonly inline: string };
  /** From when it counts, in milliseconds since the Unix epoch; undefined for always. */
  readonly notBeforeMs: number | undefined;
  /** Until when it counts; undefined for ever. */
  readonly notAfterMs: number | undefined;
  readonly revoked: boolean;
  /** Where it stands, for messages: `keys[0]`. */
  readonly place: string;
}

const moment: Kind<number> = {
  allowed: 'a day such as "2027-01-31" or a time such as "2027-01-31T12:00:00Z", in UTC',
  parse: (given) => {
    if (typeof given !== "string" || !/^\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\dZ)?$/.test(given)) return undefined;
    const ms = Date.parse(given);
    // A day that its month does not have would become one of the next.
    return Number.isNaN(ms) || !new Date(ms).toISOString().startsWith(given.slice(0, 10)) ? undefined : ms;
  },
};

const keyName = pattern(
  /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/,
  "1 to 64 letters, digits, `.`, `_`, `@` or `-`",
);

const entrySchema = mapping({
  name: value(keyName),
  file: value(text("the path of a public key")).optional(),
  key: value(text("a public key: wasmsign2's in base64, PEM, or ssh-ed25519 AAAA…")).optional(),
  notBefore: value(moment).optional(),
  notAfter: value(moment).optional(),
  revoked: value(yesOrNo).optional(),
});

/**
 * Reads a list of keys; not the files that it names.
 *
 * @param source - the YAML
 * @param fileName - what messages call it
 * @throws ConfigError with all mistakes
 */
export function parseSigningKeys(
  source: string,
  fileName: string,
  maxSigningKeys: number,
): SigningKeyEntry[] {
  const [document, ...more] = readYaml(source, fileName);
  if (document === undefined || more.length > 0)
    throw new ConfigError([{ where: fileName, key: "", problem: "must be one document" }]);
  const schema = mapping({ keys: list(entrySchema, "keys (the limit is maxSigningKeys)", maxSigningKeys) });
  const checked = check(schema, document.value ?? {}, document.where);
  if (!checked.ok) throw new ConfigError(checked.problems);
  const problems: ConfigProblem[] = [];
  const entries: SigningKeyEntry[] = [];
  for (const [at, written] of checked.value.keys.entries()) {
    const path = ["keys", at];
    const place = formatPath(path);
    const entry = readEntry(written, place);
    const problem =
      typeof entry === "string"
        ? entry
        : entries.some(({ name }) => name === entry.name)
          ? `${entry.name} is there twice`
          : undefined;
    if (problem !== undefined) problems.push({ where: document.where(path, false), key: place, problem });
    else if (typeof entry !== "string") entries.push(entry);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return entries;
}

/** A key as zod gives it. */
interface Written {
  readonly name: string;
  readonly file?: string | undefined;
  readonly key?: string | undefined;
  readonly notBefore?: number | undefined;
  readonly notAfter?: number | undefined;
  readonly revoked?: boolean | undefined;
}

/** The entry, or what is wrong with it. */
function readEntry(written: Written, place: string): SigningKeyEntry | string {
  const { name, file, key, notBefore, notAfter, revoked = false } = written;
  if (notBefore !== undefined && notAfter !== undefined && notBefore >= notAfter)
    return "never counts: its notAfter is not later than its notBefore";
  const given = { name, notBeforeMs: notBefore, notAfterMs: notAfter, revoked, place };
  if (file !== undefined && key === undefined) return { ...given, source: { file } };
  if (key !== undefined && file === undefined) return { ...given, source: { inline: key } };
  return "needs either file or key";
}
