// What C's types would have refused: wrong JavaScript arguments throw TypeErrors and RangeErrors in Node's shape.

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

/** A view of the bytes of any buffer: what is no Uint8Array of this realm comes here. */
export function toBytes(buffer: unknown, name = "buffer"): Bytes {
  if (buffer instanceof Uint8Array) return buffer;
  if (ArrayBuffer.isView(buffer)) return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  if (buffer instanceof ArrayBuffer || buffer instanceof SharedArrayBuffer) return new Uint8Array(buffer);
  return invalidType(name, "a Buffer, TypedArray, DataView or ArrayBuffer", buffer);
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
