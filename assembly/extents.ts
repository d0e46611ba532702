// What of an arena holds state: everything but the exchange area (scratch between calls) and elements never used.
// Read first: memory/extent.ts; index.ts for the order of the parts.

import { EXCHANGE_BYTES, POOL_COUNT } from "./layout";
import { extentCount, extentPool, extentPut } from "./memory/extent";
import { netifExtents } from "./net/netif";
import { poolAt, stack } from "./stack";

/** Writes the extents of this stack's state to `at`, at most EXTENTS_STACK_MAX of them; returns how many. */
export function extents(at: usize): u32 {
  const base = changetype<usize>(stack);
  let end = extentPut(at, base, stack.exchange - u32(base));
  end = netifExtents(end, stack.exchange + EXCHANGE_BYTES, poolAt(0).base);
  for (let i = 0; i < POOL_COUNT; i++) end = extentPool(end, poolAt(i));
  return extentCount(at, end);
}
