// A thread of the torture: holds many connections under an epoll of its own, begins and serves others, throws datagrams
// about on a socket that all threads use, and holds answers of epoll_wait against the true state.
// Read first: end.ts (one connection); board.ts. What it does is its dice's choice; when, that of the machine.

import {
  AF_INET,
  EPOLL_CTL_ADD,
  EPOLL_CTL_MOD,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  MSG_DONTWAIT,
  POLLNVAL,
  SO_KEEPALIVE,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../assembly/layout.ts";
import type { EpollEvent, Posix } from "../posix/posix.ts";
import { Dice } from "../simulate/dice.ts";
import * as at from "./board.ts";
import type { Board } from "./board.ts";
import { End } from "./end.ts";
import { BYTES_MAX, KEYS, wrongByte } from "./pattern.ts";
import { listenAgain, peekAt, relisten } from "./relisten.ts";
import type { Role } from "./role.ts";

/** Connections that are begun, granted something to send, buried, and looked at by the oracle, in one turn at most. */
const BEGIN_MAX = 4;
const GRANT_MAX = 8;
const BURY_MAX = 32;
const CHECK_MAX = 32;
const EVENTS_MAX = 64;
/** Of the connections that are granted something to send so many are broken off instead, and begun again. */
const DISCONNECT_CHANCE = 0.02;
/** Connections that are peeked at in one turn. */
const PEEKS_MAX = 16;
/** One turn of so many is an oracle's; an event that is still not told after so long is lost, milliseconds. */
const CHECK_EVERY = 64;
const LOST_MILLIS = 5000;
const WAIT_MILLIS = 10;
const DATAGRAM = 8;
const DATAGRAM_BYTES = 1200;

/** One thread's part. */
export class Talker {
  readonly #board: Board;
  readonly #posix: Posix;
  readonly #role: Role;
  readonly #dice: Dice;
  readonly #stackOf: (fd: number) => number;
  readonly #ends = new Map<number, End>();
  readonly #free: number[] = [];
  readonly #listeners = new Map<number, number>();
  readonly #datagram = Buffer.alloc(2048);
  #epoll = -1;
  #turns = 0;
  #next = 0;

  constructor(board: Board, posix: Posix, role: Role, stackOf: (fd: number) => number) {
    this.#board = board;
    this.#posix = posix;
    this.#role = role;
    this.#dice = new Dice(role.seed, `thread ${role.side} ${role.thread} life ${role.life}`);
    this.#stackOf = stackOf;
  }

  /** Goes on until the torture ends, or somebody ends this thread. @param obey what a command does */
  run(obey: (command: number) => void): void {
    const { side, thread } = this.#role;
    const board = this.#board;
    this.#begin();
    board.add(at.READY);
    for (let phase; (phase = board.get(at.PHASE)) !== at.PHASE_END;) {
      board.add(board.tick(side, thread));
      const command = Atomics.exchange(board.words, board.command(side, thread), 0);
      if (command >= at.COMMAND_RELISTEN) this.#relisten(command - at.COMMAND_RELISTEN);
      else if (command !== 0) obey(command);
      this.#bury();
      if (side === at.SERVER) this.#listen();
      else this.#grant(phase);
      this.#peek();
      this.#scatter();
      this.#serve(phase);
      if (++this.#turns % CHECK_EVERY === 0) this.#check();
    }
    this.#posix.close(this.#epoll);
  }

  /** Goes on where an earlier thread was killed. */
  #begin(): void {
    const { side, thread } = this.#role;
    const board = this.#board;
    const before = Atomics.exchange(board.words, board.epoll(side, thread), 0);
    if (before !== 0) this.#posix.close(before - 1);
    this.#epoll = this.#posix.epoll_create1(0);
    if (this.#epoll < 0) return board.report(`epoll_create1() has failed with ${this.#epoll}`);
    Atomics.store(board.words, board.epoll(side, thread), this.#epoll + 1);
    if (side === at.SERVER) listenAgain(board, this.#posix, thread, thread % this.#role.stacks);
    for (const place of this.#places()) {
      const end = new End(board, this.#posix, place, side);
      if (!end.isFree || end.get(at.AT_BUSY) !== 0) {
        if (end.isGone || end.get(at.AT_BUSY) !== 0) end.abort();
      }
      if (end.isFree) this.#free.push(place);
      else this.#keep(end);
    }
    this.#free.reverse();
  }

  #places(): number[] {
    const { side, thread } = this.#role;
    const { connections, threads } = this.#board.place;
    if (side === at.SERVER) return Array.from({ length: connections * 2 }, (_, i) => this.#board.served(thread, i));
    const each = Math.ceil(connections / threads);
    const most = Math.max(0, Math.min(each, connections - thread * each));
    return Array.from({ length: most }, (_, i) => this.#board.client(thread * each + i));
  }

  #keep(end: End): void {
    end.wants = end.get(at.AT_STATE) === at.OPENING ? EPOLLOUT : EPOLLIN | EPOLLOUT;
    this.#ends.set(end.place, end);
    this.#watch(end);
  }

  /** Has the epoll watch an end for what it wants; forgets one that is over. */
  #watch(end: End): void {
    if (end.isFree) {
      this.#ends.delete(end.place);
      this.#free.push(end.place);
      return;
    }
    if (end.watched === end.wants) return;
    const op = end.watched === 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    // With the descriptor: what a stack that is just being killed still tells is of an earlier one.
    const data = { fd: end.place, high: end.fd };
    const result = this.#posix.epoll_ctl(this.#epoll, op, end.fd, { events: end.wants, data });
    // A stack that was killed takes its descriptors with it: the next turn sees to that.
    if (result < 0 && !end.isGone) this.#board.report(`epoll_ctl(${op}) of descriptor ${end.fd} failed: ${result}`);
    end.watched = end.wants;
  }

  /** Connections whose stack was killed say nothing any more: some of them are looked for in each turn. */
  #bury(): void {
    const places = [...this.#ends.keys()];
    for (let i = 0; i < Math.min(BURY_MAX, places.length); i++) {
      const end = this.#ends.get(places[this.#next++ % places.length] as number);
      if (end === undefined || !end.isGone) continue;
      end.turn(0);
      this.#watch(end);
    }
  }

  /** Watches the listeners of all stacks; those of restarted ones are others. */
  #listen(): void {
    for (let stack = 0; stack < this.#role.stacks; stack++) {
      const fd = this.#board.get(this.#board.listener(stack)) - 1;
      if ((this.#listeners.get(stack) ?? -1) === fd) continue;
      this.#listeners.set(stack, fd);
      if (fd >= 0) this.#posix.epoll_ctl(this.#epoll, EPOLL_CTL_ADD, fd, { events: EPOLLIN, data: { fd: -1 - fd } });
    }
  }

  #accept(listener: number): void {
    for (let i = 0; i < EVENTS_MAX && this.#free.length > 0; i++) {
      const incarnations = this.#incarnations();
      // A dead stack still has connections to accept, which are dead, too.
      if (this.#board.get(this.#board.listener(this.#stackOf(listener))) !== listener + 1) return;
      const fd = this.#posix.accept4(listener, null, SOCK_NONBLOCK);
      if (fd < 0) return;
      const end = new End(this.#board, this.#posix, this.#free.pop() as number, at.SERVER);
      end.take(fd, this.#stackOf(fd), incarnations[this.#stackOf(fd)] as number);
      end.set(at.AT_STATE, at.OPEN);
      end.wants = EPOLLIN;
      this.#ends.set(end.place, end);
      this.#watch(end);
    }
  }

  /** A listener ends, and listens again. */
  #relisten(way: number): void {
    const { stacks, thread } = this.#role;
    const isAlone = this.#board.place.threads <= stacks;
    relisten(this.#board, this.#posix, thread, thread % stacks, way, isAlone);
  }

  /** Looks at connections of this side that other threads use; where descriptors are not common, at its own. */
  #peek(): void {
    const { side, isSeparate } = this.#role;
    const { connections, threads } = this.#board.place;
    const dice = this.#dice;
    for (let i = 0; i < PEEKS_MAX; i++) {
      const index = dice.whole(0, connections - 1);
      const other =
        side === at.SERVER ? this.#board.served(dice.whole(0, threads - 1), index) : this.#board.client(index);
      if (isSeparate || this.#ends.has(other)) peekAt(this.#board, this.#posix, other, side, this.#datagram);
    }
  }

  /** Lives of the stacks of this side. */
  #incarnations(): number[] {
    const { side, stacks } = this.#role;
    return Array.from({ length: stacks }, (_, stack) => this.#board.get(this.#board.incarnation(side, stack)));
  }

  /** Begins connections, and lets some of the others send. */
  #grant(phase: number): void {
    const dice = this.#dice;
    for (let i = 0; i < BEGIN_MAX && phase === at.PHASE_RUN && this.#free.length > 0; i++) this.#connect();
    const places = this.#ends.size === 0 ? [] : [...this.#ends.keys()];
    for (let i = 0; i < GRANT_MAX && places.length > 0; i++) {
      const hurries = phase !== at.PHASE_RUN;
      const place = hurries ? places[this.#next++ % places.length] : dice.pick(places);
      const end = this.#ends.get(place as number);
      if (end === undefined) continue;
      if (!hurries && dice.chance(DISCONNECT_CHANCE)) {
        this.#reconnect(end);
        continue;
      }
      if (end.get(at.AT_STATE) === at.OPENING) continue;
      end.turn(hurries ? BYTES_MAX : dice.log(1, 16384));
      this.#watch(end);
    }
  }

  #connect(): void {
    const end = new End(this.#board, this.#posix, this.#free.at(-1) as number, at.CLIENT);
    end.set(at.AT_BUSY, 1);
    const incarnations = this.#incarnations();
    const fd = this.#posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    // No stack runs, or it has no connection left: later.
    if (fd < 0) return end.set(at.AT_BUSY, 0);
    this.#free.pop();
    end.take(fd, this.#stackOf(fd), incarnations[this.#stackOf(fd)] as number);
    this.#posix.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    this.#ends.set(end.place, end);
    this.#open(end);
  }

  /** Breaks a connection off, and begins the next one with the same descriptor. */
  #reconnect(end: End): void {
    const { stack, watched } = { stack: end.get(at.AT_STACK), watched: end.watched };
    const incarnation = end.get(at.AT_INCARNATION);
    if (end.disconnect()) {
      end.take(end.fd, stack, incarnation);
      end.watched = watched;
      this.#open(end);
    } else this.#watch(end);
  }

  /** Begins a connection with the descriptor of an end, which is marked as busy. */
  #open(end: End): void {
    const { address, port } = this.#role;
    const dice = this.#dice;
    end.set(at.AT_ID, this.#board.idOf(end.place));
    end.set(at.AT_SERVED, 0);
    end.set(at.AT_LIFE, (end.get(at.AT_LIFE) + 1) & 0x3fffffff);
    end.set(at.AT_KEY, dice.whole(0, KEYS - 1));
    end.set(at.AT_UP, dice.log(1, this.#role.bytesMax) - 1);
    end.set(at.AT_DOWN, dice.log(1, this.#role.bytesMax) - 1);
    end.set(at.AT_STATE, at.OPENING);
    this.#posix.connect(end.fd, { address, port });
    end.set(at.AT_BUSY, 0);
    end.wants = EPOLLOUT;
    this.#watch(end);
  }

  /** Waits a little, and serves what is ready. */
  #serve(phase: number): void {
    const events: EpollEvent[] = [];
    const wait = phase !== at.PHASE_RUN || this.#dice.chance(0.3) ? WAIT_MILLIS : 0;
    const n = this.#posix.epoll_wait(this.#epoll, events, EVENTS_MAX, wait);
    if (n < 0) return this.#board.report(`epoll_wait() has failed with ${n}`);
    for (let i = 0; i < n; i++) {
      const { data, events: what } = events[i] as EpollEvent;
      if (data.fd < 0) {
        this.#accept(-1 - data.fd);
        continue;
      }
      const end = this.#ends.get(data.fd);
      if (end?.fd === data.high) this.#ready(end, what);
    }
  }

  #ready(end: End, events: number): void {
    if (end.get(at.AT_STATE) === at.OPENING) {
      if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) === 0) return;
      end.set(at.AT_STATE, at.OPEN);
      if ((events & (EPOLLERR | EPOLLHUP)) === 0) this.#board.add(at.CONNECTED);
    }
    end.turn((events & EPOLLOUT) !== 0 || (events & (EPOLLERR | EPOLLHUP)) !== 0 ? this.#dice.log(1, 16384) : 0);
    this.#watch(end);
  }

  /** Datagrams on a socket that all threads of the side use at once: each comes whole, or not at all. */
  #scatter(): void {
    const { side, peer, commonPort } = this.#role;
    const board = this.#board;
    const fd = board.get(board.common(side)) - 1;
    if (fd < 0) return;
    const dice = this.#dice;
    const message = this.#datagram;
    if (dice.chance(0.5)) {
      const [key, length] = [dice.whole(0, KEYS - 1), dice.log(1, DATAGRAM_BYTES)];
      message.writeInt32LE(key, 0);
      message.writeInt32LE(length, 4);
      board.table.copy(message, DATAGRAM, key, key + length);
      const to = { address: peer, port: commonPort };
      this.#posix.sendto(fd, message.subarray(0, DATAGRAM + length), MSG_DONTWAIT, to);
    }
    for (let i = 0; i < 4; i++) {
      const n = this.#posix.recv(fd, message, MSG_DONTWAIT);
      if (n < 0) return;
      const key = message.readInt32LE(0);
      const isRight = n > DATAGRAM && message.readInt32LE(4) === n - DATAGRAM && key >= 0 && key < KEYS;
      if (!isRight || wrongByte(board.table, key, message.subarray(DATAGRAM), n - DATAGRAM) >= 0) {
        return board.report(`side ${side}: a datagram of ${n} bytes is wrong`);
      }
      board.add(at.DATAGRAMS);
    }
  }

  /** The oracle: what epoll_wait says of some descriptors against what poll(2) says. */
  #check(): void {
    const all = [...this.#ends.values()].filter((end) => end.watched !== 0 && !end.isGone);
    const start = all.length === 0 ? 0 : this.#dice.whole(0, all.length - 1);
    const some = all.slice(start, start + CHECK_MAX);
    const due = new Map(some.map((end) => [end.place, end.events() & (end.watched | EPOLLERR | EPOLLHUP)] as const));
    // What is told was true at some time between two looks: room that there was may be another connection's by then.
    const last = new Map(some.map((end) => [end.place, end.events()] as const));
    const from = performance.now();
    while (true) {
      const told = this.#told();
      if (told === undefined) return;
      for (const end of some) {
        const what = told.get(end.place) ?? 0;
        const now = end.events();
        if (end.isGone || (now & POLLNVAL) !== 0) {
          due.delete(end.place);
          continue;
        }
        const spurious = what & ~(now | (last.get(end.place) ?? 0) | POLLNVAL);
        last.set(end.place, now);
        if (spurious !== 0) this.#board.report(`${this.#name(end)}: epoll told ${what}, true is ${now}`);
        if (((due.get(end.place) ?? 0) & ~what) === 0) due.delete(end.place);
      }
      this.#board.add(at.EPOLL_CHECKS, some.length);
      if (due.size === 0) return;
      if (performance.now() - from > LOST_MILLIS) {
        for (const [place, bits] of due) {
          const end = this.#ends.get(place) as End;
          this.#board.report(`${this.#name(end)}: epoll did not tell of ${bits} (watched for ${end.watched})`);
        }
        return;
      }
      this.#posix.poll([], 1);
    }
  }

  /** All that epoll_wait has to tell; undefined when that is more than one answer holds. */
  #told(): Map<number, number> | undefined {
    const events: EpollEvent[] = [];
    const most = 1024;
    const n = this.#posix.epoll_wait(this.#epoll, events, most, 0);
    if (n < 0 || n === most) return undefined;
    const own = events.slice(0, n).filter(({ data }) => this.#ends.get(data.fd)?.fd === data.high);
    return new Map(own.map(({ data, events: what }) => [data.fd, what]));
  }

  #name(end: End): string {
    const { side, thread } = this.#role;
    return `side ${side} thread ${thread} id ${end.get(at.AT_ID)} fd ${end.fd} stack ${end.get(at.AT_STACK)}`;
  }
}
