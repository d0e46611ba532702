// Round-trip time and retransmission timeout (RFC 6298), with Linux's variance and floor.

import { SYSCTL_TCP_RTO_MAX, SYSCTL_TCP_RTO_MIN } from "../layout";
import { sysctl } from "../stack";
import { Tcb } from "./tcb";

/** "A maximum value MAY be placed on RTO provided it is at least 60 seconds" (RFC 6298 2.5); tcp_rto_max_ms. */
export function rtoMax(): u32 {
  return sysctl(SYSCTL_TCP_RTO_MAX);
}

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
  t.rtoMillis = min(millis, rtoMax());
}

/** The RTO after `backoff` expiries. */
export function backedOffRto(t: Tcb): u32 {
  const backoff = u32(t.backoff);
  if (backoff >= 16) return rtoMax();
  return min(t.rtoMillis << backoff, rtoMax());
}
