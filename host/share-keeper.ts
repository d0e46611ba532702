// The manager's part for what business threads and stacks share: what dead threads have left there is taken back.
// Read first: assembly/share/reclaim.ts and reset.ts, which do the work; manager.ts, which calls this.
//
//   a business thread   its seat says who it was (on Linux: whether it lives). At once: its turns, its place among
//                       sleepers, its seat. At a safepoint: send buffers that it had in its hands.
//   a stack             its descriptors are closed, then everything of its part is given back, before its arena is used
//                       anew.

import {
  PART_LARGE_BUFFERS,
  PART_SMALL_BUFFERS,
  SEAT_BYTES,
  SEAT_FREE,
  SEAT_STATE,
  SEAT_TAKEN,
  SEAT_THREAD,
  SHARE_SEAT_COUNT,
  SHARE_SEATS,
} from "../assembly/layout.ts";
import type { ClientPlace } from "./client/place.ts";
import { isThreadAlive, ownThread } from "./client/thread-id.ts";
import type { SharedMemory, StackExports } from "./core.ts";

/** Runs work while no stack's thread is in its stack; false: not now. */
export type AtSafepoint = (work: () => void) => boolean;

/** What an audit counts here. */
export interface ShareAudit {
  seats: number;
  turns: number;
  buffers: number;
}

/** Threads that go on are waited for in steps of so many milliseconds. */
const PAUSE_MILLIS = 2;
/** Where nobody can tell which threads are dead, a send is taken for given up after so long, milliseconds. */
const HELD_MILLIS_MAX = 10_000;
/** How often an audit looks again because a business thread was about to take a send buffer. */
const LOOKS_MAX = 1000;

/** Keeps the share of one host. */
export class ShareKeeper {
  readonly #words: Int32Array;
  readonly #core: StackExports;
  readonly #place: ClientPlace;
  /** A bit for each send buffer of a part. */
  readonly #bits: number;
  readonly #own = ownThread();
  /** A thread has died: it may have had a send buffer in its hands. */
  #isDue = false;

  constructor(memory: SharedMemory, core: StackExports, place: ClientPlace, allocate: (bytes: number) => number) {
    this.#words = new Int32Array(memory.buffer);
    this.#core = core;
    this.#place = place;
    const buffers = (part: number): number =>
      this.#word(part + PART_SMALL_BUFFERS) + this.#word(part + PART_LARGE_BUFFERS);
    this.#bits = allocate((Math.max(...place.parts.map((part) => buffers(part))) >>> 3) + 8);
  }

  /** Takes back what business threads have left that have died; called now and then. */
  tend(main: { atSafepoint: AtSafepoint }): void {
    this.#reclaim();
    if (this.#isDue) main.atSafepoint(() => this.sweep());
  }

  /** The same, and waits until it is done. */
  async reclaimAll(atSafepoint: AtSafepoint): Promise<void> {
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      const isDone = this.#reclaim();
      if (isDone && (!this.#isDue || (atSafepoint(() => this.sweep()) && !this.#isDue))) return;
      await pause();
    }
  }

  /** At a safepoint: frees send buffers that are nobody's, unless a thread is about to take one. */
  sweep(): void {
    this.#isDue = true;
    for (const part of this.#place.parts) {
      const lost = this.#look(part);
      if (lost === undefined) return;
      // By what that very look has noted: the next one may meet a thread that takes a buffer.
      if (lost > 0) this.#core.buffersFree(part, this.#bits);
    }
    this.#isDue = false;
  }

  /** At a safepoint: adds what is lost. */
  count(audit: ShareAudit): void {
    const { share } = this.#place;
    for (const part of this.#place.parts) {
      let lost: number | undefined;
      for (let looks = 0; lost === undefined && looks < LOOKS_MAX; looks++) lost = this.#look(part);
      audit.buffers += lost ?? 0;
    }
    // Last: a thread that has died meanwhile, with a buffer in its hands, is seen here, and the audit looks again.
    for (const index of this.#dead()) {
      audit.seats++;
      audit.turns += this.#core.seatTurns(share, index);
    }
  }

  /** Descriptors of sockets that are open, in order. */
  openDescriptors(): number[] {
    const { share } = this.#place;
    const found: number[] = [];
    for (let fd = 0; (fd = this.#core.shareOpenFrom(share, fd)) >= 0; fd++) found.push(fd);
    return found;
  }

  /** A stack has died: nobody is to wait for what it had begun to do. */
  fail(index: number): void {
    this.#core.partFail(this.#place.parts[index] as number);
  }

  /** Ends what the part of a dead stack has for business threads. */
  async retire(index: number): Promise<void> {
    const part = this.#place.parts[index] as number;
    const end = performance.now() + HELD_MILLIS_MAX;
    while (this.#core.partClose(part) > 0 && performance.now() < end) {
      this.#reclaim();
      await pause();
    }
    this.#core.partReset(part);
  }

  /** Lost send buffers of a part, noted in `bits`; undefined when one may just be in somebody's hands. */
  #look(part: number): number | undefined {
    const { share } = this.#place;
    const windows = (): number[] => this.#alive().map((index) => this.#core.seatWindow(share, index));
    const before = windows();
    if (before.some((window) => window & 1)) return undefined;
    const lost = this.#core.buffersLost(part, this.#bits);
    const after = windows();
    return after.length === before.length && after.every((window, i) => window === before[i]) ? lost : undefined;
  }

  /** False: there is a dead thread for which a stack is still busy. */
  #reclaim(): boolean {
    const { share } = this.#place;
    let isDone = true;
    for (const index of this.#dead()) {
      const at = this.#seat(index);
      const holder = Atomics.load(this.#words, at + SEAT_THREAD / 4);
      // Another thread may be about to take the seat over.
      if (Atomics.compareExchange(this.#words, at + SEAT_THREAD / 4, holder, this.#own) !== holder) continue;
      this.#isDue = true;
      if (this.#core.seatRetire(share, index) === 0) {
        Atomics.store(this.#words, at + SEAT_THREAD / 4, holder);
        isDone = false;
        continue;
      }
      Atomics.store(this.#words, at + SEAT_THREAD / 4, 0);
      Atomics.store(this.#words, at + SEAT_STATE / 4, SEAT_FREE);
    }
    return isDone;
  }

  #dead(): number[] {
    return this.#seats(SEAT_TAKEN).filter((index) => !this.#isAlive(index));
  }

  #alive(): number[] {
    return this.#seats(SEAT_TAKEN).filter((index) => this.#isAlive(index));
  }

  #isAlive(index: number): boolean {
    return isThreadAlive(Atomics.load(this.#words, this.#seat(index) + SEAT_THREAD / 4));
  }

  #seats(state: number): number[] {
    const count = this.#word(this.#place.share + SHARE_SEAT_COUNT);
    const found: number[] = [];
    for (let index = 0; index < count; index++) {
      if (Atomics.load(this.#words, this.#seat(index) + SEAT_STATE / 4) === state) found.push(index);
    }
    return found;
  }

  #seat(index: number): number {
    return ((this.#word(this.#place.share + SHARE_SEATS) >>> 0) + index * SEAT_BYTES) / 4;
  }

  #word(at: number): number {
    return this.#words[at / 4] as number;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MILLIS));
}
