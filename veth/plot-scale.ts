// Numbers into axes and words: round tick values, units, readable amounts.
// Read first: Heckbert, "Nice Numbers for Graph Labels" (Graphics Gems). The page's script embeds these functions as
// text, so each stands alone but for the others here.

/** Side of the square grid on which marks are placed; finer than any screen. */
export const GRID = 65536;

/** A unit of an axis: its name and how many base units (microseconds, bytes, bits per second) it has. */
export interface Unit {
  name: string;
  size: number;
}

/** About `count` round values (1, 2 or 5 times a power of ten apart) from `low` to `high`. */
export function ticks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (rough <= power * 1.5 ? 1 : rough <= power * 3.5 ? 2 : rough <= power * 7.5 ? 5 : 10);
  const values: number[] = [];
  const last = Math.floor(high / step + 1e-9);
  // Adding 0 makes a tick of -0 one of 0.
  for (let index = Math.ceil(low / step - 1e-9); index <= last; index++) values.push(index * step + 0);
  return values;
}

/** The unit in which a time of this size is read; argument in microseconds. */
export function timeUnit(micros: number): Unit {
  if (micros >= 1e6) return { name: "s", size: 1e6 };
  if (micros >= 1e3) return { name: "ms", size: 1e3 };
  return { name: "µs", size: 1 };
}

/** The unit in which an amount of this size is read; argument in bytes. Decimal, as network rates are. */
export function bytesUnit(bytes: number): Unit {
  if (bytes >= 1e9) return { name: "GB", size: 1e9 };
  if (bytes >= 1e6) return { name: "MB", size: 1e6 };
  if (bytes >= 1e3) return { name: "KB", size: 1e3 };
  return { name: "B", size: 1 };
}

/** The unit in which a rate of this size is read; argument in bits per second. */
export function rateUnit(bits: number): Unit {
  if (bits >= 1e9) return { name: "Gbit/s", size: 1e9 };
  if (bits >= 1e6) return { name: "Mbit/s", size: 1e6 };
  if (bits >= 1e3) return { name: "kbit/s", size: 1e3 };
  return { name: "bit/s", size: 1 };
}

/** Three significant digits, whole numbers in full: 0.123, 12.3, 1234. */
export function threeDigits(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  return value.toFixed(Math.max(0, Math.min(3, 2 - Math.floor(Math.log10(size)))));
}

/** An amount with its unit, for example "1.05 MB". */
export function amount(value: number, unit: Unit): string {
  return `${unit.size === 1 ? String(Math.round(value)) : threeDigits(value / unit.size)} ${unit.name}`;
}

/** The text of a tick, with the digits that its step needs. */
export function tickText(value: number, step: number, unit: Unit): string {
  const digits = Math.max(0, Math.min(9, -Math.floor(Math.log10(step / unit.size) + 1e-9)));
  return (value / unit.size).toFixed(digits);
}

/** The functions above, as the page's script gets them. */
export const SCALE_FUNCTIONS: readonly ((...args: never[]) => unknown)[] = [
  ticks,
  timeUnit,
  bytesUnit,
  rateUnit,
  threeDigits,
  amount,
  tickText,
];
