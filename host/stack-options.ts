// The sizes of a stack: one options object over frozen defaults; what each pool costs in bytes stands beside it.

import * as layout from "../assembly/layout.ts";
import { parseDuration } from "../veth/options.ts";
import { optionError } from "./errors.ts";

/** Pools are fixed when the stack starts. Memory that is never used is never touched. */
export interface StackOptions {
  /** TCP connections and listeners (256 B each, and about 20 B of tables). */
  connections?: number;
  /** UDP sockets and epoll instances (about 130 B each). */
  sockets?: number;
  /**
   * Mbufs of the L1 pool, in which packets for transmission are built (2 KiB each). Default: one for four connections,
   * 1,024 to 4,096.
   */
  mbufs?: number;
  /**
   * Mbufs of the L2 pool, which is created when L1 is short and dissolved when it no longer is (2 KiB each); 0: there
   * is none. Default: as many as in L1.
   */
  l2Mbufs?: number;
  /** Free mbufs of L1 at which it is short; bulk data leaves so many to the rest. Default: an eighth of L1. */
  mbufLowWatermark?: number;
  /** Free mbufs of L1 above which it no longer is. Default: a quarter of L1. */
  mbufHighWatermark?: number;
  /** How long L1 must have been above its high watermark before L2 is dissolved: "1s", or microseconds. */
  l2Linger?: number | string;
  /**
   * Freed mbufs of received packets that a stack in a thread of its own gathers for each RX queue, before it gives them
   * back to the senders: 2 to 512, or 0 for none. All caches of a queue together hold at most a quarter of its mbufs.
   */
  mbufCache?: number;
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
  /** Forward datagrams that are for others, as a router does; not with `offloads: { lro: true }`. */
  forwarding?: boolean;
}

/** Options whose defaults follow from others. */
type Derived = "flights" | "epollItems" | "mbufs" | "l2Mbufs" | "mbufLowWatermark" | "mbufHighWatermark";

/** The defaults: some 16,000 connections, 110 MiB of address space, of which an idle stack touches little. */
export const STACK_DEFAULTS: Readonly<Required<Omit<StackOptions, Derived>>> = Object.freeze({
  connections: 16384,
  sockets: 1024,
  l2Linger: "1s",
  mbufCache: 32,
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
  mbufs: [4, 1_000_000],
  l2Mbufs: [0, 1_000_000],
  mbufCache: [0, 512],
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

/** Bounds of the L1 pool where nothing is said. */
const L1_LEAST = 1024;
const L1_MOST = 4096;

/**
 * The mbufs of a stack. They carry packets from the stack to its NIC, no more: what sockets hold lies in chunks, so a
 * connection needs one only while it sends, and a beat of the stack sends in bursts. What can wait at one time is
 * bounded: 256 packets before each NIC, 512 on the loopback, a quarter of L1 for neighbours; that makes the least. The
 * more connections, the more of them write between two beats: so one mbuf for four of them, until the queues' bounds
 * are what counts.
 */
function mbufDefaults(options: StackOptions, connections: number): Required<Pick<StackOptions, MbufOption>> {
  const mbufs = options.mbufs ?? Math.min(Math.max(Math.ceil(connections / 4), L1_LEAST), L1_MOST);
  const low = options.mbufLowWatermark ?? Math.floor(mbufs / 8);
  return {
    mbufs,
    l2Mbufs: options.l2Mbufs ?? mbufs,
    mbufLowWatermark: low,
    mbufHighWatermark: options.mbufHighWatermark ?? Math.min(Math.max(Math.floor(mbufs / 4), low + 1), mbufs),
  };
}
type MbufOption = "mbufs" | "l2Mbufs" | "mbufLowWatermark" | "mbufHighWatermark";

/** Watermarks must lie one above the other, within the pool. @throws {OribiError} ERR_ORIBI_OPTION */
function checkWatermarks({ mbufs, mbufLowWatermark: low, mbufHighWatermark: high }: Required<StackOptions>): void {
  if (!Number.isInteger(high) || high < 1 || high > mbufs) {
    throw optionError("stack.mbufHighWatermark", high, `an integer from 1 to ${mbufs}, the size of the pool (mbufs)`);
  }
  if (!Number.isInteger(low) || low < 0 || low >= high) {
    throw optionError("stack.mbufLowWatermark", low, `an integer from 0 to ${high - 1}, below mbufHighWatermark`);
  }
}

/** A duration in milliseconds, rounded up. */
function lingerMillis(linger: number | string): number {
  const millis = Math.ceil(parseDuration("stack.l2Linger", linger) / 1000);
  if (millis >= 1 && millis <= LINGER_MILLIS_MAX) return millis;
  throw optionError("stack.l2Linger", linger, 'a duration from "1ms" to "1h"');
}
const LINGER_MILLIS_MAX = 3_600_000;

/** The options as the core takes them: CFG_WORDS words. `secret` is four words. */
export function stackConfig(options: StackOptions, secret: Uint32Array): Uint32Array {
  const all = { ...STACK_DEFAULTS, ...defined(options) };
  const whole: Required<StackOptions> = {
    ...all,
    flights: options.flights ?? all.connections,
    epollItems: options.epollItems ?? all.connections,
    ...mbufDefaults(options, all.connections),
  };
  for (const [name, [low, high]] of Object.entries(LIMITS)) {
    const value = whole[name as keyof typeof whole];
    if (!Number.isInteger(value) || Number(value) < low || Number(value) > high) {
      throw optionError(`stack.${name}`, value, `an integer from ${low} to ${high}`);
    }
  }
  checkWatermarks(whole);
  if (whole.mbufCache === 1) throw optionError("stack.mbufCache", 1, "0 (no caches), or an integer from 2 to 512");
  if ((whole.arpEntries & (whole.arpEntries - 1)) !== 0) {
    throw optionError("stack.arpEntries", whole.arpEntries, "a power of two");
  }
  const words = new Uint32Array(layout.CFG_WORDS);
  words[layout.CFG_CONNECTIONS] = whole.connections;
  words[layout.CFG_SOCKETS] = whole.sockets;
  words[layout.CFG_MBUFS] = whole.mbufs;
  words[layout.CFG_L2_MBUFS] = whole.l2Mbufs;
  words[layout.CFG_MBUF_LOW] = whole.mbufLowWatermark;
  words[layout.CFG_MBUF_HIGH] = whole.mbufHighWatermark;
  words[layout.CFG_L2_LINGER] = lingerMillis(whole.l2Linger);
  words[layout.CFG_MBUF_CACHE] = whole.mbufCache;
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
