// The two clocks of a network, the machine's and one that moves only when it is told to; and when they are read.

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

/**
 * The time as a thread's stacks see it: read once a turn, by the first call that sends or else by the step that ends
 * the turn. What leaves between two steps is so stamped with the time of its sending at the price of one reading.
 */
export class TurnClock implements Clock {
  /** Number of the turn. */
  turn = 0;
  readonly #clock: Clock;
  #time = -1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The time now. */
  now(): number {
    return this.#clock.now();
  }

  /** The time of this turn. */
  time(): number {
    if (this.#time < 0) this.#time = this.#clock.now();
    return this.#time;
  }

  /** A step takes the time of the turn and ends it. */
  take(): number {
    const time = this.time();
    this.end();
    return time;
  }

  /** The turn is over without a step: the thread has slept, or done other things. */
  end(): void {
    this.#time = -1;
    this.turn++;
  }
}
