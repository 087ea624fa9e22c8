/**
 * The part of the WebAssembly JavaScript API that Leat uses. TypeScript declares it only in its
 * browser libraries, which would bring `window`, `document` and a second set of timers along.
 * Source: the WebAssembly JavaScript Interface specification.
 */
declare namespace WebAssembly {
  type ExternKind = "function" | "table" | "memory" | "global" | "tag";

  /** A function that a guest exports or a host imports; called through a type that its user states. */
  type AnyFunction = (...args: never[]) => unknown;
  type ExportValue = AnyFunction | Global | Memory | Table;
  type ImportValue = ExportValue | number | bigint;
  type Exports = Record<string, ExportValue>;
  type ModuleImports = Record<string, ImportValue>;
  type Imports = Record<string, ModuleImports>;

  interface ModuleExportDescriptor {
    name: string;
    kind: ExternKind;
  }

  interface ModuleImportDescriptor {
    module: string;
    name: string;
    kind: ExternKind;
  }

  interface MemoryDescriptor {
    initial: number;
    maximum?: number;
    shared?: boolean;
  }

  interface TableDescriptor {
    element: "anyfunc" | "externref";
    initial: number;
    maximum?: number;
  }

  /** The JavaScript type of each value type. */
  interface ValueTypeMap {
    i32: number;
    i64: bigint;
    f32: number;
    f64: number;
    externref: unknown;
    anyfunc: AnyFunction | null;
  }
  type ValueType = keyof ValueTypeMap;

  interface GlobalDescriptor<T extends ValueType = ValueType> {
    value: T;
    mutable?: boolean;
  }

  class Module {
    constructor(bytes: BufferSource);
    static exports(module: Module): ModuleExportDescriptor[];
    static imports(module: Module): ModuleImportDescriptor[];
    static customSections(module: Module, name: string): ArrayBuffer[];
    /** Keeps the class nominal: nothing else passes for a compiled module. */
    private readonly compiled: never;
  }

  class Instance {
    constructor(module: Module, imports?: Imports);
    readonly exports: Exports;
  }

  class Memory {
    constructor(descriptor: MemoryDescriptor);
    readonly buffer: ArrayBuffer;
    grow(deltaPages: number): number;
  }

  class Table {
    constructor(descriptor: TableDescriptor, value?: unknown);
    readonly length: number;
    get(index: number): unknown;
    grow(delta: number, value?: unknown): number;
    set(index: number, value?: unknown): void;
  }

  class Global<T extends ValueType = ValueType> {
    constructor(descriptor: GlobalDescriptor<T>, value?: ValueTypeMap[T]);
    value: ValueTypeMap[T];
    valueOf(): ValueTypeMap[T];
  }

  class CompileError extends Error {}
  class LinkError extends Error {}
  class RuntimeError extends Error {}

  function validate(bytes: BufferSource): boolean;
  function compile(bytes: BufferSource): Promise<Module>;
  function instantiate(module: Module, imports?: Imports): Promise<Instance>;
  function instantiate(
    bytes: BufferSource,
    imports?: Imports,
  ): Promise<{ module: Module; instance: Instance }>;
}

/** Bytes as the WebAssembly API takes them. */
type BufferSource = ArrayBuffer | ArrayBufferView<ArrayBuffer>;
