// Congestion control: slow start, the choice of an algorithm, NewReno (RFC 5681). cwnd counts segments.

import { CC_CUBIC } from "../layout";
import { cubicAvoid, cubicReset, cubicSsthresh } from "./cubic";
import { seqGe } from "./sequence";
import { CA_CWR, CA_RECOVERY, Flight, TF_CWND_LIMITED, Tcb } from "./tcb";

export const SSTHRESH_INFINITE: u32 = 0x7fffffff;

/** True while the window may grow exponentially. */
export function inSlowStart(t: Tcb): bool {
  return t.cwnd < t.ssthresh;
}

/** The window stopped the sender lately: only then does it grow (RFC 7661's spirit, Linux's tcp_is_cwnd_limited). */
function isLimited(t: Tcb, f: Flight): bool {
  return (t.tflags & TF_CWND_LIMITED) != 0 || (inSlowStart(t) && t.cwnd < 2 * f.maxPacketsOut);
}

/**
 * Something was sent, or the window forbade it (`isStopped`). That it did is remembered until something is sent a round
 * trip later and it did not; else how much was in flight at most (Linux: tcp_cwnd_validate).
 */
export function validateWindow(t: Tcb, f: Flight, isStopped: bool): void {
  const isRoundOver = seqGe(t.sndUna, f.limitedSeq);
  if (!isStopped && !isRoundOver && (t.tflags & TF_CWND_LIMITED || f.packetsOut <= f.maxPacketsOut)) return;
  if (isStopped) t.tflags |= TF_CWND_LIMITED;
  else t.tflags &= ~TF_CWND_LIMITED;
  f.maxPacketsOut = f.packetsOut;
  f.limitedSeq = t.sndNxt;
}

/** New data was acknowledged, `acked` segments of it, outside of recovery. */
export function congestionAvoid(t: Tcb, f: Flight, acked: u32): void {
  if (!isLimited(t, f)) return;
  if (inSlowStart(t)) {
    acked = slowStart(t, acked);
    if (acked == 0) return;
  }
  if (t.congestion == CC_CUBIC) cubicAvoid(t, f, acked);
  else additiveIncrease(t, t.cwnd, acked);
}

/** Byte counting without its limit, as Linux does; returns what is left above ssthresh. */
function slowStart(t: Tcb, acked: u32): u32 {
  const cwnd = min(t.cwnd + acked, t.ssthresh);
  const left = acked - (cwnd - t.cwnd);
  t.cwnd = cwnd;
  return left;
}

/** One segment more for every `window` acknowledged. */
export function additiveIncrease(t: Tcb, window: u32, acked: u32): void {
  if (t.cwndCount >= window) {
    t.cwndCount = 0;
    t.cwnd++;
  }
  t.cwndCount += acked;
  if (t.cwndCount >= window) {
    const more = t.cwndCount / window;
    t.cwndCount -= more * window;
    t.cwnd += more;
  }
}

/** ssthresh after a loss. */
export function lossSsthresh(t: Tcb, f: Flight): u32 {
  if (t.congestion == CC_CUBIC) return cubicSsthresh(t, f);
  return max<u32>(t.cwnd >>> 1, 2);
}

/** After a retransmission timeout the algorithm starts over. */
export function congestionLoss(t: Tcb, f: Flight): void {
  if (t.congestion == CC_CUBIC) cubicReset(f);
}

/** ssthresh as it is now, for undoing: three quarters of cwnd outside of reductions (Linux: tcp_current_ssthresh). */
export function currentSsthresh(t: Tcb): u32 {
  if (t.caState == CA_CWR || t.caState == CA_RECOVERY) return t.ssthresh;
  return max(t.ssthresh, (t.cwnd >>> 1) + (t.cwnd >>> 2));
}

/** RFC 6928's ten segments, or what the option says; after `idleMillis` without sending, RFC 5681 section 4.1. */
export function restartWindow(t: Tcb, initial: u32, idleMillis: u32): void {
  t.ssthresh = currentSsthresh(t);
  const floor = min(initial, t.cwnd);
  let cwnd = t.cwnd;
  let idle = i32(idleMillis) - i32(t.rtoMillis);
  while (idle > 0 && cwnd > floor) {
    cwnd >>>= 1;
    idle -= i32(max<u32>(t.rtoMillis, 1));
  }
  t.cwnd = max(cwnd, floor);
  t.cwndCount = 0;
}
