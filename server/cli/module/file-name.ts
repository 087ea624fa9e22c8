/** A module's name and version. */
export interface ModuleName {
  /** The name. */
  readonly name: string;
  /** The version; empty where the file's name has none: the server then takes it from the digest. */
  readonly version: string;
}

/**
 * Reads the name and the version that a module's file is called after.
 *
 * @example
 * parseModuleFileName("uppercase@1.2.0.wasm"); // { name: "uppercase", version: "1.2.0" }
 */
export function parseModuleFileName(fileName: string): ModuleName {
  const stem = fileName.replace(/\.wasm$/, "");
  const at = stem.indexOf("@");
  return at < 0 ? { name: stem, version: "" } : { name: stem.slice(0, at), version: stem.slice(at + 1) };
}
