// The sizes of a stack: one options object over frozen defaults; what each pool costs in bytes stands beside it.

import * as layout from "../assembly/layout.ts";
import { optionError } from "./errors.ts";

/** Pools are fixed when the stack starts. Memory that is never used is never touched. */
export interface StackOptions {
  /** TCP connections and listeners (256 B each, and about 20 B of tables). */
  connections?: number;
  /** UDP sockets and epoll instances (about 130 B each). */
  sockets?: number;
  /** Packets that wait for transmission (2 KiB each). */
  mbufs?: number;
  /** Small chunks of socket queues (2 KiB each). */
  chunks?: number;
  /** Large chunks of bulk queues (64 KiB each). */
  largeChunks?: number;
  /** Connections with more than one segment under way (304 B each). Default: as many as connections. */
  flights?: number;
  /** Segments in flight (40 B each). */
  segments?: number;
  /** Out-of-order ranges (40 B each). */
  islands?: number;
  /** Watches of epoll instances (48 B each). Default: as many as connections. */
  epollItems?: number;
  /** TIME-WAIT records (104 B each); more connections than that end without one. */
  timeWaits?: number;
  /** Datagrams under reassembly. */
  reassemblies?: number;
  /** Neighbours; a power of two. */
  arpEntries?: number;
  /** Forward datagrams that are for others, as a router does. */
  forwarding?: boolean;
}

/** The defaults: some 16,000 connections, 100 MiB of address space, of which an idle stack touches little. */
export const STACK_DEFAULTS: Readonly<Required<Omit<StackOptions, "flights" | "epollItems">>> = Object.freeze({
  connections: 16384,
  sockets: 1024,
  mbufs: 4096,
  chunks: 16384,
  largeChunks: 256,
  segments: 65536,
  islands: 8192,
  timeWaits: 16384,
  reassemblies: 64,
  arpEntries: 1024,
  forwarding: false,
});

const LIMITS: Readonly<Record<string, readonly [number, number]>> = Object.freeze({
  connections: [1, 4_000_000],
  sockets: [1, 1_000_000],
  mbufs: [16, 1_000_000],
  chunks: [16, 1_500_000],
  largeChunks: [0, 60_000],
  flights: [1, 4_000_000],
  segments: [16, 16_000_000],
  islands: [0, 4_000_000],
  epollItems: [0, 4_000_000],
  timeWaits: [0, 4_000_000],
  reassemblies: [1, 4096],
  arpEntries: [4, 65536],
});

/** The options as the core takes them: CFG_WORDS words. `secret` is four words. */
export function stackConfig(options: StackOptions, secret: Uint32Array): Uint32Array {
  const all = { ...STACK_DEFAULTS, ...defined(options) };
  const whole = {
    ...all,
    flights: options.flights ?? all.connections,
    epollItems: options.epollItems ?? all.connections,
  };
  for (const [name, [low, high]] of Object.entries(LIMITS)) {
    const value = whole[name as keyof typeof whole];
    if (!Number.isInteger(value) || Number(value) < low || Number(value) > high) {
      throw optionError(`stack.${name}`, value, `an integer from ${low} to ${high}`);
    }
  }
  if ((whole.arpEntries & (whole.arpEntries - 1)) !== 0) {
    throw optionError("stack.arpEntries", whole.arpEntries, "a power of two");
  }
  const words = new Uint32Array(layout.CFG_WORDS);
  words[layout.CFG_CONNECTIONS] = whole.connections;
  words[layout.CFG_SOCKETS] = whole.sockets;
  words[layout.CFG_MBUFS] = whole.mbufs;
  words[layout.CFG_CHUNKS] = whole.chunks;
  words[layout.CFG_LARGE_CHUNKS] = whole.largeChunks;
  words[layout.CFG_FLIGHTS] = whole.flights;
  words[layout.CFG_TXSEGS] = whole.segments;
  words[layout.CFG_ISLANDS] = whole.islands;
  words[layout.CFG_EPITEMS] = whole.epollItems;
  words[layout.CFG_TIME_WAITS] = whole.timeWaits;
  words[layout.CFG_REASSEMBLIES] = whole.reassemblies;
  words[layout.CFG_ARP_ENTRIES] = whole.arpEntries;
  words[layout.CFG_FLAGS] = whole.forwarding ? layout.STACK_FORWARDING : 0;
  words.set(secret.subarray(0, 4), layout.CFG_SECRET);
  return words;
}

function defined(options: StackOptions): StackOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
