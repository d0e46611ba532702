// A link whose lock a dead thread held: the lock is taken over, the heap of frames under way and the buffers are put in
// order. A frame that was being handed on may be lost, or come twice: that is what wires do.
// Read first: link.ts, link-queue.ts. Others wait for the lock meanwhile, as they would for a slow thread.

import { Mbuf } from "../../assembly/memory/mbuf";
import { POOL_FREE_MARK, poolFree, poolInit } from "../../assembly/memory/pool";
import { Burst, burstForget } from "./burst";
import { buffersOf, Link, LINK_BURST, linkAt, lockOf } from "./link";
import { Due, DUE_BYTES, dueFirst, dueRestore, HOLDS_BYTES } from "./link-queue";
import { spinRecover, spinUnlock } from "./spin";

/** Recovers a link from thread `dead`. 1 when it held the lock, else 0. */
export function linkRecover(base: u32, dead: u32): u32 {
  const l = linkAt(base);
  if (!spinRecover(lockOf(l), dead)) return 0;
  rebuild(l);
  burstForget(changetype<Burst>(base + LINK_BURST));
  // Those who were to be overtaken go when they are due.
  memory.fill(l.holds, 0, HOLDS_BYTES);
  l.holding = 0;
  l.blocked = 0;
  const next = l.heapCount > 0 ? dueFirst(l).at : Infinity;
  atomic.store<u64>(base, reinterpret<u64>(next), offsetof<Link>("nextDue"));
  spinUnlock(lockOf(l));
  return 1;
}

/** Keeps each buffer that the heap names once; all others are free. */
function rebuild(l: Link): void {
  const pool = buffersOf(l);
  const base = pool.base;
  const elementBytes = pool.elementBytes;
  const capacity = pool.capacity;
  for (let i: u32 = 0; i < capacity; i++) changetype<Mbuf>(base + i * elementBytes).mark = POOL_FREE_MARK;
  const entries = min(l.heapCount, l.capacity);
  let kept: u32 = 0;
  for (let i: u32 = 0; i < entries; i++) {
    const e = changetype<Due>(l.heap + i * DUE_BYTES);
    const offset = e.buffer - base;
    if (offset >= capacity * elementBytes || offset % elementBytes != 0) continue;
    const m = changetype<Mbuf>(e.buffer);
    if (m.mark != POOL_FREE_MARK || m.pktLen > l.frameBytes) continue;
    m.mark = 0;
    memory.copy(l.heap + kept * DUE_BYTES, l.heap + i * DUE_BYTES, DUE_BYTES);
    kept++;
  }
  l.heapCount = kept;
  dueRestore(l);
  poolInit(pool, base, elementBytes, capacity, false);
  pool.carved = capacity;
  pool.inUse = capacity;
  for (let i: u32 = 0; i < capacity; i++) {
    const m = changetype<Mbuf>(base + i * elementBytes);
    if (m.mark != POOL_FREE_MARK) continue;
    m.mark = 0;
    poolFree(pool, base + i * elementBytes);
  }
}
