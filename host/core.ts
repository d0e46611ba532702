// Loads the Wasm modules: compiles each once per process, instantiates it on a memory, turns traps into errors.
// Read first: asconfig.json for the targets; DESIGN.md section 2 for what a memory holds.

import { readFileSync } from "node:fs";
import { instantiateSync } from "@assemblyscript/loader";
import type { exports as stackExports } from "#stack";
import type { exports as vethExports } from "#veth";
import type { SharedMemory } from "./regions.ts";

export { createMemory, Regions, type SharedMemory } from "./regions.ts";

/** What stack.wasm exports, raw: u32 results arrive signed. */
export type StackExports = typeof stackExports;
/** What veth.wasm exports, raw: u32 results arrive signed. */
export type VethExports = typeof vethExports;

export type CoreName = "stack" | "veth";

/** Compiled modules, by target. They can be sent to workers (`workerData`, `postMessage`), which share the code. */
export type CoreModules = Partial<Record<CoreName | `${CoreName}.debug`, WasmModule>>;

/** A `WebAssembly.Module`. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: string;
}

export interface CoreOptions {
  /** Load the debug target: slow, but its traps name file and line. Default: `ORIBI_DEBUG` is set. */
  debug?: boolean;
  /** Takes the trace points of the debug target. Default: they are dropped. */
  onTrace?: (message: string, values: number[]) => void;
}

/** A trap in the core: a failed assert or an access out of bounds. The instance must not be used any more. */
export class CoreTrap extends Error {
  override readonly name = "CoreTrap";
  readonly code = "ERR_ORIBI_TRAP";
  /** The source file, as "assembly/tcp/input.ts"; undefined when the engine does not tell. */
  readonly file: string | undefined;
  /** The line, from 1; undefined outside asserts of the debug target. */
  readonly line: number | undefined;
  readonly column: number | undefined;
  /** The exported or outlined function that trapped, when it is known. */
  readonly function: string | undefined;

  constructor(
    reason: string,
    place: { file?: string; line?: number; column?: number; function?: string },
    cause?: unknown,
  ) {
    const at = place.line === undefined ? place.file : `${place.file}:${place.line}:${place.column}`;
    const where = at === undefined ? "" : ` at ${at}${place.function === undefined ? "" : ` (${place.function})`}`;
    super(`The core trapped: ${reason}${where}`, cause === undefined ? undefined : { cause });
    this.file = place.file;
    this.line = place.line;
    this.column = place.column;
    this.function = place.function;
  }
}

const compiled: CoreModules = {};

/** Compiles the modules (once per process) and returns them, fit to be sent to a worker. */
export function coreModules({ debug = debugByDefault() }: CoreOptions = {}): CoreModules {
  compile("stack", debug);
  compile("veth", debug);
  return { ...compiled };
}

/** Uses modules that another thread compiled, in place of compiling them again. */
export function adoptModules(modules: CoreModules): void {
  Object.assign(compiled, modules);
}

/**
 * Instantiates the stack's core on a memory. Its state lies in the arena given to `init`; the instance is one thread's.
 * @param nic what the core imports as "nic": the exports of a veth instance, or functions that play a NIC
 * @throws {Error} ERR_ORIBI_BUILD when the Wasm file is missing, ERR_ORIBI_IMPORT when `nic` lacks a function
 */
export function instantiateStack(memory: SharedMemory, nic: object, options: CoreOptions = {}): StackExports {
  return instantiate("stack", memory, { nic: nic as Record<string, unknown> }, options) as unknown as StackExports;
}

/**
 * Instantiates the NICs' datapath on a memory.
 * @param wake is called when a NIC behind a trunk has sent something to its ltran
 * @throws {Error} ERR_ORIBI_BUILD when the Wasm file is missing
 */
export function instantiateVeth(memory: SharedMemory, options: CoreOptions = {}, wake = nobodySleeps): VethExports {
  return instantiate("veth", memory, { wake: { wake } }, options) as unknown as VethExports;
}

/** Turns what a call into the core threw into a CoreTrap; anything that is no trap comes back as it is. */
export function toCoreTrap(error: unknown): unknown {
  if (!(error instanceof WebAssembly.RuntimeError)) return error;
  // V8 prints Wasm frames as "at assembly/tcp/input/segment (wasm://wasm/...)".
  const frame = /^\s+at (\S+)\/([^/\s]+) \(wasm:\/\//m.exec(error.stack ?? "");
  const place = frame === null ? {} : { file: `${frame[1]}.ts`, function: frame[2] };
  return new CoreTrap(error.message === "unreachable" ? "assertion failed" : error.message, place, error);
}

function nobodySleeps(): void {}

/** Functions that a module imports, by the name under which it knows their maker. */
type Imports = Record<string, Record<string, unknown>>;

function instantiate(name: CoreName, memory: SharedMemory, given: Imports, options: CoreOptions): WebAssembly.Exports {
  const debug = options.debug ?? debugByDefault();
  const module = compile(name, debug);
  const imports = { env: { memory }, ...given };
  for (const wanted of WebAssembly.Module.imports(module)) {
    if (wanted.module === "nic" && typeof given["nic"]?.[wanted.name] !== "function") {
      throw codedError("ERR_ORIBI_IMPORT", `The NIC given to ${name}.wasm has no function "${wanted.name}".`);
    }
  }
  if (!debug) return new WebAssembly.Instance(module, imports).exports;
  return instantiateDebug(module, memory, given, options);
}

/** The debug target through AssemblyScript's loader, which reads the strings of its asserts and trace points. */
function instantiateDebug(
  module: WebAssembly.Module,
  memory: SharedMemory,
  given: Imports,
  options: CoreOptions,
): WebAssembly.Exports {
  const text = (at: number): string => loaded.exports.__getString(at >>> 0) ?? "";
  const abort = (message: number, file: number, line: number, column: number): never => {
    throw new CoreTrap(text(message) || "assertion failed", { file: text(file), line, column });
  };
  const trace = (message: number, count: number, ...values: number[]): void => {
    options.onTrace?.(text(message), values.slice(0, count));
  };
  const loaded = instantiateSync(module, { env: { memory, abort, trace }, ...given });
  return loaded.instance.exports; // the raw ones: the loader's wrappers would put JavaScript between two modules
}

/** The module of a target, compiled on first use. */
function compile(name: CoreName, debug: boolean): WebAssembly.Module {
  const target = debug ? (`${name}.debug` as const) : name;
  return (compiled[target] ??= new WebAssembly.Module(readWasm(`${target}.wasm`)));
}

function readWasm(file: string): Uint8Array {
  const url = new URL(`../${file}`, import.meta.url);
  try {
    return readFileSync(url);
  } catch (cause) {
    const hint = file.includes("debug")
      ? "The package comes without the debug build: it is made in a checkout of the sources, by npm run build."
      : 'In a checkout, run "npm run build" first.';
    throw codedError("ERR_ORIBI_BUILD", `${file} cannot be read. ${hint}`, cause);
  }
}

function debugByDefault(): boolean {
  return (process.env.ORIBI_DEBUG ?? "0") !== "0";
}

function codedError(code: string, message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code });
}
