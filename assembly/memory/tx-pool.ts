// What packets for transmission are built in: the L1 pool of the stack's queue, and the L2 pool behind it.
// Read first: DESIGN.md section 2 (mbufs); DPDK "Memory Pool Library"; index.ts, which lays the pools out.
//
//            L1 free > low       L1 free <= low, or not above high since             L2 all home, L1 free >= high
//   calm     ------------> L1    pressure: L2 first, then what is left of L1         for `linger`: calm again
//
// Pressure begins when L1 has fallen to its low watermark: the L2 pool is created, at the same place in the arena each
// time; its memory is touched as its mbufs are first taken. It is dissolved when all of its mbufs are home and L1 has
// stood above its high watermark for the linger time. Bulk data never takes the mbufs below the low watermark: these
// are for ACKs, handshakes, ARP and single datagrams.
//
// Both pools have one user, the thread of the stack: the NIC copies a packet on the thread that sends it, and gives the
// mbuf back there. A cache per thread in front of them would be one list in front of another; rx-cache.ts has the
// caches for the pools that threads do share.

import {
  CFG_L2_LINGER,
  CFG_MBUF_HIGH,
  CFG_MBUF_LOW,
  KIND_TIMER_MBUF,
  MIB_MBUF_L2_ALLOCS,
  MIB_MBUF_L2_CREATED,
  MIB_MBUF_L2_DISSOLVED,
  MIB_MBUF_LOW_WATERMARK,
  POOL_MBUF,
  POOL_MBUF_L2,
} from "../layout";
import { count, nowMillis, poolAt, stack } from "../stack";
import { Timer, timerArm } from "../timer";
import { Mbuf, mbufAlloc } from "./mbuf";
import { Pool, poolAvailable, poolEmpty } from "./pool";

/** The state of the two levels; its timer runs while there is pressure. */
@unmanaged
class TxPool extends Timer {
  /** Free mbufs of L1 at which pressure begins, and above which it may end. */
  low: u32;
  high: u32;
  lingerMillis: u32;
  /** When L1 was last found at or below its high watermark. */
  shortMillis: u32;
  /** 1 while there is pressure: the L2 pool exists, where its size is not 0. */
  pressure: u32;
}
export const TX_POOL_BYTES: u32 = 64;
if (offsetof<TxPool>() > usize(TX_POOL_BYTES)) ERROR("TxPool layout");

/** With so many mbufs the largest train, or packet for TSO, finds its own. */
export const MBUFS_AMPLE: i32 = 320;

let l1: Pool = changetype<Pool>(0);
let l2: Pool = changetype<Pool>(0);
let levels: TxPool = changetype<TxPool>(0);

/** Prepares the levels in TX_POOL_BYTES zeroed bytes at stack.txPool; the pools are laid out already. */
export function txPoolInit(cfg: usize): void {
  txPoolAttach();
  levels.fd = -1;
  levels.kind = u8(KIND_TIMER_MBUF);
  levels.low = load<u32>(cfg + CFG_MBUF_LOW * 4);
  levels.high = load<u32>(cfg + CFG_MBUF_HIGH * 4);
  levels.lingerMillis = max<u32>(load<u32>(cfg + CFG_L2_LINGER * 4), 1);
  assert(levels.low <= levels.high && levels.high <= l1.capacity);
  l1.limit = l1.capacity - levels.low;
}

/** Points this instance at the levels. */
export function txPoolAttach(): void {
  l1 = poolAt(POOL_MBUF);
  l2 = poolAt(POOL_MBUF_L2);
  levels = changetype<TxPool>(stack.txPool);
}

/** True while L1 serves, as it nearly always does: txTake() has an mbuf then. */
export function txIsCalm(): bool {
  return l1.inUse < l1.limit;
}

/** Takes an empty mbuf of L1; txIsCalm(). */
export function txTake(): Mbuf | null {
  return mbufAlloc(l1);
}

/** Takes an empty mbuf for transmission, or null when neither level has one: whoever gives up then counts it. */
export function txAlloc(): Mbuf | null {
  return txIsCalm() ? txTake() : allocShort();
}

/** Mbufs that bulk data may have now: all but those below L1's low watermark; at least so many when they abound. */
export function txAvailable(): u32 {
  const spare = i32(l1.limit - l1.inUse);
  return spare >= MBUFS_AMPLE ? u32(spare) : availableShort();
}

function availableShort(): u32 {
  const free = poolAvailable(l1) + poolAvailable(l2);
  return free > levels.low ? free - levels.low : 0;
}

/** True when neither level has an mbuf. */
export function txIsEmpty(): bool {
  return !txIsCalm() && poolAvailable(l1) + poolAvailable(l2) == 0;
}

/** Mbufs of the L1 pool. */
export function txCapacity(): u32 {
  return l1.capacity;
}

/** L1 is short, or was a moment ago: the L2 pool serves first. */
function allocShort(): Mbuf | null {
  levels.shortMillis = nowMillis;
  if (levels.pressure == 0) begin();
  if (l2.inUse < l2.capacity) {
    count(MIB_MBUF_L2_ALLOCS);
    return mbufAlloc(l2);
  }
  return mbufAlloc(l1);
}

function begin(): void {
  levels.pressure = 1;
  count(MIB_MBUF_LOW_WATERMARK);
  if (l2.capacity != 0) count(MIB_MBUF_L2_CREATED);
  // From now on what is taken between the watermarks is seen, and comes from L2.
  l1.limit = l1.capacity - levels.high;
  timerArm(levels, nowMillis + levels.lingerMillis);
}

/** Looks whether pressure is gone. */
export function txPoolTimer(t: Timer): void {
  const quiet = nowMillis - levels.shortMillis;
  if (l2.inUse == 0 && l1.inUse <= l1.limit && quiet >= levels.lingerMillis) {
    end();
    return;
  }
  timerArm(t, nowMillis + (quiet < levels.lingerMillis ? levels.lingerMillis - quiet : levels.lingerMillis));
}

function end(): void {
  levels.pressure = 0;
  l1.limit = l1.capacity - levels.low;
  if (l2.capacity == 0) return;
  poolEmpty(l2);
  count(MIB_MBUF_L2_DISSOLVED);
}
