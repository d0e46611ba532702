// Global names that TypeScript does not know without the browser's library. Not shipped, so the package's own
// declarations must not mention them: public signatures use SharedMemory of core.ts, and `number`.

/** AssemblyScript's numbers, for assembly/layout.ts. */
declare type i32 = number;
declare type u32 = number;
declare type usize = number;
declare type f64 = number;

/** The part of WebAssembly's JavaScript interface that Oribi uses; every memory is a shared one. */
declare namespace WebAssembly {
  type Imports = Record<string, Record<string, unknown>>;
  type Exports = Record<string, unknown>;
  interface Module {
    readonly [Symbol.toStringTag]: string;
  }
  const Module: {
    new (bytes: Uint8Array): Module;
    imports(module: Module): { module: string; name: string; kind: string }[];
    exports(module: Module): { name: string; kind: string }[];
    customSections(module: Module, name: string): ArrayBuffer[];
  };
  interface Instance {
    readonly exports: Exports;
  }
  const Instance: new (module: Module, imports?: Imports) => Instance;
  interface Memory {
    readonly buffer: SharedArrayBuffer;
    grow(pages: number): number;
  }
  const Memory: new (options: { initial: number; maximum?: number; shared?: boolean }) => Memory;
  interface Global {
    value: number;
  }
  interface RuntimeError extends Error {
    readonly name: string;
  }
  const RuntimeError: new (message?: string) => RuntimeError;
  function validate(bytes: Uint8Array): boolean;
}
