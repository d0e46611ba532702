// Ready lists of the share's epolls: one bit for each descriptor that may be ready, set by any thread, looked through
// by one at a time. A bit too many is harmless, since whoever looks asks for the true state; a bit is cleared only
// before the state is asked (edge-triggered) or asked again (level-triggered), so that no event can be lost.
// Read first: epoll(7); the layouts READY_ and WATCH_ in layout.ts.

import {
  EPOLLEXCLUSIVE,
  EPOLLIN,
  READY_ENTRIES,
  READY_HEADER,
  READY_LEVELS,
  READY_POLLERS,
  READY_SEQUENCE,
  READY_SLOTS,
  READY_USED,
  READY_WAITERS,
  READY_WATCHERS,
  SHARE_CAPACITY,
  SHARE_EPOLL_BYTES,
  SHARE_EPOLL_COUNT,
  SHARE_EPOLLS,
  SHARE_MAIN_BELL,
  SHARE_POLL_SEQUENCE,
  SHARE_POLL_WAITERS,
  SHARE_STACKS,
  WATCH_BYTES,
  WATCH_MASK,
  WATCH_EVENTS,
} from "../layout";
import { doorbellRing } from "../memory/doorbell";

/** Descriptors of a share: those of its stacks, then one for each epoll. */
export function shareSlots(share: usize): u32 {
  return load<u32>(share, SHARE_STACKS) * load<u32>(share, SHARE_CAPACITY) + load<u32>(share, SHARE_EPOLL_COUNT);
}

/** Distance of the epolls of a share with so many descriptors. */
export function readyBytes(slots: u32): u32 {
  const words = (slots + 63) >>> 6;
  return READY_HEADER + words * 8 + ((words + 63) >>> 6) * 8 + slots * WATCH_BYTES + 64;
}

/** Lays out epoll number `index`. */
export function readyInit(share: usize, index: u32): void {
  const slots = shareSlots(share);
  const words = (slots + 63) >>> 6;
  const e = readyAt(share, index);
  store<u32>(e, slots, READY_SLOTS);
  const level0 = u32(e) + READY_HEADER;
  const level1 = level0 + words * 8;
  store<u32>(e, level0, READY_LEVELS);
  store<u32>(e, level1, READY_LEVELS + 4);
  store<u32>(e, (level1 + ((words + 63) >>> 6) * 8 + 31) & ~31, READY_ENTRIES);
}

/** Address of epoll number `index`. */
export function readyAt(share: usize, index: u32): usize {
  return usize(load<u32>(share, SHARE_EPOLLS) + index * load<u32>(share, SHARE_EPOLL_BYTES));
}

/** The entry of a descriptor in an epoll. */
export function watchOf(e: usize, fd: u32): usize {
  return usize(load<u32>(e, READY_ENTRIES)) + usize(fd) * WATCH_BYTES;
}

/** Notes that a descriptor may be ready. */
export function readySet(e: usize, fd: u32): void {
  const word = fd >>> 6;
  const at = usize(load<u32>(e, READY_LEVELS)) + (usize(word) << 3);
  const bit = u64(1) << (fd & 63);
  if ((atomic.load<u64>(at) & bit) == 0) atomic.or<u64>(at, bit);
  setWord(e, word);
}

function setWord(e: usize, word: u32): void {
  const at = usize(load<u32>(e, READY_LEVELS + 4)) + (usize(word >>> 6) << 3);
  const bit = u64(1) << (word & 63);
  if ((atomic.load<u64>(at) & bit) == 0) atomic.or<u64>(at, bit);
}

/** Takes a descriptor's note away; the level above follows, and is set anew when a note has come meanwhile. */
export function readyClear(e: usize, fd: u32): void {
  const word = fd >>> 6;
  const at = usize(load<u32>(e, READY_LEVELS)) + (usize(word) << 3);
  const bit = u64(1) << (fd & 63);
  if ((atomic.and<u64>(at, ~bit) & ~bit) != 0) return;
  const above = usize(load<u32>(e, READY_LEVELS + 4)) + (usize(word >>> 6) << 3);
  atomic.and<u64>(above, ~(u64(1) << (word & 63)));
  if (atomic.load<u64>(at) != 0) setWord(e, word);
}

/** The first noted descriptor from `fd` on, below `end`; -1: there is none. */
export function readyNext(e: usize, fd: u32, end: u32): i32 {
  const level0 = usize(load<u32>(e, READY_LEVELS));
  const level1 = usize(load<u32>(e, READY_LEVELS + 4));
  while (fd < end) {
    const word = fd >>> 6;
    const bits = atomic.load<u64>(level0 + (usize(word) << 3)) >> (fd & 63);
    if (bits != 0) {
      const found = fd + u32(ctz(bits));
      return found < end ? i32(found) : -1;
    }
    let next = word + 1;
    const last = (end - 1) >>> 6;
    while (next <= last) {
      const above = atomic.load<u64>(level1 + (usize(next >>> 6) << 3)) >> (next & 63);
      if (above != 0) {
        next += u32(ctz(above));
        break;
      }
      next = (next | 63) + 1;
    }
    fd = next << 6;
  }
  return -1;
}

/** Notes every watch of an epoll: whoever looked through it has died in the middle. */
export function readySetAll(e: usize): void {
  const slots = load<u32>(e, READY_SLOTS);
  for (let fd: u32 = 0; fd < slots; fd++) if (load<u32>(watchOf(e, fd), WATCH_EVENTS) != 0) readySet(e, fd);
}

/** Epolls that have got a note and not yet a wake-up: one bit for each. */
export let wakeEpolls: u64 = 0;
/** Those who wait for several descriptors are to be woken. */
let wakePollers: bool = false;

/** Says that a descriptor that somebody polls has changed. */
export function pollersDue(): void {
  wakePollers = true;
}

/** Notes `events` of descriptor `fd` in the epolls of `watchers`, and in those that watch these. */
export function readyTell(share: usize, watchers: u64, fd: u32, events: u32): void {
  let exclusiveServed: bool = false;
  while (watchers != 0) {
    const index = u32(ctz(watchers));
    watchers &= watchers - 1;
    const e = readyAt(share, index);
    const watch = watchOf(e, fd);
    if ((atomic.load<u32>(watch, WATCH_MASK) & events) == 0) continue;
    const isExclusive = (atomic.load<u32>(watch, WATCH_EVENTS) & EPOLLEXCLUSIVE) != 0;
    if (isExclusive && exclusiveServed) continue;
    readySet(e, fd);
    // The first epoll whose sleeper wakes takes the event; the others hear of it only when there is none. To be counted
    // among the sleepers is not enough: one that has died still is.
    if (isExclusive) exclusiveServed = wakeSleepers(e) != 0 || mainSleeps(e);
    else wakeEpolls |= u64(1) << index;
    const above = atomic.load<u64>(e, READY_WATCHERS);
    if (above != 0 && atomic.load<u32>(e, READY_USED) != 0) readyTell(share, above, epollSlot(share, index), EPOLLIN);
    if (atomic.load<u32>(e, READY_POLLERS) != 0) wakePollers = true;
  }
}

/** Wakes those who sleep on an epoll; how many there were. */
function wakeSleepers(e: usize): u32 {
  if (atomic.load<u32>(e, READY_WAITERS) == 0) return 0;
  atomic.add<u32>(e, 1, READY_SEQUENCE);
  return u32(atomic.notify(e + READY_SEQUENCE, -1));
}

/** The main thread sleeps on its own bell; it counts itself among the sleepers and among those who poll. */
function mainSleeps(e: usize): bool {
  return atomic.load<u32>(e, READY_WAITERS) != 0 && atomic.load<u32>(e, READY_POLLERS) != 0;
}

/** Number of an epoll among the descriptors of a share. */
export function epollSlot(share: usize, index: u32): u32 {
  return load<u32>(share, SHARE_STACKS) * load<u32>(share, SHARE_CAPACITY) + index;
}

/** Wakes the sleepers whom readyTell() and pollersDue() have meant; how many there were at most. */
export function readyWake(share: usize): u32 {
  let woken: u32 = 0;
  while (wakeEpolls != 0) {
    const index = u32(ctz(wakeEpolls));
    wakeEpolls &= wakeEpolls - 1;
    woken += wakeSleepers(readyAt(share, index));
  }
  if (!wakePollers) return woken;
  wakePollers = false;
  if (atomic.load<u32>(share, SHARE_POLL_WAITERS) == 0) return woken;
  atomic.add<u32>(share, 1, SHARE_POLL_SEQUENCE);
  woken += u32(atomic.notify(share + SHARE_POLL_SEQUENCE, -1));
  doorbellRing(load<u32>(share, SHARE_MAIN_BELL));
  return woken;
}
