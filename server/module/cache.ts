import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { type CompiledModule, compileModule } from "./compile.ts";

/** What a {@link CompiledModuleCache} did and holds. */
export interface CompiledModuleCacheStats {
  /** Loads that found the module compiled, or being compiled for somebody else. */
  readonly hits: number;
  /** Loads that began a compilation. */
  readonly misses: number;
  /** Modules that gave way to others. */
  readonly evictions: number;
  /** Modules held. */
  readonly modules: number;
  /** Their source, in bytes. */
  readonly bytes: number;
}

/**
 * Compiled modules by digest. Holds `limits.maxCompiledModuleBytes` of source; the module unused
 * for longest gives way. Users of a module that gave way keep it for as long as they refer to it.
 */
export class CompiledModuleCache {
  readonly #limits: Readonly<Limits>;
  /** From the one unused for longest to the one used last. */
  readonly #modules = new Map<string, CompiledModule>();
  readonly #compiling = new Map<string, Promise<CompiledModule>>();
  #bytes = 0;
  #hits = 0;
  #misses = 0;
  #evictions = 0;

  constructor(limits: Readonly<Limits>) {
    this.#limits = limits;
  }

  /**
   * The module with this digest. Concurrent loads of one digest share one compilation; a failed
   * one is not kept.
   *
   * @param readBytes - reads its bytes, when it has to be compiled
   * @throws LeatError - what {@link compileModule} throws; `INTERNAL` where the bytes have another digest
   */
  async load(digest: string, readBytes: () => Promise<Uint8Array>): Promise<CompiledModule> {
    const held = this.get(digest);
    if (held !== undefined) return held;
    const compiling = this.#compiling.get(digest);
    if (compiling !== undefined) {
      this.#hits += 1;
      return compiling;
    }
    this.#misses += 1;
    const begun = this.#compile(digest, readBytes);
    this.#compiling.set(digest, begun);
    try {
      const compiled = await begun;
      this.put(compiled);
      return compiled;
    } finally {
      this.#compiling.delete(digest);
    }
  }

  /** The module with this digest if it is held; counts as a hit and as a use. */
  get(digest: string): CompiledModule | undefined {
    const held = this.#modules.get(digest);
    if (held === undefined) return undefined;
    this.#hits += 1;
    this.#modules.delete(digest);
    this.#modules.set(digest, held);
    return held;
  }

  /** Holds a module that was compiled elsewhere. One larger than the whole cache is not held. */
  put(compiled: CompiledModule): void {
    this.delete(compiled.digest);
    if (compiled.sizeBytes > this.#limits.maxCompiledModuleBytes) return;
    this.#modules.set(compiled.digest, compiled);
    this.#bytes += compiled.sizeBytes;
    for (const oldest of this.#modules.keys()) {
      if (this.#bytes <= this.#limits.maxCompiledModuleBytes) break;
      this.delete(oldest);
      this.#evictions += 1;
    }
  }

  /** Lets go of a module. Returns whether it was held. */
  delete(digest: string): boolean {
    const held = this.#modules.get(digest);
    if (held === undefined) return false;
    this.#modules.delete(digest);
    this.#bytes -= held.sizeBytes;
    return true;
  }

  /** The counts so far. */
  stats(): CompiledModuleCacheStats {
    return {
      hits: this.#hits,
      misses: this.#misses,
      evictions: this.#evictions,
      modules: this.#modules.size,
      bytes: this.#bytes,
    };
  }

  async #compile(digest: string, readBytes: () => Promise<Uint8Array>): Promise<CompiledModule> {
    const compiled = await compileModule(await readBytes(), this.#limits);
    if (compiled.digest === digest) return compiled;
    throw leatError("INTERNAL", {
      problem: `the bytes stored as ${digest} have the digest ${compiled.digest}`,
    });
  }
}
