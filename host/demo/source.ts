// The file that the demo sends: one that the user names, or one that is made on the spot; other threads can open it.
// Read first: transfer.ts, which reads it piece by piece.

import { createCipheriv, createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";

/** Something to send, read from any place on. */
export interface Source extends Disposable {
  readonly name: string;
  readonly bytes: number;
  /** Where it lies: for openSource() in another thread. */
  readonly place: SourcePlace;
  /** Bytes from `at` on, at least one below `bytes`; valid until the next call. */
  piece(at: number): Uint8Array;
}

/** A file of the machine, which each thread opens for itself, or bytes in memory that all threads share. */
export type SourcePlace = { path: string } | { content: SharedArrayBuffer };

/** What a made file is called. */
export const MADE_NAME = "random bytes";
/** What one call of send() is given. */
const PIECE_BYTES = 65536;
/** What is read of a file at once; of one that is read here and there, no more than is wanted. */
const WINDOW_BYTES = 1 << 20;
/** Bytes that throughput is measured with: enough that they are not always the same few. */
const PAYLOAD_BYTES_MIN = 1 << 20;
const PAYLOAD_BYTES_MAX = 4 << 20;

/** A file of random bytes; the same seed gives the same bytes. */
export function madeSource(bytes: number, seed: string): Source {
  const key = createHash("sha256").update(seed).digest().subarray(0, 16);
  const cipher = createCipheriv("aes-128-ctr", key, Buffer.alloc(16));
  const content = new SharedArrayBuffer(bytes);
  const view = new Uint8Array(content);
  const zeros = Buffer.alloc(Math.min(bytes, WINDOW_BYTES));
  for (let at = 0; at < bytes; at += zeros.length) view.set(cipher.update(zeros.subarray(0, bytes - at)), at);
  return sharedSource(content);
}

/** Bytes that are there already. */
function sharedSource(content: SharedArrayBuffer): Source {
  const view = Buffer.from(content);
  return {
    name: MADE_NAME,
    bytes: view.length,
    place: { content },
    piece: (at) => view.subarray(at, at + PIECE_BYTES),
    [Symbol.dispose]: () => {},
  };
}

/** Opens in this thread what another one has opened, to be read here and there. @throws Error of node:fs */
export function openSource(place: SourcePlace): Source {
  return "path" in place ? fileSource(place.path, PIECE_BYTES) : sharedSource(place.content);
}

/** A file of the machine. @throws Error of node:fs; "EISDIR"-like ones for what is no regular file */
export function fileSource(path: string, windowBytes = WINDOW_BYTES): Source {
  const fd = openSync(path, "r");
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    closeSync(fd);
    throw new Error(`"${path}" is no regular file`);
  }
  const window = Buffer.allocUnsafe(windowBytes);
  let start = 0;
  let end = 0;
  const piece = (at: number): Uint8Array => {
    if (at < start || at >= end) {
      start = at;
      end = at + readSync(fd, window, 0, Math.min(windowBytes, stat.size - at), at);
      if (end === at && at < stat.size) throw new Error(`"${path}" became shorter while it was read`);
    }
    return window.subarray(at - start, Math.min(end - start, at - start + PIECE_BYTES));
  };
  const close = (): void => closeSync(fd);
  return { name: basename(path), bytes: stat.size, place: { path }, piece, [Symbol.dispose]: close };
}

/** The SHA-256 of a source, as hexadecimal digits. */
export function sha256(source: Source, onProgress: (bytes: number) => void = () => {}): string {
  const hash = createHash("sha256");
  for (let at = 0; at < source.bytes; onProgress(at)) {
    const piece = source.piece(at);
    hash.update(piece);
    at += piece.length;
  }
  return hash.digest("hex");
}

/** What throughput is measured with, in pieces of one size: the source's bytes, repeated when they are few. */
export function payloadPieces(source: Source): Uint8Array[] {
  const wanted = Math.min(PAYLOAD_BYTES_MAX, Math.max(PAYLOAD_BYTES_MIN, source.bytes));
  const bytes = wanted - (wanted % PIECE_BYTES);
  const payload = Buffer.alloc(bytes);
  let filled = 0;
  while (filled < bytes && source.bytes > 0) {
    const piece = source.piece(filled % source.bytes);
    payload.set(piece.subarray(0, bytes - filled), filled);
    filled += piece.length;
  }
  const count = bytes / PIECE_BYTES;
  return Array.from({ length: count }, (_, index) => payload.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES));
}
