// The share of a host in the separate model, made by the main thread: laid out beside the stacks' arenas.
// Read first: assembly/share/part.ts; the layouts SHARE_ and PART_ in assembly/layout.ts.

import * as layout from "../assembly/layout.ts";
import type { SharedMemory, StackExports } from "./core.ts";
import { optionError } from "./errors.ts";
import { STACK_DEFAULTS, type StackOptions } from "./stack-options.ts";

/** Sizes of what business threads and stacks share. */
export interface ShareOptions {
  /** Threads that may use the host at one time (128 KiB each). */
  threads?: number;
  /** Epoll instances that may be open at one time, at most 64 (33 B for each descriptor). */
  epolls?: number;
  /** Send buffers of 4 KiB of each stack: sockets that have something to send at one time. */
  sendBuffers?: number;
  /** Send buffers of 128 KiB of each stack: for bulk and large datagrams. */
  largeSendBuffers?: number;
  /** Calls that a stack answers in one beat at most. */
  callsPerBeat?: number;
  /** How long a call waits for a stack that does not answer, milliseconds; then it returns -ETIMEDOUT. */
  callTimeout?: number;
}

/** The defaults. */
export const SHARE_DEFAULTS: Readonly<Required<ShareOptions>> = Object.freeze({
  threads: 64,
  epolls: 16,
  sendBuffers: 2048,
  largeSendBuffers: 64,
  callsPerBeat: 4,
  callTimeout: 5000,
});

const LIMITS: Readonly<Record<keyof ShareOptions, readonly [number, number]>> = Object.freeze({
  threads: [1, 4096],
  epolls: [1, layout.SHARE_EPOLLS_MAX],
  sendBuffers: [1, 100_000],
  largeSendBuffers: [0, 10_000],
  callsPerBeat: [1, 1024],
  callTimeout: [1, 3_600_000],
});

/** Where a share lies. */
export interface SharePlace {
  share: number;
  parts: number[];
}

/** The options over the defaults. @throws {OribiError} ERR_ORIBI_OPTION */
export function shareOptions(options: ShareOptions): Required<ShareOptions> {
  const all: Required<ShareOptions> = { ...SHARE_DEFAULTS };
  for (const name of Object.keys(LIMITS) as (keyof ShareOptions)[]) {
    const [low, high] = LIMITS[name];
    const value = options[name] ?? SHARE_DEFAULTS[name];
    if (!Number.isInteger(value) || value < low || value > high) {
      throw optionError(`share.${name}`, value, `an integer from ${low} to ${high}`);
    }
    all[name] = value;
  }
  return all;
}

/**
 * Makes the share of a host.
 * @param core any instance, to lay it out
 * @param blocks addresses of the blocks of the stacks' threads
 * @param mainBell address of the main thread's doorbell
 */
export function createShare(
  memory: SharedMemory,
  core: StackExports,
  allocate: (bytes: number) => number,
  blocks: readonly number[],
  mainBell: number,
  stack: StackOptions,
  options: Required<ShareOptions>,
): SharePlace {
  const sizes = { ...STACK_DEFAULTS, ...stack };
  const capacity = sizes.connections + sizes.sockets + FIRST_DESCRIPTOR;
  const share = allocate(layout.SHARE_HEADER);
  const seats = allocate(options.threads * layout.SEAT_BYTES);
  const distance = core.readyBytes(blocks.length * capacity + options.epolls) >>> 0;
  const epolls = allocate(options.epolls * distance);
  const words = new Uint32Array(memory.buffer, share, layout.SHARE_HEADER / 4);
  words[layout.SHARE_STACKS / 4] = blocks.length;
  words[layout.SHARE_CAPACITY / 4] = capacity;
  words[layout.SHARE_SEATS / 4] = seats;
  words[layout.SHARE_SEAT_COUNT / 4] = options.threads;
  words[layout.SHARE_EPOLLS / 4] = epolls;
  words[layout.SHARE_EPOLL_COUNT / 4] = options.epolls;
  words[layout.SHARE_EPOLL_BYTES / 4] = distance;
  words[layout.SHARE_MAIN_BELL / 4] = mainBell;
  for (let i = 0; i < options.epolls; i++) core.readyInit(share, i);
  const bytes = core.partBytes(capacity, options.threads, options.sendBuffers, options.largeSendBuffers) >>> 0;
  if (bytes === 0) throw optionError("share.largeSendBuffers", options.largeSendBuffers, "a number that fits 4 GiB");
  const parts = blocks.map((block, index) => {
    const part = allocate(bytes);
    const head = new Uint32Array(memory.buffer, part, layout.PART_HEADER / 4);
    head[layout.PART_SHARE / 4] = share;
    head[layout.PART_INDEX / 4] = index;
    head[layout.PART_BELL / 4] = block;
    head[layout.PART_CAPACITY / 4] = capacity;
    head[layout.PART_SMALL_BUFFERS / 4] = options.sendBuffers;
    head[layout.PART_LARGE_BUFFERS / 4] = options.largeSendBuffers;
    head[layout.PART_CALLS_MAX / 4] = options.callsPerBeat;
    core.partInit(part);
    words[layout.SHARE_PARTS / 4 + index] = part;
    return part;
  });
  return { share, parts };
}

/** Descriptors 0, 1 and 2 belong to the standard streams (assembly/socket/descriptor.ts). */
const FIRST_DESCRIPTOR = 3;

const COUNTERS = {
  calls: layout.PART_COUNT_CALLS,
  cancelled: layout.PART_COUNT_CANCELLED,
  signals: layout.PART_COUNT_SIGNALS,
  wakeups: layout.PART_COUNT_WAKEUPS,
  violations: layout.PART_COUNT_VIOLATIONS,
  beats: layout.PART_COUNT_BEATS,
} as const;

/** Figures of a share: see Host.sharing(). */
export type ShareCounters = Record<keyof typeof COUNTERS, number>;

/** Adds up the counters of the parts. */
export function readShareCounters(buffer: ArrayBufferLike, parts: readonly number[]): ShareCounters {
  const sum = (index: number): number =>
    parts.reduce(
      (total, part) => total + Number(new BigUint64Array(buffer, part + layout.PART_COUNTERS + index * 8, 1)[0]),
      0,
    );
  return Object.fromEntries(Object.entries(COUNTERS).map(([name, index]) => [name, sum(index)])) as ShareCounters;
}
