/**
 * Where module binaries are kept.
 *
 * @module
 */

/** Keeps binaries by digest. What is put once can be read until it is deleted. */
export interface ModuleStore {
  /** Keeps a binary. Putting the same digest again changes nothing. */
  put(digest: string, wasm: Uint8Array): Promise<void>;
  /** Reads a binary; undefined when there is none. */
  get(digest: string): Promise<Uint8Array | undefined>;
  /** Forgets a binary. */
  delete(digest: string): Promise<void>;
  /** The sizes of all binaries, in bytes, by digest. */
  sizes(): Promise<ReadonlyMap<string, number>>;
}

/** Keeps binaries in memory, for as long as the process lives. Bounded by the registry's `maxModules`. */
export class MemoryModuleStore implements ModuleStore {
  readonly #binaries = new Map<string, Uint8Array>();

  async put(digest: string, wasm: Uint8Array): Promise<void> {
    if (!this.#binaries.has(digest)) this.#binaries.set(digest, wasm);
  }

  async get(digest: string): Promise<Uint8Array | undefined> {
    return this.#binaries.get(digest);
  }

  async delete(digest: string): Promise<void> {
    this.#binaries.delete(digest);
  }

  async sizes(): Promise<ReadonlyMap<string, number>> {
    return new Map([...this.#binaries].map(([digest, wasm]) => [digest, wasm.length]));
  }
}
