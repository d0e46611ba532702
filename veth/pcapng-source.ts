// Cuts a pcapng file, or one in memory, into its blocks without reading all of it at once.
// Read first: draft-ietf-opsawg-pcapng, sections 3.1 (general block structure) and 4.1 (byte order).

import { closeSync, openSync, readSync } from "node:fs";

import { BLOCK_SECTION_HEADER, BYTE_ORDER_MAGIC } from "./pcapng-format.ts";

const WINDOW_BYTES = 1024 * 1024;
/** Longest block believed; longer ones are taken for damage before memory is spent on them. */
const BLOCK_BYTES_MAX = 64 * 1024 * 1024;
/** Magic numbers of the older pcap format, which looks similar to people but not to this reader. */
const PCAP_MAGICS = [0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1];

/** A capture that is damaged or no pcapng; `offset` is the byte where the block begins that could not be read. */
export class PcapngError extends Error {
  readonly code = "ERR_PCAPNG";
  constructor(
    message: string,
    readonly offset: number,
  ) {
    super(`byte ${offset} of the capture: ${message}`);
    this.name = "PcapngError";
  }
}

/** One block: a view from its type to its closing length. */
export interface Block {
  type: number;
  view: DataView;
  /** Byte order of its section. */
  littleEndian: boolean;
  /** Where it begins in the capture, bytes. */
  offset: number;
}

/** Yields the blocks of a capture. @param source the bytes, or the path of a file */
export function* blocks(source: Uint8Array | string | URL): Generator<Block, void, void> {
  const window = source instanceof Uint8Array ? new MemoryWindow(source) : new FileWindow(source);
  let littleEndian = true;
  let offset = 0;
  try {
    for (;;) {
      const head = window.read(offset, 12);
      if (head === undefined) {
        if (window.isEnd(offset) && offset > 0) return;
        throw new PcapngError(endMessage(offset), offset);
      }
      const type = head.getUint32(0, true);
      if (offset === 0) assertPcapng(type);
      // The type of a section header is a palindrome: it can be read before the byte order is known.
      if (type === BLOCK_SECTION_HEADER) littleEndian = byteOrder(head, offset);
      const length = checkedLength(head.getUint32(4, littleEndian), offset);
      const view = window.read(offset, length);
      if (view === undefined) throw new PcapngError(`a block of ${length} bytes is cut off by the end`, offset);
      const closing = view.getUint32(length - 4, littleEndian);
      if (closing !== length) {
        throw new PcapngError(`the block begins with length ${length} and ends with length ${closing}`, offset);
      }
      yield { type: head.getUint32(0, littleEndian), view, littleEndian, offset };
      offset += length;
    }
  } finally {
    window.close();
  }
}

interface Window {
  /** A view of `length` bytes at `offset`, or undefined when the capture ends before. */
  read(offset: number, length: number): DataView | undefined;
  isEnd(offset: number): boolean;
  close(): void;
}

class MemoryWindow implements Window {
  constructor(private readonly bytes: Uint8Array) {}

  read(offset: number, length: number): DataView | undefined {
    if (offset + length > this.bytes.length) return undefined;
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + offset, length);
  }

  isEnd(offset: number): boolean {
    return offset === this.bytes.length;
  }

  close(): void {}
}

class FileWindow implements Window {
  private readonly file: number;
  private bytes = new Uint8Array(0);
  private start = 0;
  private filled = 0;

  constructor(path: string | URL) {
    this.file = openSync(path, "r");
  }

  read(offset: number, length: number): DataView | undefined {
    if (offset + length > this.start + this.filled) this.slideTo(offset, length);
    if (offset + length > this.start + this.filled) return undefined;
    return new DataView(this.bytes.buffer, offset - this.start, length);
  }

  isEnd(offset: number): boolean {
    return offset === this.start + this.filled;
  }

  close(): void {
    closeSync(this.file);
  }

  /** Moves the window to `offset` and fills it. */
  private slideTo(offset: number, length: number): void {
    const kept = this.bytes.subarray(offset - this.start, this.filled);
    // A new buffer, not copyWithin: packets that were handed out still point into the old one.
    const bytes = new Uint8Array(Math.max(WINDOW_BYTES, length));
    bytes.set(kept);
    this.filled = kept.length;
    this.bytes = bytes;
    this.start = offset;
    for (;;) {
      const count = readSync(this.file, bytes, this.filled, bytes.length - this.filled, null);
      this.filled += count;
      if (count === 0 || this.filled === bytes.length) return;
    }
  }
}

function assertPcapng(type: number): void {
  if (type === BLOCK_SECTION_HEADER) return;
  if (PCAP_MAGICS.includes(type)) {
    throw new PcapngError("this is a capture in the older pcap format; convert it: editcap -F pcapng OLD NEW", 0);
  }
  throw new PcapngError(`not a pcapng capture: it begins with 0x${type.toString(16)}, expected 0xa0d0d0a`, 0);
}

function byteOrder(head: DataView, offset: number): boolean {
  if (head.getUint32(8, true) === BYTE_ORDER_MAGIC) return true;
  if (head.getUint32(8, false) === BYTE_ORDER_MAGIC) return false;
  throw new PcapngError(`the section has no byte-order magic, but 0x${head.getUint32(8).toString(16)}`, offset);
}

function checkedLength(length: number, offset: number): number {
  if (length >= 12 && length % 4 === 0 && length <= BLOCK_BYTES_MAX) return length;
  throw new PcapngError(`the block says it has ${length} bytes: expected a multiple of 4, at least 12`, offset);
}

function endMessage(offset: number): string {
  return offset === 0 ? "the capture is empty or shorter than a section header" : "the last block is cut off";
}
