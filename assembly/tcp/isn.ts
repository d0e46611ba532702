// Numbers that an outsider must not guess: initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 7.1).

import { keyedHash } from "../hash";
import { nowMicros } from "../stack";

/** ISN = M + F(connection, secret); M ticks every 1/16 microsecond, so that a reused 4-tuple starts above its past. */
export function initialSequence(local: u32, remote: u32, ports: u32): u32 {
  return keyedHash(local, remote, ports) + (nowMicros << 4);
}

/** Offset of the timestamps towards one peer. */
export function timestampOffset(local: u32, remote: u32): u32 {
  return keyedHash(local, remote, 0x54530000);
}
