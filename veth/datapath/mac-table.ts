// The bridge's table of MAC addresses: address and VLAN to port, learned from traffic, forgotten with age.
// Read first: IEEE 802.1Q clause 8.8 "The FDB"; bridge.ts.

import { MAC_ENTRY_BYTES } from "../../assembly/layout";

// Groups of eight entries (two cache lines); an address lives in the group that its hash names. Readers take no
// lock. A writer claims an entry by exchanging its key for BUSY, writes the rest, then stores the new key.
// Two threads that learn one address at once may make two entries: the first in the group is the one in use.

@unmanaged
class MacEntry {
  /** Six bytes of the address as they lie in a frame, VLAN in the bits above; 0 = empty. */
  key: u64;
  slot: u32;
  /** Milliseconds, modulo 2^32. */
  seen: u32;
}
if (offsetof<MacEntry>() != MAC_ENTRY_BYTES) ERROR("MacEntry layout");

const WAYS: u32 = 8;
/** An entry says to within aging / 256 when its address was seen. */
const SEEN_SHIFT: u32 = 8;
const BUSY: u64 = 0xffffffffffffffff;
/** Slot of an entry whose port is gone. */
export const NO_SLOT: u32 = 0xffffffff;

/** What learning did. */
export const MAC_KNOWN: i32 = 0;
export const MAC_LEARNED: i32 = 1;
export const MAC_MOVED: i32 = 2;
export const MAC_FULL: i32 = 3;

/** The slot behind which an address was last seen, or -1. `mask`: entries less one; `aging`: milliseconds, 0 = not. */
export function macFind(table: usize, mask: u32, key: u64, millis: u32, aging: u32): i32 {
  const e = macLocate(table, mask, key);
  if (e == 0) return -1;
  const slot = changetype<MacEntry>(e).slot;
  if (slot == NO_SLOT || macIsOld(e, millis, aging)) return -1;
  // The entry may have become another address's meanwhile.
  return atomic.load<u64>(e) == key ? i32(slot) : -1;
}

/**
 * Notes that the address of an entry was seen again. It is exact to a part of the aging time, so that the threads of
 * busy queues do not take the entry from one another all the time.
 */
export function macTouch(e: usize, millis: u32, aging: u32): void {
  const entry = changetype<MacEntry>(e);
  const since = i32(millis - entry.seen);
  if (abs<i32>(since) > i32(aging >>> SEEN_SHIFT)) entry.seen = millis;
}

/** Notes that an address was seen behind a slot. */
export function macLearn(table: usize, mask: u32, key: u64, slot: u32, millis: u32, aging: u32): i32 {
  const e = macLocate(table, mask, key);
  if (e == 0) return insert(table, mask, key, slot, millis, aging);
  const entry = changetype<MacEntry>(e);
  const before = entry.slot;
  macTouch(e, millis, aging);
  if (before == slot) return MAC_KNOWN;
  entry.slot = slot;
  return before == NO_SLOT ? MAC_LEARNED : MAC_MOVED;
}

/** Forgets what was learned behind a slot; NO_SLOT: everything. */
export function macForget(table: usize, mask: u32, slot: u32): void {
  for (let i: u32 = 0; i <= mask; i++) {
    const entry = changetype<MacEntry>(table + i * MAC_ENTRY_BYTES);
    if (entry.slot == slot || slot == NO_SLOT) entry.slot = NO_SLOT;
  }
}

function group(table: usize, mask: u32, key: u64): usize {
  const hash = u32((key * 0x9e3779b97f4a7c15) >> 32);
  return table + (hash & mask & ~(WAYS - 1)) * MAC_ENTRY_BYTES;
}

/** The entry of an address, or 0. */
export function macLocate(table: usize, mask: u32, key: u64): usize {
  let e = group(table, mask, key);
  const end = e + WAYS * MAC_ENTRY_BYTES;
  for (; e < end; e += MAC_ENTRY_BYTES) {
    if (atomic.load<u64>(e) == key) return e;
  }
  return 0;
}

/** True when the address of an entry has not been seen for too long. */
export function macIsOld(e: usize, millis: u32, aging: u32): bool {
  // Signed: another thread's clock may be a moment ahead.
  return aging != 0 && i32(millis - changetype<MacEntry>(e).seen) > i32(aging);
}

/** Frees entries that were claimed and never written: nobody may be writing. Returns how many. */
export function macUnclaim(table: usize, entries: u32): u32 {
  let found: u32 = 0;
  for (let i: u32 = 0; i < entries; i++) {
    if (atomic.cmpxchg<u64>(table + i * MAC_ENTRY_BYTES, BUSY, 0) == BUSY) found++;
  }
  return found;
}

function insert(table: usize, mask: u32, key: u64, slot: u32, millis: u32, aging: u32): i32 {
  let e = group(table, mask, key);
  const end = e + WAYS * MAC_ENTRY_BYTES;
  for (; e < end; e += MAC_ENTRY_BYTES) {
    const entry = changetype<MacEntry>(e);
    const before = atomic.load<u64>(e);
    if (before == BUSY || (before != 0 && entry.slot != NO_SLOT && !macIsOld(e, millis, aging))) continue;
    if (atomic.cmpxchg<u64>(e, before, BUSY) != before) continue;
    entry.slot = slot;
    entry.seen = millis;
    atomic.store<u64>(e, key);
    return MAC_LEARNED;
  }
  return MAC_FULL;
}
