/**
 * Reads what each limit is for from the source of `server/limits.ts`, so that documentation
 * repeats no text that could drift.
 *
 * @module
 */

/**
 * The descriptions by name.
 *
 * @param source - the text of `server/limits.ts`
 */
export function readLimitDescriptions(source: string): ReadonlyMap<string, string> {
  const found = source.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(\w+): number;/g);
  return new Map(
    Array.from(
      found,
      ([, comment = "", name = ""]) => [name, comment.replace(/\s*\n\s*\* ?/g, " ").trim()] as const,
    ),
  );
}
