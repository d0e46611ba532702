// Snapshots of a network's state: the bytes that a list of extents names, copied to one block of the same memory.
// Read first: DESIGN.md section 5; assembly/memory/extent.ts, assembly/extents.ts.

import { BRIDGE_HEADER, EINVAL, EXTENT_BYTES, MAC_ENTRY_BYTES, SLOT_BYTES } from "../../assembly/layout";
import { extentCount, extentPool, extentPut } from "../../assembly/memory/extent";
import { bridgeAt } from "./bridge";
import { linkPutExtents } from "./link";
import { portAt, rxPool, rxQueueAt } from "./port";

// A block: the number of extents (u32, u32 unused), the list, then the bytes of each extent, rounded up to 8.

const LIST: usize = 8;

function addressOf(list: usize, index: u32): usize {
  return load<u32>(list + usize(index) * EXTENT_BYTES);
}

function bytesOf(list: usize, index: u32): u32 {
  return load<u32>(list + usize(index) * EXTENT_BYTES, 4);
}

function rounded(bytes: u32): u32 {
  return (bytes + 7) & ~7;
}

/** Writes the extents of a port (tables, rings, the mbufs that were ever used) to `at`; returns how many. */
export function portExtents(handle: u32, at: usize): u32 {
  const p = portAt(handle);
  let end = extentPut(at, handle, rxPool(rxQueueAt(p, 0)).base - handle);
  for (let i: u32 = 0; i < p.queues; i++) end = extentPool(end, rxPool(rxQueueAt(p, i)));
  return extentCount(at, end);
}

/** Writes the extents of a bridge to `at`; returns how many. */
export function bridgeExtents(base: u32, at: usize): u32 {
  const br = bridgeAt(base);
  const end = extentPut(at, base, BRIDGE_HEADER + br.used * SLOT_BYTES);
  return extentCount(at, extentPut(end, br.macTable, br.entries * MAC_ENTRY_BYTES));
}

/** Writes the extents of a link to `at`; returns how many. */
export function linkExtents(base: u32, at: usize): u32 {
  return extentCount(at, linkPutExtents(base, at));
}

/** Bytes of the block that holds the `count` extents of the list at `list`; 0 when they do not fit 32 bits. */
export function snapshotBytes(list: usize, count: u32): u32 {
  let total = u64(LIST) + u64(count) * EXTENT_BYTES;
  for (let i: u32 = 0; i < count; i++) total += rounded(bytesOf(list, i));
  return total > 0xfff00000 ? 0 : u32(total);
}

/** Copies the extents of a list to the block at `block`, which is snapshotBytes() long. */
export function snapshotTake(block: usize, list: usize, count: u32): void {
  store<u32>(block, count);
  memory.copy(block + LIST, list, usize(count) * EXTENT_BYTES);
  let data = block + LIST + usize(count) * EXTENT_BYTES;
  for (let i: u32 = 0; i < count; i++) {
    memory.copy(data, addressOf(list, i), bytesOf(list, i));
    data += rounded(bytesOf(list, i));
  }
}

/**
 * Brings the bytes of a block back. `list` names the extents as they are now: what has come into use since is zero
 * again. 0, or -EINVAL (and nothing has changed) when the lists are not of the same objects.
 */
export function snapshotRestore(block: usize, list: usize, count: u32): i32 {
  const then = block + LIST;
  if (load<u32>(block) != count) return -EINVAL;
  for (let i: u32 = 0; i < count; i++) if (addressOf(then, i) != addressOf(list, i)) return -EINVAL;
  let data = then + usize(count) * EXTENT_BYTES;
  for (let i: u32 = 0; i < count; i++) {
    const to = addressOf(then, i);
    const bytes = bytesOf(then, i);
    const now = bytesOf(list, i);
    memory.copy(to, data, bytes);
    if (now > bytes) memory.fill(to + bytes, 0, now - bytes);
    data += rounded(bytes);
  }
  return 0;
}

/** True when two blocks hold the same bytes of the same extents. */
export function snapshotEqual(a: usize, b: usize): bool {
  const count = load<u32>(a);
  let bytes = LIST + usize(count) * EXTENT_BYTES;
  if (memory.compare(a, b, bytes) != 0) return false;
  for (let i: u32 = 0; i < count; i++) {
    const n = bytesOf(a + LIST, i);
    if (memory.compare(a + bytes, b + bytes, n) != 0) return false;
    bytes += rounded(n);
  }
  return true;
}
