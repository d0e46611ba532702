// Several elements of a shared pool in one exchange: a burst takes and gives back a whole piece of the free list.
// Read first: assembly/memory/pool.ts. Elements stay marked as free until they are used.

import { Pool, poolGive } from "../../assembly/memory/pool";

/** Takes up to `count` elements off a shared pool's free list; returns the first, linked to the others, or 0. */
export function poolTakeChain(pool: Pool, count: u32): u32 {
  const at = changetype<usize>(pool);
  const base = pool.base;
  const bytes = pool.capacity * pool.elementBytes;
  while (true) {
    const head = atomic.load<u64>(at);
    const first = u32(head);
    if (first == 0) return 0;
    let last = first;
    let next = atomic.load<u32>(last);
    for (let taken: u32 = 1; taken < count && next - base < bytes; taken++) {
      last = next;
      next = atomic.load<u32>(last);
    }
    // Links that changed under the walk may lead anywhere; then the tag has changed too, and the exchange fails.
    if (next != 0 && next - base >= bytes) continue;
    if (atomic.cmpxchg<u64>(at, head, u64(next) | (((head >> 32) + 1) << 32)) == head) {
      store<u32>(last, 0);
      return first;
    }
  }
}

/** Gives back elements that poolTakeChain() took. */
export function poolGiveChain(pool: Pool, first: u32): void {
  let last = first;
  for (let next = load<u32>(last); next != 0; next = load<u32>(last)) last = next;
  poolGive(pool, first, last);
}
