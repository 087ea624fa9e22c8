/**
 * Loads modules: checks, compiles, warms up, and keeps them.
 *
 * @module
 */

import { leatError } from "../errors.ts";
import { checkAbi } from "../module/abi.ts";
import { digestOf } from "../module/compile.ts";
import { checkSizeAndHeader } from "../module/inspect.ts";
import { inspectApart } from "../module/inspect-apart.ts";
import type { ActivationCause, RegistryStep } from "../store/registry-store.ts";
import type { ModuleCatalog, ModuleEntry } from "./module-catalog.ts";
import { makeCode } from "./module-code.ts";
import { moduleEntry } from "./module-entry.ts";
import type { AdmittedSignature, ModuleSignature } from "./module-signatures.ts";
import { checkName } from "./names.ts";
import { readConfig } from "./pipeline-definition.ts";
import type { Preparation } from "./preparation.ts";
import type { RegistryParts } from "./registry-parts.ts";

/** A module to load. */
export interface ModuleLoad {
  readonly name: string;
  /** Empty takes the first 12 digits of the digest. */
  readonly version: string;
  readonly wasm: Uint8Array;
  /** The signature that lies beside the module. Default: none. */
  readonly signature?: Uint8Array;
  /** Configuration for the warm-up; empty passes `{}` and forgives its refusal. */
  readonly sampleConfigJson: string;
  readonly dryRun: boolean;
  /** Whether the version that is active stays so. Default: the loaded one becomes active. */
  readonly noActivate?: boolean;
  /** What to do with a module in quarantine. Default: refuse it. */
  readonly whenHeld?: WhenHeld;
}

/**
 * What to do with a module in quarantine, or a pipeline of one: refuse it, or keep it without letting it run, so that
 * it is there when the quarantine ends.
 */
export type WhenHeld = "refuse" | "keep";

/** What a load gives. */
export interface LoadedModule {
  readonly entry: ModuleEntry;
  /** Whether this exact module was there already, so that nothing changed but perhaps the signature beside it. */
  readonly alreadyLoaded: boolean;
  /** Its signature, also where nothing was kept. */
  readonly signature: ModuleSignature;
}

/** Makes a version the active one, together with the steps that come before. */
export type SwitchTo = (
  entry: ModuleEntry,
  cause: ActivationCause,
  steps: readonly RegistryStep[],
) => Promise<void>;

/** Loads one module at a time. */
export class ModuleLoader {
  readonly #parts: RegistryParts;
  readonly #modules: ModuleCatalog;
  readonly #preparation: Preparation;
  readonly #switchTo: SwitchTo;

  constructor(parts: RegistryParts, modules: ModuleCatalog, preparation: Preparation, switchTo: SwitchTo) {
    this.#parts = parts;
    this.#modules = modules;
    this.#preparation = preparation;
    this.#switchTo = switchTo;
  }

  /** @throws LeatError as LoadModule documents */
  async load(load: ModuleLoad): Promise<LoadedModule> {
    checkName("name", load.name);
    if (load.version !== "") checkName("version", load.version);
    const { limits } = this.#parts;
    const configJson = readConfig(load.sampleConfigJson, "sample_config_json", limits);
    checkSizeAndHeader(load.wasm, limits);
    const digest = await digestOf(load.wasm);
    const version = load.version === "" ? digest.slice(7, 19) : load.version;
    const same = this.#modules.find(load.name, version);
    const admitted = await this.#parts.signatures.admit(
      { ...load, version },
      same?.digest === digest ? same : undefined,
    );
    if (this.#parts.quarantine.held(digest) !== undefined)
      return this.#loadHeld(load, version, digest, admitted);
    const present = this.#present(load, version, digest);
    if (present !== undefined) return this.#again(present, load, admitted);
    const compile = () => makeCode(load.wasm, this.#parts.isolation, limits);
    const compiled = await (this.#parts.ledger?.whileCompiling(digest, compile) ?? compile());
    const { code } = compiled;
    if (code.t === "compiled") this.#parts.onCompiled(compiled.compileUs);
    const entry = moduleEntry(load, { ...compiled, version, loadTimeMs: this.#parts.clock.nowMs() });
    if (load.sampleConfigJson !== "") await this.#preparation.checkSampleConfig(entry, configJson);
    await this.#preparation.module(entry, compiled, configJson, load.sampleConfigJson !== "");
    const { signature } = admitted;
    if (load.dryRun) return { entry, alreadyLoaded: false, signature };
    await this.#parts.store.put(entry.digest, load.wasm);
    if (code.t === "compiled") this.#parts.cache.put({ ...compiled, module: code.module });
    await this.#keep(entry, signature, load.noActivate !== true);
    return { entry, alreadyLoaded: false, signature };
  }

  /** Writes down that the module is there, whose binary is kept already. */
  async #keep(entry: ModuleEntry, signature: ModuleSignature, activate: boolean): Promise<void> {
    const steps: RegistryStep[] = [{ t: "load", module: entry }, signatureStep(entry, signature)];
    try {
      if (activate) await this.#switchTo(entry, "load", steps);
      else {
        await this.#parts.records.commit(steps);
        this.#modules.add(entry);
      }
      this.#modules.setProblem(entry.digest, undefined);
      this.#parts.signatures.keep(entry, signature);
    } catch (error) {
      await this.#forgetUnused(entry.digest);
      throw error;
    }
  }

  /** The same bytes under the same name mend a binary that was lost, and may bring another signature. */
  async #again(
    entry: ModuleEntry,
    load: ModuleLoad,
    { signature, renewed }: AdmittedSignature,
  ): Promise<LoadedModule> {
    const { store, records, signatures } = this.#parts;
    if (!load.dryRun && this.#modules.problemOf(entry.digest) !== undefined) {
      await store.put(entry.digest, load.wasm);
      this.#modules.setProblem(entry.digest, undefined);
    }
    if (!load.dryRun) {
      if (renewed) await records.commit([signatureStep(entry, signature)]);
      signatures.keep(entry, signature);
    }
    return { entry, alreadyLoaded: true, signature };
  }

  /** The entry of a module that is there already. @throws LeatError when its place is taken, or there is none left */
  #present({ name }: ModuleLoad, version: string, digest: string): ModuleEntry | undefined {
    const bound = this.#modules.boundTo(name, version);
    if (bound !== undefined && bound !== digest)
      throw leatError("MODULE_VERSION_BOUND", { module: `${name}@${version}`, digest: bound });
    const present = this.#modules.find(name, version);
    if (present === undefined) this.#modules.checkRoom();
    return present;
  }

  /** Keeps a module in quarantine without compiling it. It becomes active only where no other version is. */
  async #loadHeld(
    load: ModuleLoad,
    version: string,
    digest: string,
    admitted: AdmittedSignature,
  ): Promise<LoadedModule> {
    const { limits, quarantine, store, clock } = this.#parts;
    if (load.whenHeld !== "keep") quarantine.check(digest, `${load.name}@${version}`);
    const present = this.#present(load, version, digest);
    if (present !== undefined) return this.#again(present, load, admitted);
    const inspected = await inspectApart(load.wasm, limits);
    checkAbi(inspected);
    const loadTimeMs = clock.nowMs();
    const entry = moduleEntry(load, { version, digest, inspected, compileUs: 0, loadTimeMs });
    await store.put(digest, load.wasm);
    const { signature } = admitted;
    await this.#keep(entry, signature, this.#modules.active(load.name) === undefined);
    return { entry, alreadyLoaded: false, signature };
  }

  /** Lets go of a binary that no module has. */
  async #forgetUnused(digest: string): Promise<void> {
    if (this.#modules.has(digest)) return;
    this.#parts.cache.delete(digest);
    await this.#parts.store.delete(digest);
  }
}

function signatureStep({ name, version }: ModuleEntry, { detached, timeMs }: ModuleSignature): RegistryStep {
  return { t: "signature", signature: { name, version, detached, timeMs } };
}
