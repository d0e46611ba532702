// A strip of memory that nothing may touch: whatever is written past the end of a region shows in it.

/** Bytes of a strip between two regions. */
export const GUARD_BYTES = 65536;
const MARK = 0xd7;

export class Guard {
  readonly #bytes: Buffer;
  readonly #before: Buffer;

  /** Marks the bytes from `from` up to `end`, which belong to nobody. */
  constructor(buffer: SharedArrayBuffer, from: number, end: number) {
    this.#bytes = Buffer.from(buffer, from, end - from).fill(MARK);
    this.#before = Buffer.alloc(end - from, MARK);
  }

  /** Offset of the first byte that was written, -1 when none was. */
  firstTouched(): number {
    if (this.#bytes.equals(this.#before)) return -1;
    return this.#bytes.findIndex((byte) => byte !== MARK);
  }
}
