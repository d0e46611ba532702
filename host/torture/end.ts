// One end of a connection of the torture: sends its bytes, checks the other's, and judges how it ended. How far it has
// come stands on the board after each call, so that another thread can go on with it.
// Read first: board.ts.
//
//   client: header {magic, id, life, key, up, down}, `up` bytes, FIN        server: `down` bytes, FIN
//
// Either an end delivers every byte, or it ends with an error for which somebody was killed. Nothing else.

import {
  AF_UNSPEC,
  EAGAIN,
  EINPROGRESS,
  EPOLLIN,
  EPOLLOUT,
  MSG_DONTWAIT,
  SHUT_WR,
  SO_LINGER,
  SOL_SOCKET,
} from "../../assembly/layout.ts";
import { errnoName } from "../posix/constants.ts";
import type { Posix } from "../posix/posix.ts";
import * as at from "./board.ts";
import type { Board } from "./board.ts";
import { BYTES_MAX, KEYS, startOf, wrongByte } from "./pattern.ts";

/** Bytes of the header. */
export const HEADER = 24;
const MAGIC = 0x4f726962;
/** Bytes that one turn sends or receives at most, so that all get theirs. */
const TURN_BYTES = 32768;
/** All threads of a worker use these, one call at a time. */
const buffer = Buffer.alloc(TURN_BYTES);
const header = Buffer.alloc(HEADER);

/** One end, by its words on the board. */
export class End {
  readonly #board: Board;
  readonly #posix: Posix;
  readonly #words: Int32Array;
  readonly place: number;
  readonly #side: number;
  /** EPOLL bits that it waits for. */
  wants = 0;
  /** EPOLL bits that its thread's epoll watches it for; 0: not yet. */
  watched = 0;

  constructor(board: Board, posix: Posix, place: number, side: number) {
    this.#board = board;
    this.#posix = posix;
    this.#words = board.words;
    this.place = place;
    this.#side = side;
  }

  get(word: number): number {
    return Atomics.load(this.#words, this.place + word);
  }

  set(word: number, value: number): void {
    Atomics.store(this.#words, this.place + word, value);
  }

  get fd(): number {
    return this.get(at.AT_FD) - 1;
  }

  get isFree(): boolean {
    return this.get(at.AT_STATE) === at.FREE;
  }

  /** Its stack has been killed: the descriptor is not there any more, or another's. */
  get isGone(): boolean {
    const now = this.#board.get(this.#board.incarnation(this.#side, this.get(at.AT_STACK)));
    return now !== this.get(at.AT_INCARNATION);
  }

  /** A descriptor has been made for it. @param incarnation of the stack, before that was asked for it */
  take(fd: number, stack: number, incarnation: number): void {
    this.set(at.AT_STACK, stack);
    this.set(at.AT_INCARNATION, incarnation);
    this.set(at.AT_SENT, 0);
    this.set(at.AT_RECEIVED, 0);
    this.set(at.AT_FD, fd + 1);
    this.set(at.AT_KILLS, this.#board.get(at.KILLS));
    this.watched = 0;
  }

  /** Goes on as far as it can: `quota` bytes may be sent. */
  turn(quota: number): void {
    if (this.isGone) return this.#broken();
    if (this.#side === at.SERVER && this.get(at.AT_RECEIVED) < HEADER) {
      this.wants = EPOLLIN;
      if (!this.#hear() || this.get(at.AT_RECEIVED) < HEADER) return;
    }
    if (this.#speak(quota)) this.#hear();
  }

  /** Sends; false: the end of the connection has come. */
  #speak(quota: number): boolean {
    const isClient = this.#side === at.CLIENT;
    const total = isClient ? HEADER + this.get(at.AT_UP) : this.get(at.AT_DOWN);
    this.wants = EPOLLIN;
    let sent = this.get(at.AT_SENT);
    if (this.get(at.AT_STATE) === at.SHUT || (isClient && quota === 0)) return true;
    let left = isClient ? quota : TURN_BYTES;
    while (sent < total && left > 0) {
      const part = this.#outgoing(sent, Math.min(total, sent + left));
      this.set(at.AT_BUSY, 1);
      const n = this.#posix.send(this.fd, part, MSG_DONTWAIT);
      if (n > 0) this.set(at.AT_SENT, sent + n);
      this.set(at.AT_BUSY, 0);
      if (n <= 0 && n !== -EAGAIN && n !== -EINPROGRESS) return this.#failed("send", n);
      if (n <= 0) break;
      sent += n;
      left -= n;
    }
    if (sent < total) {
      if (!isClient || left > 0) this.wants |= EPOLLOUT;
      return true;
    }
    return isClient ? this.#shut() : true;
  }

  /** What comes at `from` of what this end sends, up to `end`. */
  #outgoing(from: number, end: number): Buffer {
    const start = startOf(this.get(at.AT_KEY), this.#side === at.SERVER);
    if (this.#side === at.SERVER) return this.#board.table.subarray(start + from, start + end);
    if (from >= HEADER) return this.#board.table.subarray(start + from - HEADER, start + end - HEADER);
    [
      MAGIC,
      this.get(at.AT_ID),
      this.get(at.AT_LIFE),
      this.get(at.AT_KEY),
      this.get(at.AT_UP),
      this.get(at.AT_DOWN),
    ].forEach((word, i) => header.writeInt32LE(word, i * 4));
    return header.subarray(from, Math.min(end, HEADER));
  }

  #shut(): boolean {
    this.set(at.AT_BUSY, 1);
    const result = this.#posix.shutdown(this.fd, SHUT_WR);
    if (result === 0) this.set(at.AT_STATE, at.SHUT);
    this.set(at.AT_BUSY, 0);
    return result === 0 ? true : this.#failed("shutdown", result);
  }

  /** Receives and checks; false: nothing came, or it is over. */
  #hear(): boolean {
    let isHeard = false;
    for (let left = TURN_BYTES; left > 0;) {
      const received = this.get(at.AT_RECEIVED);
      const isHeader = this.#side === at.SERVER && received < HEADER;
      const most = isHeader ? HEADER - received : left;
      this.set(at.AT_BUSY, 1);
      const n = this.#posix.recv(this.fd, buffer.subarray(0, most), MSG_DONTWAIT);
      const isRight = n <= 0 || (isHeader ? this.#learn(received, n) : this.#verify(received, n));
      if (n > 0) this.set(at.AT_RECEIVED, received + n);
      this.set(at.AT_BUSY, 0);
      if (!isRight) return false;
      if (n === -EAGAIN) return isHeard;
      if (n <= 0) return n === 0 ? this.#ended(received) : this.#failed("recv", n);
      isHeard = true;
      left -= n;
    }
    return true;
  }

  #verify(received: number, n: number): boolean {
    const isDown = this.#side === at.CLIENT;
    const from = isDown ? received : received - HEADER;
    const total = this.get(isDown ? at.AT_DOWN : at.AT_UP);
    const wrong = wrongByte(this.#board.table, startOf(this.get(at.AT_KEY), isDown) + from, buffer, n);
    this.#board.addBytes(n);
    if (wrong < 0 && from + n <= total) return true;
    return this.#wrong(wrong < 0 ? `${from + n} bytes came, not ${total}` : `byte ${from + wrong} is wrong`);
  }

  /** Puts together the header out of its pieces. */
  #learn(received: number, n: number): boolean {
    // Its words are kept where they belong; what is not whole yet, in the words of the next ones.
    const kept = this.#headerBytes();
    kept.set(buffer.subarray(0, n), received);
    if (received + n < HEADER) return true;
    const word = (index: number): number => kept.readInt32LE(index * 4);
    const [magic, id, life, key, up, down] = [word(0), word(1), word(2), word(3), word(4), word(5)];
    const isSound = magic === MAGIC && id >= 0 && id < this.#board.place.connections && key >= 0 && key < KEYS;
    if (!isSound || up < 0 || up > BYTES_MAX || down < 0 || down > BYTES_MAX) return this.#wrong("the header is wrong");
    this.set(at.AT_ID, id);
    this.set(at.AT_LIFE, life);
    this.set(at.AT_KEY, key);
    this.set(at.AT_UP, up);
    this.set(at.AT_DOWN, down);
    const client = this.#board.client(id);
    if (Atomics.load(this.#words, client + at.AT_LIFE) !== life) return true;
    Atomics.store(this.#words, client + at.AT_SERVER_INCARNATION, this.get(at.AT_INCARNATION));
    Atomics.store(this.#words, client + at.AT_SERVED, this.get(at.AT_STACK) + 1);
    return true;
  }

  /** The words AT_ID to AT_ABORTED as bytes: no other use before the header is whole. */
  #headerBytes(): Buffer {
    return Buffer.from(this.#words.buffer, (this.place + at.AT_ID) * 4, HEADER);
  }

  /** The peer has ended its stream. */
  #ended(received: number): boolean {
    const isClient = this.#side === at.CLIENT;
    const total = isClient ? this.get(at.AT_DOWN) : HEADER + this.get(at.AT_UP);
    // An error is told once: who peeks may have heard of it, and then comes the end.
    const isKnown = this.get(at.AT_PEEKED) === this.get(at.AT_LIFE) && this.isExcused;
    if (received !== total && isKnown) return this.#failed("recv", 0);
    if (received !== total) return this.#wrong(`the stream has ended after ${received} of ${total} bytes`);
    const isAllSent = isClient ? this.get(at.AT_STATE) === at.SHUT : this.get(at.AT_SENT) === this.get(at.AT_DOWN);
    if (!isAllSent) {
      if (isClient && isKnown) return this.#failed("recv", 0);
      if (isClient) return this.#wrong("the server has ended before it had all");
      // The end will be heard again; until all is sent there is nothing to wait for but room.
      this.wants = EPOLLOUT;
      return false;
    }
    this.#close();
    if (isClient) this.#board.add(at.COMPLETED);
    return false;
  }

  /** A call has failed: somebody must have been killed. */
  #failed(call: string, result: number): boolean {
    if (this.isExcused) {
      this.#tell();
      this.#close();
      this.#board.add(at.BROKEN);
      return false;
    }
    const error = result === 0 ? "0" : errnoName(result);
    return this.#wrong(`${call}() has failed with ${error} though both ends live`);
  }

  /** Has something happened to either end that may break a connection? */
  get isExcused(): boolean {
    if (this.isGone) return true;
    const board = this.#board;
    if (this.#side === at.SERVER) {
      // Whose it was is not known, nor how long it has waited to be accepted.
      if (this.get(at.AT_RECEIVED) < HEADER) return board.get(at.KILLS) + board.get(at.DISCONNECTS) > 0;
      const client = board.client(this.get(at.AT_ID));
      const word = (index: number): number => Atomics.load(this.#words, client + index);
      // One that has delivered everything leaves no end of the server behind: this one has not, and was judged itself.
      if (word(at.AT_LIFE) !== this.get(at.AT_LIFE) || word(at.AT_ABORTED) === this.get(at.AT_LIFE)) return true;
      return board.isEnding(at.CLIENT, word(at.AT_STACK), word(at.AT_INCARNATION));
    }
    if (this.get(at.AT_ABORTED) === this.get(at.AT_LIFE)) return true;
    const served = this.get(at.AT_SERVED);
    if (served === 0) return board.get(at.KILLS) !== this.get(at.AT_KILLS) || board.get(at.DOWN) > 0;
    return board.isEnding(at.SERVER, served - 1, this.get(at.AT_SERVER_INCARNATION));
  }

  /** What must not be. */
  #wrong(text: string): boolean {
    const side = this.#side === at.CLIENT ? "client" : "server";
    const facts = `id ${this.get(at.AT_ID)} life ${this.get(at.AT_LIFE)} fd ${this.fd} stack ${this.get(at.AT_STACK)}`;
    const far = `sent ${this.get(at.AT_SENT)} received ${this.get(at.AT_RECEIVED)}`;
    this.#board.report(`${side} ${facts} (${far}, up ${this.get(at.AT_UP)}, down ${this.get(at.AT_DOWN)}): ${text}`);
    this.#tell();
    this.#close();
    return false;
  }

  #close(): void {
    this.set(at.AT_STATE, at.CLOSING);
    this.set(at.AT_BUSY, 1);
    this.#posix.close(this.fd);
    this.#over();
  }

  #over(counter?: number): void {
    this.set(at.AT_STATE, at.FREE);
    this.set(at.AT_FD, 0);
    this.set(at.AT_BUSY, 0);
    this.watched = 0;
    if (counter !== undefined) this.#board.add(counter);
  }

  /** Its stack was killed, and the descriptor with it. */
  #broken(): void {
    this.#tell();
    this.#over(at.BROKEN);
  }

  /** Says that the connection breaks: the other end may find an error. */
  #tell(): void {
    if (this.#side === at.SERVER && this.get(at.AT_RECEIVED) < HEADER) return;
    const client = this.#side === at.CLIENT ? this.place : this.#board.client(this.get(at.AT_ID));
    const life = this.get(at.AT_LIFE);
    if (Atomics.load(this.#words, client + at.AT_LIFE) !== life) return;
    Atomics.store(this.#words, client + at.AT_ABORTED, life);
  }

  /** Breaks it off: its thread was killed in the middle of a call, and nobody knows how far that has come. */
  abort(): void {
    const { fd } = this;
    this.#tell();
    // One that was just being closed may be another's by now; if not, it is found as one that nobody has.
    const isOpen = fd >= 0 && !this.isGone && this.get(at.AT_STATE) !== at.CLOSING;
    this.set(at.AT_STATE, at.CLOSING);
    if (isOpen) abort(this.#posix, fd);
    this.#over(at.ABORTED);
  }

  /**
   * The client breaks the connection off and keeps the descriptor, AT_BUSY from now on, for the next one: nothing of
   * this one may come with that. False: it cannot be used again, as its stack was killed.
   */
  disconnect(): boolean {
    this.set(at.AT_BUSY, 1);
    this.#tell();
    this.#board.add(at.DISCONNECTS);
    const result = this.#posix.connect(this.fd, { family: AF_UNSPEC });
    if (result === 0) return true;
    this.set(at.AT_BUSY, 0);
    if (this.isGone) this.#broken();
    else this.#wrong(`connect(AF_UNSPEC) has failed with ${errnoName(result)}`);
    return false;
  }

  /** Its true state, as EPOLL bits; POLLNVAL when the descriptor is not there. */
  events(): number {
    const entry = { fd: this.fd, events: EPOLLIN | EPOLLOUT, revents: 0 };
    this.#posix.poll([entry], 0);
    return entry.revents;
  }
}

/** Closes a descriptor with a reset. */
export function abort(posix: Posix, fd: number): void {
  posix.setsockopt(fd, SOL_SOCKET, SO_LINGER, { l_onoff: 1, l_linger: 0 });
  posix.close(fd);
}
