// Bounded rings of 32-bit values in shared memory: SPSC (Lamport) and MPSC (Vyukov's per-slot sequence).
// Read first: D. Vyukov, "Bounded MPMC queue" (1024cores); DPDK "Ring Library".

import { CACHE_SPREAD } from "../layout";

/** Offsets in a ring: the producers' and the consumer's words lie CACHE_SPREAD bytes apart. */
const RING_HEAD: usize = 0; // next position to produce
const RING_MASK: usize = 4;
const RING_DROPS: usize = 8; // values that found the ring full
const RING_TAIL: usize = CACHE_SPREAD; // next position to consume
const RING_SLOTS: usize = 2 * CACHE_SPREAD;

/** Bytes of an MPSC ring of `size` slots. `size` is a power of two. */
export function mpscBytes(size: u32): u32 {
  return u32(RING_SLOTS) + size * 8;
}

/** Prepares an empty MPSC ring of `size` slots {sequence u32, value u32}, a power of two from 2 to 2^24. */
export function mpscInit(ring: usize, size: u32): void {
  assert(size >= 2 && (size & (size - 1)) == 0);
  store<u32>(ring, 0, RING_HEAD);
  store<u32>(ring, size - 1, RING_MASK);
  store<u32>(ring, 0, RING_DROPS);
  store<u32>(ring, 0, RING_TAIL);
  for (let i: u32 = 0; i < size; i++) {
    store<u32>(ring + RING_SLOTS + i * 8, i);
    store<u32>(ring + RING_SLOTS + i * 8, 0, 4);
  }
}

/**
 * Adds a value (not 0) from any thread; false (counted) when the ring is full. Claiming the slot and publishing the
 * value are one exchange, and whoever finds the head behind moves it on: a producer that dies at any point leaves
 * either its value or nothing, and nobody waits for it.
 */
export function mpscPush(ring: usize, value: u32): bool {
  const mask = load<u32>(ring, RING_MASK);
  let position = atomic.load<u32>(ring, RING_HEAD);
  while (true) {
    const slot = ring + RING_SLOTS + usize(position & mask) * 8;
    const seen = atomic.load<u64>(slot);
    const lag = i32(u32(seen) - position);
    if (lag < 0) {
      atomic.add<u32>(ring, 1, RING_DROPS);
      return false;
    }
    const isMine = lag == 0 && atomic.cmpxchg<u64>(slot, seen, u64(position + 1) | (u64(value) << 32)) == seen;
    const head = atomic.cmpxchg<u32>(ring, position, position + 1, RING_HEAD);
    if (isMine) return true;
    position = head == position ? position + 1 : head;
  }
}

/** Takes the oldest value on the consumer's thread, or 0 when there is none. */
export function mpscPop(ring: usize): u32 {
  const position = load<u32>(ring, RING_TAIL);
  const mask = load<u32>(ring, RING_MASK);
  const slot = ring + RING_SLOTS + usize(position & mask) * 8;
  const seen = atomic.load<u64>(slot);
  if (u32(seen) != position + 1) return 0;
  atomic.store<u64>(slot, u64(position + mask + 1));
  store<u32>(ring, position + 1, RING_TAIL);
  return u32(seen >> 32);
}

/** True when mpscPop would find nothing now. */
export function mpscIsEmpty(ring: usize): bool {
  const position = load<u32>(ring, RING_TAIL);
  const slot = ring + RING_SLOTS + usize(position & load<u32>(ring, RING_MASK)) * 8;
  return u32(atomic.load<u64>(slot)) != position + 1;
}

/** Makes the ring usable for another consumer after one that may have died in the middle of mpscPop(). */
export function mpscRecover(ring: usize): void {
  const position = load<u32>(ring, RING_TAIL);
  const mask = load<u32>(ring, RING_MASK);
  const slot = ring + RING_SLOTS + usize(position & mask) * 8;
  if (u32(atomic.load<u64>(slot)) == position + mask + 1) store<u32>(ring, position + 1, RING_TAIL);
}

/** The value `index` places behind the oldest one, for audits; 0 behind the last. */
export function mpscPeek(ring: usize, index: u32): u32 {
  const mask = load<u32>(ring, RING_MASK);
  const position = load<u32>(ring, RING_TAIL) + index;
  if (index > mask) return 0;
  const seen = atomic.load<u64>(ring + RING_SLOTS + usize(position & mask) * 8);
  return u32(seen) == position + 1 ? u32(seen >> 32) : 0;
}

/** Values that were refused because the ring was full. */
export function mpscDrops(ring: usize): u32 {
  return atomic.load<u32>(ring, RING_DROPS);
}

/** Bytes of an SPSC ring of `size` slots. */
export function spscBytes(size: u32): u32 {
  return u32(RING_SLOTS) + size * 4;
}

/** Prepares an empty SPSC ring of `size` slots, a power of two. */
export function spscInit(ring: usize, size: u32): void {
  assert(size >= 2 && (size & (size - 1)) == 0);
  store<u32>(ring, 0, RING_HEAD);
  store<u32>(ring, size - 1, RING_MASK);
  store<u32>(ring, 0, RING_DROPS);
  store<u32>(ring, 0, RING_TAIL);
}

/** Adds a value on the producer's thread; false (counted) when the ring is full. */
export function spscPush(ring: usize, value: u32): bool {
  const head = load<u32>(ring, RING_HEAD);
  const mask = load<u32>(ring, RING_MASK);
  if (head - atomic.load<u32>(ring, RING_TAIL) > mask) {
    store<u32>(ring, load<u32>(ring, RING_DROPS) + 1, RING_DROPS);
    return false;
  }
  store<u32>(ring + RING_SLOTS + usize(head & mask) * 4, value);
  atomic.store<u32>(ring, head + 1, RING_HEAD);
  return true;
}

/** Takes the oldest value on the consumer's thread, or 0 when there is none. */
export function spscPop(ring: usize): u32 {
  const tail = load<u32>(ring, RING_TAIL);
  if (atomic.load<u32>(ring, RING_HEAD) == tail) return 0;
  const value = load<u32>(ring + RING_SLOTS + usize(tail & load<u32>(ring, RING_MASK)) * 4);
  atomic.store<u32>(ring, tail + 1, RING_TAIL);
  return value;
}

// ---- Descriptor rings: MPSC in bursts, for values that cannot outnumber the slots ---------------------------------
// A queue that carries the mbufs of one pool, with at least as many slots as the pool has mbufs, is never full:
// so a producer reserves a whole burst with one atomic addition, and nothing can fail after that. A slot holds 0
// when it is empty. Only the first value of a burst is stored atomically, after the others: the consumer reads in
// order, so it cannot look behind a first slot that is still empty.

/** Bytes of a descriptor ring of `size` slots. */
export function burstRingBytes(size: u32): u32 {
  return u32(RING_SLOTS) + size * 4;
}

/** Prepares an empty descriptor ring of `size` slots, a power of two not below the number of values that exist. */
export function burstRingInit(ring: usize, size: u32): void {
  assert(size >= 2 && (size & (size - 1)) == 0);
  store<u32>(ring, 0, RING_HEAD);
  store<u32>(ring, size - 1, RING_MASK);
  store<u32>(ring, 0, RING_DROPS);
  store<u32>(ring, 0, RING_TAIL);
  memory.fill(ring + RING_SLOTS, 0, usize(size) * 4);
}

/** Adds `count` (at least 1) values, none of them 0, from any thread. */
export function burstRingPush(ring: usize, values: usize, count: u32): void {
  const mask = load<u32>(ring, RING_MASK);
  const position = atomic.add<u32>(ring, count, RING_HEAD);
  for (let i: u32 = 1; i < count; i++) {
    store<u32>(ring + RING_SLOTS + usize((position + i) & mask) * 4, load<u32>(values + usize(i) * 4));
  }
  atomic.store<u32>(ring + RING_SLOTS + usize(position & mask) * 4, load<u32>(values));
}

/** Takes up to `max` of the oldest values on the consumer's thread into the array at `out`; returns how many. */
export function burstRingPop(ring: usize, out: usize, max: u32): u32 {
  const mask = load<u32>(ring, RING_MASK);
  const start = load<u32>(ring, RING_TAIL);
  let count: u32 = 0;
  while (count < max) {
    const slot = ring + RING_SLOTS + usize((start + count) & mask) * 4;
    const value = atomic.load<u32>(slot);
    if (value == 0) break;
    store<u32>(slot, 0);
    store<u32>(out + usize(count) * 4, value);
    count++;
  }
  // Nobody waits for the tail: producers only estimate with it. So it needs no atomic store, which costs a burst dear.
  if (count > 0) store<u32>(ring, start + count, RING_TAIL);
  return count;
}

/** Values taken from the ring since it was made, modulo 2^32. */
export function burstRingTaken(ring: usize): u32 {
  return atomic.load<u32>(ring, RING_TAIL);
}

/** Values in the ring, those that are just being written included. */
export function burstRingUsed(ring: usize): u32 {
  const tail = atomic.load<u32>(ring, RING_TAIL);
  return atomic.load<u32>(ring, RING_HEAD) - tail;
}

/**
 * Closes the gaps that producers left who reserved slots and died, and a consumer that died between clearing slots and
 * saying so: what is there moves together. Nobody may use the ring meanwhile. Returns the slots that were given up.
 */
export function burstRingRepair(ring: usize): u32 {
  const mask = load<u32>(ring, RING_MASK);
  const tail = load<u32>(ring, RING_TAIL);
  const used = atomic.load<u32>(ring, RING_HEAD) - tail;
  let kept: u32 = 0;
  for (let i: u32 = 0; i < used; i++) {
    const slot = ring + RING_SLOTS + usize((tail + i) & mask) * 4;
    const value = load<u32>(slot);
    if (value == 0) continue;
    store<u32>(slot, 0);
    store<u32>(ring + RING_SLOTS + usize((tail + kept) & mask) * 4, value);
    kept++;
  }
  atomic.store<u32>(ring, tail + kept, RING_HEAD);
  return used - kept;
}

/** Slots that are reserved and hold nothing. */
export function burstRingGaps(ring: usize): u32 {
  const mask = load<u32>(ring, RING_MASK);
  const head = atomic.load<u32>(ring, RING_HEAD);
  let gaps: u32 = 0;
  for (let at = load<u32>(ring, RING_TAIL); at != head; at++) gaps += u32(burstRingValue(ring, at & mask) == 0);
  return gaps;
}

/** Slots of the ring, for audits. */
export function burstRingSize(ring: usize): u32 {
  return load<u32>(ring, RING_MASK) + 1;
}

/** What slot `index` of the ring holds, or 0, for audits. */
export function burstRingValue(ring: usize, index: u32): u32 {
  return atomic.load<u32>(ring + RING_SLOTS + usize(index) * 4);
}
