// Reads the values that people type: shares, durations, sizes, rates, counts, seeds, files.
// Read first: options.ts, which names the option when one of these throws. Each returns one unit, named in its name.

import { accessSync, constants, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { CliError } from "./errors.ts";
import { nearest } from "./suggest.ts";

const NUMBER = /^([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(.*)$/i;

const MICROS: Record<string, number> = {
  ns: 1e-3,
  us: 1,
  µs: 1,
  μs: 1,
  ms: 1e3,
  s: 1e6,
  sec: 1e6,
  min: 60e6,
  h: 3600e6,
};

const BYTES: Record<string, number> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

/** A share from 0 to 1, written as "1%" or "0.01". */
export function share(text: string): number {
  const expected = "a share from 0% to 100%, such as 1% or 0.01";
  const [value, unit] = numberAndUnit(text, expected);
  if (unit !== "" && unit !== "%") throw new CliError("", { expected });
  const result = unit === "%" ? value / 100 : value;
  if (!(result >= 0 && result <= 1)) {
    const hint = unit === "" && value <= 100 ? `for ${value} per cent write ${value}%` : undefined;
    throw new CliError("", { expected, hint });
  }
  return result;
}

/** A duration in microseconds, written as "20ms", "1.5s", "100us", "2min"; only 0 needs no unit. */
export function micros(text: string): number {
  const expected = "a duration with its unit (ns, us, ms, s, min, h), such as 20ms or 1.5s";
  const [value, unit] = numberAndUnit(text, expected);
  if (unit === "" && value !== 0) throw new CliError("", { expected, hint: `did you mean ${text}ms?` });
  const factor = unit === "" ? 1 : lookUp(MICROS, unit);
  if (factor === undefined || value < 0) throw new CliError("", { expected });
  return value * factor;
}

/** A size in bytes, written as "1MB" (1,000,000), "64KiB" (65,536), "1500" or "1500B"; rounded to whole bytes. */
export function bytes(text: string): number {
  const expected = "a size, such as 1500, 64KB (64,000 bytes) or 64KiB (65,536 bytes)";
  const [value, unit] = numberAndUnit(text, expected);
  const factor = unit === "" ? 1 : lookUp(BYTES, unit);
  if (factor === undefined || value < 0) {
    const short = /^[kmg]$/i.test(unit) ? unit.toUpperCase() : undefined;
    const hint = short && `${value}${short}: write ${value}${short}B (thousands) or ${value}${short}iB (1,024s)`;
    throw new CliError("", { expected, hint });
  }
  return Math.round(value * factor);
}

/** A rate in bits per second, written as "100Mbit", "1Gbit/s", "56kbps", "8MB/s" or "1MiB/s"; more than 0. */
export function bitsPerSecond(text: string): number {
  const expected = "a rate, such as 100Mbit, 1Gbit/s or 8MB/s";
  const [value, unit] = numberAndUnit(text, expected);
  const bits = /^([kmg]?)(?:bit(?:\/s|ps)?|bps|b\/s)$/i.exec(unit);
  const perSecond = /^(.*B)(?:\/s|ps)$/.exec(unit);
  let factor: number | undefined;
  // A capital B is a byte, as in 8MB/s; everything else is bits.
  if (perSecond?.[1] !== undefined) factor = (lookUp(BYTES, perSecond[1]) ?? NaN) * 8;
  else if (bits?.[1] !== undefined) factor = { "": 1, k: 1e3, m: 1e6, g: 1e9 }[bits[1].toLowerCase()];
  const result = value * (factor ?? NaN);
  if (result > 0) return result;
  const hint = unit === "" && value > 0 ? `did you mean ${text}Mbit?` : undefined;
  throw new CliError("", { expected, hint });
}

/** Reads whole numbers from `least` to `most`, written as "10000", "10_000", "10k" or "1M". */
export function count(least = 0, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  const expected = `a whole number ${range}, such as ${Math.min(most, Math.max(least, 100))}`;
  return (text) => {
    const [value, unit] = numberAndUnit(text, expected);
    const factor = { "": 1, k: 1e3, m: 1e6 }[unit.toLowerCase()];
    const result = value * (factor ?? NaN);
    if (Number.isInteger(result) && result >= least && result <= most) return result;
    throw new CliError("", { expected });
  };
}

/** A seed as it was typed and as four 32-bit words for random generators. */
export interface Seed {
  /** Prints so that it can be typed again. */
  text: string;
  /** A number if the text is a whole one up to 2^32 - 1, otherwise the text: what the library's `seed` options take. */
  value: number | string;
  words: readonly [number, number, number, number];
}

/** Reads a seed: any number or text. */
export function seed(text: string): Seed {
  const number =
    /^\d+$/.test(text) && Number(text) < 2 ** 32 && String(Number(text)) === text ? Number(text) : undefined;
  return { text, value: number ?? text, words: hashWords(text) };
}

/** The path of a file that can be read. */
export function readableFile(text: string): string {
  const path = resolve(text);
  const expected = "a file that can be read";
  const found = attempt(() => statSync(path));
  if (found instanceof Error) throw new CliError(`there is no file "${text}"`, { expected, cause: found });
  if (found.isDirectory()) throw new CliError(`"${text}" is a folder`, { expected });
  const readable = attempt(() => accessSync(path, constants.R_OK));
  if (readable instanceof Error) throw new CliError(`"${text}" may not be read`, { expected, cause: readable });
  return path;
}

/** The path of a file that can be written: new, or replaced. Its folder must exist. */
export function writableFile(text: string): string {
  const path = resolve(text);
  const expected = "a file that can be written, in a folder that exists";
  const found = attempt(() => statSync(path));
  if (!(found instanceof Error) && found.isDirectory()) throw new CliError(`"${text}" is a folder`, { expected });
  const target = found instanceof Error ? dirname(path) : path;
  const writable = attempt(() => accessSync(target, constants.W_OK));
  if (!(writable instanceof Error)) return path;
  const missing = (writable as NodeJS.ErrnoException).code === "ENOENT";
  const message = missing ? `there is no folder "${target}"` : `"${target}" may not be written`;
  throw new CliError(message, { expected, cause: writable });
}

/** Reads one of a few words. */
export function oneOf<const W extends string>(...words: readonly W[]): (text: string) => W {
  return (text) => {
    const found = words.find((word) => word === text.toLowerCase());
    if (found !== undefined) return found;
    const meant = nearest(text, words);
    const [last, ...others] = words.map((word) => `"${word}"`).toReversed();
    const expected = others.length === 0 ? last : `${others.toReversed().join(", ")} or ${last}`;
    throw new CliError("", { expected, hint: meant && `did you mean ${meant}?` });
  };
}

/** Reads a list of values with commas between. */
export function listOf<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => text.split(",").map((each) => parse(each.trim()));
}

/** Any text but none. */
export function word(text: string): string {
  if (text !== "") return text;
  throw new CliError("", { expected: "some text" });
}

/** The number at the front and the rest, the unit. */
function numberAndUnit(text: string, expected: string): [value: number, unit: string] {
  const match = NUMBER.exec(text.trim());
  const value = Number(match?.[1]?.replaceAll("_", ""));
  if (match === null || !Number.isFinite(value)) throw new CliError("", { expected });
  return [value, match[2] ?? ""];
}

/** The factor of a unit, whatever the case of its letters: "mib" is MiB. */
function lookUp(units: Record<string, number>, unit: string): number | undefined {
  const name = Object.keys(units).find((each) => each.toLowerCase() === unit.toLowerCase());
  return name === undefined ? undefined : units[name];
}

/** Four words from a text: FNV-1a from four starts, each finished as in MurmurHash3. */
function hashWords(text: string): [number, number, number, number] {
  const word32 = (start: number): number => {
    let hash = start;
    for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return (hash ^ (hash >>> 16)) >>> 0;
  };
  return [word32(0x811c9dc5), word32(0x9e3779b9), word32(0x243f6a88), word32(0xb7e15162)];
}

function attempt<T>(action: () => T): T | Error {
  try {
    return action();
  } catch (error) {
    return error as Error;
  }
}
