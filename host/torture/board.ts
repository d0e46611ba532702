// What all threads of a torture share: the word to stop, who has died how often, every connection with how far it has
// come, and what was found wrong. It outlives each of them, so that another goes on where one was killed.
// Read first: talker.ts.

import { randomTable } from "./pattern.ts";

/** Words of the board. */
export const PHASE = 0; // PHASE_*
export const KILLS = 1; // goes up before each kill, and when the victim is dead
export const DOWN = 2; // stacks that are dead, or do not listen yet
export const CONNECTED = 3;
export const COMPLETED = 4; // connections that delivered every byte both ways and ended in order
export const BROKEN = 5; // connections whose end was killed
export const ABORTED = 6; // connections that a killed thread was in the middle of
export const EPOLL_CHECKS = 7; // answers of epoll_wait that were held against the true state
export const DATAGRAMS = 8; // whole and right
export const DISCONNECTS = 9; // connections that their client broke off, to connect the same descriptor again
export const BYTES_LOW = 10; // verified, two words
export const FOUND = 12; // bytes of `found`
export const READY = 13; // threads that have begun, in all
export const RELISTENS = 14; // listeners that were ended and listened again
export const PEEKS = 15; // looks at another thread's connection while that goes on, right to the byte
const INCARNATIONS = 16; // of each side's stacks
export const STACKS_MAX = 16;
export const THREADS_MAX = 16;
const LISTENERS = INCARNATIONS + 2 * STACKS_MAX; // of each stack of the server
const COMMONS = LISTENERS + STACKS_MAX; // each side's datagram socket that all threads use
const EPOLLS = COMMONS + 2; // each thread's epoll, that its successor closes it
const COMMANDS = EPOLLS + 2 * THREADS_MAX; // what a thread is to do at its next turn
const TICKS = COMMANDS + 2 * THREADS_MAX; // go up with each turn of a thread
const RELISTENING = TICKS + 2 * THREADS_MAX; // not 0: a thread of the server has ended a listener that is to go on
const RECORDS = RELISTENING + THREADS_MAX;

export const PHASE_RUN = 0;
export const PHASE_FINISH = 1; // what is open is brought to its end, nothing new begins
export const PHASE_END = 2;

/** What a thread is told to do to itself. */
export const COMMAND_THROW = 1;
export const COMMAND_EXIT = 2;
export const COMMAND_HANG = 3;
/** And to a listener: this plus which of the ways (relisten.ts). */
export const COMMAND_RELISTEN = 8;

/** Words of one end of a connection. */
export const AT_STATE = 0; // FREE to CLOSING
export const AT_FD = 1; // the descriptor plus 1; 0: none yet
export const AT_STACK = 2;
export const AT_INCARNATION = 3;
export const AT_BUSY = 4; // 1 while a call is under way that changes what was sent or received
export const AT_SENT = 5;
export const AT_RECEIVED = 6;
export const AT_ID = 7; // of the client's record
export const AT_LIFE = 8; // connections of that record so far
export const AT_KEY = 9; // where in the table its bytes begin
export const AT_UP = 10; // bytes from the client, the header not counted
export const AT_DOWN = 11;
/** A server's end keeps a header that is not whole in the words AT_ID to here. */
export const AT_KILLS = 13; // when it was begun
export const AT_SERVED = 14; // the server's stack plus 1, when it has said so
export const AT_SERVER_INCARNATION = 15;
export const AT_ABORTED = 16; // the life that was broken off, by another thread than its own
export const AT_PEEKED = 17; // the life that another thread has looked at: it may have been told of an error first
export const RECORD_WORDS = 20;

export const FREE = 0;
export const OPENING = 1;
export const OPEN = 2;
export const SHUT = 3;
export const CLOSING = 4;

/** Sides. */
export const SERVER = 0;
export const CLIENT = 1;

const TEXT_BYTES = 16384;

/** What is posted to threads. */
export interface BoardPlace {
  words: SharedArrayBuffer;
  text: SharedArrayBuffer;
  table: SharedArrayBuffer;
  connections: number;
  threads: number;
}

/** The board as one thread sees it. */
export class Board {
  readonly place: BoardPlace;
  readonly words: Int32Array;
  readonly table: Buffer;
  readonly #text: Uint8Array;
  readonly #bytes: BigInt64Array;

  constructor(place: BoardPlace) {
    this.place = place;
    this.words = new Int32Array(place.words);
    this.#bytes = new BigInt64Array(place.words, BYTES_LOW * 4, 1);
    this.#text = new Uint8Array(place.text);
    this.table = Buffer.from(place.table);
  }

  /** @param connections of all client threads @param threads of each side */
  static create(connections: number, threads: number): Board {
    // A server's thread may get every connection, and those that are just ending.
    const records = connections + threads * connections * 2;
    const words = new SharedArrayBuffer((RECORDS + records * RECORD_WORDS) * 4);
    return new Board({ words, text: new SharedArrayBuffer(TEXT_BYTES), table: randomTable(), connections, threads });
  }

  get(word: number): number {
    return Atomics.load(this.words, word);
  }

  add(word: number, change = 1): void {
    Atomics.add(this.words, word, change);
  }

  get bytes(): number {
    return Number(Atomics.load(this.#bytes, 0));
  }

  addBytes(count: number): void {
    Atomics.add(this.#bytes, 0, BigInt(count));
  }

  /** Word of a stack's life: even while it lives, odd while it is being killed, which may take it a while. */
  incarnation(side: number, stack: number): number {
    return INCARNATIONS + side * STACKS_MAX + stack;
  }

  /** Does a stack live its life `incarnation` no more, or is this being ended? */
  isEnding(side: number, stack: number, incarnation: number): boolean {
    const now = this.get(this.incarnation(side, stack));
    return now !== incarnation || (now & 1) !== 0;
  }

  listener(stack: number): number {
    return LISTENERS + stack;
  }

  common(side: number): number {
    return COMMONS + side;
  }

  epoll(side: number, thread: number): number {
    return EPOLLS + side * THREADS_MAX + thread;
  }

  command(side: number, thread: number): number {
    return COMMANDS + side * THREADS_MAX + thread;
  }

  tick(side: number, thread: number): number {
    return TICKS + side * THREADS_MAX + thread;
  }

  relistening(thread: number): number {
    return RELISTENING + thread;
  }

  /** First word of a client's connection. */
  client(id: number): number {
    return RECORDS + id * RECORD_WORDS;
  }

  /** The number of the connection whose first word that is. */
  idOf(place: number): number {
    return (place - RECORDS) / RECORD_WORDS;
  }

  /** First word of place `index` of a server's thread. */
  served(thread: number, index: number): number {
    const { connections } = this.place;
    return RECORDS + (connections + thread * connections * 2 + index) * RECORD_WORDS;
  }

  /** Says that something is wrong: what must not be, whoever was killed. */
  report(text: string): void {
    const bytes = new TextEncoder().encode(`${text}\n`);
    const at = Atomics.add(this.words, FOUND, bytes.length);
    if (at + bytes.length <= TEXT_BYTES) this.#text.set(bytes, at);
  }

  /** What was reported, a line each. */
  found(): string[] {
    const length = Math.min(this.get(FOUND), TEXT_BYTES);
    if (length === 0) return [];
    const text = Buffer.from(this.#text.slice(0, length)).toString();
    return text.split("\n").filter((line) => line !== "");
  }
}
