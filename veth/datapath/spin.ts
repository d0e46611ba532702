// A spin lock on one word of shared memory, for short sections off the fast path. The word names the holder, so that
// the lock of a thread that died can be told from one that is in use, and recovered.
// A holder that is gone must not hang everybody all the same: waiting has an end, and then traps.

/** The number of a network's main thread; other threads have that of the stack they run. */
const MAIN: u32 = 0xffff;
const SPINS_MAX: u32 = 0x20000000;

/** Who locks through this instance. */
let holder: u32 = MAIN;

/** Tells which thread's this instance is: the number of its stack, 1 to 65534. */
export function identify(id: u32): void {
  assert(id > 0 && id <= MAIN);
  holder = id;
}

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
  return atomic.cmpxchg<u32>(lock, 0, holder) == 0;
}

/** Takes the lock over from thread `dead`, which is gone; false when that did not hold it. */
export function spinRecover(lock: usize, dead: u32): bool {
  return atomic.cmpxchg<u32>(lock, dead, holder) == dead;
}

/** Gives the lock back. */
export function spinUnlock(lock: usize): void {
  atomic.store<u32>(lock, 0);
}
