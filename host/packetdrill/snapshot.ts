// The bytes of a memory at one moment, to come back to: pages that were empty are emptied, the others copied.
// Read first: DESIGN.md section 5.

import { REGIONS_BASE } from "../../assembly/layout.ts";
import type { SharedMemory } from "../core.ts";

/** The grain of what is kept: 4 KiB. */
const PAGE_WORDS = 512;

/** A run of pages, in words; without contents it was all zero. */
interface Run {
  from: number;
  to: number;
  words: Float64Array | undefined;
}

/** Addresses, bytes. */
export interface Range {
  from: number;
  to: number;
}

/** What restore() brings back. What the memory has grown by since then is not touched. */
export class Snapshot {
  /** Words, for filling shared memory costs the same for a byte and for eight. */
  readonly #memory: Float64Array;
  readonly #runs: Run[] = [];

  constructor(memory: SharedMemory) {
    this.#memory = new Float64Array(memory.buffer);
    const halves = new Int32Array(memory.buffer);
    for (let at = REGIONS_BASE / 8; at < this.#memory.length; at += PAGE_WORDS) {
      const isEmpty = pageIsEmpty(halves, at * 2, PAGE_WORDS * 2);
      const last = this.#runs.at(-1);
      if (last !== undefined && (last.words === undefined) === isEmpty) last.to = at + PAGE_WORDS;
      else this.#runs.push({ from: at, to: at + PAGE_WORDS, words: isEmpty ? undefined : new Float64Array() });
    }
    for (const run of this.#runs) if (run.words) run.words = this.#memory.slice(run.from, run.to);
  }

  /** @param untouched ranges of addresses that nobody has written to since: rising, none in another */
  restore(untouched: readonly Range[] = []): void {
    for (const { from, to, words } of this.#runs) {
      if (words === undefined) this.#clear(from, to, untouched);
      else this.#memory.set(words, from);
    }
  }

  #clear(from: number, to: number, untouched: readonly Range[]): void {
    let at = from;
    for (const range of untouched) {
      const [start, end] = [Math.ceil(range.from / 8), Math.floor(range.to / 8)];
      if (end <= at || start >= to) continue;
      if (start > at) this.#memory.fill(0, at, start);
      at = Math.max(at, end);
    }
    if (at < to) this.#memory.fill(0, at, to);
  }
}

function pageIsEmpty(words: Int32Array, from: number, count: number): boolean {
  for (let i = from; i < from + count; i++) if (words[i] !== 0) return false;
  return true;
}
