// Quantities as people write them, in options and on the command line alike: "20ms", "1%", "10Mbit", "64KiB".
// Read first: options.ts, which turns what cannot be read into errors. One grammar: a number, then a unit.

/** A kind of quantity. */
export interface Quantity {
  /** Factors to the base unit by the units' names. */
  units: Readonly<Record<string, number>>;
  /** A number without a unit is in the base unit; otherwise only 0 needs none. */
  bare: boolean;
  /** What an error says was expected. */
  expected: string;
}

/** Base unit: microseconds. */
export const DURATION: Quantity = {
  units: { ns: 1e-3, us: 1, µs: 1, μs: 1, ms: 1e3, s: 1e6, sec: 1e6, min: 60e6, h: 3600e6 },
  bare: false,
  expected: "a duration with its unit (ns, us, ms, s, min, h), such as 20ms or 1.5s",
};

/** Base unit: bytes. */
export const SIZE: Quantity = {
  units: { B: 1, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 },
  bare: true,
  expected: "a size, such as 1500, 64KB (64,000 bytes) or 64KiB (65,536 bytes)",
};

/** Base unit: bits per second. A capital B is a byte. */
export const RATE: Quantity = {
  units: rateUnits(),
  bare: false,
  expected: "a rate, such as 100Mbit, 1Gbit/s or 8MB/s; 0 for no limit",
};

/** Base unit: 1, which is certainty. */
export const SHARE: Quantity = {
  units: { "%": 0.01 },
  bare: true,
  expected: "a share from 0% to 100%, such as 1% or 0.01",
};

const NUMBER = /^([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(.*)$/i;

/** The number at the front of a text and the rest, its unit; undefined when no number is there. */
export function numberAndUnit(text: string): [value: number, unit: string] | undefined {
  const match = NUMBER.exec(text.trim());
  const value = Number(match?.[1]?.replaceAll("_", ""));
  return match === null || !Number.isFinite(value) ? undefined : [value, match[2] ?? ""];
}

/** The value of a text in the base unit; undefined when it is none, or below 0. */
export function readQuantity(kind: Quantity, text: string): number | undefined {
  const [value, unit] = numberAndUnit(text) ?? [NaN, ""];
  const factor = unit !== "" ? unitOf(kind.units, unit) : kind.bare || value === 0 ? 1 : undefined;
  if (factor === undefined || !(value >= 0)) return undefined;
  // "1" could be all or a hundredth (as in tc-netem): a person has to say which.
  if (kind === SHARE && (value * factor > 1 || (unit === "" && value === 1))) return undefined;
  return value * factor;
}

/** What was probably meant by a text that is no such quantity. */
export function guessQuantity(kind: Quantity, text: string): string | undefined {
  const [value, unit] = numberAndUnit(text) ?? [NaN, ""];
  if (!(value > 0)) return undefined;
  if (kind === SIZE && /^[kmg]$/i.test(unit)) {
    const short = `${value}${unit.toUpperCase()}`;
    return `${short}: write ${short}B (thousands) or ${short}iB (1,024s)`;
  }
  if (unit !== "") return undefined;
  if (kind === SHARE && value === 1) return "for 1 per cent write 1%, for all of them 100%";
  if (kind === SHARE && value <= 100) return `for ${value} per cent write ${value}%`;
  if (kind === DURATION) return `did you mean ${text.trim()}ms?`;
  if (kind === RATE) return `did you mean ${text.trim()}Mbit?`;
  return undefined;
}

/** The unit as it is written, or the one meant whatever the case of its letters, when only one can be. */
function unitOf(units: Readonly<Record<string, number>>, name: string): number | undefined {
  if (Object.hasOwn(units, name)) return units[name];
  const close = Object.keys(units).filter((unit) => unit.toLowerCase() === name.toLowerCase());
  const factors = new Set(close.map((unit) => units[unit]));
  return factors.size === 1 ? units[close[0] as string] : undefined;
}

function rateUnits(): Record<string, number> {
  const units: Record<string, number> = {};
  for (const [prefix, factor] of Object.entries({ "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 })) {
    for (const bits of ["bit", "bit/s", "bitps", "bps", "b/s"]) units[prefix + bits] = factor;
    for (const bytes of ["B/s", "Bps"]) units[prefix + bytes] = factor * 8;
  }
  for (const [prefix, factor] of Object.entries({ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 })) {
    for (const bytes of ["B/s", "Bps"]) units[prefix + bytes] = factor * 8;
  }
  return units;
}
