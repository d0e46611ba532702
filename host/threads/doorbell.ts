// A doorbell: one thread sleeps on it, any thread rings. The sender's side is doorbellRing() of veth/datapath/burst.ts.
// Read first: E. W. Dijkstra's mutual exclusion by announcing first and looking second; Atomics.wait in ECMA-262.
//
//   the sleeper: SLEEPING = 1, n = SEQUENCE, look for work, wait while SEQUENCE = n, SLEEPING = 0
//   the sender:  put the work down, if SLEEPING: SEQUENCE += 1 and notify
//
// All of it is sequentially consistent. A sender that reads SLEEPING = 0 has put its work down before the sleeper
// announced itself, so the sleeper, which looks later, finds it. One that reads 1 changes SEQUENCE: either before the
// sleeper reads n, and then the work is found as well, or after, and then the wait ends. No wake-up can be lost.

import { DOORBELL_SEQUENCE, DOORBELL_SLEEPING } from "../../assembly/layout.ts";
import type { SharedMemory } from "../regions.ts";

const SEQUENCE = DOORBELL_SEQUENCE / 4;
const SLEEPING = DOORBELL_SLEEPING / 4;

/** A doorbell in shared memory. Rung by many, slept on by one thread. */
export class Doorbell {
  readonly address: number;
  readonly #words: Int32Array;
  #sleepsAsync = false;

  /** @param address of two zeroed words, 8-byte aligned */
  constructor(memory: SharedMemory, address: number) {
    this.address = address;
    this.#words = new Int32Array(memory.buffer, address, 2);
  }

  /** Does somebody sleep on it, or is about to? */
  get isSlept(): boolean {
    return Atomics.load(this.#words, SLEEPING) !== 0;
  }

  /** Wakes the sleeper, and whoever is about to become it. */
  ring(): void {
    Atomics.add(this.#words, SEQUENCE, 1);
    Atomics.notify(this.#words, SEQUENCE);
  }

  /**
   * Sleeps, and blocks the thread, until the bell rings or the time is over.
   * @param millisLeft is asked after the sleep was announced: how long it may last; 0 when there is work
   * @returns "rung"; "over" when the time was; "awake" when there was none
   */
  sleep(millisLeft: () => number): "rung" | "over" | "awake" {
    // A ring wakes one waiter only: it must not be the promise of this very thread, which cannot run meanwhile.
    if (this.#sleepsAsync) Atomics.notify(this.#words, SEQUENCE);
    const sequence = this.#announce();
    const millis = millisLeft();
    const end = millis > 0 ? Atomics.wait(this.#words, SEQUENCE, sequence, millis) : undefined;
    Atomics.store(this.#words, SLEEPING, 0);
    return end === undefined ? "awake" : end === "timed-out" ? "over" : "rung";
  }

  /**
   * The same without blocking, for a thread with an event loop; one caller at a time.
   * @param isIdle does not keep the process alive
   */
  async sleepAsync(millisLeft: () => number, isIdle: boolean): Promise<void> {
    const sequence = this.#announce();
    const millis = millisLeft();
    const waiting = millis > 0 ? Atomics.waitAsync(this.#words, SEQUENCE, sequence) : undefined;
    if (waiting?.async === true) {
      this.#sleepsAsync = true;
      let timer: NodeJS.Timeout | undefined;
      const over = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, Math.min(millis, TIMER_MILLIS_MAX));
        if (isIdle) timer.unref();
      });
      await Promise.race([waiting.value, over]);
      clearTimeout(timer);
      this.#sleepsAsync = false;
      // Whatever ended it: nobody waits here any more.
      Atomics.notify(this.#words, SEQUENCE);
    }
    Atomics.store(this.#words, SLEEPING, 0);
  }

  #announce(): number {
    Atomics.store(this.#words, SLEEPING, 1);
    return Atomics.load(this.#words, SEQUENCE);
  }
}

/** Longest time that setTimeout() takes. */
const TIMER_MILLIS_MAX = 2 ** 31 - 1;
