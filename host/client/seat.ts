// A business thread's seat in a share: calls that only a stack can carry out, one at a time, and the thread's turns.
// Read first: assembly/share/calls.ts; the layout SEAT_ in assembly/layout.ts.

import {
  CALL_ANSWERED,
  CALL_ASKED,
  CALL_IDLE,
  CALL_STACK,
  CALL_UNDER_WAY,
  ENETDOWN,
  ENOBUFS,
  ETIMEDOUT,
  SEAT_ARGUMENTS,
  SEAT_BYTES,
  SEAT_CALL,
  SEAT_EXCHANGE,
  SEAT_FREE,
  SEAT_RESULT,
  SEAT_SLEEPING,
  SEAT_STATE,
  SEAT_STATUS,
  SEAT_TAKEN,
  SEAT_THREAD,
  SEAT_TURN,
  SEAT_WAITS,
  SEAT_WINDOW,
  SHARE_SEAT_COUNT,
  SHARE_SEATS,
  THREAD_BEATS,
  THREAD_RUNNING,
  THREAD_STATE,
  TURN_STACK,
} from "../../assembly/layout.ts";
import type { StackExports } from "../core.ts";
import { OribiError } from "../errors.ts";
import type { ClientPlace } from "./place.ts";
import type { Background } from "./waiting.ts";
import { isThreadAlive, ownThread } from "./thread-id.ts";

/** A caller that sleeps looks so often whether the stack's thread still runs, milliseconds. */
const LOOK_MILLIS = 200;
/** A thread that has only just been started may take so long until it serves, milliseconds. */
const START_MILLIS = 60_000;
/** Steps that a caller makes with what it serves before it sleeps. */
const STEPS_MAX = 100;
/** Lives of a seat are counted to here, so that a turn is never that of the stack (-1). */
const LIVES = 0x7fff;

/** The seat of this thread. */
export class Seat {
  /** Address of the seat's own exchange area. */
  readonly exchange: number;
  readonly address: number;
  /** What stands where this thread has taken its turn. */
  readonly turn: number;
  readonly #place: ClientPlace;
  readonly #core: Pick<StackExports, "clientCall" | "clientSpinCall">;
  readonly #words: Int32Array;
  readonly #at: number;
  readonly #index: number;
  readonly #rounds: number;
  readonly #background: Background | undefined;
  #isGiven = false;

  /**
   * Takes a free seat, or that of a thread that has ended.
   * @param rounds how often a caller looks for the answer before it sleeps
   * @throws {OribiError} ERR_ORIBI_SEATS when all are taken
   */
  constructor(place: ClientPlace, core: StackExports, rounds: number, background?: Background) {
    this.#background = background;
    this.#place = place;
    this.#core = core;
    this.#words = new Int32Array(place.memory.buffer);
    this.#rounds = rounds;
    const seats = this.#words[(place.share + SHARE_SEATS) / 4] as number;
    const count = this.#words[(place.share + SHARE_SEAT_COUNT) / 4] as number;
    const addressOf = (index: number): number => (seats >>> 0) + index * SEAT_BYTES;
    const index = take(this.#words, addressOf, count, (dead) => core.seatRetire(place.share, dead) !== 0);
    if (index < 0) {
      const advice = "Give HostOptions.share.threads a larger number, or close() clients that are not used any more.";
      throw new OribiError(
        "ERR_ORIBI_SEATS",
        `All ${count} threads that host "${place.name}" has room for use it. ${advice}`,
      );
    }
    this.#index = index;
    this.address = addressOf(index);
    this.#at = this.address / 4;
    this.exchange = this.address + SEAT_EXCHANGE;
    const life = (((this.#words[this.#at + SEAT_TURN / 4] as number) >>> 16) % LIVES) + 1;
    this.turn = (life << 16) | (index + 1);
    Atomics.store(this.#words, this.#at + SEAT_TURN / 4, this.turn);
    Atomics.store(this.#words, this.#at + SEAT_STATUS / 4, CALL_IDLE);
    // The one before may have died with a send buffer in its hands: then an odd number would be this one's rest.
    const window = Atomics.load(this.#words, this.#at + SEAT_WINDOW / 4);
    Atomics.store(this.#words, this.#at + SEAT_WINDOW / 4, (window + 1) & ~1);
  }

  /** Index of the word that says in which count of sleepers this thread is, in case it dies in its sleep. */
  get waits(): number {
    return this.#at + SEAT_WAITS / 4;
  }

  /** Does the thread of a stack run? */
  isServed(stack: number): boolean {
    return Atomics.load(this.#words, ((this.#place.blocks[stack] as number) + THREAD_STATE) / 4) === THREAD_RUNNING;
  }

  /** Has the thread ended that has taken this turn? */
  isDead(turn: number): boolean {
    if (turn === TURN_STACK) return false;
    const base = this.address - this.#index * SEAT_BYTES;
    const at = (base + ((turn & 0xffff) - 1) * SEAT_BYTES) / 4;
    if (Atomics.load(this.#words, at + SEAT_TURN / 4) !== turn) return true;
    if (Atomics.load(this.#words, at + SEAT_STATE / 4) === SEAT_FREE) return true;
    return !isThreadAlive(Atomics.load(this.#words, at + SEAT_THREAD / 4));
  }

  /**
   * Has a stack carry out a call (CALL_*). Its result, or -ENETDOWN when its thread does not run (any more), -ETIMEDOUT
   * when it does not answer, -ENOBUFS when too many callers wait.
   */
  call(stack: number, call: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0): number {
    const words = this.#words;
    const status = this.#at + SEAT_STATUS / 4;
    if (!this.isServed(stack)) return -ENETDOWN;
    // An earlier call that was given up, and is still being carried out.
    if (Atomics.load(words, status) === CALL_UNDER_WAY && !this.#await(stack, status)) return -ETIMEDOUT;
    const at = this.#at + SEAT_ARGUMENTS / 4;
    words[this.#at + SEAT_CALL / 4] = call;
    words[at] = a;
    words[at + 1] = b;
    words[at + 2] = c;
    words[at + 3] = d;
    words[at + 4] = e;
    words[at + 5] = f;
    words[at + 6] = g;
    words[at + 7] = h;
    if (!this.#core.clientCall(this.#place.parts[stack] as number, this.address, this.#index)) return -ENOBUFS;
    const isAnswered =
      this.#core.clientSpinCall(this.address, CALL_ANSWERED, this.#rounds) !== 0 || this.#await(stack, status);
    if (isAnswered) return words[this.#at + SEAT_RESULT / 4] as number;
    return this.isServed(stack) ? -ETIMEDOUT : -ENETDOWN;
  }

  /** True when it can be told for certain whether the thread lives that has taken this turn. */
  canTell(turn: number): boolean {
    const at = this.address + ((turn & 0xffff) - 1 - this.#index) * SEAT_BYTES;
    return turn !== TURN_STACK && Atomics.load(this.#words, (at + SEAT_THREAD) / 4) !== 0;
  }

  /** Is the thread of a stack just beginning? That takes as long as the machine lets it. */
  #isStarting(stack: number): boolean {
    return Atomics.load(this.#words, ((this.#place.blocks[stack] as number) + THREAD_BEATS) / 4) === 0;
  }

  /** Sleeps until the call is answered. False: it was given up. */
  #await(stack: number, status: number): boolean {
    const words = this.#words;
    const sleeping = this.#at + SEAT_SLEEPING / 4;
    const begun = performance.now();
    let end = begun + this.#place.callTimeout;
    // What this thread serves may be what the answer waits for.
    for (let i = 0; this.#background !== undefined && i < STEPS_MAX; i++) {
      this.#background.step();
      if (Atomics.load(words, status) === CALL_ANSWERED) return true;
    }
    Atomics.store(words, sleeping, 1);
    let now = Atomics.load(words, status);
    while (now !== CALL_ANSWERED) {
      const time = performance.now();
      if (this.#isStarting(stack)) end = Math.max(end, Math.min(time + this.#place.callTimeout, begun + START_MILLIS));
      const left = end - time;
      if (left <= 0 || !this.isServed(stack)) {
        // One that the stack has not begun with is taken back.
        now = Atomics.compareExchange(words, status, CALL_ASKED | ((stack + 1) << CALL_STACK), CALL_IDLE);
        if (now !== CALL_ANSWERED) break;
      }
      Atomics.wait(words, status, now, Math.min(left, LOOK_MILLIS));
      now = Atomics.load(words, status);
    }
    Atomics.store(words, sleeping, 0);
    return now === CALL_ANSWERED;
  }

  /** Gives the seat back. */
  leave(): void {
    if (this.#isGiven) return;
    this.#isGiven = true;
    if (Atomics.load(this.#words, this.#at + SEAT_STATUS / 4) === CALL_UNDER_WAY) return;
    Atomics.store(this.#words, this.#at + SEAT_THREAD / 4, 0);
    Atomics.store(this.#words, this.#at + SEAT_STATE / 4, SEAT_FREE);
  }
}

/**
 * Index of a seat that is this thread's from now on; -1: there is none.
 * @param retire takes back what the dead thread of a seat has left; false: a stack is busy with a call of it
 */
function take(
  words: Int32Array,
  addressOf: (index: number) => number,
  count: number,
  retire: (index: number) => boolean,
): number {
  const own = ownThread();
  for (let index = 0; index < count; index++) {
    const at = addressOf(index) / 4;
    if (Atomics.compareExchange(words, at + SEAT_STATE / 4, SEAT_FREE, SEAT_TAKEN) !== SEAT_FREE) continue;
    Atomics.store(words, at + SEAT_THREAD / 4, own);
    return index;
  }
  for (let index = 0; index < count; index++) {
    const at = addressOf(index) / 4;
    const holder = Atomics.load(words, at + SEAT_THREAD / 4);
    if (isThreadAlive(holder)) continue;
    if (Atomics.compareExchange(words, at + SEAT_THREAD / 4, holder, own) !== holder) continue;
    if (retire(index)) return index;
    Atomics.store(words, at + SEAT_THREAD / 4, holder);
  }
  return -1;
}
