// How a function in another thread ended, as data that can cross: a value, or an error that keeps its name, its stack
// and its plain fields (structuredClone() alone drops `code` and the class).

import { CoreTrap, toCoreTrap } from "../core.ts";
import { OribiError } from "../errors.ts";

/** What a worker's function came to. */
export type Outcome = { value: unknown } | { error: PackedError };

/** An error on its way. */
export interface PackedError {
  /** Which class to make of it again. */
  kind: "error" | "trap" | "stop" | "value";
  name: string;
  message: string;
  stack?: string | undefined;
  /** Its own fields that are strings, numbers and the like: `code`, `errno`, `syscall`. */
  fields: Record<string, unknown>;
  /** Of kind "value": what was thrown, which is no Error. */
  value?: unknown;
  cause?: PackedError;
}

/** What a call in a worker throws when the thread is asked to end. */
export class StopError extends Error {
  override readonly name = "AbortError";
  readonly code = "ABORT_ERR";

  constructor() {
    super("The host's thread is asked to end.");
  }
}

/** Node's AbortError; the signal's reason is its cause. */
export function abortError(reason: unknown): Error {
  const error = new Error("The operation was aborted", { cause: reason });
  return Object.assign(error, { name: "AbortError", code: "ABORT_ERR" });
}

/** A value as an outcome, or the error that it cannot cross. */
export function packValue(value: unknown): Outcome {
  try {
    if (typeof value === "object" || typeof value === "function" || typeof value === "symbol") assertClonable(value);
    return { value };
  } catch (error) {
    return { error: packError(error) };
  }
}

const CAUSES_MAX = 8;

/** An error, or whatever was thrown, as data. */
export function packError(thrown: unknown, depth = 0): PackedError {
  const error = toCoreTrap(thrown);
  if (!(error instanceof Error)) return { kind: "value", name: "", message: "", fields: {}, value: plain(error) };
  const fields: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(error)) {
    if (value === null || !["object", "function", "symbol"].includes(typeof value)) fields[key] = value;
  }
  const kind = error instanceof CoreTrap ? "trap" : error instanceof StopError ? "stop" : "error";
  const packed: PackedError = { kind, name: error.name, message: error.message, stack: error.stack, fields };
  if (error.cause !== undefined && depth < CAUSES_MAX) packed.cause = packError(error.cause, depth + 1);
  return packed;
}

const CLASSES = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

/** The error again, of the class it had where that is one of the language's or of Oribi. */
export function unpackError(packed: PackedError): unknown {
  if (packed.kind === "value") return packed.value;
  const error = blank(packed);
  const hidden = { configurable: true, writable: true, enumerable: false };
  Object.assign(error, packed.fields);
  if (error.name !== packed.name) Object.defineProperty(error, "name", { ...hidden, value: packed.name });
  Object.defineProperty(error, "message", { ...hidden, value: packed.message });
  if (packed.stack !== undefined) Object.defineProperty(error, "stack", { ...hidden, value: packed.stack });
  if (packed.cause !== undefined)
    Object.defineProperty(error, "cause", { ...hidden, value: unpackError(packed.cause) });
  return error;
}

function blank({ kind, name, fields }: PackedError): Error {
  if (kind === "trap") return new CoreTrap("", {});
  if (name === "OribiError") return new OribiError(String(fields.code), "");
  return new (CLASSES[name as keyof typeof CLASSES] ?? Error)();
}

/** A thrown value that can cross, else what it says of itself. */
function plain(value: unknown): unknown {
  try {
    assertClonable(value);
    return value;
  } catch {
    return String(value);
  }
}

/** @throws {DOMException} DataCloneError */
function assertClonable(value: unknown): void {
  const { port1, port2 } = new MessageChannel();
  try {
    port1.postMessage(value);
  } finally {
    port1.close();
    port2.close();
  }
}
