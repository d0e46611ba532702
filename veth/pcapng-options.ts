// Encodes the options of pcapng blocks and checks what goes into them.
// Read first: draft-ietf-opsawg-pcapng, sections 3.5 (options), 4.2 (interface), 4.3 (packet).

import * as format from "./pcapng-format.ts";
import type { Direction } from "./pcapng-format.ts";

const { TWO_32 } = format;
const OPTION_BYTES_MAX = 65535;

/** One option of a block: its code and its value, unpadded. */
export interface Option {
  code: number;
  value: Uint8Array;
}

export const NO_OPTIONS: readonly Option[] = Object.freeze([]);

const utf8 = new TextEncoder();

/** An option of bytes, as a list so that absent ones vanish in flat(). */
export function binary(code: number, value: Uint8Array): Option[] {
  if (value.length <= OPTION_BYTES_MAX) return [{ code, value }];
  throw new RangeError(`an option of ${value.length} bytes does not fit: pcapng allows ${OPTION_BYTES_MAX}`);
}

/** A text option: UTF-8, not zero-terminated (3.5). Nothing for an absent or empty text. */
export function text(code: number, value: string | undefined): Option[] {
  return value === undefined || value === "" ? [] : binary(code, utf8.encode(value));
}

/** A 64-bit count in the section's byte order (little-endian); exact up to 2^53. */
export function u64(value: number): Uint8Array {
  return words(value % TWO_32, Math.floor(value / TWO_32));
}

/**
 * Splits microseconds into the two words of a count of nanoseconds: words[0] high, words[1] low.
 * @param micros 0 to 2^53; fractions are rounded to the nanosecond
 */
export function nanosWords(micros: number, words: Uint32Array): void {
  // Split before multiplying: microseconds since 1970 times 1,000 does not fit the 53 bits of a double.
  const whole = Math.floor(micros);
  const wholeHigh = Math.floor(whole / TWO_32);
  const low = (whole - wholeHigh * TWO_32) * 1000 + Math.round((micros - whole) * 1000);
  const carry = Math.floor(low / TWO_32);
  words[0] = wholeHigh * 1000 + carry;
  words[1] = low - carry * TWO_32;
}

/** A stamp as an option value: high word first, whatever the byte order of the section (4.6). */
export function timeBytes(micros: number): Uint8Array {
  const split = new Uint32Array(2);
  nanosWords(micros, split);
  return words(split[0]!, split[1]!);
}

/** if_IPv4addr: address and netmask, both in network order (4.2). */
export function addressAndMask(address: number, prefixLength: number): Uint8Array {
  integer("address", address, 0, TWO_32 - 1);
  integer("prefixLength", prefixLength, 0, 32);
  const value = new Uint8Array(8);
  const view = new DataView(value.buffer);
  view.setUint32(0, address);
  view.setUint32(4, TWO_32 - 2 ** (32 - prefixLength));
  return value;
}

/** Checks that a MAC address has six bytes. */
export function macBytes(mac: Uint8Array): Uint8Array {
  if (mac.length !== 6) throw new RangeError(`mac has ${mac.length} bytes: a MAC address has 6`);
  return mac.slice();
}

/** The options of an enhanced packet block: comments, direction, drop count, queue. */
export function packetOptions(info: {
  comment?: string | readonly string[];
  direction?: Direction;
  dropCount?: number;
  queue?: number;
}): readonly Option[] {
  const { comment, direction = "unknown", dropCount, queue } = info;
  const flags = FLAGS[format.DIRECTIONS.indexOf(direction)];
  if (flags === undefined) {
    throw new RangeError(`direction is "${direction}": expected ${format.DIRECTIONS.join(", ")}`);
  }
  // Most packets say no more than their direction: their options are there already.
  if (comment === undefined && dropCount === undefined && queue === undefined) return flags;
  const comments = typeof comment === "string" ? [comment] : (comment ?? []);
  return [
    ...comments.flatMap((each) => text(format.OPT_COMMENT, each)),
    ...flags,
    ...(dropCount === undefined ? [] : binary(format.EPB_DROPCOUNT, u64(integer("dropCount", dropCount)))),
    ...(queue === undefined ? [] : binary(format.EPB_QUEUE, words(integer("queue", queue, 0, TWO_32 - 1)))),
  ];
}

/** epb_flags for each of DIRECTIONS; none for an unknown one. */
const FLAGS: readonly (readonly Option[])[] = format.DIRECTIONS.map((_, bits) =>
  bits === 0 ? NO_OPTIONS : binary(format.EPB_FLAGS, words(bits)),
);

/** The value itself when it is a whole number in the range. @throws RangeError that names the field otherwise */
export function integer(name: string, value: number, least = 0, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${name} is ${value}: expected a whole number from ${least} to ${most}`);
}

function words(...values: number[]): Uint8Array {
  const value = new Uint8Array(values.length * 4);
  const view = new DataView(value.buffer);
  values.forEach((word, index) => view.setUint32(index * 4, word, true));
  return value;
}
