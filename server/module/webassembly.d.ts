/**
 * The part of the WebAssembly JavaScript interface that Leat uses. TypeScript declares it only
 * in `lib.dom`, whose other globals do not exist in Node.
 *
 * Source: https://webassembly.github.io/spec/js-api/
 */
declare namespace WebAssembly {
  interface ImportDescriptor {
    module: string;
    name: string;
    kind: "function" | "table" | "memory" | "global" | "tag";
  }

  interface ExportDescriptor {
    name: string;
    kind: "function" | "table" | "memory" | "global" | "tag";
  }

  type ImportValue = ((...args: never[]) => unknown) | Memory | Global | number | bigint;
  type Imports = Record<string, Record<string, ImportValue>>;

  class Module {
    /** Tells a compiled module from any other object. */
    private readonly compiled: never;
    constructor(bytes: Uint8Array);
    static imports(module: Module): ImportDescriptor[];
    static exports(module: Module): ExportDescriptor[];
    static customSections(module: Module, name: string): ArrayBuffer[];
  }

  class Instance {
    constructor(module: Module, imports?: Imports);
    readonly exports: Readonly<Record<string, unknown>>;
  }

  class Memory {
    constructor(descriptor: { initial: number; maximum?: number });
    readonly buffer: ArrayBuffer;
    /** Grows by `delta` pages and returns the former size; a `RangeError` where that is not possible. */
    grow(delta: number): number;
  }

  interface ValueTypes {
    i32: number;
    i64: bigint;
    f32: number;
    f64: number;
  }

  class Global<T extends keyof ValueTypes = keyof ValueTypes> {
    constructor(descriptor: { value: T; mutable?: boolean }, value?: ValueTypes[T]);
    value: ValueTypes[T];
  }

  /** A trap. */
  class RuntimeError extends Error {}
  class CompileError extends Error {}
  class LinkError extends Error {}
  /** An exception that a module threw; it is no `Error` and has no message. */
  class Exception {
    private constructor();
    readonly stack: string | undefined;
  }

  function compile(bytes: Uint8Array): Promise<Module>;
  function instantiate(bytes: Uint8Array, imports?: Imports): Promise<{ module: Module; instance: Instance }>;
  function instantiate(module: Module, imports?: Imports): Promise<Instance>;
  function validate(bytes: Uint8Array): boolean;
}
