// A spin lock on one word of shared memory, for short sections off the fast path.
// A holder that trapped must not hang everybody: waiting has an end, and then traps as well.

const SPINS_MAX: u32 = 0x20000000;

/** Waits for the lock and takes it. Traps when it does not come free for seconds. */
export function spinLock(lock: usize): void {
  let spins: u32 = 0;
  while (!spinTryLock(lock)) {
    while (atomic.load<u32>(lock) != 0) {
      spins++;
      assert(spins < SPINS_MAX);
    }
  }
}

/** Takes the lock if it is free. */
export function spinTryLock(lock: usize): bool {
  return atomic.cmpxchg<u32>(lock, 0, 1) == 0;
}

/** Gives the lock back. */
export function spinUnlock(lock: usize): void {
  atomic.store<u32>(lock, 0);
}
