// What business threads leave that die in the middle of something: turns, sleepers' counts, signals that never came,
// send buffers on their way between a pool and a channel. Taken back by any other thread's instance.
// Read first: client.ts, which says what a thread does in which order; host/share-keeper.ts, which finds the dead.

import {
  CALL_ASKED,
  CALL_IDLE,
  CALL_STACK,
  CALL_UNDER_WAY,
  CHANNEL_BYTES,
  CHANNEL_KIND,
  CHANNEL_TX,
  CHANNEL_TX_BUFFER,
  PART_BELL,
  PART_CAPACITY,
  PART_CHANNELS,
  PART_SCAN,
  READY_SEQUENCE,
  READY_TURN,
  SEAT_BYTES,
  SEAT_STATUS,
  SEAT_TURN,
  SEAT_WAITS,
  SEAT_WINDOW,
  SHARE_CAPACITY,
  SHARE_EPOLL_COUNT,
  SHARE_PARTS,
  SHARE_SEATS,
  SHARE_STACKS,
} from "../layout";
import { doorbellRing } from "../memory/doorbell";
import { POOL_FREE_MARK, Pool, poolFree } from "../memory/pool";
import { largePool, smallPool } from "./part";
import { readyAt, readySetAll } from "./ready";

function seatAt(share: usize, index: u32): usize {
  return usize(load<u32>(share, SHARE_SEATS)) + usize(index) * SEAT_BYTES;
}

function partAt(share: usize, index: u32): usize {
  return usize(load<u32>(share + (usize(index) << 2), SHARE_PARTS));
}

/**
 * Takes back what the dead thread of seat `index` has left, send buffers excepted. False: a stack is busy with a call
 * of it, which must be over first.
 */
export function seatRetire(share: usize, index: u32): bool {
  const seat = seatAt(share, index);
  const status = atomic.load<u32>(seat, SEAT_STATUS);
  if (status == CALL_UNDER_WAY) return false;
  const isAsked = (status & ((1 << CALL_STACK) - 1)) == CALL_ASKED;
  // Nobody wants the answer any more; unless a stack has just begun with it.
  if (isAsked && atomic.cmpxchg<u32>(seat, status, CALL_IDLE, SEAT_STATUS) != status) return false;
  const turn = load<u32>(seat, SEAT_TURN);
  const waits = atomic.xchg<u32>(seat, 0, SEAT_WAITS);
  if (waits != 0) atomic.sub<u32>(usize(waits), 1);
  const stacks = load<u32>(share, SHARE_STACKS);
  for (let i: u32 = 0; i < stacks; i++) {
    const p = partAt(share, i);
    turnsTake(p, turn);
    // It may have died between saying that there is a signal and giving it.
    atomic.store<u32>(p, 1, PART_SCAN);
    doorbellRing(load<u32>(p, PART_BELL));
  }
  const epolls = load<u32>(share, SHARE_EPOLL_COUNT);
  for (let i: u32 = 0; i < epolls; i++) {
    const e = readyAt(share, i);
    if (atomic.load<u32>(e, READY_TURN) != turn) continue;
    readySetAll(e);
    atomic.cmpxchg<u32>(e, turn, 0, READY_TURN);
    atomic.add<u32>(e, 1, READY_SEQUENCE);
    atomic.notify(e + READY_SEQUENCE, -1);
  }
  return true;
}

function turnsTake(p: usize, turn: u32): void {
  const capacity = load<u32>(p, PART_CAPACITY);
  for (let fd: u32 = 0; fd < capacity; fd++) {
    const at = usize(load<u32>(p, PART_CHANNELS)) + usize(fd) * CHANNEL_BYTES;
    const tx = atomic.load<u64>(at, CHANNEL_TX);
    if (u32(tx >> 32) == turn) atomic.cmpxchg<u64>(at, tx, u64(u32(tx)), CHANNEL_TX);
  }
}

/** Turns, of channels and epolls, that the thread of seat `index` has: an audit. */
export function seatTurns(share: usize, index: u32): u32 {
  const turn = load<u32>(seatAt(share, index), SEAT_TURN);
  let found: u32 = 0;
  for (let i: u32 = 0; i < load<u32>(share, SHARE_STACKS); i++) {
    const p = partAt(share, i);
    const capacity = load<u32>(p, PART_CAPACITY);
    for (let fd: u32 = 0; fd < capacity; fd++) {
      const c = usize(load<u32>(p, PART_CHANNELS)) + usize(fd) * CHANNEL_BYTES;
      found += u32(u32(atomic.load<u64>(c, CHANNEL_TX) >> 32) == turn);
    }
  }
  for (let i: u32 = 0; i < load<u32>(share, SHARE_EPOLL_COUNT); i++) {
    found += u32(atomic.load<u32>(readyAt(share, i), READY_TURN) == turn);
  }
  return found;
}

/** What the thread of seat `index` has done with send buffers; odd: it has one in its hands. */
export function seatWindow(share: usize, index: u32): u32 {
  return atomic.load<u32>(seatAt(share, index), SEAT_WINDOW);
}

/**
 * Send buffers of the part at `p` that are neither free nor a channel's, noted in `bits` (zeroed here: one for each
 * buffer). Its stack stands still. The caller looks at the windows before and after: when none was open and none has
 * changed, they are lost, and buffersFree() gives them back.
 */
export function buffersLost(p: usize, bits: usize): u32 {
  const small = smallPool(p);
  const large = largePool(p);
  memory.fill(bits, 0, (small.capacity + large.capacity + 7) >>> 3);
  markFree(small, bits, 0);
  markFree(large, bits, small.capacity);
  const capacity = load<u32>(p, PART_CAPACITY);
  for (let fd: u32 = 0; fd < capacity; fd++) {
    const c = usize(load<u32>(p, PART_CHANNELS)) + usize(fd) * CHANNEL_BYTES;
    const buffer = load<u32>(c, CHANNEL_TX_BUFFER);
    if (buffer == 0) continue;
    markOne(small, bits, 0, buffer);
    markOne(large, bits, small.capacity, buffer);
  }
  return unmarked(small, bits, 0, false) + unmarked(large, bits, small.capacity, false);
}

/** Gives back what buffersLost() has found. */
export function buffersFree(p: usize, bits: usize): u32 {
  const small = smallPool(p);
  return unmarked(small, bits, 0, true) + unmarked(largePool(p), bits, small.capacity, true);
}

function markFree(pool: Pool, bits: usize, first: u32): void {
  // A list that changes meanwhile may go in circles: the caller looks again then.
  let e = u32(atomic.load<u64>(changetype<usize>(pool)));
  for (let i: u32 = 0; e != 0 && i < pool.capacity; i++) {
    if (!markOne(pool, bits, first, e)) return;
    e = atomic.load<u32>(e);
  }
}

function markOne(pool: Pool, bits: usize, first: u32, element: u32): bool {
  const index = (element - pool.base) / pool.elementBytes;
  if (index >= pool.capacity) return false;
  const at = bits + ((first + index) >>> 3);
  store<u8>(at, load<u8>(at) | u8(1 << u8((first + index) & 7)));
  return true;
}

function unmarked(pool: Pool, bits: usize, first: u32, frees: bool): u32 {
  const carved = min(pool.carved, pool.capacity);
  let found: u32 = 0;
  for (let i: u32 = 0; i < carved; i++) {
    if (load<u8>(bits + ((first + i) >>> 3)) & u8(1 << u8((first + i) & 7))) continue;
    found++;
    if (!frees) continue;
    const element = pool.base + i * pool.elementBytes;
    // It may have been on its way back: then it stands as free already.
    if (load<u32>(element, 4) == POOL_FREE_MARK) store<u32>(element, 0, 4);
    poolFree(pool, element);
  }
  return found;
}

/** The descriptor from `fd` on that stands open, or -1: to find those that their threads have left. */
export function shareOpenFrom(share: usize, fd: u32): i32 {
  const stacks = load<u32>(share, SHARE_STACKS);
  const end = stacks * load<u32>(share, SHARE_CAPACITY);
  for (let at = fd; at < end; at++) {
    const p = partAt(share, at % stacks);
    const c = usize(load<u32>(p, PART_CHANNELS)) + usize(at / stacks) * CHANNEL_BYTES;
    if (atomic.load<u32>(c, CHANNEL_KIND) != 0) return i32(at);
  }
  return -1;
}
