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
  SYSCTL_TCP_INIT_RTO,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from "../layout";
import { SocketExtra } from "../socket/socket";
import { count, nowMillis, sysctl } from "../stack";
import { tcpDone } from "./close";
import { fastopenPending } from "./fastopen";
import { fastopenTimeout } from "./fastopen-client";
import { modelTimeout } from "./give-up";
import { defersAccept } from "./listen";
import { sendSyn } from "./output";
import { backedOffRto } from "./rtt";
import { ARMED_RTO, TF_DEFERRED, TF_FASTOPEN, Tcb } from "./tcb";
import { armTimer } from "./timers";

/** A handshake that a listener has begun. */
function isPassive(t: Tcb): bool {
  return t.state == TCP_SYN_RECEIVED && t.parent != 0;
}

/** Retransmissions before connect() or a handshake fails (TCP_SYNCNT, tcp_syn_retries, tcp_synack_retries). */
function retriesOf(t: Tcb): u32 {
  const from = isPassive(t) ? changetype<Tcb>(t.parent) : t;
  const own = from.extra != 0 ? changetype<SocketExtra>(from.extra).synCount : 0;
  if (own != 0) return own;
  // A connection opened by its SYN alone has been promised to the application: one more try (Linux).
  if (fastopenPending(t)) return sysctl(SYSCTL_TCP_SYNACK_RETRIES) + 1;
  return sysctl(isPassive(t) ? SYSCTL_TCP_SYNACK_RETRIES : SYSCTL_TCP_SYN_RETRIES);
}

/**
 * Is it over? Retransmissions at even distances come on top of the others, but do not prolong the time: that is what
 * the others would have taken, or TCP_USER_TIMEOUT (Linux: tcp_write_timeout, retransmits_timed_out).
 */
function hasExpired(t: Tcb): bool {
  const retries = retriesOf(t);
  const done = u32(t.synRetries);
  if (isPassive(t) || fastopenPending(t)) return done >= retries && (!isDeferred(t) || done >= defersAccept(t));
  const linear = t.state == TCP_SYN_SENT ? sysctl(SYSCTL_TCP_SYN_LINEAR_TIMEOUTS) : 0;
  if (done >= retries + linear) return true;
  if (done == 0) return false;
  const limit = t.userTimeoutMillis != 0 ? t.userTimeoutMillis : modelTimeout(retries, sysctl(SYSCTL_TCP_INIT_RTO));
  return nowMillis - t.lastRcvMillis >= limit;
}

/** TCP_DEFER_ACCEPT: the handshake is over for the peer, and its data is awaited. */
function isDeferred(t: Tcb): bool {
  return isPassive(t) && (t.tflags & TF_DEFERRED) != 0;
}

/** The timer of SYN-SENT and SYN-RECEIVED has run out; false when the connection is gone. */
export function synTimer(t: Tcb): bool {
  const active = t.state == TCP_SYN_SENT;
  const expired = hasExpired(t);
  if (active && t.tflags & TF_FASTOPEN) fastopenTimeout(t, t.synRetries, expired);
  if (expired) {
    count(MIB_TCP_ABORT_ON_TIMEOUT);
    tcpDone(t, ETIMEDOUT);
    return false;
  }
  if (t.synRetries < 255) t.synRetries++;
  // The first few come at even distances: a SYN is lost more often than a path is congested (tcp_syn_linear_timeouts).
  if (!active || u32(t.synRetries) > sysctl(SYSCTL_TCP_SYN_LINEAR_TIMEOUTS)) t.backoff++;
  // Who waits for data asks again only when the time is over: then a bare ACK will do.
  if (!isDeferred(t) || u32(t.synRetries) >= defersAccept(t)) {
    count(MIB_TCP_SYN_RETRANS);
    sendSyn(t, active ? SYN : SYN | ACK);
  }
  armTimer(t, ARMED_RTO, isPassive(t) ? backedOffRto(t) : untilUserLimit(t, backedOffRto(t)));
  return true;
}

/** A wait in an active opening that does not outlast TCP_USER_TIMEOUT. */
function untilUserLimit(t: Tcb, millis: u32): u32 {
  if (t.userTimeoutMillis == 0) return millis;
  return min(millis, u32(max<i32>(i32(t.lastRcvMillis + t.userTimeoutMillis - nowMillis), 1)));
}
