/**
 * One instance of a guest: its life from instantiation to the call that breaks it.
 *
 * @module
 */

import { guestExports } from "./abi.ts";
import { GuestMemory } from "./guest-memory.ts";
import { type GuestHost, type HostFunctionLimits, type HostImports, hostImports } from "./host-functions.ts";
import { cutText, faultFrom, GuestFault } from "./trap.ts";

export type { GuestHost } from "./host-functions.ts";

/** The bounds of one instance. */
export interface GuestInstanceLimits extends HostFunctionLimits {
  /** The most memory it may have. Clamping has seen to it; a module that may have more is refused. */
  maxGuestMemoryBytes: number;
  /** A fault's message and its stack; longer ones are cut. */
  maxFailureTextBytes: number;
  /** How far clamping moved the module's code section, so that faults tell offsets in the original. Default 0. */
  codeSectionShiftBytes?: number;
}

/** What the host calls. */
interface GuestExports {
  readonly memory: WebAssembly.Memory;
  readonly leat_alloc: (length: number) => number;
  readonly leat_transform: (pointer: number, length: number) => bigint;
  readonly leat_init: ((pointer: number, length: number) => bigint) | undefined;
  readonly _initialize: (() => void) | undefined;
}

/**
 * A live guest. After any of its methods threw, its state is unknown and it must be dropped.
 *
 * {@link alloc} and {@link transform} allocate nothing but the BigInt in which V8 returns an i64.
 */
export class GuestInstance {
  /** Where the last output begins in {@link bytes}. */
  outputOffset = 0;
  /** The last output's length in bytes. */
  outputLength = 0;
  readonly #exports: GuestExports;
  readonly #memory: GuestMemory;
  readonly #imports: HostImports;
  readonly #limits: GuestInstanceLimits;
  readonly #initialMemoryBytes: number;
  /** To explain a fault, the memory is asked whether it can still grow. */
  #faultMemoryBytes: number | undefined = undefined;
  /** Takes an i64 apart without making further BigInts. */
  readonly #result = new DataView(new ArrayBuffer(8));

  private constructor(
    exports: GuestExports,
    memory: GuestMemory,
    imports: HostImports,
    limits: GuestInstanceLimits,
  ) {
    this.#exports = exports;
    this.#memory = memory;
    this.#imports = imports;
    this.#limits = limits;
    this.#initialMemoryBytes = memory.bytes.length;
  }

  /**
   * Instantiates a module: runs its start function, then `_initialize`, then `leat_init` with
   * the configuration, each where it has one.
   *
   * @param module - compiled by `compileModule`, which has checked its imports and exports
   * @param configJson - the stage's configuration; the empty string stands for `{}`
   * @throws GuestFault - `init_failed`, whatever went wrong; HostAbort as the host threw it
   */
  static create(
    module: WebAssembly.Module,
    configJson: string,
    host: GuestHost,
    limits: GuestInstanceLimits,
  ): GuestInstance {
    const memory = new GuestMemory();
    const imports = hostImports(module, memory, host, limits);
    try {
      const exports = exportsOf(new WebAssembly.Instance(module, imports.imports));
      memory.attach(exports.memory);
      const instance = new GuestInstance(exports, memory, imports, limits);
      instance.#initialize(configJson);
      return instance;
    } catch (thrown) {
      throw initFault(thrown, limits);
    } finally {
      imports.flush();
    }
  }

  /**
   * The guest's whole memory. Take it anew after each call: growth makes a new view and empties
   * the former one.
   */
  get bytes(): Uint8Array {
    return this.#memory.bytes;
  }

  /** The size of the guest's memory, in bytes. After a fault, what it was then. */
  memoryBytes(): number {
    return this.#faultMemoryBytes ?? this.#memory.bytes.length;
  }

  /**
   * Has the guest make room for input.
   *
   * @returns where to write it; all of `length` bytes are inside {@link bytes}
   * @throws GuestFault
   */
  alloc(length: number): number {
    try {
      const pointer = this.#exports.leat_alloc(length) >>> 0;
      if (!this.#memory.has(pointer, length)) throw this.#outside("leat_alloc", pointer, length);
      return pointer;
    } catch (thrown) {
      throw this.#fault(thrown);
    }
  }

  /**
   * Runs the guest over the input at `pointer`; {@link outputOffset} and {@link outputLength} then
   * tell where its output is, which is inside {@link bytes} until the next call.
   *
   * @throws GuestFault; HostAbort as the host threw it
   */
  transform(pointer: number, length: number): void {
    try {
      this.#result.setBigInt64(0, this.#exports.leat_transform(pointer, length));
      this.#imports.flush();
      const offset = this.#result.getUint32(0);
      const size = this.#result.getUint32(4);
      if (!this.#memory.has(offset, size)) throw this.#outside("leat_transform", offset, size);
      this.outputOffset = offset;
      this.outputLength = size;
    } catch (thrown) {
      this.#imports.flush();
      throw this.#fault(thrown);
    }
  }

  #initialize(configJson: string): void {
    const { memory, _initialize, leat_init } = this.#exports;
    if (memory.buffer.byteLength > this.#limits.maxGuestMemoryBytes) {
      throw new Error(
        `its memory of ${memory.buffer.byteLength} bytes is above maxGuestMemoryBytes, ${this.#limits.maxGuestMemoryBytes}`,
      );
    }
    _initialize?.();
    if (leat_init === undefined) return;
    const config = new TextEncoder().encode(configJson === "" ? "{}" : configJson);
    const pointer = this.alloc(config.length);
    this.bytes.set(config, pointer);
    this.#result.setBigInt64(0, leat_init(pointer, config.length));
    const offset = this.#result.getUint32(0);
    const length = this.#result.getUint32(4);
    if (offset === 0 && length === 0) return;
    throw new Error(
      this.#memory.text(offset, length, this.#limits.maxFailureTextBytes, "leat_init returned a text"),
    );
  }

  #outside(what: string, pointer: number, length: number): GuestFault {
    return new GuestFault(
      "malformed_output",
      `${what} returned ${length} bytes at ${pointer}, outside the memory of ${this.memoryBytes()} bytes`,
    );
  }

  #fault(thrown: unknown): GuestFault {
    const memoryBytes = this.memoryBytes();
    this.#faultMemoryBytes = memoryBytes;
    return faultFrom(thrown, {
      ...this.#limits,
      memoryBytes,
      initialMemoryBytes: this.#initialMemoryBytes,
      // A module may declare less than the limit, so only the attempt tells.
      maxMemoryBytes: this.#memory.isExhausted() ? memoryBytes : this.#limits.maxGuestMemoryBytes,
    });
  }
}

function initFault(thrown: unknown, limits: GuestInstanceLimits): GuestFault {
  const fault = faultFrom(thrown, limits);
  const message = cutText(fault.message, limits.maxFailureTextBytes);
  return new GuestFault("init_failed", message, fault.guestStack, { cause: thrown });
}

function exportsOf(instance: WebAssembly.Instance): GuestExports {
  const { exports } = instance;
  for (const [name, { kind, required }] of Object.entries(guestExports)) {
    const value = exports[name];
    if (value === undefined && !required) continue;
    const fits = kind === "memory" ? value instanceof WebAssembly.Memory : typeof value === "function";
    if (!fits) throw new Error(`the export ${name} is not a ${kind}`);
  }
  return exports as unknown as GuestExports;
}
