// The bytes that streams carry: windows of one random table, so that a byte in the wrong place is seen at once and
// nothing has to be made or computed for each stream.

import { seededRandom, seedWords } from "../seed.ts";

/** Most bytes of one stream. */
export const STREAM_BYTES_MAX = 1 << 20;
/** Where streams may begin in the table. */
export const OFFSET_MAX = 1 << 20;

let table: Buffer | undefined;

function pattern(): Buffer {
  if (table !== undefined) return table;
  const words = new Uint32Array((OFFSET_MAX + STREAM_BYTES_MAX) / 4);
  const random = seededRandom(seedWords(0, "pattern"));
  for (let i = 0; i < words.length; i++) words[i] = random() * 4294967296;
  return (table = Buffer.from(words.buffer));
}

/** The bytes `from` to `end` of the stream that begins at `offset` of the table. */
export function streamBytes(offset: number, from: number, end: number): Buffer {
  return pattern().subarray(offset + from, offset + end);
}

/** Where, in `length` bytes received from place `at` of a stream on, the first wrong one is; -1 when there is none. */
export function firstDifference(offset: number, at: number, received: Buffer, length: number): number {
  const start = offset + at;
  if (received.compare(pattern(), start, start + length, 0, length) === 0) return -1;
  const expected = streamBytes(offset, at, at + length);
  for (let i = 0; i < length; i++) if (received[i] !== expected[i]) return at + i;
  return -1;
}
