// Figures as people read them: sizes, rates, times, counts, ratios.
// Read first: veth/plot-scale.ts, whose units these are: one program, one way to write a megabyte.

import { amount, bytesUnit, rateUnit, threeDigits, timeUnit } from "../../veth/plot-scale.ts";

/** Bytes, decimal: "1.05 MB". */
export function formatBytes(bytes: number): string {
  return amount(bytes, bytesUnit(bytes));
}

/** Bits per second: "94.2 Mbit/s". */
export function formatRate(bitsPerSecond: number): string {
  return amount(bitsPerSecond, rateUnit(bitsPerSecond));
}

/** Bytes per second: "8.10 MB/s". */
export function formatByteRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** A time from nanoseconds to hours: "850 ns", "1.23 ms", "2 min 5 s", "3 h 7 min". */
export function formatMicros(micros: number): string {
  if (micros > 0 && micros < 1) return `${threeDigits(micros * 1000)} ns`;
  const seconds = Math.round(micros / 1e6);
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  if (seconds >= 60) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const unit = timeUnit(micros);
  return `${threeDigits(micros / unit.size)} ${unit.name}`;
}

/** A whole number with commas: "1,234,567". */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** How many times one figure is another: "8.1x", "0.45x", "120x". */
export function formatRatio(ratio: number): string {
  return Number.isFinite(ratio) ? `${ratio >= 100 ? formatCount(ratio) : ratio.toPrecision(2)}x` : "–";
}

/** A share: "1.2 %". */
export function formatShare(share: number): string {
  return `${threeDigits(share * 100)} %`;
}
