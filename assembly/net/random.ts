// Random numbers for the spreading of timers: a keyed hash over a counter in the arena, so that a run replays.

import { keyedHash } from "../hash";
import { stack } from "../stack";

/** A number from 0 to `bound` - 1; `bound` at least 1. */
export function randomUnder(bound: u32): u32 {
  const n = stack.random + 1;
  stack.random = n;
  return u32((u64(keyedHash(n, 0x72616e64, bound)) * u64(bound)) >> 32);
}
