// Where a capture's bytes go: one buffer in front of a file (few, large writes) or one that grows in memory.
// Read first: node:fs writeSync; draft-ietf-opsawg-pcapng section 3.1 (everything is made of 32-bit words).

import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";

import { padded } from "./pcapng-format.ts";

const FILE_BUFFER_BYTES = 256 * 1024;
const MEMORY_START_BYTES = 16 * 1024;

/** A little-endian byte buffer with a cursor; it empties into a file when it has one, and grows otherwise. */
export class Sink {
  /** Bytes put in so far, those already written to the file included. */
  total = 0;
  private bytes: Uint8Array;
  private view: DataView;
  private used = 0;
  private file: number | undefined;
  /** Where the file goes on, once it has been cut; before that it is only appended to, and may be a pipe. */
  private position: number | null = null;

  /** @param path the file to create (an existing one is replaced); without it the bytes stay in memory. */
  constructor(path?: string | URL) {
    this.file = path === undefined ? undefined : openSync(path, "w");
    this.bytes = new Uint8Array(path === undefined ? MEMORY_START_BYTES : FILE_BUFFER_BYTES);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Makes room for `length` bytes; call it once for each block, before the first put. */
  reserve(length: number): void {
    if (this.used + length <= this.bytes.length) return;
    if (this.file !== undefined) this.flush();
    if (this.used + length <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.used + length));
    grown.set(this.bytes.subarray(0, this.used));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  putU16(value: number): void {
    this.view.setUint16(this.advance(2), value, true);
  }

  putU32(value: number): void {
    this.view.setUint32(this.advance(4), value, true);
  }

  /** Copies bytes and pads them with zeros to the next 32-bit boundary. */
  putPadded(data: Uint8Array): void {
    const at = this.advance(padded(data.length));
    this.bytes.set(data, at);
    this.bytes.fill(0, at + data.length, this.used);
  }

  /** The bytes held in memory; for a file those not yet written. A view: the next put may move them. */
  pending(): Uint8Array {
    return this.bytes.subarray(0, this.used);
  }

  /** Hands everything buffered to the operating system. */
  flush(): void {
    if (this.file === undefined) return;
    let done = 0;
    try {
      while (done < this.used) {
        const taken = writeSync(this.file, this.bytes, done, this.used - done, this.position);
        if (this.position !== null) this.position += taken;
        done += taken;
      }
    } finally {
      this.bytes.copyWithin(0, done, this.used);
      this.used -= done;
    }
  }

  /** Takes back what was put in after the first `total` bytes. @throws the node:fs error when a file cannot be cut */
  truncate(total: number): void {
    const written = this.total - this.used;
    this.total = total;
    this.used = Math.max(0, total - written);
    if (total >= written || this.file === undefined) return;
    ftruncateSync(this.file, total);
    this.position = total;
  }

  /** Flushes and closes the file; closing again does nothing. The descriptor is freed even if the flush fails. */
  close(): void {
    if (this.file === undefined) return;
    try {
      this.flush();
    } finally {
      closeSync(this.file);
      this.file = undefined;
    }
  }

  private advance(length: number): number {
    const at = this.used;
    this.used += length;
    this.total += length;
    return at;
  }
}
