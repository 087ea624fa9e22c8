/**
 * Which module versions are there, and which of each name is active.
 *
 * @module
 */

import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { parseReference } from "./names.ts";

/** A loaded module version. */
export interface ModuleEntry {
  readonly name: string;
  readonly version: string;
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  readonly sizeBytes: number;
  /** The guest ABI it speaks. */
  readonly abi: string;
  readonly loadTimeMs: number;
  readonly compileUs: number;
  readonly imports: readonly string[];
  readonly exports: readonly string[];
}

/** Versions by name; the newest is the active one. */
export class ModuleCatalog {
  readonly #limits: Readonly<Limits>;
  /** In the order of loading. */
  readonly #names = new Map<string, ModuleEntry[]>();
  /** By digest, in the order of loading: calls may name a module by it, batch by batch. */
  readonly #digests = new Map<string, ModuleEntry[]>();
  #count = 0;

  constructor(limits: Readonly<Limits>) {
    this.#limits = limits;
  }

  /** All entries, by name, then by load time. */
  list(name?: string): ModuleEntry[] {
    const names = name === undefined ? [...this.#names.keys()].sort() : [name];
    return names.flatMap((each) => this.#names.get(each) ?? []);
  }

  /** The entry of a name and version; undefined when there is none. */
  find(name: string, version: string): ModuleEntry | undefined {
    return this.#names.get(name)?.find((entry) => entry.version === version);
  }

  /** Whether a bare name means this entry. */
  isActive(entry: ModuleEntry): boolean {
    return this.#names.get(entry.name)?.at(-1) === entry;
  }

  /**
   * The entry that a reference names.
   *
   * @throws LeatError MODULE_NOT_FOUND, REQUEST_INVALID
   */
  resolve(reference: string): ModuleEntry {
    const parsed = parseReference(reference);
    const entry = this.#lookUp(parsed);
    if (entry === undefined) throw leatError("MODULE_NOT_FOUND", { module: reference });
    return entry;
  }

  #lookUp(parsed: ReturnType<typeof parseReference>): ModuleEntry | undefined {
    switch (parsed.t) {
      case "active":
        return this.#names.get(parsed.name)?.at(-1);
      case "version":
        return this.find(parsed.name, parsed.version);
      case "digest":
        return this.#digests.get(parsed.digest)?.[0];
    }
  }

  /**
   * The one entry that a reference names, where a bare name must not be a guess.
   *
   * @throws LeatError MODULE_AMBIGUOUS when a bare name has several versions
   */
  resolveExactly(reference: string): ModuleEntry {
    const entry = this.resolve(reference);
    const versions = this.#names.get(reference) ?? [];
    if (versions.length > 1) {
      throw leatError("MODULE_AMBIGUOUS", {
        module: reference,
        versions: versions.map(({ version }) => version).join(", "),
      });
    }
    return entry;
  }

  /** @throws LeatError TOO_MANY_MODULES when no further version may be added */
  checkRoom(): void {
    if (this.#count < this.#limits.maxModules) return;
    throw leatError("TOO_MANY_MODULES", {
      limit: "maxModules",
      value: this.#limits.maxModules,
      measured: this.#count + 1,
    });
  }

  /** Adds an entry and makes it the active one of its name. */
  add(entry: ModuleEntry): void {
    const versions = this.#names.get(entry.name);
    if (versions === undefined) this.#names.set(entry.name, [entry]);
    else versions.push(entry);
    this.#digests.set(entry.digest, [...(this.#digests.get(entry.digest) ?? []), entry]);
    this.#count++;
  }

  /** Takes an entry out. Whether other entries have its digest is returned. */
  remove(entry: ModuleEntry): { readonly digestStillUsed: boolean } {
    const versions = (this.#names.get(entry.name) ?? []).filter((other) => other !== entry);
    if (versions.length === 0) this.#names.delete(entry.name);
    else this.#names.set(entry.name, versions);
    this.#count--;
    const others = (this.#digests.get(entry.digest) ?? []).filter((other) => other !== entry);
    if (others.length === 0) this.#digests.delete(entry.digest);
    else this.#digests.set(entry.digest, others);
    return { digestStillUsed: others.length > 0 };
  }
}
