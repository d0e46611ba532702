// Steps a thread's hosts from its event loop: while somebody waits for a condition, or all the time in the background.
// Read first: the Node.js guide "The Node.js Event Loop"; doorbell.ts.

import { parseDuration } from "../../veth/options.ts";
import type { Doorbell } from "./doorbell.ts";
import { millisLeft, SPIN_MICROS, type Driver } from "./driver.ts";
import { abortError } from "./outcome.ts";

/** How until() waits. */
export interface UntilOptions {
  /** A duration of the network's time ("2s", or microseconds) after which it gives up. Default: never. */
  timeout?: number | string;
  signal?: AbortSignal;
}

interface Waiting {
  isDone: () => boolean;
  /** Microseconds. */
  end: number;
  resolve: (isDone: boolean) => void;
  reject: (error: unknown) => void;
}

/** Work goes on for so long before the event loop gets its turn, microseconds. */
const TURN_MICROS = 500;
/** A condition may come true without a frame (a promise, a timer): it is asked at least so often, milliseconds. */
const ASK_MILLIS = 5;

/** One loop for all who wait. */
export class Pump {
  readonly #driver: Driver;
  readonly #bell: Doorbell;
  readonly #waiting = new Set<Waiting>();
  #isRunning = false;
  #inBackground = false;

  constructor(driver: Driver, bell: Doorbell) {
    this.#driver = driver;
    this.#bell = bell;
  }

  /** Goes on though nobody waits, without keeping the process alive. A trap then shows only in `host.trap`. */
  set background(on: boolean) {
    this.#inBackground = on;
    this.#start();
  }

  /**
   * Steps until `isDone()` says so.
   * @returns false when `timeout` has passed
   * @throws {Error} what a step or `isDone` throws; ABORT_ERR when `signal` is aborted
   */
  until(isDone: () => boolean, { timeout = Infinity, signal }: UntilOptions = {}): Promise<boolean> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(abortError(signal.reason));
      const end = timeout === Infinity ? Infinity : this.#driver.now() + parseDuration("timeout", timeout);
      const ended = (): void => {
        this.#waiting.delete(waiting);
        signal?.removeEventListener("abort", aborted);
      };
      const waiting: Waiting = {
        isDone,
        end,
        resolve: (done) => (ended(), resolve(done)),
        reject: (error) => (ended(), reject(error as Error)),
      };
      const aborted = (): void => waiting.reject(abortError(signal?.reason));
      signal?.addEventListener("abort", aborted);
      this.#waiting.add(waiting);
      this.#ask();
      // It may be asleep with nobody but the background in mind.
      if (this.#isRunning) this.#bell.ring();
      else this.#start();
    });
  }

  /** Ends it: whoever waits gets the error. */
  close(error: Error): void {
    this.#inBackground = false;
    for (const waiting of [...this.#waiting]) waiting.reject(error);
  }

  #start(): void {
    if (this.#isRunning || !this.#isWanted()) return;
    this.#isRunning = true;
    void this.#run().finally(() => {
      this.#isRunning = false;
      this.#start();
    });
  }

  #isWanted(): boolean {
    return this.#inBackground || this.#waiting.size > 0;
  }

  async #run(): Promise<void> {
    let turn = this.#driver.now();
    let worked = turn;
    while (this.#isWanted()) {
      const work = this.#step();
      this.#ask();
      if (!this.#isWanted()) return;
      const now = this.#driver.now();
      if (work > 0) worked = now;
      if (work > 0 && now - turn < TURN_MICROS) continue;
      if (now - worked < SPIN_MICROS || this.#driver.nextDeadline() - now < 1000) await eventLoopTurn();
      else await this.#sleep();
      turn = this.#driver.now();
    }
  }

  /** A step; what it throws goes to those who wait. */
  #step(): number {
    try {
      return this.#driver.step();
    } catch (error) {
      for (const waiting of [...this.#waiting]) waiting.reject(error);
      return 0;
    }
  }

  #ask(): void {
    for (const waiting of [...this.#waiting]) {
      try {
        if (waiting.isDone()) waiting.resolve(true);
        else if (this.#driver.now() >= waiting.end) waiting.resolve(false);
      } catch (error) {
        waiting.reject(error);
      }
    }
  }

  #sleep(): Promise<void> {
    const isIdle = this.#waiting.size === 0;
    let end = Infinity;
    for (const waiting of this.#waiting) end = Math.min(end, waiting.end);
    const limit = (): number => Math.min(millisLeft(this.#driver, end), isIdle ? Infinity : ASK_MILLIS);
    return this.#bell.sleepAsync(limit, isIdle);
  }
}

/** Not unref'd: then it would run only when something else makes the loop turn. */
function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
