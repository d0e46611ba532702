// The shared model in a worker thread: the one stack of this thread is polled by whoever waits, run to completion;
// when there is nothing to do the thread spins ("busy"), or spins briefly and then sleeps on its NIC's doorbell.

import {
  THREAD_ASKED,
  THREAD_BYTES,
  THREAD_PARKED,
  THREAD_POLL,
  THREAD_SAFEPOINT_SHIFT,
  THREAD_STOP,
} from "../../assembly/layout.ts";
import { type StackExports, toCoreTrap, type VethExports } from "../core.ts";
import { type Clock, TurnClock } from "../clock.ts";
import type { Waiter } from "../posix/waiter.ts";
import type { SharedMemory } from "../regions.ts";
import { ActivityWords } from "./activity.ts";
import { Doorbell } from "./doorbell.ts";
import { type Driver, millisLeft, SPIN_MICROS } from "./driver.ts";
import { StopError } from "./outcome.ts";

/**
 * How a thread waits for work. "busy": it never sleeps. "adaptive": it spins briefly, then sleeps until something comes
 * or a timer is due. "lowPower": it sleeps at once.
 */
export type PollMode = "busy" | "adaptive" | "lowPower";
/** All of them. */
export const POLL_MODES: readonly PollMode[] = ["busy", "adaptive", "lowPower"];
const BUSY = POLL_MODES.indexOf("busy");
const LOW_POWER = POLL_MODES.indexOf("lowPower");

/** Where a host's stack meets its NIC. */
export interface ThreadPort {
  handle: number;
  /** The RX queues that the stack serves: the first, and how many. */
  first: number;
  count: number;
}

/** What it needs of the core. */
export type DriverCore = Pick<
  StackExports,
  "poll" | "nextDeadline" | "rxCacheBeat" | "rxCacheSweep" | "shareBeat" | "shareDeadline" | "sharePending"
>;

/** Drives one stack for the calls that wait. */
export class ThreadDriver implements Waiter, Driver {
  readonly activity: ActivityWords;
  readonly bell: Doorbell;
  readonly sleepMillisMax = Infinity;
  /** The stack has trapped: nobody may use it any more. */
  hasTrapped = false;
  readonly turns: TurnClock;
  /** It answers business threads as well. */
  isSharing = false;
  readonly #core: DriverCore;
  readonly #veth: Pick<VethExports, "rxPending" | "portNextDue">;
  readonly #port: ThreadPort;
  readonly #words: Int32Array;
  #until = Infinity;
  readonly #millisLeft = (): number => (this.#isWanted() ? 0 : millisLeft(this, this.#until));

  /** @param block address of the host's THREAD_BYTES */
  constructor(
    clock: Clock,
    core: DriverCore,
    veth: Pick<VethExports, "rxPending" | "portNextDue">,
    port: ThreadPort,
    memory: SharedMemory,
    block: number,
  ) {
    this.turns = new TurnClock(clock);
    this.#core = core;
    this.#veth = veth;
    this.#port = port;
    this.bell = new Doorbell(memory, block);
    this.activity = new ActivityWords(memory, block);
    this.activity.begins();
    this.#words = new Int32Array(memory.buffer, block, THREAD_BYTES / 4);
  }

  /** How the thread waits for work; the main thread may change it at any time. */
  set mode(mode: PollMode) {
    Atomics.store(this.#words, THREAD_POLL / 4, POLL_MODES.indexOf(mode));
  }

  now(): number {
    return this.turns.now();
  }

  /** @throws {StopError} when the thread is asked to end @throws {CoreTrap} when the stack traps */
  poll(): number {
    return this.#pollAt(this.turns.take());
  }

  /** A step from the event loop: other callbacks may have run since a call that sent read the clock. */
  step(): number {
    this.turns.end();
    return this.poll();
  }

  wait(untilMicros: number): boolean {
    let now = this.turns.take();
    const spinEnd = now + SPIN_MICROS;
    while (this.#pollAt(now) === 0 && now < untilMicros) {
      const mode = this.#words[THREAD_POLL / 4];
      if (mode !== BUSY && (now >= spinEnd || mode === LOW_POWER)) this.#sleep(untilMicros);
      now = this.turns.take();
    }
    // Whatever happens here, another thread may still do something.
    return true;
  }

  /** Goes on for ever, for the stack and for business threads. @throws {StopError} when the thread is asked to end */
  serve(): never {
    this.isSharing = true;
    while (true) this.wait(Infinity);
  }

  /** Asked when the thread is about to sleep: a sleeper keeps no mbufs from the senders. */
  nextDeadline(): number {
    this.#core.rxCacheSweep();
    const own = Math.min(this.#core.nextDeadline(), this.#veth.portNextDue(this.#port.handle));
    return this.isSharing ? Math.min(own, this.#core.shareDeadline()) : own;
  }

  hasArrivals(): boolean {
    if (this.isSharing && this.#core.sharePending() !== 0) return true;
    const { handle, first, count } = this.#port;
    for (let queue = first; queue < first + count; queue++) if (this.#veth.rxPending(handle, queue) > 0) return true;
    return false;
  }

  #sleep(untilMicros: number): void {
    this.#until = untilMicros;
    this.activity.sleeps(this.now());
    const end = this.bell.sleep(this.#millisLeft);
    this.turns.end();
    this.activity.slept(this.now(), end);
  }

  /** The thread comes to its stack, which it has not touched so far. @throws {StopError} */
  enter(): void {
    Atomics.store(this.#words, THREAD_PARKED / 4, 0);
    this.#assertRunning();
  }

  /** @throws {StopError} */
  #assertRunning(): void {
    while (Atomics.load(this.#words, THREAD_STOP / 4) !== 0) {
      if (this.#isStopped()) throw new StopError();
      this.#park();
    }
  }

  /** Stands still between two beats, for as long as the main thread wants. */
  #park(): void {
    const words = this.#words;
    for (let stop; (stop = Atomics.load(words, THREAD_STOP / 4)) >>> THREAD_SAFEPOINT_SHIFT !== 0;) {
      Atomics.store(words, THREAD_PARKED / 4, stop >>> THREAD_SAFEPOINT_SHIFT);
      Atomics.notify(words, THREAD_PARKED / 4);
      Atomics.wait(words, THREAD_STOP / 4, stop);
    }
  }

  #pollAt(now: number): number {
    this.#assertRunning();
    this.activity.polled();
    try {
      const work = this.#core.poll(now);
      this.#core.rxCacheBeat();
      return this.isSharing ? work + this.#core.shareBeat() : work;
    } catch (error) {
      this.hasTrapped = true;
      throw toCoreTrap(error);
    }
  }

  /** Asked to end, or to stand still. */
  #isWanted(): boolean {
    return Atomics.load(this.#words, THREAD_STOP / 4) !== 0;
  }

  #isStopped(): boolean {
    return (Atomics.load(this.#words, THREAD_STOP / 4) & THREAD_ASKED) !== 0;
  }
}
