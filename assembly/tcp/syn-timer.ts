// SYN or SYN,ACK was not answered: how often and how late it goes again.
// Read first: RFC 6298 2.1 and 5.7, RFC 9293 3.8.3 (R2 for SYN), RFC 7413 4.2 (without data the second time).

import {
  ACK,
  ETIMEDOUT,
  MIB_TCP_ABORT_ON_TIMEOUT,
  MIB_TCP_SYN_RETRANS,
  SYN,
  SYSCTL_TCP_SYNACK_RETRIES,
  SYSCTL_TCP_SYN_LINEAR_TIMEOUTS,
  SYSCTL_TCP_SYN_RETRIES,
  TCP_SYN_SENT,
} from "../layout";
import { SocketExtra } from "../socket/socket";
import { count, nowMillis, sysctl } from "../stack";
import { tcpDone } from "./close";
import { fastopenPending } from "./fastopen";
import { fastopenTimeout } from "./fastopen-client";
import { sendSyn } from "./output";
import { backedOffRto } from "./rtt";
import { ARMED_RTO, TF_FASTOPEN, Tcb } from "./tcb";
import { armTimer } from "./timers";

/** Retransmissions before connect() or a handshake fails (TCP_SYNCNT, tcp_syn_retries, tcp_synack_retries). */
function retriesOf(t: Tcb): u32 {
  const own = t.extra != 0 ? changetype<SocketExtra>(t.extra).synCount : 0;
  if (t.state == TCP_SYN_SENT) {
    return (own != 0 ? own : sysctl(SYSCTL_TCP_SYN_RETRIES)) + sysctl(SYSCTL_TCP_SYN_LINEAR_TIMEOUTS);
  }
  // A connection opened by its SYN alone has been promised to the application: one more try (Linux).
  if (fastopenPending(t)) return own != 0 ? own : sysctl(SYSCTL_TCP_SYNACK_RETRIES) + 1;
  return sysctl(SYSCTL_TCP_SYNACK_RETRIES);
}

/** The timer of SYN-SENT and SYN-RECEIVED has run out; false when the connection is gone. */
export function synTimer(t: Tcb): bool {
  const active = t.state == TCP_SYN_SENT;
  const late = active && t.userTimeoutMillis != 0 && nowMillis - t.lastRcvMillis >= t.userTimeoutMillis;
  const expired = t.synRetries >= retriesOf(t) || late;
  if (active && t.tflags & TF_FASTOPEN) fastopenTimeout(t, t.synRetries, expired);
  if (expired) {
    count(MIB_TCP_ABORT_ON_TIMEOUT);
    tcpDone(t, ETIMEDOUT);
    return false;
  }
  t.synRetries++;
  // The first few come at even distances: a SYN is lost more often than a path is congested (tcp_syn_linear_timeouts).
  if (!active || u32(t.synRetries) > sysctl(SYSCTL_TCP_SYN_LINEAR_TIMEOUTS)) t.backoff++;
  count(MIB_TCP_SYN_RETRANS);
  sendSyn(t, active ? SYN : SYN | ACK);
  armTimer(t, ARMED_RTO, backedOffRto(t));
  return true;
}
