// Fixed-size object pools with an intrusive LIFO free list; elements are carved on first use, so untouched
// memory stays untouched. A pool is private to one thread, or shared (a tagged Treiber stack).
// Read first: DPDK "Memory Pool Library"; R. K. Treiber, "Systems Programming: Coping with Parallelism" (1986).

/** What stands in the second word of a free element: catches a double free and a use after free. */
export const POOL_FREE_MARK: u32 = 0xf4eef4ee;

@unmanaged
export class Pool {
  /** Free list: address of the first free element in the low word, ABA tag in the high word. */
  head: u64;
  base: u32;
  elementBytes: u32;
  capacity: u32;
  /** Elements carved so far. */
  carved: u32;
  /** Elements in use; kept for private pools only, poolInUse() serves both kinds. */
  inUse: u32;
  /** Most elements ever in use (private pools). */
  peak: u32;
  /** Requests that found the pool empty. */
  failures: u32;
  shared: u32;
  /** Elements in use from which a private pool counts as short (tx-pool.ts). */
  limit: u32;
  reserved: u32;
}

/** Bytes of a Pool structure. */
export const POOL_BYTES: u32 = 48;
if (offsetof<Pool>() != POOL_BYTES) ERROR("Pool layout");

/** Prepares a pool of `capacity` elements over the bytes at `base`; every element is free. */
export function poolInit(pool: Pool, base: u32, elementBytes: u32, capacity: u32, shared: bool): void {
  assert((elementBytes & 7) == 0 && elementBytes >= 8);
  pool.head = 0;
  pool.base = base;
  pool.elementBytes = elementBytes;
  pool.capacity = capacity;
  pool.carved = 0;
  pool.inUse = 0;
  pool.peak = 0;
  pool.failures = 0;
  pool.shared = u32(shared);
  pool.limit = capacity;
}

/** Takes an element, or 0 when the pool is empty (counted). The bytes are as they were left. */
export function poolAlloc(pool: Pool): usize {
  if (pool.shared) return sharedAlloc(pool);
  let element = usize(u32(pool.head));
  if (element != 0) {
    assert(load<u32>(element, 4) == POOL_FREE_MARK);
    pool.head = load<u32>(element);
  } else {
    const carved = pool.carved;
    if (carved == pool.capacity) {
      pool.failures++;
      return 0;
    }
    pool.carved = carved + 1;
    element = pool.base + carved * pool.elementBytes;
  }
  const inUse = pool.inUse + 1;
  pool.inUse = inUse;
  if (inUse > pool.peak) pool.peak = inUse;
  store<u32>(element, 0, 4);
  return element;
}

/** Gives an element back. Traps on a double free. */
export function poolFree(pool: Pool, element: usize): void {
  assert(load<u32>(element, 4) != POOL_FREE_MARK);
  store<u32>(element, POOL_FREE_MARK, 4);
  if (pool.shared) {
    poolGive(pool, u32(element), u32(element));
    return;
  }
  store<u32>(element, u32(pool.head));
  pool.head = element;
  pool.inUse--;
}

function sharedAlloc(pool: Pool): usize {
  const at = changetype<usize>(pool);
  let head = atomic.load<u64>(at);
  while (u32(head) != 0) {
    const element = usize(u32(head));
    // A stale link is harmless: the tag makes the exchange fail.
    const next = u64(atomic.load<u32>(element)) | (((head >> 32) + 1) << 32);
    const seen = atomic.cmpxchg<u64>(at, head, next);
    if (seen == head) {
      store<u32>(element, 0, 4);
      return element;
    }
    head = seen;
  }
  const carved = atomic.add<u32>(at + offsetof<Pool>("carved"), 1);
  if (carved < pool.capacity) {
    const element = usize(pool.base + carved * pool.elementBytes);
    store<u32>(element, 0, 4);
    return element;
  }
  atomic.sub<u32>(at + offsetof<Pool>("carved"), 1);
  atomic.add<u32>(at + offsetof<Pool>("failures"), 1);
  return 0;
}

/** Gives a shared pool a chain of free elements, marked and linked from `first` to `last`, in one exchange. */
export function poolGive(pool: Pool, first: u32, last: u32): void {
  const at = changetype<usize>(pool);
  let head = atomic.load<u64>(at);
  while (true) {
    atomic.store<u32>(last, u32(head));
    const seen = atomic.cmpxchg<u64>(at, head, u64(first) | (((head >> 32) + 1) << 32));
    if (seen == head) return;
    head = seen;
  }
}

/** True when a shared pool has nothing left. */
export function poolIsEmpty(pool: Pool): bool {
  return u32(atomic.load<u64>(changetype<usize>(pool))) == 0 && pool.carved >= pool.capacity;
}

/** Free elements of a shared pool, counted up to `most`; others may take some meanwhile. */
export function poolFreeUpTo(pool: Pool, most: u32): u32 {
  const bytes = pool.capacity * pool.elementBytes;
  let free = pool.capacity - min(pool.carved, pool.capacity);
  // A link that changes under the walk may lead anywhere; out of the pool, that ends it.
  let e = u32(atomic.load<u64>(changetype<usize>(pool)));
  while (free < most && e - pool.base < bytes) {
    free++;
    e = atomic.load<u32>(e);
  }
  return free;
}

/** Elements in use now; walks the free list of a shared pool (an audit, not for the data path). */
export function poolInUse(pool: Pool): u32 {
  if (!pool.shared) return pool.inUse;
  let free: u32 = 0;
  for (let e = u32(atomic.load<u64>(changetype<usize>(pool))); e != 0; e = load<u32>(e)) free++;
  return min(pool.carved, pool.capacity) - free;
}

/** Forgets which elements of a private pool were ever used; all of them are free. */
export function poolEmpty(pool: Pool): void {
  assert(pool.inUse == 0 && !pool.shared);
  pool.head = 0;
  pool.carved = 0;
}

/** Elements that can still be taken from a private pool. */
export function poolAvailable(pool: Pool): u32 {
  return pool.capacity - pool.inUse;
}
