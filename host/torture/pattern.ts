// The bytes that connections carry: windows of one random table that all threads share, so that a byte in the wrong
// place, of another connection or of another direction is seen at once.

import { seededRandom, seedWords } from "../seed.ts";

/** Most bytes of one direction of a connection, header included. */
export const BYTES_MAX = 1 << 18;
/** Where windows may begin. */
export const KEYS = 1 << 18;
/** The direction to the client begins so far behind the other. */
const DOWN_SHIFT = 4099;

/** Makes the table. */
export function randomTable(): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(KEYS + BYTES_MAX + 2 * 4096);
  const words = new Uint32Array(shared);
  const random = seededRandom(seedWords(0, "torture"));
  for (let i = 0; i < words.length; i++) words[i] = random() * 4294967296;
  return shared;
}

/** Where a direction of a connection begins in the table. */
export function startOf(key: number, isDown: boolean): number {
  return key + (isDown ? DOWN_SHIFT : 0);
}

/** The place of the first wrong byte among `length` that should be those from `at` of the table on; -1: none. */
export function wrongByte(table: Buffer, at: number, received: Buffer, length: number): number {
  if (received.compare(table, at, at + length, 0, length) === 0) return -1;
  for (let i = 0; i < length; i++) if (received[i] !== table[at + i]) return i;
  return -1;
}
