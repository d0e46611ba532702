// The bytes of a memory at one moment, to come back to: pages that were empty are emptied, the others copied.
// Read first: DESIGN.md section 5.

import { REGIONS_BASE } from "../../assembly/layout.ts";
import type { SharedMemory } from "../core.ts";

const PAGE = 4096;

/** A run of pages, from `from` to `to`; without bytes it was all zero. */
interface Run {
  from: number;
  to: number;
  bytes: Uint8Array | undefined;
}

/** What restore() brings back. What the memory has grown by since then is not touched. */
export class Snapshot {
  readonly #memory: Uint8Array;
  readonly #runs: Run[] = [];

  constructor(memory: SharedMemory) {
    this.#memory = new Uint8Array(memory.buffer);
    const words = new BigUint64Array(memory.buffer);
    for (let at = REGIONS_BASE; at < this.#memory.length; at += PAGE) {
      const isEmpty = words.subarray(at / 8, (at + PAGE) / 8).every((word) => word === 0n);
      const last = this.#runs.at(-1);
      if (last !== undefined && (last.bytes === undefined) === isEmpty) last.to = at + PAGE;
      else this.#runs.push({ from: at, to: at + PAGE, bytes: isEmpty ? undefined : new Uint8Array() });
    }
    for (const run of this.#runs) if (run.bytes) run.bytes = this.#memory.slice(run.from, run.to);
  }

  restore(): void {
    for (const { from, to, bytes } of this.#runs) {
      if (bytes === undefined) this.#memory.fill(0, from, to);
      else this.#memory.set(bytes, from);
    }
  }
}
