// What the calls of one stack share: the core's functions, views of its exchange area, and how to wait.

import {
  AF_INET,
  EAGAIN,
  EDEADLK,
  EXCHANGE_ADDRESS,
  EXCHANGE_ARGS,
  EXCHANGE_DATA,
  EXCHANGE_DATA_BYTES,
  EXCHANGE_DESTINATION,
  EXCHANGE_EVENTS,
  EXCHANGE_EVENTS_MAX,
  EXCHANGE_NETIF,
  EXCHANGE_TOS,
  EXCHANGE_TTL,
} from "../../assembly/layout.ts";
import type { SocketExports } from "../stack-exports.ts";
import { formatAddress, type SocketAddressResult } from "./address.ts";
import type { Waiter } from "./waiter.ts";

/** A memory as the POSIX layer needs it: a shared WebAssembly.Memory. */
export interface PosixMemory {
  readonly buffer: SharedArrayBuffer;
}

/** Words at EXCHANGE_ADDRESS beside address (0) and port (1). */
export const ADDRESS_FLAGS = 2;
export const ADDRESS_DESTINATION = (EXCHANGE_DESTINATION - EXCHANGE_ADDRESS) / 4;
export const ADDRESS_NETIF = (EXCHANGE_NETIF - EXCHANGE_ADDRESS) / 4;
export const ADDRESS_TTL = (EXCHANGE_TTL - EXCHANGE_ADDRESS) / 4;
export const ADDRESS_TOS = (EXCHANGE_TOS - EXCHANGE_ADDRESS) / 4;

/** Bytes at EXCHANGE_ARGS for option values and results. */
export const ARGS_BYTES = EXCHANGE_EVENTS - EXCHANGE_ARGS;

/** What the context itself needs of a core. */
export type ContextCore = Pick<SocketExports, "setClock" | "waitLimit">;

/**
 * The shared parts. Views cover the memory as it was when they were made; that is enough for good: a stack's arena
 * lies in it, shared memory only grows, and views of a shared buffer stay valid when it does.
 */
export class PosixContext<Core extends ContextCore = SocketExports> {
  readonly core: Core;
  readonly waiter: Waiter;
  readonly memory: PosixMemory;
  /** All of the memory. */
  readonly bytes: Uint8Array;
  /** Addresses in the memory of parts of the exchange area. */
  readonly argsAt: number;
  readonly eventsAt: number;
  readonly dataAt: number;
  /** What the last call left at EXCHANGE_ADDRESS: address, port, flags, length; for a datagram what ADDRESS_* name. */
  readonly address: Uint32Array;
  readonly args: DataView;
  /** The first word at EXCHANGE_ARGS: where calls leave a pointer. */
  readonly pointer: Uint32Array;
  readonly events: Int32Array;
  readonly data: Uint8Array;
  /** Some socket has had SO_RCVLOWAT set: calls that block must ask. */
  hasLowWater = false;
  readonly #heads: (Uint8Array | undefined)[] = [];
  #turn = -1;
  #current: ArrayBufferLike;
  readonly #earlier = new WeakSet<ArrayBufferLike>();

  /** @param exchange address of the stack's exchange area */
  constructor(core: Core, exchange: number, memory: PosixMemory, waiter: Waiter) {
    const buffer = memory.buffer;
    this.core = core;
    this.waiter = waiter;
    this.memory = memory;
    this.argsAt = exchange + EXCHANGE_ARGS;
    this.eventsAt = exchange + EXCHANGE_EVENTS;
    this.dataAt = exchange + EXCHANGE_DATA;
    this.bytes = new Uint8Array(buffer);
    this.address = new Uint32Array(buffer, exchange + EXCHANGE_ADDRESS, 8);
    this.args = new DataView(buffer, this.argsAt, ARGS_BYTES);
    this.pointer = new Uint32Array(buffer, this.argsAt, 1);
    this.events = new Int32Array(buffer, this.eventsAt, EXCHANGE_EVENTS_MAX * 4);
    this.data = new Uint8Array(buffer, this.dataAt, EXCHANGE_DATA_BYTES);
    this.#current = buffer;
  }

  /** View of the first `length` bytes of the data part; views of short lengths are made once. */
  head(length: number): Uint8Array {
    if (length > HEADS_MAX) return this.data.subarray(0, length);
    return (this.#heads[length] ??= this.data.subarray(0, length));
  }

  /** Before calls that may send: the stack may have slept since it was last told the time. */
  touch(): void {
    const { turns } = this.waiter;
    if (turns.turn === this.#turn) return;
    this.#turn = turns.turn;
    this.core.setClock(turns.time());
  }

  /** Where a buffer lies in the stack's memory, or -1 when it lies elsewhere. Costs some 40 ns. */
  addressIn(buffer: Uint8Array): number {
    const owner = buffer.buffer;
    if (owner === this.#current) return buffer.byteOffset;
    const now = this.memory.buffer;
    if (now !== this.#current) {
      // The memory has grown: the same bytes under another object.
      this.#earlier.add(this.#current);
      this.#current = now;
    }
    return owner === now || this.#earlier.has(owner) ? buffer.byteOffset : -1;
  }

  /** Time when a call that blocks now must give up; `now` or earlier when it must not block. */
  deadline(fd: number, sending: number): number {
    const limit = this.core.waitLimit(fd, sending);
    return limit === 0 ? -Infinity : this.waiter.now() + limit;
  }

  /** Waits for something to happen: 0, -EAGAIN when the deadline has passed, -EDEADLK when nothing can happen. */
  wait(deadline: number): number {
    if (deadline === -Infinity || this.waiter.now() >= deadline) return -EAGAIN;
    return this.waiter.wait(deadline) ? 0 : -EDEADLK;
  }

  /** Copies the address that a call has left to `target`. */
  giveAddress(target: SocketAddressResult): void {
    target.family = AF_INET;
    target.address = formatAddress(this.address[0] as number);
    target.port = this.address[1] as number;
  }
}

/** Longest view that head() keeps, bytes. */
const HEADS_MAX = 4096;
