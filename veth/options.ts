// Options as people write them: "20ms", "1%", "10Mbit", "64KiB", or plain numbers in the base unit.
// Every error names the option, its value and the form that was expected. Read first: units.ts for the quantities.

import { DURATION, guessQuantity, type Quantity, RATE, readQuantity, SHARE, SIZE } from "./units.ts";

/** A duration: microseconds, or a string with a unit ("20ms", "1.5s", "300us"). */
export type Duration = number | string;
/** A probability: 0 to 1, or a string as "1%". */
export type Probability = number | string;
/** A rate: bits per second, or a string with a unit ("10Mbit", "1.5Gbit", "64kbit"). */
export type Rate = number | string;
/** A size: bytes, or a string with a unit ("64KiB", "1MB"). */
export type Size = number | string;

/** An option that cannot be used as it is. */
export class OptionError extends RangeError {
  override readonly name = "OptionError";
  readonly code = "ERR_ORIBI_OPTION";
  readonly option: string;

  /** @param guess what was probably meant, a sentence without its full stop */
  constructor(option: string, value: unknown, expected: string, guess?: string) {
    super(`The option "${option}" must be ${expected}, not ${show(value)}${guess === undefined ? "." : `: ${guess}`}`);
    this.option = option;
  }
}

/** What is left of 4 GiB for one region, bytes. */
const REGION_MAX = 4294967296 - 16 * 1048576;
/** Microseconds of a duration from 0. */
export function parseDuration(option: string, value: Duration): number {
  return parseQuantity(option, value, DURATION, "microseconds");
}

/** Bits per second; 0 means no limit where the option says so. */
export function parseRate(option: string, value: Rate): number {
  return parseQuantity(option, value, RATE, "bits per second");
}

/** Bytes. */
export function parseSize(option: string, value: Size): number {
  return Math.round(parseQuantity(option, value, SIZE, "bytes"));
}

/** A probability from 0 to 1. */
export function parseProbability(option: string, value: Probability): number {
  const number = parseQuantity(option, value, SHARE, "0 to 1");
  if (number <= 1) return number;
  throw new OptionError(option, value, expectedOf(SHARE, "0 to 1"));
}

/** A whole number within bounds. */
export function parseInteger(option: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new OptionError(option, value, `a whole number from ${least} to ${most}`);
  }
  return value;
}

/** A power of two within bounds. */
export function parsePowerOfTwo(option: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most || (value & (value - 1)) !== 0) {
    throw new OptionError(option, value, `a power of two from ${least} to ${most}`);
  }
  return value;
}

export function parseBoolean(option: string, value: boolean): boolean {
  if (typeof value !== "boolean") throw new OptionError(option, value, "true or false");
  return value;
}

/** One of a few words. */
export function parseWord<W extends string>(option: string, value: string, words: readonly W[]): W {
  const found = words.find((word) => word === value);
  if (found === undefined) throw new OptionError(option, value, words.map((word) => `"${word}"`).join(" or "));
  return found;
}

/** Throws when options are no object, or have a name that is not known: a typo must not pass in silence. */
export function checkNames(what: string, options: object, known: readonly string[]): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new OptionError(what, options, `an object with ${known.join(", ")}`);
  }
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new OptionError(`${what}.${name}`, name, `one of ${known.join(", ")}`);
  }
}

/** `defaults` with the options that are given; an option that is `undefined` counts as not given. */
export function withDefaults<T extends object>(defaults: Readonly<T>, options: Partial<T>): T {
  const merged = { ...defaults };
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) Object.assign(merged, { [name]: value });
  }
  return merged;
}

/** Throws when an option makes a region larger than a memory: its size must not wrap around in 32 bits. */
export function checkRegion(option: string, value: number, bytes: number): void {
  if (bytes > REGION_MAX)
    throw new OptionError(option, value, `smaller: that makes ${Math.round(bytes / 1048576)} MiB`);
}

/** The six bytes of a MAC address "02:00:00:00:00:01". */
export function parseMac(option: string, value: string): Uint8Array {
  const match = typeof value === "string" ? /^([0-9a-f]{2})([:-][0-9a-f]{2}){5}$/i.exec(value) : null;
  if (match === null) throw new OptionError(option, value, 'a MAC address as "02:00:00:00:00:01"');
  return Uint8Array.from(value.split(/[:-]/), (part) => parseInt(part, 16));
}

/** A MAC address in its usual form. */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, 6), (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** The host-order number of an IPv4 address "10.0.0.1"; numbers pass. */
export function parseIpv4(option: string, value: string | number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffffffff) return value;
  const parts = typeof value === "string" ? value.split(".") : [];
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)) {
    throw new OptionError(option, value, 'an IPv4 address as "10.0.0.1"');
  }
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** A number in the base unit as it is, or a text with a unit. */
function parseQuantity(option: string, value: number | string, kind: Quantity, base: string): number {
  const number = typeof value === "string" ? readQuantity(kind, value) : value;
  if (typeof number === "number" && number >= 0 && Number.isFinite(number)) return number;
  const guess = typeof value === "string" ? guessQuantity(kind, value) : undefined;
  throw new OptionError(option, value, expectedOf(kind, base), guess);
}

function expectedOf({ expected }: Quantity, base: string): string {
  return `a number (${base}), or a string with ${expected}`;
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
