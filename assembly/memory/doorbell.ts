// The sender's side of a doorbell in shared memory; the sleeper's is host/threads/doorbell.ts, which tells why no
// wake-up can be lost.

import { DOORBELL_SEQUENCE, DOORBELL_SLEEPING } from "../layout";

/**
 * Wakes a thread that sleeps on the doorbell whose address stands at `word`, or is about to; 0 = there is none. That
 * word may change at any time, along with who sleeps: it is read behind the work that was put down, as SLEEPING is.
 */
export function doorbellRingAt(word: usize): void {
  doorbellRing(atomic.load<u32>(word));
}

/** Wakes a thread that sleeps on a doorbell, or is about to; 0 = there is none. */
export function doorbellRing(bell: u32): void {
  if (bell == 0 || atomic.load<u32>(bell, DOORBELL_SLEEPING) == 0) return;
  atomic.add<u32>(bell, 1, DOORBELL_SEQUENCE);
  atomic.notify(bell, 1);
}
