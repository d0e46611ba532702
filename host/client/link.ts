// A business thread's link to a host: an instance of the core for the shared words, a seat for calls, and how to wait.
// Read first: DESIGN.md section 4, the separate model; assembly/share/client.ts.

import {
  CHANNEL_BYTES,
  CHANNEL_FLAGS,
  CHANNEL_GENERATION,
  CHANNEL_KIND,
  CHANNEL_POLLERS,
  CHANNEL_RCV_TIMEOUT,
  CHANNEL_RX_SEQUENCE,
  CHANNEL_RX_WAITERS,
  CHANNEL_SND_TIMEOUT,
  CHANNEL_STATE,
  CHANNEL_TX_SEQUENCE,
  CHANNEL_TX_WAITERS,
  EAGAIN,
  EBADF,
  EDEADLK,
  ENETDOWN,
  ENOTSOCK,
  EPIPE,
  KIND_FREE,
  O_NONBLOCK,
  PART_CAPACITY,
  PART_CHANNELS,
  READY_POLLERS,
  SHARE_POLL_SEQUENCE,
  SHARE_POLL_WAITERS,
  TURN_STACK,
} from "../../assembly/layout.ts";
import { adoptModules, instantiateStack, instantiateVeth, type StackExports } from "../core.ts";
import type { Clock } from "../clock.ts";
import { clockFrom } from "../threads/clock.ts";
import type { ClientPlace } from "./place.ts";
import { Seat } from "./seat.ts";
import { type Background, type Futex, futexSleep, futexSleepAsync, LOOK_MILLIS } from "./waiting.ts";

/** Rounds of a spin; one takes some nanoseconds, so an adaptive thread spins some tens of microseconds. */
const SPIN_ROUNDS = { busy: 20_000, adaptive: 4000, lowPower: 0 } as const;
/**
 * Where it cannot be told whether a thread lives, a turn that is held for longer than this is that of a dead one: what
 * is done in a turn takes microseconds.
 */
const TURN_MILLIS_MAX = 1000;

/** What a channel's words tell a call that waits. */
export interface Channel {
  /** Address of the channel, and of its stack's part. */
  at: number;
  part: number;
  /** Which stack, and the stack's own descriptor. */
  stack: number;
  fd: number;
}

/** The link of one thread. */
export class Link {
  readonly place: ClientPlace;
  readonly core: StackExports;
  readonly seat: Seat;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly stacks: number;
  /** The channel that channelOf() has found. */
  readonly channel: Channel = { at: 0, part: 0, stack: 0, fd: 0 };
  readonly #clock: Clock;
  readonly #rounds: number;
  readonly #capacity: number;
  readonly #channels: number[];
  readonly #background: Background | undefined;
  readonly #poll: Futex;

  /** @throws {OribiError} ERR_ORIBI_SEATS */
  constructor(place: ClientPlace, background?: Background) {
    adoptModules(place.modules);
    const options = place.debug === undefined ? {} : { debug: place.debug };
    this.place = place;
    this.core = instantiateStack(place.memory, instantiateVeth(place.memory, options), options);
    // With hosts of its own to serve, a thread does not spin: they may be what it waits for.
    this.#rounds = background === undefined ? SPIN_ROUNDS[place.poll] : 0;
    this.seat = new Seat(place, this.core, this.#rounds, background);
    this.words = new Int32Array(place.memory.buffer);
    this.doubles = new Float64Array(place.memory.buffer);
    this.stacks = place.parts.length;
    this.#clock = background ?? clockFrom(place.epochNanos);
    this.#background = background;
    const word = (at: number): number => this.words[at / 4] as number;
    this.#capacity = word((place.parts[0] as number) + PART_CAPACITY);
    this.#channels = place.parts.map((part) => word(part + PART_CHANNELS) >>> 0);
    this.#poll = {
      sequence: (place.share + SHARE_POLL_SEQUENCE) / 4,
      waiters: (place.share + SHARE_POLL_WAITERS) / 4,
    };
  }

  /** Microseconds since the network was made. */
  now(): number {
    return this.#clock.now();
  }

  /** Finds the channel of a descriptor: true, and it is in `channel`; false: it is an epoll's, or not open. */
  find(fd: number): boolean {
    const { channel, stacks } = this;
    const stack = stacks === 1 ? 0 : fd % stacks;
    const local = stacks === 1 ? fd : (fd - stack) / stacks;
    if (!(local >= 0 && local < this.#capacity)) return false;
    channel.stack = stack;
    channel.fd = local;
    channel.part = this.place.parts[stack] as number;
    channel.at = (this.#channels[stack] as number) + local * CHANNEL_BYTES;
    return Atomics.load(this.words, (channel.at + CHANNEL_KIND) / 4) !== KIND_FREE;
  }

  /** The errno of a descriptor that find() has not found. */
  refusal(fd: number): number {
    return this.core.shareIsEpoll(this.place.share, fd) !== 0 ? -ENOTSOCK : -EBADF;
  }

  /** The host's descriptor for one of a stack's own. */
  descriptor(stack: number, fd: number): number {
    return fd * this.stacks + stack;
  }

  /** Has the stack of the descriptor carry out a call whose first argument it is. */
  call(fd: number, call: number, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0): number {
    if (!this.find(fd)) return this.refusal(fd);
    return this.seat.call(this.channel.stack, call, this.channel.fd, b, c, d, e, f, g, h);
  }

  /** A word of a channel. */
  word(at: number, offset: number): number {
    return Atomics.load(this.words, (at + offset) / 4);
  }

  isBlocking(at: number): boolean {
    return (this.word(at, CHANNEL_FLAGS) & O_NONBLOCK) === 0;
  }

  /** Time when a call on a channel must give up; -Infinity: it must not block. */
  deadline(at: number, sending: boolean): number {
    if (!this.isBlocking(at)) return -Infinity;
    const limit = this.doubles[(at + (sending ? CHANNEL_SND_TIMEOUT : CHANNEL_RCV_TIMEOUT)) / 8] as number;
    return limit === 0 ? Infinity : limit < 0 ? -Infinity : this.now() + limit;
  }

  /**
   * Waits until a call on the channel found before need not wait any more: 0; -EAGAIN when the deadline has passed,
   * -EBADF when the descriptor was closed, -EPIPE when it was disconnected (as Linux), -ENETDOWN when its stack runs no
   * more, -EDEADLK when nothing can happen.
   */
  wait(at: number, stack: number, sending: boolean, deadline: number): number {
    if (deadline === -Infinity) return -EAGAIN;
    const generation = this.word(at, CHANNEL_GENERATION);
    const epoch = this.core.clientEpochOf(at);
    const test = sending ? this.core.clientWritable : this.core.clientReadable;
    const isReady = (): boolean => test(at) !== 0 || this.core.clientEpochOf(at) !== epoch;
    const isBusy = this.place.poll === "busy";
    while (true) {
      if (this.core.clientSpin(at, epoch, sending ? 1 : 0, this.#rounds) !== 0 || isReady()) break;
      if (this.now() >= deadline) return -EAGAIN;
      if (!this.seat.isServed(stack)) return -ENETDOWN;
      if (this.#background !== undefined) {
        if (!this.#serve(this.#background, [at + CHANNEL_POLLERS], isReady, deadline)) return -EDEADLK;
      } else if (!isBusy)
        futexSleep(this.words, futexOf(at, sending), this.seat.waits, isReady, this.#millis(deadline));
    }
    if (this.word(at, CHANNEL_GENERATION) !== generation) return -EBADF;
    return this.core.clientEpochOf(at) === epoch ? 0 : -EPIPE;
  }

  /** Waits on a futex of an epoll, or of all who poll, until `isReady` or the deadline: 0, or -EDEADLK. */
  waitOn(futex: Futex, pollers: readonly number[], isReady: () => boolean, deadline: number): number {
    while (true) {
      for (let i = 0; i <= this.#rounds; i += 50) if (isReady()) return 0;
      if (this.now() >= deadline) return 0;
      if (this.#background !== undefined) {
        if (!this.#serve(this.#background, pollers, isReady, deadline)) return isReady() ? 0 : -EDEADLK;
      } else if (this.place.poll !== "busy")
        futexSleep(this.words, futex, this.seat.waits, isReady, this.#millis(deadline));
    }
  }

  /** The futex of those who wait for several descriptors. They announce themselves with announce() as well. */
  get pollFutex(): Futex {
    return this.#poll;
  }

  /** Adds to the words that say that somebody waits for a descriptor among others. */
  announce(pollers: readonly number[], change: number): void {
    for (const at of pollers) Atomics.add(this.words, at / 4, change);
  }

  /** Address of that word of a descriptor; 0: it is not open. */
  pollersOf(fd: number): number {
    if (this.find(fd)) return this.channel.at + CHANNEL_POLLERS;
    const { share } = this.place;
    return this.core.shareIsEpoll(share, fd) === 0 ? 0 : (this.core.shareEpollAt(share, fd) >>> 0) + READY_POLLERS;
  }

  /** The main thread waits: it serves its own hosts meanwhile, and sleeps on its own doorbell. */
  #serve(background: Background, pollers: readonly number[], isReady: () => boolean, deadline: number): boolean {
    let goesOn = true;
    this.announce(pollers, 1);
    Atomics.add(this.words, this.#poll.waiters, 1);
    if (!isReady() && background.step() === 0) {
      goesOn = background.sleep(isReady, deadline);
    }
    Atomics.sub(this.words, this.#poll.waiters, 1);
    this.announce(pollers, -1);
    return goesOn;
  }

  #millis(deadline: number): number {
    return Math.min((deadline - this.now()) / 1000, LOOK_MILLIS);
  }

  /** Has all who wait for several descriptors look again. */
  wakePollers(): void {
    Atomics.add(this.words, this.#poll.sequence, 1);
    Atomics.notify(this.words, this.#poll.sequence);
  }

  /** Sleeps on the futex of all who poll, without blocking the thread. */
  async sleepAsync(isReady: () => boolean, deadline: number): Promise<void> {
    const millis = Math.min((deadline - this.now()) / 1000, LOOK_MILLIS);
    if (millis > 0) await futexSleepAsync(this.words, this.#poll, isReady, millis);
  }

  /** One step of what this thread serves beside; the work done. */
  stepped(): number {
    return this.#background === undefined ? 0 : this.#background.step();
  }

  /** Lets some time pass. */
  pause(micros: number): void {
    if (this.#background === undefined) Atomics.wait(pause, 0, 0, micros / 1000);
    else this.#background.sleep(() => false, this.now() + micros);
  }

  /**
   * Waits while it is another thread's turn; takes that of a dead one away.
   * @param turns changes when the holder has taken another turn: then it is alive
   * @param stack whose turn it may be as well
   * @returns 0, or -ENETDOWN when it is the turn of the stack, whose thread is dead: it stays so until a restart
   */
  awaitTurn(
    turnOf: () => number,
    turns: () => number,
    free: (holder: number, turn: number) => void,
    stack: number,
  ): number {
    const holder = turnOf();
    const before = turns();
    const isSame = (): boolean => turnOf() === holder && turns() === before;
    if (holder === 0) return 0;
    for (let i = 0; i < 1000; i++) if (!isSame()) return 0;
    const begun = performance.now();
    while (isSame()) {
      Atomics.wait(pause, 0, 0, 1);
      if (holder === TURN_STACK) {
        if (!this.seat.isServed(stack) && isSame()) return -ENETDOWN;
        continue;
      }
      const isOver = performance.now() - begun > TURN_MILLIS_MAX && !this.seat.canTell(holder);
      if ((isOver || this.seat.isDead(holder)) && isSame()) free(holder, before);
    }
    return 0;
  }

  /** Does the state of a channel have one of these bits? */
  has(at: number, bits: number): boolean {
    return (this.word(at, CHANNEL_STATE) & bits) !== 0;
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4));

function futexOf(at: number, sending: boolean): Futex {
  return sending
    ? { sequence: (at + CHANNEL_TX_SEQUENCE) / 4, waiters: (at + CHANNEL_TX_WAITERS) / 4 }
    : { sequence: (at + CHANNEL_RX_SEQUENCE) / 4, waiters: (at + CHANNEL_RX_WAITERS) / 4 };
}
