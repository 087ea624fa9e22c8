/**
 * Where it is written down which modules and pipelines there are, and which version of each serves.
 *
 * @module
 */

import type { StoreClient } from "./store-client.ts";

/** A loaded module version. */
export interface StoredModule {
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
  /** The JSON Schema of its configuration. Empty or unset where it has none. */
  readonly configSchema?: string;
}

/** A version that was loaded once. Its name and version mean these bytes for ever. */
export type BoundVersion = Pick<StoredModule, "name" | "version" | "digest">;

/** What came with a version of its signature. */
export interface StoredSignature extends Pick<StoredModule, "name" | "version"> {
  /** The signature that lay beside the module; empty where there was none. */
  readonly detached: Uint8Array;
  /** When it was taken, in milliseconds since the Unix epoch by the wall clock: its key must have counted then. */
  readonly timeMs: number;
}

/** Why a version became the active one of its name. `unload`: the active one was taken out, and this one was next. */
export type ActivationCause = "load" | "activate" | "rollback" | "promote" | "unload";

/** One entry of a name's history. The newest tells which version is active. */
export interface Activation extends BoundVersion {
  readonly timeMs: number;
  readonly cause: ActivationCause;
}

/** What is known of a revision of a pipeline beside what it defines. */
export interface RevisionInfo {
  readonly name: string;
  readonly revision: number;
  readonly timeMs: number;
  /** Who put it; empty where that is not known. */
  readonly principal: string;
  /** `sha256:` and 64 hex digits, of what it defines; empty for one that an earlier server has put. */
  readonly digest: string;
  /** The revision that served before it was put; 0 for none. */
  readonly previous: number;
}

/** One revision of a pipeline. */
export interface StoredRevision extends RevisionInfo {
  /** An encoded `leat.v1.Pipeline`. */
  readonly definition: Uint8Array;
}

/** The revision of a pipeline that serves. */
export interface StoredHead extends StoredRevision {
  /** The newest revision of the name, which need not be the one that serves. */
  readonly newest: number;
}

/** All that is kept, as a server needs it to start. */
export interface StoredRegistry {
  /** In the order of loading. */
  readonly modules: readonly StoredModule[];
  /** Of the loaded modules; those that an earlier program has loaded have none. */
  readonly signatures: readonly StoredSignature[];
  /** Versions that were unloaded. */
  readonly unloaded: readonly BoundVersion[];
  /** Of all names, oldest first. */
  readonly activations: readonly Activation[];
  /** The revision of each pipeline that serves, by name. */
  readonly pipelines: readonly StoredHead[];
}

/** One step of a change. */
export type RegistryStep =
  | { readonly t: "load"; readonly module: StoredModule }
  /** In place of the one that the version has. */
  | { readonly t: "signature"; readonly signature: StoredSignature }
  | { readonly t: "unload"; readonly name: string; readonly version: string; readonly timeMs: number }
  /** Of the name's history, the newest `keep` entries stay. */
  | { readonly t: "activate"; readonly activation: Activation; readonly keep: number }
  /** No version of the name is active any more; its history goes. */
  | { readonly t: "deactivate"; readonly name: string }
  /** Adds a revision, which serves from now on. `keep` stay: that one, the one before it, and the newest of the others. */
  | { readonly t: "pipeline"; readonly revision: StoredRevision; readonly keep: number }
  /** Another revision that is there serves from now on. */
  | { readonly t: "pipeline-head"; readonly name: string; readonly revision: number }
  | { readonly t: "delete-pipeline"; readonly name: string };

/** Keeps the registry's state. A change is kept wholly or not at all. */
export interface RegistryStore {
  /** Reads everything. @throws LeatError STORE_UNAVAILABLE */
  read(): Promise<StoredRegistry>;
  /** The kept revisions of a pipeline, oldest first. @throws LeatError STORE_UNAVAILABLE */
  revisions(pipeline: string): Promise<readonly RevisionInfo[]>;
  /** One of them, with what it defines. @throws LeatError STORE_UNAVAILABLE */
  revision(pipeline: string, revision: number): Promise<StoredRevision | undefined>;
  /** Makes a change durable. @throws LeatError STORE_UNAVAILABLE: then nothing of it was kept */
  commit(steps: readonly RegistryStep[]): Promise<void>;
  /** Has the listener called when what was kept is gone, as when its file was removed or is broken. */
  onLost(listener: () => void): void;
}

/** Keeps the revisions of pipelines in memory and the rest nowhere: a server without a data folder starts empty. */
export class MemoryRegistryStore implements RegistryStore {
  readonly #revisions = new Map<string, StoredRevision[]>();

  async read(): Promise<StoredRegistry> {
    return { modules: [], signatures: [], unloaded: [], activations: [], pipelines: [] };
  }

  async revisions(pipeline: string): Promise<readonly RevisionInfo[]> {
    return this.#revisions.get(pipeline) ?? [];
  }

  async revision(pipeline: string, revision: number): Promise<StoredRevision | undefined> {
    return this.#revisions.get(pipeline)?.find((each) => each.revision === revision);
  }

  async commit(steps: readonly RegistryStep[]): Promise<void> {
    for (const step of steps) {
      if (step.t === "delete-pipeline") this.#revisions.delete(step.name);
      if (step.t === "pipeline") this.#add(step.revision, step.keep);
    }
  }

  #add(added: StoredRevision, keep: number): void {
    const { name, revision, previous } = added;
    const others = (this.#revisions.get(name) ?? []).filter((each) => each.revision !== revision);
    const rank = (each: StoredRevision): number =>
      each === added ? Number.POSITIVE_INFINITY : each.revision === previous ? revision : each.revision;
    const kept = [...others, added].sort((a, b) => (rank(b) < rank(a) ? -1 : 1)).slice(0, keep);
    this.#revisions.set(
      name,
      kept.sort((a, b) => a.revision - b.revision),
    );
  }

  /** Memory loses nothing. */
  onLost(): void {}
}

/** Keeps everything in the database of the store's thread. */
export class DatabaseRegistryStore implements RegistryStore {
  readonly #client: StoreClient;

  constructor(client: StoreClient) {
    this.#client = client;
  }

  read(): Promise<StoredRegistry> {
    return this.#client.call("readRegistry", {});
  }

  revisions(pipeline: string): Promise<readonly RevisionInfo[]> {
    return this.#client.call("readRevisions", { pipeline });
  }

  revision(pipeline: string, revision: number): Promise<StoredRevision | undefined> {
    return this.#client.call("readRevision", { pipeline, revision });
  }

  async commit(steps: readonly RegistryStep[]): Promise<void> {
    await this.#client.call("changeRegistry", { steps });
  }

  onLost(listener: () => void): void {
    this.#client.onNewFile = listener;
  }
}
