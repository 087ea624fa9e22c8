/**
 * Text for people: tables, sizes and times.
 *
 * @module
 */

/** Lines up columns under their headings, two spaces apart. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows].map((row) => row.map(printable));
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** Names with their values, one a line. */
export function formatFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length)) + 1;
  return fields.map(([name, value]) => `${`${name}:`.padEnd(width)}  ${printable(value)}\n`).join("");
}

/** Text that cannot move a terminal's cursor or colour it: what modules and their authors say is not ours. */
export function printable(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A size as people read it: `28.1 KiB`. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  const [unit, factor] =
    bytes < 1024 ** 2 ? ["KiB", 1024] : bytes < 1024 ** 3 ? ["MiB", 1024 ** 2] : ["GiB", 1024 ** 3];
  return `${(bytes / Number(factor)).toFixed(1)} ${unit}`;
}

/** A number with commas between thousands. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** Writes data to stdout, and waits while its reader is behind. */
export async function print(data: string | Uint8Array): Promise<void> {
  if (process.stdout.write(data)) return;
  await new Promise<void>((resolve) => process.stdout.once("drain", resolve));
}
