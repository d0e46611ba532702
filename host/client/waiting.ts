// How a business thread waits: it spins for a while, then sleeps on a word that is changed only when somebody sleeps.
// Read first: host/threads/doorbell.ts, whose protocol this is, with a count of sleepers in the place of a flag.
//
//   the waiter: WAITERS += 1, n = SEQUENCE, look, wait while SEQUENCE = n, WAITERS -= 1
//   the stack:  publish, if WAITERS: SEQUENCE += 1 and notify all
//
// A waiter that dies leaves WAITERS too high: the stack then notifies in vain, which costs little and loses nothing,
// until the waiter's seat, which says where it slept, is taken back.

/** A word that threads sleep on, and the word that counts them; indices of 32-bit words in the network's memory. */
export interface Futex {
  readonly sequence: number;
  readonly waiters: number;
}

/** What goes on while this thread waits: nothing in a plain worker; the network's own hosts in the main thread. */
export interface Background {
  /** The network's time, microseconds: simulated, maybe. */
  now(): number;
  /** One step of what this thread has to serve; the work done. */
  step(): number;
  /**
   * Sleeps until something arrives for this thread, `isReady` (asked after announcing), or the time, microseconds.
   * False: nothing can ever happen.
   */
  sleep(isReady: () => boolean, untilMicros: number): boolean;
}

/** The longest sleep before a waiter looks whether the stack's thread still runs, milliseconds. */
export const LOOK_MILLIS = 500;

/**
 * Sleeps on a futex unless `isReady`; returns when it is notified, or after `millis`.
 * @param waits index of the word that is to say meanwhile where this thread sleeps
 */
export function futexSleep(
  words: Int32Array,
  futex: Futex,
  waits: number,
  isReady: () => boolean,
  millis: number,
): void {
  Atomics.add(words, futex.waiters, 1);
  // Behind the addition, and taken back before the subtraction: what it says has certainly been added.
  Atomics.store(words, waits, futex.waiters * 4);
  const sequence = Atomics.load(words, futex.sequence);
  if (!isReady()) Atomics.wait(words, futex.sequence, sequence, millis);
  Atomics.store(words, waits, 0);
  Atomics.sub(words, futex.waiters, 1);
}

/** The same without blocking the thread; the timer keeps the process alive meanwhile. */
export async function futexSleepAsync(
  words: Int32Array,
  futex: Futex,
  isReady: () => boolean,
  millis: number,
): Promise<void> {
  Atomics.add(words, futex.waiters, 1);
  const sequence = Atomics.load(words, futex.sequence);
  const waiting = isReady() ? undefined : Atomics.waitAsync(words, futex.sequence, sequence, millis);
  if (waiting?.async === true) {
    // A promise of Atomics.waitAsync() alone would let the process end.
    const timer = setTimeout(() => undefined, millis);
    await waiting.value;
    clearTimeout(timer);
  }
  Atomics.sub(words, futex.waiters, 1);
}
