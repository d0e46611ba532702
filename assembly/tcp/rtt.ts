// Round-trip time and retransmission timeout (RFC 6298), with Linux's variance and floor.

import { SYSCTL_TCP_RTO_MIN } from "../layout";
import { sysctl } from "../stack";
import { Tcb } from "./tcb";

/** "the RTO ... MAY be placed on a maximum value ... at least 60 seconds"; Linux's TCP_RTO_MAX, ms. */
export const RTO_MAX_MILLIS: u32 = 120000;

/** Takes a sample of the round-trip time, microseconds. */
export function rttSample(t: Tcb, micros: u32): void {
  // A sample above a minute says more about the clock than about the path.
  const r = min(max<u32>(micros, 1), 60000000);
  if (t.srtt8 == 0) {
    t.srtt8 = r << 3;
    t.rttvar4 = r << 1;
  } else {
    const error = i32(r) - i32(t.srtt8 >>> 3);
    t.srtt8 = u32(i32(t.srtt8) + error);
    const deviation = i32(error < 0 ? -error : error);
    t.rttvar4 = u32(i32(t.rttvar4) + deviation - i32(t.rttvar4 >>> 2));
  }
  setRto(t);
}

/** RTO = SRTT + max(G, 4 * RTTVAR); the variance part is not below the floor, as in Linux. */
export function setRto(t: Tcb): void {
  const variance = max<u32>(t.rttvar4, sysctl(SYSCTL_TCP_RTO_MIN) * 1000);
  const millis = ((t.srtt8 >>> 3) + variance + 999) / 1000;
  t.rtoMillis = min(millis, RTO_MAX_MILLIS);
}

/** The RTO after `backoff` expiries. */
export function backedOffRto(t: Tcb): u32 {
  const backoff = u32(t.backoff);
  if (backoff >= 16) return RTO_MAX_MILLIS;
  return min(t.rtoMillis << backoff, RTO_MAX_MILLIS);
}
