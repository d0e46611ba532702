// One time for all threads of a network. performance.now() starts anew in each thread; process.hrtime() is the
// machine's monotonic clock, the same in all of them, so it says where a network's time began.

import { type Clock, RealClock } from "../clock.ts";

/** Two clocks cannot be read in one moment; the closest of so many pairs of readings is taken. */
const READINGS = 16;

/** What process.hrtime.bigint() showed when `clock` stood at 0. */
export function epochOf(clock: Clock): bigint {
  const { first, second } = readBoth(() => clock.now());
  return second - BigInt(Math.round(first * 1000));
}

/** A clock of this thread that agrees with the one that `epochNanos` was taken of, to a microsecond or so. */
export function clockFrom(epochNanos: bigint): Clock {
  const { first, second } = readBoth(() => performance.now());
  return new RealClock(first - Number(second - epochNanos) / 1e6);
}

/** A clock's reading, and process.hrtime.bigint() at the same time. */
function readBoth(read: () => number): { first: number; second: bigint } {
  let best = { first: 0, second: 0n, apart: Infinity };
  for (let i = 0; i < READINGS; i++) {
    const before = read();
    const second = process.hrtime.bigint();
    const after = read();
    if (after - before < best.apart) best = { first: (before + after) / 2, second, apart: after - before };
  }
  return best;
}
