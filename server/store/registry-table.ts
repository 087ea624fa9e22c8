/**
 * The statements over the tables of modules and pipelines.
 *
 * @module
 */

import type { DatabaseSync } from "node:sqlite";
import type {
  Activation,
  BoundVersion,
  RegistryStep,
  RevisionInfo,
  StoredHead,
  StoredModule,
  StoredRegistry,
  StoredRevision,
  StoredSignature,
} from "./registry-store.ts";

/** The columns of a `RevisionInfo`. */
const revisionColumns = "name, revision, time_ms AS timeMs, principal, digest, previous";

interface ModuleRow {
  readonly name: string;
  readonly version: string;
  readonly digest: string;
  readonly size_bytes: number;
  readonly abi: string;
  readonly load_time_ms: number;
  readonly compile_us: number;
  readonly imports: string;
  readonly exports: string;
  readonly config_schema: string;
}

/** Modules, their activations, and pipelines, in one open database. */
export class RegistryTable {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  read(): StoredRegistry {
    return {
      modules: this.#all<ModuleRow>(
        "SELECT * FROM module_versions WHERE unloaded_ms IS NULL ORDER BY seq",
      ).map(module),
      signatures: this.#all<StoredSignature>(
        "SELECT name, version, detached, time_ms AS timeMs FROM module_signatures",
      ),
      unloaded: this.#all<BoundVersion>(
        "SELECT name, version, digest FROM module_versions WHERE unloaded_ms IS NOT NULL ORDER BY seq",
      ),
      activations: this.#all<Activation>(
        "SELECT name, version, digest, time_ms AS timeMs, cause FROM module_activations ORDER BY seq",
      ),
      pipelines: this.#all<StoredHead>(
        `SELECT ${revisionColumns}, definition,
          (SELECT max(revision) FROM pipeline_revisions AS others WHERE others.name = heads.name) AS newest
        FROM pipeline_heads AS heads JOIN pipeline_revisions USING (name, revision) ORDER BY name`,
      ),
    };
  }

  /** The kept revisions of a pipeline, oldest first. */
  revisions(pipeline: string): readonly RevisionInfo[] {
    const sql = `SELECT ${revisionColumns} FROM pipeline_revisions WHERE name = ? ORDER BY revision`;
    return this.#database.prepare(sql).all(pipeline) as unknown as RevisionInfo[];
  }

  /** One revision of a pipeline, with what it defines. */
  revision(pipeline: string, revision: number): StoredRevision | undefined {
    const sql = `SELECT ${revisionColumns}, definition FROM pipeline_revisions WHERE name = ? AND revision = ?`;
    return this.#database.prepare(sql).get(pipeline, revision) as StoredRevision | undefined;
  }

  /** Takes one step of a change; whoever calls has begun a transaction. */
  take(step: RegistryStep): void {
    switch (step.t) {
      case "load":
        this.#load(step.module);
        return;
      case "signature":
        this.#run(
          "INSERT OR REPLACE INTO module_signatures (name, version, detached, time_ms) VALUES (?, ?, ?, ?)",
          [
            step.signature.name,
            step.signature.version,
            step.signature.detached,
            Math.floor(step.signature.timeMs),
          ],
        );
        return;
      case "unload":
        this.#run("DELETE FROM module_signatures WHERE name = ? AND version = ?", [step.name, step.version]);
        this.#run("UPDATE module_versions SET unloaded_ms = ? WHERE name = ? AND version = ?", [
          Math.floor(step.timeMs),
          step.name,
          step.version,
        ]);
        return;
      case "activate":
        this.#activate(step.activation, step.keep);
        return;
      case "deactivate":
        this.#run("DELETE FROM module_activations WHERE name = ?", [step.name]);
        return;
      case "pipeline":
        this.#putPipeline(step.revision, step.keep);
        return;
      case "pipeline-head":
        this.#run("UPDATE pipeline_heads SET revision = ? WHERE name = ?", [step.revision, step.name]);
        return;
      case "delete-pipeline":
        this.#run("DELETE FROM pipeline_heads WHERE name = ?", [step.name]);
        this.#run("DELETE FROM pipeline_revisions WHERE name = ?", [step.name]);
        return;
    }
  }

  /** A version that comes again is the one loaded last, so its row is made anew. */
  #load(loaded: StoredModule): void {
    this.#run(
      `INSERT OR REPLACE INTO module_versions
        (name, version, digest, size_bytes, abi, load_time_ms, compile_us, imports, exports, config_schema)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        loaded.name,
        loaded.version,
        loaded.digest,
        loaded.sizeBytes,
        loaded.abi,
        Math.floor(loaded.loadTimeMs),
        Math.round(loaded.compileUs),
        JSON.stringify(loaded.imports),
        JSON.stringify(loaded.exports),
        loaded.configSchema ?? "",
      ],
    );
  }

  #activate({ name, version, digest, timeMs, cause }: Activation, keep: number): void {
    this.#run(
      "INSERT INTO module_activations (name, version, digest, time_ms, cause) VALUES (?, ?, ?, ?, ?)",
      [name, version, digest, Math.floor(timeMs), cause],
    );
    this.#run(
      `DELETE FROM module_activations WHERE name = ?1 AND seq NOT IN
        (SELECT seq FROM module_activations WHERE name = ?1 ORDER BY seq DESC LIMIT ?2)`,
      [name, keep],
    );
  }

  #putPipeline(added: StoredRevision, keep: number): void {
    const { name, revision, definition, timeMs, previous, principal, digest } = added;
    this.#run(
      `INSERT OR REPLACE INTO pipeline_revisions
        (name, revision, definition, time_ms, previous, principal, digest)
      VALUES (?, ?, ?, ?, ?, ?, ?)`,
      [name, revision, definition, Math.floor(timeMs), previous, principal, digest],
    );
    this.#run("INSERT OR REPLACE INTO pipeline_heads (name, revision) VALUES (?, ?)", [name, revision]);
    this.#run(
      `DELETE FROM pipeline_revisions WHERE name = ?1 AND revision NOT IN
        (SELECT revision FROM pipeline_revisions WHERE name = ?1
        ORDER BY revision = ?2 DESC, revision = ?3 DESC, revision DESC LIMIT ?4)`,
      [name, revision, previous, keep],
    );
  }

  #run(sql: string, values: readonly (string | number | Uint8Array)[]): void {
    this.#database.prepare(sql).run(...values);
  }

  #all<Row>(sql: string): Row[] {
    return this.#database.prepare(sql).all() as unknown as Row[];
  }
}

function module(row: ModuleRow): StoredModule {
  const { name, version, digest, abi } = row;
  return {
    name,
    version,
    digest,
    abi,
    sizeBytes: row.size_bytes,
    loadTimeMs: row.load_time_ms,
    compileUs: row.compile_us,
    imports: JSON.parse(row.imports) as string[],
    exports: JSON.parse(row.exports) as string[],
    configSchema: row.config_schema,
  };
}
