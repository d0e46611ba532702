// What a thread that died in the middle of things has left in NICs, links and bridges, and how it is put in order.
// Read first: DESIGN.md section 4 "Manager"; host/manager.ts, which calls this; DPDK rte_mempool_walk().
//
// Locks carry the number of their holder: they are recovered while everybody else goes on. All the rest is done at a
// safepoint, when every other thread stands still between two beats of its stack: then no lane is open, no slot is
// claimed, no element is on its way, but what the dead thread has left so.

import { BRIDGE_ENTRIES, BRIDGE_MAC_TABLE, MBUF_BYTES, TXQ_BYTES } from "../../assembly/layout";
import { Mbuf, mbufFree } from "../../assembly/memory/mbuf";
import { Pool, POOL_FREE_MARK, poolFree } from "../../assembly/memory/pool";
import { rxCacheAt, rxCacheForget } from "../../assembly/memory/rx-cache";
import {
  burstRingGaps,
  burstRingPop,
  burstRingRepair,
  burstRingSize,
  burstRingValue,
  mpscPeek,
  mpscPop,
  mpscRecover,
} from "../../assembly/memory/ring";
import { Burst, burstForget } from "./burst";
import { macUnclaim } from "./mac-table";
import { portAt, rxPool, rxQueueAt, TXQ_BURST } from "./port";

/** Values of a ring that are looked at in one go. */
const DRAIN: u32 = 16;

/** Closes what the dead thread of a TX queue has left open in it; its mbufs are for poolSweep(). */
export function txQueueForget(port: u32, queue: u32): void {
  const p = portAt(port);
  assert(queue < p.txCount);
  burstForget(changetype<Burst>(p.txQueues + queue * TXQ_BYTES + TXQ_BURST));
}

/** Empties the caches of the dead thread of a TX queue; what is in them is for poolSweep(). */
export function rxCachesForget(port: u32, queue: u32): void {
  const p = portAt(port);
  assert(queue < p.txCount);
  for (let i: u32 = 0; i < p.queues; i++) rxCacheForget(rxCacheAt(p.caches, p.queues, queue, i));
}

/** Closes the gaps that dead senders, or a dead receiver, have left in an RX queue's ring. Returns how many. */
export function rxQueueRepair(port: u32, queue: u32): u32 {
  return burstRingRepair(rxQueueAt(portAt(port), queue).ring);
}

/** Slots of an RX queue's ring that are reserved and empty: gaps, at a safepoint. An audit. */
export function rxQueueGaps(port: u32, queue: u32): u32 {
  return burstRingGaps(rxQueueAt(portAt(port), queue).ring);
}

/** Gives back the packets in an RX queue that nobody serves any more; `scratch` has room for 16 words. */
export function rxQueueDrain(port: u32, queue: u32, scratch: usize): u32 {
  const ring = rxQueueAt(portAt(port), queue).ring;
  let drained: u32 = 0;
  while (true) {
    const n = burstRingPop(ring, scratch, DRAIN);
    for (let i: u32 = 0; i < n; i++) mbufFree(changetype<Mbuf>(load<u32>(scratch + i * 4)));
    drained += n;
    if (n == 0) return drained;
  }
}

/** Gives back the packets in a software queue that nobody serves any more. */
export function softDrain(ring: usize): u32 {
  mpscRecover(ring);
  let drained: u32 = 0;
  for (let m = mpscPop(ring); m != 0; m = mpscPop(ring)) {
    mbufFree(changetype<Mbuf>(m));
    drained++;
  }
  return drained;
}

/** Opens or closes an RX queue: what comes to a closed one is dropped at once, and stops no sender. */
export function rxQueueOpen(port: u32, queue: u32, open: bool): void {
  const p = portAt(port);
  rxQueueAt(p, queue).size = open ? p.ringSize : 0;
}

/** 1 when an RX queue takes packets, else 0. */
export function rxQueueIsOpen(port: u32, queue: u32): u32 {
  return u32(rxQueueAt(portAt(port), queue).size != 0);
}

/** Has packets of an RX queue carry `id` while their stack keeps them from beat to beat; 0: it never does. */
export function rxQueueHolder(port: u32, queue: u32, id: u32): void {
  rxQueueAt(portAt(port), queue).holder = id;
}

/**
 * Walks the pool of an RX queue: what is neither free, nor in a cache or a ring, nor held by its stack is lost. Rings:
 * the queue's own and the `softs` software queues of the host from `soft` on, `stride` bytes apart. `bits` are zeroed
 * words, a bit for each mbuf. Returns how many are lost; with `frees` they are given back. At a safepoint only.
 */
export function poolSweep(port: u32, queue: u32, soft: u32, softs: u32, stride: u32, bits: usize, frees: bool): u32 {
  const p = portAt(port);
  const q = rxQueueAt(p, queue);
  const pool = rxPool(q);
  memory.fill(bits, 0, (pool.capacity + 31) >>> 3);
  markFree(pool, bits, u32(atomic.load<u64>(changetype<usize>(pool))));
  for (let i: u32 = 0; i < p.txCount; i++) markFree(pool, bits, rxCacheAt(p.caches, p.queues, i, queue).head);
  for (let i: u32 = 0; i < burstRingSize(q.ring); i++) markPacket(pool, bits, burstRingValue(q.ring, i));
  for (let s: u32 = 0; s < softs; s++) {
    const ring = usize(soft + s * stride);
    for (let i: u32 = 0, m = mpscPeek(ring, 0); m != 0; m = mpscPeek(ring, ++i)) markPacket(pool, bits, m);
  }
  if (q.holder != 0) markHeld(pool, bits, q.holder);
  return sweep(pool, bits, frees);
}

/** A list of free mbufs, the pool's or a cache's. */
function markFree(pool: Pool, bits: usize, first: u32): void {
  let e = first;
  while (e != 0) {
    const index = (e - pool.base) / MBUF_BYTES;
    assert(index < pool.capacity && !isMarked(bits, index));
    mark(bits, index);
    e = load<u32>(e);
  }
}

/** A packet with all its segments, where they are of this pool. */
function markPacket(pool: Pool, bits: usize, packet: u32): void {
  for (let m = packet; m != 0; m = changetype<Mbuf>(m).next) {
    const index = (m - pool.base) / MBUF_BYTES;
    if (index >= pool.capacity || isMarked(bits, index)) return;
    mark(bits, index);
  }
}

function markHeld(pool: Pool, bits: usize, id: u32): void {
  for (let i: u32 = 0, n = carvedOf(pool); i < n; i++) {
    const m = pool.base + i * MBUF_BYTES;
    if (changetype<Mbuf>(m).mark == id) markPacket(pool, bits, m);
  }
}

function sweep(pool: Pool, bits: usize, frees: bool): u32 {
  let lost: u32 = 0;
  for (let i: u32 = 0, n = carvedOf(pool); i < n; i++) {
    if (isMarked(bits, i)) continue;
    lost++;
    if (!frees) continue;
    const m = pool.base + i * MBUF_BYTES;
    // It may have been on its way out of the pool, or back: then it stands as free already.
    if (changetype<Mbuf>(m).mark == POOL_FREE_MARK) changetype<Mbuf>(m).mark = 0;
    poolFree(pool, m);
  }
  return lost;
}

function carvedOf(pool: Pool): u32 {
  // A thread that died in sharedAlloc() may have left it above the capacity.
  if (pool.carved > pool.capacity) pool.carved = pool.capacity;
  return pool.carved;
}

function isMarked(bits: usize, index: u32): bool {
  return (load<u8>(bits + (index >>> 3)) & (1 << (index & 7))) != 0;
}

function mark(bits: usize, index: u32): void {
  const at = bits + (index >>> 3);
  store<u8>(at, load<u8>(at) | u8(1 << u8(index & 7)));
}

/** Frees entries of a bridge's table that a dead thread has claimed and not written. Returns how many. */
export function bridgeRepair(base: u32): u32 {
  return macUnclaim(load<u32>(base, BRIDGE_MAC_TABLE), load<u32>(base, BRIDGE_ENTRIES));
}
