/**
 * Which module versions are there, and which of each name is active.
 *
 * @module
 */

import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { Activation, BoundVersion, StoredModule } from "../store/registry-store.ts";
import { previousVersion } from "./activation-history.ts";
import { parseReference } from "./names.ts";

/** A loaded module version. */
export type { StoredModule as ModuleEntry } from "../store/registry-store.ts";

type ModuleEntry = StoredModule;

/** What is known of one name. */
interface Versions {
  /** In the order of loading. */
  readonly loaded: ModuleEntry[];
  active: ModuleEntry | undefined;
  /** Oldest first, at most `maxActivationHistory`. */
  history: readonly Activation[];
}

/** Versions by name. */
export class ModuleCatalog {
  readonly #limits: Readonly<Limits>;
  readonly #names = new Map<string, Versions>();
  /** By digest, in the order of loading: calls may name a module by it, batch by batch. */
  readonly #digests = new Map<string, ModuleEntry[]>();
  /** Digests of versions that were unloaded, by `name@version`. */
  readonly #unloaded = new Map<string, string>();
  /** Why a module cannot be read, by digest. */
  readonly #problems = new Map<string, string>();
  #count = 0;
  /** Called with each change of what is loaded, active or readable. */
  onChange: () => void = () => {};

  constructor(limits: Readonly<Limits>) {
    this.#limits = limits;
  }

  /** All entries, by name, then by load time. */
  list(name?: string): ModuleEntry[] {
    const names = name === undefined ? [...this.#names.keys()].sort() : [name];
    return names.flatMap((each) => this.#names.get(each)?.loaded ?? []);
  }

  /** The entry of a name and version; undefined when there is none. */
  find(name: string, version: string): ModuleEntry | undefined {
    return this.#names.get(name)?.loaded.find((entry) => entry.version === version);
  }

  /** Whether any module has these bytes. */
  has(digest: string): boolean {
    return this.#digests.has(digest);
  }

  /** The version that a bare name means; undefined when there is none. */
  active(name: string): ModuleEntry | undefined {
    return this.#names.get(name)?.active;
  }

  /** Whether a bare name means this entry. */
  isActive(entry: ModuleEntry): boolean {
    return this.active(entry.name) === entry;
  }

  /** The activations of a name, oldest first. */
  history(name: string): readonly Activation[] {
    return this.#names.get(name)?.history ?? [];
  }

  /**
   * The version that a rollback goes back to; undefined when there is none.
   *
   * @param without - a version that is about to go
   */
  previous(name: string, without?: ModuleEntry): ModuleEntry | undefined {
    const there = (version: string): boolean => version !== without?.version && this.#has(name, version);
    const version = previousVersion(this.history(name), there);
    return version === undefined ? undefined : this.find(name, version);
  }

  #has(name: string, version: string): boolean {
    return this.find(name, version) !== undefined;
  }

  /** The digest that a name and version are bound to, loaded or not. */
  boundTo(name: string, version: string): string | undefined {
    return this.find(name, version)?.digest ?? this.#unloaded.get(`${name}@${version}`);
  }

  /** What versions that were unloaded are bound to. */
  unloaded(): BoundVersion[] {
    return [...this.#unloaded].map(([key, digest]) => {
      const at = key.indexOf("@");
      return { name: key.slice(0, at), version: key.slice(at + 1), digest };
    });
  }

  /** Why the module of a digest cannot be read, when something is wrong with it. */
  problemOf(digest: string): string | undefined {
    return this.#problems.get(digest);
  }

  /** Says that a module cannot be read, or with undefined that it can. */
  setProblem(digest: string, problem: string | undefined): void {
    if (problem === undefined) this.#problems.delete(digest);
    else this.#problems.set(digest, problem);
    this.onChange();
  }

  /**
   * The entry that a reference names.
   *
   * @throws LeatError MODULE_NOT_FOUND, MODULE_NOT_ACTIVE, REQUEST_INVALID
   */
  resolve(reference: string): ModuleEntry {
    const parsed = parseReference(reference);
    const entry = this.#lookUp(parsed);
    if (entry !== undefined) return entry;
    const loaded = parsed.t === "active" ? this.list(parsed.name) : [];
    if (loaded.length === 0) throw leatError("MODULE_NOT_FOUND", { module: reference });
    throw leatError("MODULE_NOT_ACTIVE", { module: reference, versions: versionsOf(loaded) });
  }

  #lookUp(parsed: ReturnType<typeof parseReference>): ModuleEntry | undefined {
    switch (parsed.t) {
      case "active":
        return this.active(parsed.name);
      case "version":
        return this.find(parsed.name, parsed.version);
      case "digest":
        return this.#digests.get(parsed.digest)?.[0];
    }
  }

  /**
   * The one entry that a reference names, where a bare name must not be a guess.
   *
   * @throws LeatError MODULE_NOT_FOUND, REQUEST_INVALID, and MODULE_AMBIGUOUS when a bare name has several versions
   */
  resolveExactly(reference: string): ModuleEntry {
    const loaded = this.#names.get(reference)?.loaded ?? [];
    if (loaded.length > 1)
      throw leatError("MODULE_AMBIGUOUS", { module: reference, versions: versionsOf(loaded) });
    return loaded[0] ?? this.resolve(reference);
  }

  /** @throws LeatError TOO_MANY_MODULES when no further version may be added */
  checkRoom(): void {
    const { maxModules, maxModuleVersions } = this.#limits;
    if (this.#count >= maxModules)
      throw leatError("TOO_MANY_MODULES", {
        limit: "maxModules",
        value: maxModules,
        measured: this.#count + 1,
      });
    const measured = this.#count + this.#unloaded.size + 1;
    if (measured > maxModuleVersions)
      throw leatError("TOO_MANY_MODULES", { limit: "maxModuleVersions", value: maxModuleVersions, measured });
  }

  /** Adds an entry, which is not active yet. */
  add(entry: ModuleEntry): void {
    const versions = this.#names.get(entry.name);
    if (versions === undefined)
      this.#names.set(entry.name, { loaded: [entry], active: undefined, history: [] });
    else versions.loaded.push(entry);
    this.#digests.set(entry.digest, [...(this.#digests.get(entry.digest) ?? []), entry]);
    this.#unloaded.delete(`${entry.name}@${entry.version}`);
    this.#count++;
    this.onChange();
  }

  /** Makes a loaded version the active one of its name. */
  activate(activation: Activation): void {
    const versions = this.#names.get(activation.name);
    if (versions === undefined) return;
    versions.history = [...versions.history, activation].slice(-this.#limits.maxActivationHistory);
    versions.active = versions.loaded.find(({ version }) => version === activation.version);
    this.onChange();
  }

  /** Takes an entry out, and remembers what its name and version are bound to. Whether other entries have its digest is returned. */
  remove(entry: ModuleEntry): { readonly digestStillUsed: boolean } {
    const versions = this.#names.get(entry.name);
    if (versions !== undefined) {
      versions.loaded.splice(versions.loaded.indexOf(entry), 1);
      if (versions.active === entry) versions.active = undefined;
      if (versions.loaded.length === 0) this.#names.delete(entry.name);
    }
    this.remember(entry);
    this.#count--;
    this.onChange();
    const others = (this.#digests.get(entry.digest) ?? []).filter((other) => other !== entry);
    if (others.length > 0) {
      this.#digests.set(entry.digest, others);
      return { digestStillUsed: true };
    }
    this.#digests.delete(entry.digest);
    this.#problems.delete(entry.digest);
    return { digestStillUsed: false };
  }

  /** Remembers what an unloaded version is bound to. */
  remember({ name, version, digest }: BoundVersion): void {
    this.#unloaded.set(`${name}@${version}`, digest);
  }
}

function versionsOf(entries: readonly ModuleEntry[]): string {
  return entries.map(({ version }) => version).join(", ");
}
