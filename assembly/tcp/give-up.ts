// When a connection whose peer is silent is given up: R2, or the user's own limit.
// Read first: RFC 9293 sections 3.8.3 and 3.8.6; RFC 5482; Linux net/ipv4/tcp_timer.c, tcp_write_timeout().

import {
  ETIMEDOUT,
  MIB_TCP_ABORT_ON_TIMEOUT,
  SYSCTL_TCP_ORPHAN_RETRIES,
  SYSCTL_TCP_RETRIES2,
  SYSCTL_TCP_RTO_MIN,
} from "../layout";
import { count, nowMillis, sysctl } from "../stack";
import { tcpDone } from "./close";
import { rtoMax } from "./rtt";
import { Flight, TF_ORPHAN, Tcb } from "./tcb";

/** What `retries` doublings of a timeout of `base` ms would take, ms: R2 as a time (Linux: tcp_model_timeout). */
export function modelTimeout(retries: u32, base: u32): u32 {
  const most = rtoMax();
  let doublings: u32 = 0;
  if (most > base) doublings = 31 - clz<u32>(most / base);
  if (retries <= doublings) return ((2 << retries) - 1) * base;
  return ((2 << doublings) - 1) * base + (retries - doublings) * most;
}

/** R2 of data: the model's timeout begins at the least RTO. */
export function dataTimeout(retries: u32): u32 {
  return modelTimeout(retries, max<u32>(sysctl(SYSCTL_TCP_RTO_MIN), 1));
}

/** The first retransmission, or probe, since the peer last acknowledged anything new, ms. */
function silentSince(t: Tcb): u32 {
  const progress = t.flight != 0 ? changetype<Flight>(t.flight).progressMillis : t.retransStampMillis;
  return i32(progress - t.retransStampMillis) > 0 ? progress : t.retransStampMillis;
}

/** Time since the first retransmission after the peer last acknowledged anything new; 0 without one. */
export function silentMillis(t: Tcb): u32 {
  return t.retransStampMillis == 0 || t.retransmits == 0 ? 0 : nowMillis - silentSince(t);
}

/** True when the peer has been silent for too long: R2, or the user's own limit (RFC 5482). */
export function isTimedOut(t: Tcb): bool {
  const elapsed = silentMillis(t);
  if (elapsed == 0) return false;
  if (t.userTimeoutMillis != 0) return elapsed >= t.userTimeoutMillis;
  const orphan = (t.tflags & TF_ORPHAN) != 0;
  // Behind a window that was shut over them the segments are probes, and answers count as progress (noteShutWindow):
  // only a peer that says nothing at all is given up, after two of the longest intervals (as Linux; RFC 9293 3.8.6).
  if (t.sndWnd == 0 && !orphan) return elapsed >= 2 * rtoMax();
  return elapsed >= dataTimeout(sysctl(orphan ? SYSCTL_TCP_ORPHAN_RETRIES : SYSCTL_TCP_RETRIES2));
}

/**
 * The peer has shut its window over data in flight, and says so: what is sent again are probes, and "the sending TCP
 * peer MUST allow the connection to stay open" while they are answered (RFC 9293 3.8.6.1). What nobody waits for, or
 * has a limit of its own (RFC 5482), is not kept for that.
 */
export function noteShutWindow(t: Tcb, f: Flight): void {
  if (!(t.tflags & TF_ORPHAN) && t.userTimeoutMillis == 0) f.progressMillis = nowMillis;
}

/** The end of a connection whose peer is silent: told is the soft error that explains it, if there was one. */
export function giveUp(t: Tcb): void {
  const soft = t.flight != 0 ? changetype<Flight>(t.flight).softError : 0;
  count(MIB_TCP_ABORT_ON_TIMEOUT);
  tcpDone(t, soft != 0 ? soft : ETIMEDOUT);
}

/** A wait that does not outlast the user timeout (RFC 5482). */
export function untilUserTimeout(t: Tcb, millis: u32): u32 {
  if (t.userTimeoutMillis == 0 || t.retransStampMillis == 0) return millis;
  const left = i32(silentSince(t) + t.userTimeoutMillis - nowMillis);
  return min(millis, u32(max<i32>(left, 1)));
}
