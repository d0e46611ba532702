// RACK: time-based loss detection, and the tail loss probe (RFC 8985), as Linux does both.

import { MIB_TCP_TLP_PROBES, SYSCTL_TCP_EARLY_RETRANS, SYSCTL_TCP_RECOVERY, SYSCTL_TCP_RTO_MIN } from "../layout";
import { count, nowMicros, nowMillis, sysctl } from "../stack";
import { backedOffRto } from "./rtt";
import { markLost } from "./scoreboard";
import { seqGt, seqLe } from "./sequence";
import {
  CA_OPEN,
  CA_RECOVERY,
  Flight,
  TF_REO_TIMER,
  TF_SACK,
  TS_LOST,
  TS_RETRANS,
  TS_EVER_RETRANS,
  Tcb,
  TxSeg,
} from "./tcb";

/** Bits of tcp_recovery. */
const RECOVERY_RACK: u32 = 1;
const RECOVERY_STATIC_WINDOW: u32 = 2;
const RECOVERY_NO_DUPTHRESH: u32 = 4;

/** Flight.rackFlags */
export const RACK_REORDER_SEEN: u32 = 1;
export const RACK_ADVANCED: u32 = 2;
export const RACK_DSACK_SEEN: u32 = 4;

/** RACK serves connections with SACK; the others count duplicate ACKs. */
export function usesRack(t: Tcb): bool {
  return (t.tflags & TF_SACK) != 0 && (sysctl(SYSCTL_TCP_RECOVERY) & RECOVERY_RACK) != 0;
}

/** True when (time 1, end 1) was sent after (time 2, end 2). */
export function sentAfter(micros1: u32, end1: u32, micros2: u32, end2: u32): bool {
  const later = i32(micros1 - micros2);
  return later > 0 || (later == 0 && seqGt(end1, end2));
}

/** A segment was delivered (RFC 8985 6.2 step 2). */
export function rackAdvance(t: Tcb, f: Flight, s: TxSeg): void {
  const rtt = nowMicros - s.sentMicros;
  // An ACK that comes sooner than the path allows speaks of the first transmission.
  if (s.flags & TS_EVER_RETRANS && rtt < t.minRttMicros) return;
  f.rackRttMicros = rtt;
  f.rackFlags |= RACK_ADVANCED;
  if (f.rackMicros == 0 || sentAfter(s.sentMicros, s.endSeq, f.rackMicros, f.rackEndSeq)) {
    f.rackMicros = max<u32>(s.sentMicros, 1);
    f.rackEndSeq = s.endSeq;
  }
}

/** The reordering window (6.2 step 4), microseconds. */
function reorderingWindow(t: Tcb, f: Flight): u32 {
  if (!(f.rackFlags & RACK_REORDER_SEEN)) {
    if (t.caState >= CA_RECOVERY) return 0;
    if (f.sackedOut >= f.reordering && !(sysctl(SYSCTL_TCP_RECOVERY) & RECOVERY_NO_DUPTHRESH)) return 0;
  }
  return min((t.minRttMicros >>> 2) * u32(f.reoWndSteps), t.srtt8 >>> 3);
}

/** Adapts the reordering window to D-SACKs (6.2 step 4). */
export function rackUpdateReoWnd(t: Tcb, f: Flight, delivered: bool): void {
  if (sysctl(SYSCTL_TCP_RECOVERY) & RECOVERY_STATIC_WINDOW) return;
  if (!delivered || !f.rackDsackRound) {
    f.rackFlags &= ~RACK_DSACK_SEEN;
    if (!delivered && f.rackDsackRound) return;
  }
  if (f.rackFlags & RACK_DSACK_SEEN) {
    f.reoWndSteps = u16(min<u32>(255, u32(f.reoWndSteps) + 1));
    f.rackFlags &= ~RACK_DSACK_SEEN;
    f.rackDsackRound = t.sndNxt;
    f.reoWndPersist = 16;
  } else if (f.reoWndPersist == 0) {
    f.reoWndSteps = 1;
  }
}

/**
 * Marks what is overdue as lost (6.2 step 5). Returns the time in microseconds until the next segment would be
 * overdue, 0 when there is none.
 */
export function rackDetectLoss(t: Tcb, f: Flight): u32 {
  const window = reorderingWindow(t, f);
  let timeout: u32 = 0;
  let at = f.timeHead;
  while (at != 0) {
    const s = changetype<TxSeg>(at);
    at = s.timeNext;
    if (s.flags & TS_LOST && !(s.flags & TS_RETRANS)) continue;
    if (!sentAfter(f.rackMicros, f.rackEndSeq, s.sentMicros, s.endSeq)) break;
    const remaining = i32(f.rackRttMicros + window - (nowMicros - s.sentMicros));
    if (remaining <= 0) markLost(f, s);
    else timeout = max(timeout, u32(remaining));
  }
  return timeout;
}

/** Runs loss detection when an ACK has moved RACK's clock; returns microseconds for the reordering timer, or 0. */
export function rackMarkLost(t: Tcb, f: Flight): u32 {
  if (!(f.rackFlags & RACK_ADVANCED)) return 0;
  f.rackFlags &= ~RACK_ADVANCED;
  return rackDetectLoss(t, f);
}

/** Keeps the least round-trip time of the last five minutes (Linux: tcp_min_rtt_wlen). */
export function updateMinRtt(t: Tcb, f: Flight, micros: u32): void {
  const sample = max<u32>(micros, 1);
  if (t.minRttMicros == 0 || sample <= t.minRttMicros || nowMillis - f.minRttMillis > 300000) {
    t.minRttMicros = sample;
    f.minRttMillis = nowMillis;
  }
}

/**
 * The probe timeout in ms (7.2): two round trips, more for a single segment, whose ACK may be delayed. 0: no probe now.
 */
export function probeTimeout(t: Tcb, f: Flight): u32 {
  if (!usesTailProbe(t)) return 0;
  if (f.packetsOut == 0 || f.sackedOut > 0 || f.tlpHighSeq != 0) return 0;
  return probeTimeoutOf(t, f.packetsOut);
}

/** True when tail loss probes are sent. */
export function usesTailProbe(t: Tcb): bool {
  const early = sysctl(SYSCTL_TCP_EARLY_RETRANS);
  return usesRack(t) && (early == 3 || early == 4);
}

/** The same when nothing was SACKed or probed: `packetsOut` segments are in flight. */
export function probeTimeoutOf(t: Tcb, packetsOut: u32): u32 {
  if (t.caState != CA_OPEN || t.srtt8 == 0) return 0;
  let micros = t.srtt8 >>> 2;
  if (packetsOut == 1) micros += sysctl(SYSCTL_TCP_RTO_MIN) * 1000;
  else micros += 2000;
  return min((micros + 999) / 1000, backedOffRto(t));
}

/** Counts a probe that was sent. */
export function countProbe(): void {
  count(MIB_TCP_TLP_PROBES);
}

/** True when the reordering timer runs in the place of the RTO. */
export function reoTimerRuns(t: Tcb): bool {
  return (t.tflags & TF_REO_TIMER) != 0;
}

/** True when `ack` covers everything a probe at `tlpHighSeq` stood for. */
export function probeAcked(f: Flight, ack: u32): bool {
  return f.tlpHighSeq != 0 && seqLe(f.tlpHighSeq, ack);
}
