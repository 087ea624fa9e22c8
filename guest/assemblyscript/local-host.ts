/**
 * Runs a module without a server, for the unit tests of those who write one.
 *
 * It is a plain host: it trusts the module, keeps no limits and calls the exports as `docs/guest-abi.md` says.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  RecordBatchSchema,
  type RecordSchema,
  type TransformResult,
  TransformResultSchema,
} from "@leat/proto";

/** A record as tests write it: what is left out is unset. */
export type RecordInit = MessageInitShape<typeof RecordSchema>;

/** One line that the module logged. */
export interface LogLine {
  /** 0 debug, 1 info, 2 warn, 3 error. */
  level: number;
  text: string;
}

/** How to start a module. */
export interface LocalHostOptions {
  /** The stage's configuration. Default `{}`. */
  config?: unknown;
  /** What `now_ms` gives. Default the real time. */
  nowMs?: () => number;
}

interface Exports {
  memory: WebAssembly.Memory;
  leat_alloc(size: number): number;
  leat_transform(pointer: number, length: number): bigint;
  leat_init?(pointer: number, length: number): bigint;
  _initialize?(): void;
}

/** The module refused its configuration; the message is the module's. */
export class ConfigRefused extends Error {
  override name = "ConfigRefused";
}

/** A module, instantiated and started. */
export class LocalHost {
  /** The record that the module worked on last. */
  currentRecord = -1;
  /** What the module counted. */
  readonly counters = new Map<string, number>();
  /** What the module logged. */
  readonly logged: LogLine[] = [];
  readonly #exports: Exports;

  private constructor(module: WebAssembly.Module, nowMs: () => number) {
    const text = (pointer: number, length: number) =>
      new TextDecoder().decode(new Uint8Array(this.#exports.memory.buffer, pointer >>> 0, length >>> 0));
    const leat = {
      begin_record: (index: number) => {
        this.currentRecord = index;
      },
      log: (level: number, pointer: number, length: number) => {
        this.logged.push({ level, text: text(pointer, length) });
      },
      now_ms: () => BigInt(Math.floor(nowMs())),
      counter_add: (pointer: number, length: number, delta: number) => {
        const name = text(pointer, length);
        this.counters.set(name, (this.counters.get(name) ?? 0) + delta);
      },
    };
    // The exports of a module that is no guest of this ABI are found missing when they are called.
    this.#exports = new WebAssembly.Instance(module, { leat }).exports as unknown as Exports;
  }

  /**
   * Starts a module.
   *
   * @param wasm - the module's bytes, or a file that holds them
   * @throws ConfigRefused when the module does not accept its configuration
   */
  static async start(wasm: Uint8Array | string, options: LocalHostOptions = {}): Promise<LocalHost> {
    const bytes = typeof wasm === "string" ? await readFile(wasm) : wasm;
    const module = await WebAssembly.compile(new Uint8Array(bytes));
    const host = new LocalHost(module, options.nowMs ?? Date.now);
    host.#exports._initialize?.();
    const config = new TextEncoder().encode(JSON.stringify(options.config ?? {}));
    const refusal = host.#exports.leat_init?.(host.#write(config), config.length) ?? 0n;
    if (refusal !== 0n) throw new ConfigRefused(new TextDecoder().decode(host.#read(refusal)));
    return host;
  }

  /** The size of the module's memory in bytes. */
  get memoryBytes(): number {
    return this.#exports.memory.buffer.byteLength;
  }

  /** Runs one batch and decodes what the module returns. */
  transform(records: readonly RecordInit[]): TransformResult {
    const batch = toBinary(RecordBatchSchema, create(RecordBatchSchema, { records: [...records] }));
    return fromBinary(TransformResultSchema, this.transformBytes(batch));
  }

  /** Runs one encoded RecordBatch and returns a copy of the encoded TransformResult. */
  transformBytes(batch: Uint8Array): Uint8Array {
    return this.#read(this.#exports.leat_transform(this.#write(batch), batch.length));
  }

  /** Runs one encoded RecordBatch and leaves the result where it is: for measuring. */
  run(batch: Uint8Array): bigint {
    return this.#exports.leat_transform(this.#write(batch), batch.length);
  }

  #write(bytes: Uint8Array): number {
    const pointer = this.#exports.leat_alloc(bytes.length) >>> 0;
    new Uint8Array(this.#exports.memory.buffer).set(bytes, pointer);
    return pointer;
  }

  #read(span: bigint): Uint8Array {
    const pointer = Number(BigInt.asUintN(32, span >> 32n));
    const length = Number(BigInt.asUintN(32, span));
    return new Uint8Array(this.#exports.memory.buffer).slice(pointer, pointer + length);
  }
}
