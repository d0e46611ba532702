// Which bytes of the memory hold state: a list of extents {address u32, bytes u32}, for snapshots.
// Read first: veth/datapath/snapshot.ts. The list of one object always has the same addresses in the same order.

import { EXTENT_BYTES } from "../layout";
import { Pool } from "./pool";

/** Appends an extent to the list that ends at `at`; returns the list's new end. */
export function extentPut(at: usize, address: usize, bytes: u32): usize {
  store<u32>(at, u32(address));
  store<u32>(at, bytes, 4);
  return at + EXTENT_BYTES;
}

/** The elements of a pool that have ever been used. */
export function extentPool(at: usize, pool: Pool): usize {
  return extentPut(at, pool.base, min(pool.carved, pool.capacity) * pool.elementBytes);
}

/** How many extents lie between `start` and `end`. */
export function extentCount(start: usize, end: usize): u32 {
  return u32((end - start) / <usize>EXTENT_BYTES);
}
