/**
 * What is known of the signatures of loaded modules, and which modules the policy keeps from running.
 *
 * A module's key must have counted when its signature was taken, and must be in the list, not revoked, now. So a key that
 * is retired by its `notAfter` takes nothing out of service, and one that is revoked or gone from the list does.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { type LeatError, leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { refusal, type SignaturePolicy } from "../signing/signature-policy.ts";
import { type Evidence, type Judgement, judge, readEvidence } from "../signing/verify-module.ts";
import type { ModuleStore } from "../store/module-store.ts";
import type { StoredSignature } from "../store/registry-store.ts";
import type { ModuleEntry } from "./module-catalog.ts";

/** What signatures are kept and judged with. */
export interface SignatureParts {
  readonly policy: SignaturePolicy;
  readonly store: ModuleStore;
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  /** Told what a load brought. */
  readonly onLoad: (notice: SignatureNotice) => void;
  /** Told of each loaded module whose standing has changed, with the keys or since another server kept it. */
  readonly onChange: (notice: SignatureNotice) => void;
}

/** Something to log and to count. */
export interface SignatureNotice {
  /** `name@version`. */
  readonly module: string;
  /** What is wrong; undefined where nothing is. */
  readonly problem: LeatError | undefined;
  /** Whether the module is refused for it. */
  readonly refused: boolean;
}

/** The signature of a version, as it was taken. */
export interface ModuleSignature {
  /** What lay beside the module; empty where nothing did. */
  readonly detached: Uint8Array;
  /** When it was taken, by the wall clock. */
  readonly timeMs: number;
  /** What it says; undefined while nobody has asked. */
  readonly evidence: Evidence | undefined;
  /** What the policy makes of it; undefined while nobody has asked. */
  readonly judgement: Judgement | undefined;
}

/** A signature that may come in with its module. */
export interface AdmittedSignature {
  readonly signature: ModuleSignature;
  /** Whether it takes the place of another. */
  readonly renewed: boolean;
}

/** A module that comes in. */
interface Incoming {
  readonly name: string;
  readonly version: string;
  readonly wasm: Uint8Array;
  readonly signature?: Uint8Array;
}

const nothing = new Uint8Array();

/** The signatures of loaded modules. */
export class ModuleSignatures {
  readonly #parts: SignatureParts;
  /** By `name@version`. */
  readonly #signatures = new Map<string, ModuleSignature>();
  /** Those of them that must not run. */
  readonly #refused = new Set<string>();
  /** Those that nobody could look at although a signature is required, since their binary cannot be read. */
  readonly #unseen = new Set<string>();
  /** Called when another module, or one module less, is kept from running. */
  onRefused: () => void = () => {};

  constructor(parts: SignatureParts) {
    this.#parts = parts;
  }

  /** Whether no loaded module is kept from running. */
  get noneRefused(): boolean {
    return this.#refused.size === 0 && this.#unseen.size === 0;
  }

  /** What is wrong with each module that is kept from running. */
  refusals(): LeatError[] {
    return [...this.#refused].flatMap((module) => {
      const problem = problemOf(module, this.#signatures.get(module)?.judgement);
      return problem === undefined ? [] : [problem];
    });
  }

  /** How many loaded modules are kept from running. */
  get refusedCount(): number {
    return this.#refused.size;
  }

  /**
   * Looks at what comes in, before anything else is done with it.
   *
   * @param present - the entry of these bytes, where they are loaded already
   * @throws LeatError MODULE_UNSIGNED, MODULE_SIGNATURE_MALFORMED, MODULE_SIGNATURE_INVALID, MODULE_SIGNER_UNKNOWN or
   * MODULE_SIGNER_REFUSED where a signature is required; MODULE_LIMIT_EXCEEDED; as {@link readEvidence} says
   */
  async admit(incoming: Incoming, present: ModuleEntry | undefined): Promise<AdmittedSignature> {
    const { limits, clock, policy } = this.#parts;
    // A copy: what came may be a piece of a message with the whole module in it.
    const given = Uint8Array.from((incoming.signature ?? nothing).subarray(0, limits.maxSignatureBytes + 1));
    if (given.length > limits.maxSignatureBytes)
      throw leatError("MODULE_LIMIT_EXCEEDED", {
        limit: "maxSignatureBytes",
        value: limits.maxSignatureBytes,
        measured: incoming.signature?.length ?? 0,
        where: "the signature beside it",
      });
    const before = present && this.#signatures.get(nameOf(present));
    const detached = given.length > 0 ? given : (before?.detached ?? nothing);
    const same = before !== undefined && Buffer.compare(detached, before.detached) === 0;
    const offered = {
      detached,
      timeMs: Math.floor(clock.wallMs()),
      evidence: undefined,
      judgement: undefined,
    };
    if (policy.mode === "off") {
      const renewed = before !== undefined && !same;
      return { signature: same ? before : offered, renewed };
    }
    const stands = before && (await this.#judged(before, incoming.wasm));
    if (stands !== undefined && same && isVerified(stands)) {
      this.#parts.onLoad({ module: nameOf(incoming), problem: undefined, refused: false });
      return { signature: stands, renewed: false };
    }
    const judged = await this.#judged(offered, incoming.wasm);
    this.#tell(nameOf(incoming), judged);
    // A warning must not cost a module the good signature that it has.
    if (stands !== undefined && isVerified(stands) && !isVerified(judged))
      return { signature: stands, renewed: false };
    return { signature: judged, renewed: before !== undefined && (isVerified(judged) || !same) };
  }

  /** @throws LeatError where a signature is required */
  #tell(module: string, { judgement }: ModuleSignature): void {
    const problem = problemOf(module, judgement);
    const refused = problem !== undefined && this.#parts.policy.mode === "require";
    this.#parts.onLoad({ module, problem, refused });
    if (refused) throw problem;
  }

  async #judged(signature: ModuleSignature, wasm: Uint8Array): Promise<ModuleSignature> {
    const { limits, policy } = this.#parts;
    const { detached, timeMs } = signature;
    const beside = detached.length === 0 ? undefined : detached;
    const evidence = signature.evidence ?? (await readEvidence(wasm, beside, limits));
    return { ...signature, evidence, judgement: await judge(evidence, policy.keys, timeMs) };
  }

  /** Keeps the signature of a version that is loaded now. */
  keep(entry: ModuleEntry, signature: ModuleSignature): void {
    this.#signatures.set(nameOf(entry), signature);
    if (this.#unseen.delete(nameOf(entry))) this.onRefused();
    this.#refuse(entry, signature);
  }

  /** Forgets a version that is loaded no more. */
  forget(entry: ModuleEntry): void {
    this.#signatures.delete(nameOf(entry));
    this.#unseen.delete(nameOf(entry));
    if (this.#refused.delete(nameOf(entry))) this.onRefused();
  }

  /** Takes up what an earlier server has kept. {@link check} looks at it. */
  restore(entries: readonly ModuleEntry[], stored: readonly StoredSignature[]): void {
    const byName = new Map(stored.map((signature) => [nameOf(signature), signature]));
    for (const entry of entries) {
      const { detached = nothing, timeMs = entry.loadTimeMs } = byName.get(nameOf(entry)) ?? {};
      const signature = { detached, timeMs, evidence: undefined, judgement: undefined };
      this.#signatures.set(nameOf(entry), signature);
    }
  }

  /** What is to be written down of a version. */
  stored({ name, version, loadTimeMs }: ModuleEntry): StoredSignature {
    const { detached = nothing, timeMs = loadTimeMs } = this.#signatures.get(nameOf({ name, version })) ?? {};
    return { name, version, detached, timeMs };
  }

  /**
   * Judges loaded modules anew, one after the other. Reads the binaries of those that nobody has looked at.
   *
   * @returns those that must not run from now on, and could before
   */
  async check(entries: readonly ModuleEntry[]): Promise<ModuleEntry[]> {
    const refused: ModuleEntry[] = [];
    for (const entry of entries) {
      const could = !this.#refused.has(nameOf(entry));
      await this.#checkOne(entry, () => this.#parts.store.get(entry.digest).catch(() => undefined));
      if (could && this.#refused.has(nameOf(entry))) refused.push(entry);
    }
    return refused;
  }

  /**
   * Looks at a module that is about to run, where nobody could before: its binary could not be read then.
   *
   * @throws LeatError as {@link throwIfRefused}, or what reading throws
   */
  async see(entry: ModuleEntry, read: () => Promise<Uint8Array>): Promise<void> {
    if (this.#parts.policy.mode === "off" || this.of(entry)?.judgement !== undefined) return;
    await this.#checkOne(entry, read);
    this.throwIfRefused(entry);
  }

  async #checkOne(entry: ModuleEntry, read: () => Promise<Uint8Array | undefined>): Promise<void> {
    const { policy } = this.#parts;
    for (;;) {
      const signature = this.of(entry);
      if (signature === undefined) return;
      const { keys, mode } = policy;
      if (mode === "off") return this.keep(entry, { ...signature, judgement: undefined });
      const wasm = signature.evidence === undefined ? await read() : nothing;
      if (wasm === undefined) {
        if (policy.mode !== "require") return;
        this.#unseen.add(nameOf(entry));
        this.onRefused();
        return;
      }
      const judged = await this.#judged(signature, wasm);
      // Another may have looked meanwhile, and the keys may have changed.
      if (this.of(entry) !== signature || policy.keys !== keys || policy.mode !== mode) continue;
      return this.#take(entry, signature, judged);
    }
  }

  #take(entry: ModuleEntry, before: ModuleSignature, judged: ModuleSignature): void {
    const module = nameOf(entry);
    const problem = problemOf(module, judged.judgement);
    this.keep(entry, judged);
    if (problemOf(module, before.judgement)?.message === problem?.message) return;
    this.#parts.onChange({ module, problem, refused: this.#refused.has(module) });
  }

  #refuse(entry: ModuleEntry, signature: ModuleSignature): void {
    const before = this.isRefused(entry);
    const refused = this.#parts.policy.mode === "require" && signature.judgement !== undefined;
    if (refused && !isVerified(signature)) this.#refused.add(nameOf(entry));
    else this.#refused.delete(nameOf(entry));
    if (this.isRefused(entry) !== before) this.onRefused();
  }

  /** Why a loaded module must not run; undefined when it may. */
  refusal(name: string, version: string): LeatError | undefined {
    if (this.#refused.size === 0) return undefined;
    const module = `${name}@${version}`;
    if (!this.#refused.has(module)) return undefined;
    return problemOf(module, this.#signatures.get(module)?.judgement);
  }

  /** As {@link refusal}, also for what runs from memory while its binary cannot be read, so that nobody could look at it. */
  refusalToRun(name: string, version: string, digest: string): LeatError | undefined {
    if (!this.#unseen.has(`${name}@${version}`)) return this.refusal(name, version);
    return leatError("MODULE_FILE_BROKEN", {
      digest,
      problem: "it cannot be read, so its signature cannot be verified",
    });
  }

  /** Whether a loaded module must not run. */
  isRefused(entry: ModuleEntry): boolean {
    return this.#refused.has(nameOf(entry));
  }

  /** @throws LeatError as {@link admit} for a module that must not run */
  throwIfRefused({ name, version }: ModuleEntry): void {
    const refused = this.refusal(name, version);
    if (refused !== undefined) throw refused;
  }

  /** What is known of a loaded version. */
  of(entry: ModuleEntry): ModuleSignature | undefined {
    return this.#signatures.get(nameOf(entry));
  }
}

function nameOf({ name, version }: { readonly name: string; readonly version: string }): string {
  return `${name}@${version}`;
}

function isVerified({ judgement }: ModuleSignature): boolean {
  return judgement?.verdict.t === "signed";
}

/** What a server that requires signatures has against a module; undefined where nothing, or while nobody has looked. */
export function problemOf(module: string, judgement: Judgement | undefined): LeatError | undefined {
  if (judgement === undefined || judgement.verdict.t === "signed") return undefined;
  return refusal(module, judgement.verdict);
}
