// What a thread has done so far: the thread itself counts, in shared memory, so that the main thread can look at it.
// Read first: the words THREAD_POLLS and behind in assembly/layout.ts.

import {
  THREAD_ASLEEP_MICROS,
  THREAD_ASLEEP_SINCE,
  THREAD_BYTES,
  THREAD_POLLS,
  THREAD_SLEEPS,
  THREAD_WAKEUPS,
} from "../../assembly/layout.ts";
import type { SharedMemory } from "../regions.ts";

/** What a thread has done so far. */
export interface ThreadActivity {
  /** Beats of the stack. */
  polls: number;
  /** Times it slept. */
  sleeps: number;
  /** Sleeps that a doorbell ended; the others came to a deadline. */
  wakeups: number;
  /** Time it slept, microseconds. */
  asleepMicros: number;
}

/** The words of one thread; it alone writes them. */
export class ActivityWords {
  readonly #words: Float64Array;

  /** @param block address of the thread's THREAD_BYTES */
  constructor(memory: SharedMemory, block: number) {
    this.#words = new Float64Array(memory.buffer, block, THREAD_BYTES / 8);
  }

  /** The thread begins; one before it may have been killed in its sleep. */
  begins(): void {
    this.#words[THREAD_ASLEEP_SINCE / 8] = 0;
  }

  /** Counts a beat of the stack. */
  polled(): void {
    (this.#words[THREAD_POLLS / 8] as number)++;
  }

  /** A sleep begins. @param now the network's time, microseconds */
  sleeps(now: number): void {
    this.#words[THREAD_ASLEEP_SINCE / 8] = now;
  }

  /** It has ended, for that reason; "awake": there was none. */
  slept(now: number, end: "rung" | "over" | "awake"): void {
    const words = this.#words;
    const micros = now - (words[THREAD_ASLEEP_SINCE / 8] as number);
    words[THREAD_ASLEEP_SINCE / 8] = 0;
    if (end === "awake") return;
    (words[THREAD_SLEEPS / 8] as number)++;
    if (end === "rung") (words[THREAD_WAKEUPS / 8] as number)++;
    (words[THREAD_ASLEEP_MICROS / 8] as number) += micros;
  }

  /** What they say now. */
  read(now: number): ThreadActivity {
    const word = (at: number): number => this.#words[at / 8] as number;
    // The thread writes meanwhile: a sleep that ends is not to count twice.
    const since = word(THREAD_ASLEEP_SINCE);
    const ended = word(THREAD_ASLEEP_MICROS);
    const isAsleep = since > 0 && word(THREAD_ASLEEP_SINCE) === since;
    return {
      polls: word(THREAD_POLLS),
      sleeps: word(THREAD_SLEEPS),
      wakeups: word(THREAD_WAKEUPS),
      asleepMicros: ended + (isAsleep ? Math.max(0, now - since) : 0),
    };
  }
}
