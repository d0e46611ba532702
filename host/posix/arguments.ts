// The rule for arguments. What C's types cannot hold throws, in Node's shape: another JavaScript type is a TypeError
// (ERR_INVALID_ARG_TYPE), a number that is no integer of that width a RangeError (ERR_OUT_OF_RANGE). Whatever C would
// pass goes on to the call, which answers with Linux's errno. Read first: checked.ts, which applies it to every call.

/** Bytes as the calls take them. */
export type Bytes = Uint8Array;

/** Throws Node's ERR_INVALID_ARG_TYPE. */
export function invalidType(name: string, expected: string, value: unknown): never {
  const error = new TypeError(`The "${name}" argument must be ${expected}. Received ${describe(value)}`);
  throw Object.assign(error, { code: "ERR_INVALID_ARG_TYPE" });
}

/** Throws Node's ERR_INVALID_ARG_VALUE. */
export function invalidValue(name: string, reason: string, value: unknown): never {
  const error = new TypeError(`The argument "${name}" ${reason}. Received ${describe(value)}`);
  throw Object.assign(error, { code: "ERR_INVALID_ARG_VALUE" });
}

/** Throws Node's ERR_OUT_OF_RANGE. */
export function outOfRange(name: string, range: string, value: unknown): never {
  const error = new RangeError(
    `The value of "${name}" is out of range. It must be ${range}. Received ${String(value)}`,
  );
  throw Object.assign(error, { code: "ERR_OUT_OF_RANGE" });
}

const INT_MIN = -2147483648;
const INT_MAX = 2147483647;
const WORD_MAX = 4294967295;

/** An `int`: a descriptor, a count, a name. */
export function int(name: string, value: unknown): number {
  return typeof value === "number" && (value | 0) === value ? value | 0 : notInteger(name, value, INT_MAX);
}

/** An `int` or an `unsigned int`, as an `int` of the same bits: flags and masks. */
export function word(name: string, value: unknown): number {
  if (typeof value === "number" && ((value | 0) === value || value >>> 0 === value)) return value | 0;
  return notInteger(name, value, WORD_MAX);
}

/** An integer of 64 bits, as far as a number can tell it. */
export function long(name: string, value: unknown): number {
  if (typeof value !== "number") return invalidType(name, "of type number", value);
  if (!Number.isSafeInteger(value)) return outOfRange(name, "a safe integer", value);
  return value;
}

/** Milliseconds; unlike C's they may have a fraction, and Infinity is for ever. */
export function millis(name: string, value: unknown): number {
  if (typeof value !== "number") return invalidType(name, "of type number", value);
  if (Number.isNaN(value)) return outOfRange(name, "a number of milliseconds", value);
  return value;
}

function notInteger(name: string, value: unknown, max: number): never {
  if (typeof value !== "number") return invalidType(name, "of type number", value);
  return outOfRange(name, `an integer >= ${INT_MIN} && <= ${max}`, value);
}

/** A structure behind a pointer that must not be NULL. */
export function structure<T extends object>(name: string, value: T | null | undefined, expected = "an object"): T {
  return typeof value === "object" && value !== null ? value : invalidType(name, expected, value);
}

/** A structure behind a pointer that may be NULL: null or undefined. */
export function optional<T extends object>(name: string, value: T | null | undefined): T | null {
  return value === undefined || value === null ? null : structure(name, value, "an object or null");
}

/** A view of the bytes of any buffer: what is no Uint8Array of this realm comes here. */
export function toBytes(buffer: unknown, name = "buffer"): Bytes {
  if (buffer instanceof Uint8Array) return buffer;
  if (ArrayBuffer.isView(buffer)) {
    if (isDetached(buffer.buffer)) return new Uint8Array(0);
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }
  if (buffer instanceof ArrayBuffer || buffer instanceof SharedArrayBuffer) {
    return isDetached(buffer) ? new Uint8Array(0) : new Uint8Array(buffer);
  }
  return invalidType(name, "a Buffer, TypedArray, DataView or ArrayBuffer", buffer);
}

/** Does a buffer point to memory that is its own no more, since it was transferred? To C that is -EFAULT. */
export function isGone(buffer: unknown): boolean {
  if (ArrayBuffer.isView(buffer)) return isDetached(buffer.buffer);
  return buffer instanceof ArrayBuffer && isDetached(buffer);
}

function isDetached(buffer: ArrayBufferLike): boolean {
  if (buffer.byteLength > 0) return false;
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

/** Checks the length that a caller gave for a buffer of `size` bytes. */
export function checkLength(length: number, size: number): void {
  if (typeof length !== "number") invalidType("length", "of type number", length);
  if (!Number.isInteger(length) || length < 0 || length > size) outOfRange("length", `>= 0 && <= ${size}`, length);
}

/** A port that can be one. */
export function checkPort(port: unknown): number {
  if (typeof port !== "number") invalidType("port", "of type number", port);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    const error = new RangeError(`Port should be >= 0 and < 65536. Received ${String(port)}.`);
    throw Object.assign(error, { code: "ERR_SOCKET_BAD_PORT" });
  }
  return port;
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "object") return `an instance of ${value.constructor?.name ?? "Object"}`;
  if (typeof value === "function") return `function ${value.name}`;
  return `type ${typeof value} (${String(value as string | number)})`;
}
