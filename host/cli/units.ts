// Reads the values that people type: shares, durations, sizes, rates, counts, seeds, files.
// Read first: options.ts, which names the option when one of these throws. Each returns one unit, named in its name.

import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { CliError } from "./errors.ts";
import { nearest } from "./suggest.ts";
import {
  DURATION,
  guessQuantity,
  numberAndUnit,
  type Quantity,
  RATE,
  readQuantity,
  SHARE,
  SIZE,
} from "../../veth/units.ts";

/** A share from 0 to 1, written as "1%" or "0.01". */
export function share(text: string): number {
  return quantity(SHARE, text);
}

/** A duration in microseconds, written as "20ms", "1.5s", "100us", "2min"; only 0 needs no unit. */
export function micros(text: string): number {
  return quantity(DURATION, text);
}

/** A size in bytes, written as "1MB" (1,000,000), "64KiB" (65,536), "1500" or "1500B"; rounded to whole bytes. */
export function bytes(text: string): number {
  return Math.round(quantity(SIZE, text));
}

/** A rate in bits per second, written as "100Mbit", "1Gbit/s", "56kbps", "8MB/s" or "1MiB/s"; 0: no limit. */
export function bitsPerSecond(text: string): number {
  return quantity(RATE, text);
}

/** A quantity in its base unit, by the grammar that options in programs have too. */
function quantity(kind: Quantity, text: string): number {
  const value = readQuantity(kind, text);
  if (value !== undefined) return value;
  throw new CliError("", { expected: kind.expected, hint: guessQuantity(kind, text) });
}

/** Reads whole numbers from `least` to `most`, written as "10000", "10_000", "10k" or "1M". */
export function count(least = 0, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  const expected = `a whole number ${range}, such as ${Math.min(most, Math.max(least, 100))}`;
  return (text) => {
    const [value, unit] = numberAndUnit(text) ?? [NaN, ""];
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
  const written = attempt(() => tryToWrite(path));
  if (!(written instanceof Error)) return path;
  const missing = (written as NodeJS.ErrnoException).code === "ENOENT";
  const message = missing ? `there is no folder "${dirname(path)}"` : `"${text}" cannot be written: ${written.message}`;
  throw new CliError(message, { expected, cause: written });
}

/** Opens a file for writing and leaves it as it was: rights alone do not tell whether a file system takes it. */
function tryToWrite(path: string): void {
  const isNew = !existsSync(path);
  closeSync(openSync(path, "a"));
  if (isNew) rmSync(path);
}

/** The path of a folder that files can be written to; it is made when it is not there, but its own folder must be. */
export function writableFolder(text: string): string {
  const path = resolve(text);
  const expected = "a folder that can be written to, or a name for a new one";
  const found = attempt(() => statSync(path));
  if (!(found instanceof Error) && !found.isDirectory()) throw new CliError(`"${text}" is no folder`, { expected });
  const made = attempt(() => {
    if (found instanceof Error) mkdirSync(path);
    tryToWrite(join(path, `.oribi-${process.pid}`));
  });
  if (!(made instanceof Error)) return path;
  throw new CliError(`"${text}" cannot be used: ${made.message}`, { expected, cause: made });
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
