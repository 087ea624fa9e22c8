/**
 * Names functions in profiles.
 *
 * @module
 */

/** A function in a profile (Chrome DevTools protocol, Runtime.CallFrame). */
export interface CallFrame {
  functionName: string;
  url: string;
  /** From 0. */
  lineNumber: number;
}

/** A function's name and place: below the repository's root, or below node_modules. */
export function nameFrame({ functionName, url, lineNumber }: CallFrame, root: URL): string {
  const place = url
    .replace(root.href, "")
    .replace(/^.*node_modules\//, "")
    .replace(/^(data:[^,]*),.*$/s, "$1");
  const name = functionName || "(anonymous)";
  return place === "" ? name : `${name} ${place}:${lineNumber + 1}`;
}
