// The two clocks of a network: the machine's, and one that moves only when it is told to.

import { optionError } from "./errors.ts";

/** Latest start of a virtual clock: a century; doubles still tell half a microsecond there. */
const START_MICROS_MAX = 3.2e15;

/** Microseconds; starts near 0 and never runs backwards. */
export interface Clock {
  now(): number;
}

/** The monotonic clock of the process. */
export class RealClock implements Clock {
  readonly #start: number;

  /** @param start what performance.now() showed when the network was made, ms (all threads must agree) */
  constructor(start = performance.now()) {
    this.#start = start;
  }

  now(): number {
    return (performance.now() - this.#start) * 1000;
  }
}

/** Simulated time. */
export class VirtualClock implements Clock {
  #now: number;

  constructor(start = 0) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  /** Moves the time on; never back. */
  set(now: number): void {
    if (now > this.#now) this.#now = now;
  }

  /** Comes back to an earlier time, with everything else that a snapshot brings back. */
  rewind(now: number): void {
    this.#now = now;
  }
}

/** The start of a virtual clock. @throws {OribiError} ERR_ORIBI_OPTION when it cannot be */
export function startMicros(start = 0): number {
  if (start >= 0 && start <= START_MICROS_MAX) return start;
  throw optionError("startMicros", start, `a number from 0 to ${START_MICROS_MAX}`);
}
