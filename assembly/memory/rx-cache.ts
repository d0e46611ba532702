// Caches in front of the pools of RX queues: a stack's thread gathers the mbufs that it frees, and gives them back to
// the senders' shared pool many at a time. Read first: DPDK rte_mempool_default_cache(), "Local Cache" in the Mempool
// Library guide; pool.ts; veth/datapath/burst.ts, whose lanes are the senders' side: they take several mbufs at once.
//
// Every mbuf of such a pool goes from a sender's thread to a receiver's and back. Without a cache each free is an
// atomic exchange on a word that the senders write too. A stack has one cache for each RX queue of its NIC, since
// packets that other stacks of the host hand over come from any. Only stacks that run in a thread of their own have
// them switched on: in one thread, and in front of the pools for transmission (tx-pool.ts), nobody contends.
//
// The owner alone touches the list. Whoever finds the pool short switches the caches off by their limit; each owner
// sweeps what it has back, at its next free or beat, and switches its cache on again when the pool has held twice the
// cache for a while. A thread that goes to sleep, or lets go of its stack, sweeps first: nobody waits for a sleeper.

import { CACHE_SPREAD, RXQ_BYTES } from "../layout";
import { Pool, POOL_FREE_MARK, poolFreeUpTo, poolGive } from "./pool";

/** Lies in the NIC's region: one for each TX queue (a stack's thread) and RX queue, CACHE_SPREAD bytes apart. */
@unmanaged
export class RxCache {
  /** The mbufs, linked and marked as in the pool's own list; the owner's. */
  head: u32;
  tail: u32;
  count: u32;
  /** How many make it give back: its size; OFF; 0 while nobody uses it. */
  limit: u32;
  /** Not 0: the pool was short since the owner last looked. */
  short: u32;
  /** When the owner last heard of that (odd), 0 while the cache is on. */
  offMillis: u32;
}
if (offsetof<RxCache>() > usize(CACHE_SPREAD)) ERROR("RxCache layout");
const LIMIT: usize = offsetof<RxCache>("limit");
const SHORT: usize = offsetof<RxCache>("short");

/** A limit that makes each mbuf go back at once. */
const OFF: u32 = 1;
/** How long a cache stays off after the pool was last found short, ms. */
const OFF_MILLIS: u32 = 50;

/** The caches of this instance's stack: pools [from, from + span), their caches at `row`. A span of 0: none. */
let from: u32 = 0;
let span: u32 = 0;
let row: u32 = 0;
let size: u32 = 0;

/**
 * Puts caches of `mbufs` mbufs (2 or more) in front of the pools of `queues` RX queues, the first of them at `pool`;
 * their structures lie at `caches`. 0 mbufs: gives back what is in those of this instance, and does without.
 */
export function rxCacheUse(pool: u32, queues: u32, caches: u32, mbufs: u32): void {
  rxCacheSweep();
  setLimits(0);
  from = pool;
  span = mbufs == 0 ? 0 : queues * RXQ_BYTES;
  row = caches;
  size = mbufs;
  setLimits(mbufs);
}

/** True when mbufs of this pool are to be given to rxCachePut(). */
export function rxCacheHas(pool: u32): bool {
  return pool - from < span;
}

/** Takes a freed mbuf. Traps on a double free. */
export function rxCachePut(pool: u32, element: usize): void {
  const c = cacheOf(pool - from);
  assert(load<u32>(element, 4) != POOL_FREE_MARK);
  store<u32>(element, POOL_FREE_MARK, 4);
  store<u32>(element, c.head);
  if (c.head == 0) c.tail = u32(element);
  c.head = u32(element);
  const held = c.count + 1;
  c.count = held;
  if (held >= c.limit) give(c, pool);
}

/** Gives everything back. */
export function rxCacheSweep(): void {
  for (let at: u32 = 0; at < span; at += RXQ_BYTES) {
    const c = cacheOf(at);
    if (c.count != 0) give(c, from + at);
  }
}

/** After each beat: follows what others have said of the pools. Returns how many caches were found switched off. */
export function rxCacheBeat(now: u32): u32 {
  let off: u32 = 0;
  for (let at: u32 = 0; at < span; at += RXQ_BYTES) {
    const c = cacheOf(at);
    if (c.limit == OFF) off += u32(followShortage(c, from + at, now | 1));
  }
  return off;
}

/** True when this is news to the owner. */
function followShortage(c: RxCache, pool: u32, now: u32): bool {
  if (c.count != 0) give(c, pool);
  const isNews = c.offMillis == 0;
  if (isNews || atomic.load<u32>(changetype<usize>(c), SHORT) != 0) {
    atomic.store<u32>(changetype<usize>(c), 0, SHORT);
    c.offMillis = now;
  } else if (now - c.offMillis >= OFF_MILLIS) {
    if (poolFreeUpTo(changetype<Pool>(pool), 2 * size) < 2 * size) {
      c.offMillis = now;
    } else {
      c.offMillis = 0;
      atomic.store<u32>(changetype<usize>(c), size, LIMIT);
    }
  }
  return isNews;
}

function setLimits(limit: u32): void {
  for (let at: u32 = 0; at < span; at += RXQ_BYTES) {
    const c = cacheOf(at);
    c.offMillis = 0;
    atomic.store<u32>(changetype<usize>(c), limit, LIMIT);
  }
}

/** The cache of the pool that lies `offset` bytes behind the first. */
function cacheOf(offset: u32): RxCache {
  return changetype<RxCache>(row + (offset / RXQ_BYTES) * CACHE_SPREAD);
}

function give(c: RxCache, pool: u32): void {
  poolGive(changetype<Pool>(pool), c.head, c.tail);
  c.head = 0;
  c.tail = 0;
  c.count = 0;
}

// ---- What other threads do with a cache ---------------------------------------------------------------------------

/** The cache of TX queue `owner` in front of RX queue `queue`, of `queues`; the first cache is at `caches`. */
export function rxCacheAt(caches: u32, queues: u32, owner: u32, queue: u32): RxCache {
  return changetype<RxCache>(caches + (owner * queues + queue) * CACHE_SPREAD);
}

/** Tells the owner of a cache that the pool is short. */
export function rxCacheShort(c: RxCache): void {
  const at = changetype<usize>(c);
  const limit = atomic.load<u32>(at, LIMIT);
  if (limit == 0) return;
  atomic.store<u32>(at, 1, SHORT);
  // Not when the owner has let go of it meanwhile.
  if (limit > OFF) atomic.cmpxchg<u32>(at, limit, OFF, LIMIT);
}

/** Empties the cache of a thread that is gone; its mbufs are for the sweep of the pool. At a safepoint. */
export function rxCacheForget(c: RxCache): void {
  memory.fill(changetype<usize>(c), 0, offsetof<RxCache>());
}
