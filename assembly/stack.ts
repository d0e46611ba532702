// One stack: the head of its arena, and what each instance caches of it (pointers and the time of this poll).
// Everything that must survive lies in the arena; attach() rebuilds the cached pointers from it.

import { CFG_WORDS, MIB_COUNT, POOL_COUNT, STACK_FLOW_TABLE, STACK_NOW, SYSCTL_COUNT } from "./layout";
import { POOL_BYTES, Pool } from "./memory/pool";

export const STACK_MAGIC: u32 = 0x4f524942; // "ORIB"

@unmanaged
export class Stack {
  magic: u32;
  bytes: u32;
  /** Time of the latest poll, microseconds. */
  now: f64;
  secret0: u32;
  secret1: u32;
  secret2: u32;
  secret3: u32;
  flags: u32;
  /** Structures of the parts; each is set up by the part that owns it. */
  flowTable: u32;
  bindTable: u32;
  descriptors: u32;
  wheel: u32;
  netifs: u32;
  netifCount: u32;
  routes: u32;
  routeCount: u32;
  /** Goes up whenever an address or a route changes, so that cached routes are looked up anew. */
  routeGeneration: u32;
  arp: u32;
  reassembly: u32;
  igmp: u32;
  exchange: u32;
  /** Loopback packets that wait for the next poll: first and last. */
  loopHead: u32;
  loopTail: u32;
  ipId: u32;
  portHint: u32;
  /** Challenge ACKs (RFC 5961 section 7): second of the count, count. */
  challengeSecond: u32;
  challengeCount: u32;
  /** ICMP error bucket: millisecond of the last refill, tokens. */
  icmpMillis: u32;
  icmpTokens: u32;
  /** Established connections now (RFC 4022 tcpCurrEstab). */
  currEstab: u32;
  orphans: u32;
  timeWaits: u32;
  random: u32;
  /** Identification counters and path MTUs. */
  ipv4: u32;
  /** A TCB that belongs to no connection: SYN cookies are written with it. */
  scratchTcb: u32;
  /** Connections that owe an ACK at the end of this burst: count, then addresses. */
  ackList: u32;
  /** Headers that a train of segments has in common (tcp/train-output.ts). */
  train: u32;
  /** Connections that wait for room in the NIC's queue (tcp/tx-wait.ts). */
  txWait: u32;
  /** What the stacks of this host share (steer/group.ts), 0 when there is one; this one's index; see steer/rules.ts. */
  group: u32;
  groupIndex: u32;
  steerFlags: u32;
  /** Cookies of Fast Open servers (tcp/fastopen-cache.ts). */
  fastopen: u32;
  /** Who has lately got an ACK for a segment that was not acceptable (tcp/challenge.ts). */
  challenges: u32;
  /** Serial number of the next listener. */
  listenerSerial: u32;
  /** Milliseconds that ticks have left out where the clock jumped too far. */
  skippedMillis: i64;
  /** This stack's part of what it shares with business threads (share/part.ts), or 0. */
  part: u32;
  /** The two levels of mbufs for transmission (memory/tx-pool.ts). */
  txPool: u32;
  /** Connections that wait for memory (tcp/memory-wait.ts). */
  memoryWait: u32;
  /** 1 while UDP sockets wait for memory (net/udp-wait.ts). */
  udpWaits: u32;
}

/** Offsets in the arena, counted from its base. */
const POOLS_AT: u32 = 256;
const SYSCTLS_AT: u32 = POOLS_AT + POOL_COUNT * POOL_BYTES + 240;
const COUNTERS_AT: u32 = (SYSCTLS_AT + SYSCTL_COUNT * 4 + 63) & ~63;
/** First byte behind the fixed head of an arena. */
export const STACK_HEAD_BYTES: u32 = (COUNTERS_AT + MIB_COUNT * 8 + 255) & ~255;
if (offsetof<Stack>() > POOLS_AT || offsetof<Stack>("now") != STACK_NOW) ERROR("Stack layout");
if (offsetof<Stack>("flowTable") != STACK_FLOW_TABLE) ERROR("Stack layout");
if (CFG_WORDS * 4 > 240) ERROR("Stack configuration");

/** This instance's stack. */
export let stack: Stack = changetype<Stack>(0);
let counters: usize = 0;
let sysctls: usize = 0;

/**
 * Time of this poll: milliseconds (also the wheel's tick) and microseconds, both modulo 2^32. Between two polls the
 * former advance by at most 24 days, so that earlier and later can be told.
 */
export let nowMillis: u32 = 0;
export let nowMicros: u32 = 0;
/** The same in units of 64 ms: 8.7 years fit, for what may be months apart. */
export let nowCoarse: u32 = 0;
/** Microseconds at which the present millisecond began. */
let millisFrom: i64 = i64.MIN_VALUE >> 1;

/** Points this instance at the arena that starts at `base`. */
export function stackAttach(base: usize): void {
  stack = changetype<Stack>(base);
  counters = base + COUNTERS_AT;
  sysctls = base + SYSCTLS_AT;
  millisFrom = i64.MIN_VALUE >> 1;
  setNow(stack.now);
}

/** Moves the stack's clock, microseconds; a clock that jumps back stands still (it never runs backwards inside). */
export function setNow(now: f64): void {
  if (now < stack.now) now = stack.now;
  stack.now = now;
  const micros = i64(now);
  nowMicros = u32(micros);
  if (u64(micros - millisFrom) >= 1000) {
    const millis = micros / 1000;
    nowMillis = u32(millis - stack.skippedMillis);
    nowCoarse = u32(millis >>> 6);
    millisFrom = millis * 1000;
  }
}

/** Leaves out `millis` milliseconds: called before the clock jumps. */
export function skipTicks(millis: i64): void {
  stack.skippedMillis += millis;
}

/** Pool number `index` (POOL_*). */
export function poolAt(index: i32): Pool {
  return changetype<Pool>(changetype<usize>(stack) + POOLS_AT + index * POOL_BYTES);
}

/** Adds one to a counter (MIB_*). */
export function count(index: i32): void {
  const at = counters + (index << 3);
  store<u64>(at, load<u64>(at) + 1);
}

/** Adds `n` to a counter. */
export function countBy(index: i32, n: u32): void {
  const at = counters + (index << 3);
  store<u64>(at, load<u64>(at) + n);
}

/** Address of the counters: MIB_COUNT words of 64 bits. */
export function countersAt(): usize {
  return counters;
}

/** Value of a tunable (SYSCTL_*). */
export function sysctl(index: i32): u32 {
  return load<u32>(sysctls + (index << 2));
}

/** Sets a tunable; the host checks ranges. */
export function setSysctl(index: i32, value: u32): void {
  store<u32>(sysctls + (index << 2), value);
}
