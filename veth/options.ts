// Options as people write them: "20ms", "1%", "10Mbit", "64KiB", or plain numbers in the base unit.
// Every error names the option, its value and the form that was expected.

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

  constructor(option: string, value: unknown, expected: string) {
    super(`The option "${option}" must be ${expected}, not ${show(value)}.`);
    this.option = option;
  }
}

/** What is left of 4 GiB for one region, bytes. */
const REGION_MAX = 4294967296 - 16 * 1048576;
const DURATIONS: Record<string, number> = { us: 1, µs: 1, ms: 1e3, s: 1e6, min: 60e6, h: 3600e6 };
const RATES: Record<string, number> = { bit: 1, kbit: 1e3, Mbit: 1e6, Gbit: 1e9, Tbit: 1e12 };
const SIZES: Record<string, number> = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 1024, MiB: 1048576, GiB: 1073741824 };

/** Microseconds of a duration from 0. */
export function parseDuration(option: string, value: Duration): number {
  return parseUnit(option, value, DURATIONS, 'a duration: microseconds, or a string as "20ms", "300us", "1.5s"');
}

/** Bits per second; "0" or 0 means no limit where the option says so. */
export function parseRate(option: string, value: Rate): number {
  const text = typeof value === "string" ? value.replace(/\/s$/, "") : value;
  return parseUnit(option, text, RATES, 'a rate: bits per second, or a string as "10Mbit", "1.5Gbit", "64kbit"', value);
}

/** Bytes. */
export function parseSize(option: string, value: Size): number {
  return Math.round(parseUnit(option, value, SIZES, 'a size: bytes, or a string as "64KiB", "1MB"'));
}

/** A probability from 0 to 1. */
export function parseProbability(option: string, value: Probability): number {
  const expected = 'a probability: 0 to 1, or a string as "1%"';
  let number = value;
  if (typeof number === "string") {
    const match = /^(\d+(?:\.\d+)?(?:e-?\d+)?)\s*(%?)$/i.exec(number.trim());
    if (match === null) throw new OptionError(option, value, expected);
    number = Number(match[1]) / (match[2] === "%" ? 100 : 1);
  }
  if (typeof number !== "number" || !(number >= 0 && number <= 1)) throw new OptionError(option, value, expected);
  return number;
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

/** Throws when an options object has a name that is not known: a typo must not pass in silence. */
export function checkNames(what: string, options: object, known: readonly string[]): void {
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

function parseUnit(
  option: string,
  value: number | string,
  units: Record<string, number>,
  expected: string,
  shown: unknown = value,
): number {
  let number = value;
  if (typeof number === "string") {
    const match = /^(\d+(?:\.\d+)?(?:e\d+)?)\s*([a-zµ]*)$/i.exec(number.trim());
    const unit = match === null ? undefined : match[2] === "" ? 1 : unitOf(units, match[2] as string);
    if (match === null || unit === undefined) throw new OptionError(option, shown, expected);
    number = Number(match[1]) * unit;
  }
  if (typeof number !== "number" || !(number >= 0) || !Number.isFinite(number)) {
    throw new OptionError(option, shown, expected);
  }
  return number;
}

/** The unit as it is written, or the only one that differs from it by case. */
function unitOf(units: Record<string, number>, name: string): number | undefined {
  if (Object.hasOwn(units, name)) return units[name];
  const close = Object.keys(units).filter((unit) => unit.toLowerCase() === name.toLowerCase());
  return close.length === 1 ? units[close[0] as string] : undefined;
}

function show(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
