// The dice of the simulator: every choice of a seed comes from one of these.

import { seededRandom, seedWords } from "../seed.ts";

/** Random choices; the same seed and purpose give the same ones. */
export class Dice {
  readonly #next: () => number;

  constructor(seed: number, purpose: string) {
    this.#next = seededRandom(seedWords(seed, purpose));
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  /** A number from `low` to less than `high`. */
  real(low: number, high: number): number {
    return low + this.#next() * (high - low);
  }

  /** A whole number from `low` to `high`. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.#next() * (high - low + 1));
  }

  /** A whole number from `low` (at least 1) to `high` whose logarithm is uniform: as many small ones as large ones. */
  log(low: number, high: number): number {
    if (high <= low) return low;
    return Math.min(high, Math.floor(low * ((high + 1) / low) ** this.#next()));
  }

  /** One of a list. */
  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#next() * list.length)] as T;
  }
}
