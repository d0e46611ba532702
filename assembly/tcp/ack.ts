// Acknowledgments: what they take out of the send queue, the clock readings they bring, and what follows for
// the congestion window. Read first: RFC 9293 3.10.7.4 (fifth step), RFC 5681 section 3, RFC 5961 section 5.

import { ECE, FIN, SYN, SYSCTL_TCP_REORDERING } from "../layout";
import { queueConsume } from "../memory/chunk";
import { Netif, netifFlush } from "../net/netif";
import { SF_KEEPALIVE } from "../socket/socket";
import { nowMicros, nowMillis, sysctl } from "../stack";
import { congestionAvoid } from "./congestion";
import { chronoUpdate } from "./chronograph";
import { cubicRtt } from "./cubic";
import { noteShutWindow, untilUserTimeout } from "./give-up";
import { currentMss } from "./output";
import { RACK_REORDER_SEEN, probeAcked, rackAdvance, rackUpdateReoWnd, updateMinRtt, usesRack } from "./rack";
import {
  ACK_ADVANCED,
  ACK_ALERT,
  ACK_DATA,
  ACK_ECE,
  ACK_NOT_DUP,
  ACK_RETRANS,
  ACK_WINDOW,
  REXMIT_LOST,
  enterCwr,
  fastRetransmitAlert,
  prrUpdate,
  undoLate,
} from "./recovery";
import { backedOffRto, rttSample } from "./rtt";
import {
  SACK_DSACK,
  SACK_ORIGINAL,
  noteAckReordering,
  sackClear,
  sackHasSample,
  sackReceive,
  sackSampleMicros,
} from "./sack";
import { marksAcked } from "./marks";
import { mtuAcked } from "./mtu-probe";
import { flightOf, scoreboardShift, scoreboardTrimHead } from "./scoreboard";
import { segAck, segDataLen, segFlags, segHasTs, segSackCount, segSeq, segTsEcr, segWindow } from "./segment";
import { seqGe, seqGt, seqLe, seqLt } from "./sequence";
import { soloAck, soloIsPlain } from "./solo";
import {
  ARMED_RTO,
  CA_CWR,
  CA_DISORDER,
  CA_LOSS,
  CA_OPEN,
  CA_RECOVERY,
  Flight,
  TF_ECN,
  TF_LOSS_PROBE,
  TF_PROBING,
  TF_REO_TIMER,
  TF_SACK,
  TF_SOLO,
  TS_EVER_RETRANS,
  TS_SACKED,
  Tcb,
  TxSeg,
  sndQueue,
} from "./tcb";
import { armTimer, disarmTimer, keepAnswered, rearmRto } from "./timers";
import { hasUnsent, restartAfterIdle, retransmitLost, tcpOutput, unsentBytes } from "./transmit";

/** What tcpAck() says of the segment. */
export const ACKED_OK: i32 = 1;
/** Older than anything in the window: drop it with a challenge ACK (RFC 5961 5.2). */
export const ACKED_TOO_OLD: i32 = -1;
/** Acknowledges what was never sent: answer with an ACK, drop it. */
export const ACKED_FUTURE: i32 = -2;

/** Updates SND.WND from the current segment (RFC 9293 3.10.7.4: SND.WL1, SND.WL2); true when it changed. */
function updateWindow(t: Tcb): bool {
  const window = segFlags & SYN ? segWindow : segWindow << u32(t.sndScale);
  const newer = seqGt(segAck, t.sndUna) || seqGt(segSeq, t.sndWl1) || (segSeq == t.sndWl1 && window > t.sndWnd);
  if (!newer && !(segSeq == t.sndWl1 && window == 0 && t.sndWnd != 0)) return false;
  t.sndWl1 = segSeq;
  if (t.sndWnd == window) return false;
  t.sndWnd = window;
  if (window > t.maxSndWnd) t.maxSndWnd = window;
  if (unsentBytes(t) > 0) restartAfterIdle(t);
  return true;
}

/** Frees the segments that are acknowledged; returns how many wire segments they stood for. */
let ackedSegments: u32 = 0;
let firstSample: u32 = 0;
let lastSample: u32 = 0;
let hasSample: bool = false;
let ackedRetrans: bool = false;
/** Something sent once only, and before the timeout, was acknowledged: the timeout was spurious (RFC 5682). */
let ackedOriginal: bool = false;
let newlyDelivered: u32 = 0;

/** `priorHigh` is the highest sequence that had been SACKed before this ACK, or SND.UNA. */
function cleanScoreboard(t: Tcb, f: Flight, una: u32, priorHigh: u32): void {
  ackedSegments = 0;
  hasSample = false;
  ackedRetrans = false;
  ackedOriginal = false;
  newlyDelivered = 0;
  let lowest: u32 = 0;
  let anyOriginal = false;
  while (f.segHead != 0) {
    const s = changetype<TxSeg>(f.segHead);
    const whole = seqLe(s.endSeq, una);
    if (!whole && seqGe(s.seq, una)) break;
    const start = s.seq;
    const pcount = whole ? u32(s.pcount) : scoreboardTrimHead(f, una, max<u32>(currentMss(t), 1));
    if (pcount == 0) break;
    const flags = u32(s.flags);
    if (flags & TS_EVER_RETRANS) {
      ackedRetrans = true;
    } else if (!(flags & TS_SACKED)) {
      if (!hasSample) firstSample = s.sentMicros;
      lastSample = s.sentMicros;
      hasSample = true;
      if (seqLe(s.endSeq, f.highSeq)) ackedOriginal = true;
      if (!anyOriginal) {
        lowest = start;
        anyOriginal = true;
      }
    }
    if (!(flags & TS_SACKED)) {
      newlyDelivered += pcount;
      rackAdvance(t, f, s);
    }
    ackedSegments += pcount;
    if (!whole) break;
    scoreboardShift(f);
  }
  // Without SACK, the duplicate ACKs before have told of some of them already.
  if (!(t.tflags & TF_SACK) && ackedSegments > 0) {
    newlyDelivered = max(ackedSegments > f.sackedOut ? ackedSegments - f.sackedOut : 0, 1);
  }
  // Karn: what waited behind a repaired hole says nothing of the path.
  if (ackedRetrans) hasSample = false;
  f.delivered += newlyDelivered;
  // A hole below what was SACKed before has been filled by its original.
  if (anyOriginal && seqLt(lowest, priorHigh)) noteAckReordering(t, f, lowest);
}

/** Drops acknowledged bytes from the send queue; a FIN that was acknowledged takes no byte. */
export function cleanQueue(t: Tcb, ack: u32): void {
  const bytes = min(ack - t.sndUna, t.sndBytes);
  if (bytes > 0) {
    const nif = changetype<Netif>(t.netif);
    // The NIC may still have to gather what is about to be freed.
    if (t.netif != 0 && nif.txExternal != 0) netifFlush();
    queueConsume(sndQueue(t), bytes);
  }
  const before = t.sndUna;
  t.sndUna = ack;
  if (i32(t.sndSml - ack) < 0) t.sndSml = ack;
  if (t.flight != 0) {
    const f = changetype<Flight>(t.flight);
    if (ack - t.iss < before - t.iss) f.bytesAckedHigh++;
    if (f.chronoType != 0) chronoUpdate(t, f);
    if (f.mtupSize != 0) mtuAcked(t, f);
  }
  if (t.extra != 0) marksAcked(t, ack);
}

/** Drops what is acknowledged from the scoreboard and the send queue. */
export function cleanFlight(t: Tcb, f: Flight, ack: u32, priorHigh: u32): void {
  cleanScoreboard(t, f, ack, priorHigh);
  if (ack == t.sndNxt) f.cursorChunk = 0;
  cleanQueue(t, ack);
}

/** A round-trip sample: from the scoreboard, else from the timestamps (RFC 7323 section 4). */
function sampleRtt(t: Tcb, f: Flight, advanced: bool): void {
  if (hasSample) {
    const rtt = nowMicros - firstSample;
    rttSample(t, rtt);
    updateMinRtt(t, f, nowMicros - lastSample);
    cubicRtt(t, f, nowMicros - lastSample);
  } else if (sackHasSample) {
    rttSample(t, nowMicros - sackSampleMicros);
    updateMinRtt(t, f, nowMicros - sackSampleMicros);
  } else if (advanced && ackedRetrans && segHasTs && segTsEcr != 0) {
    const delta = nowMillis + t.tsOffset - segTsEcr;
    rttSample(t, max<u32>(delta, 1) * 1000);
  } else {
    return;
  }
  t.backoff = 0;
}

/** ECN: the peer echoes a congestion mark (RFC 3168 6.1.2). */
function isEce(t: Tcb): bool {
  return (segFlags & ECE) != 0 && !(segFlags & SYN) && (t.tflags & TF_ECN) != 0;
}

/**
 * Takes the acknowledgment of the current segment in (states from ESTABLISHED on). Returns ACKED_*. May send; the
 * TCB lives on.
 */
export function tcpAck(t: Tcb): i32 {
  const una = t.sndUna;
  const ack = segAck;
  if (seqGt(ack, t.sndNxt)) return ACKED_FUTURE;
  if (seqLt(ack, una)) {
    if (seqLt(ack, una - max<u32>(t.maxSndWnd, 1))) return ACKED_TOO_OLD;
    if (t.flight != 0 && segSackCount > 0 && t.tflags & TF_SACK) staleSack(t, changetype<Flight>(t.flight), una);
    return ACKED_OK;
  }
  let flag: u32 = segDataLen > 0 || segFlags & FIN ? ACK_DATA : 0;
  if (updateWindow(t)) flag |= ACK_WINDOW;
  if (ack != una) {
    flag |= ACK_ADVANCED;
    t.retransmits = 0;
  }
  t.probes = 0;
  if (t.flags & SF_KEEPALIVE) keepAnswered(t);
  if (t.flight == 0 && noFlightAck(t, ack)) return ACKED_OK;
  const f = changetype<Flight>(t.flight);
  f.ackMillis = nowMillis;
  f.softError = 0;
  if (f.rtoStampMillis != 0 && ack != una) rtoOver(f);
  if (f.packetsOut > 0) {
    takeAck(t, f, una, ack, flag);
    return ACKED_OK;
  }
  if (segSackCount > 0 && t.tflags & TF_SACK) flag |= lateDsack(t, f, una);
  if (f.tlpHighSeq != 0) probeAnswered(t, f, ack, flag);
  afterIdleAck(t);
  return ACKED_OK;
}

/** An ACK on a connection without a Flight. False when one is needed: the connection has it now. */
function noFlightAck(t: Tcb, ack: u32): bool {
  if (!(t.tflags & TF_SOLO)) {
    afterIdleAck(t);
    return true;
  }
  // Without memory for a Flight the ACK counts for what it covers; the timers see to the rest.
  if (soloIsPlain(t, ack) || flightOf(t) === null) {
    soloAck(t, ack);
    return true;
  }
  return false;
}

/** A D-SACK that comes when all is acknowledged: it may still tell that the window was reduced without need. */
function lateDsack(t: Tcb, f: Flight, una: u32): u32 {
  sackClear();
  const found = sackReceive(t, f, una);
  if (found & SACK_DSACK) undoLate(t, f);
  return found;
}

/** What a timeout was about has moved. */
function rtoOver(f: Flight): void {
  f.rtoTimeMillis += nowMillis - f.rtoStampMillis;
  f.rtoStampMillis = 0;
}

function takeAck(t: Tcb, f: Flight, una: u32, ack: u32, flag: u32): void {
  if (ack == t.sndNxt && isQuiet(t, f)) {
    takeLastAck(t, f, ack);
    return;
  }
  const priorOut = f.packetsOut;
  const priorDelivered = f.delivered;
  const priorLost = f.lostSegments;
  const priorHigh = f.sackedOut > 0 ? f.highSack : una;
  if (isEce(t)) flag |= ACK_ECE;
  sackClear();
  if (segSackCount > 0 && t.tflags & TF_SACK) flag |= sackReceive(t, f, una);
  if (flag & ACK_ADVANCED) {
    cleanFlight(t, f, ack, priorHigh);
    if (!(t.tflags & TF_SACK) && f.sackedOut > 0 && t.caState < CA_RECOVERY) f.sackedOut = 0;
    if (ackedRetrans) flag |= ACK_RETRANS;
    if (ackedOriginal) flag |= SACK_ORIGINAL;
    f.progressMillis = nowMillis;
  } else {
    ackedSegments = 0;
    hasSample = false;
    ackedRetrans = false;
    if (t.sndWnd == 0) noteShutWindow(t, f);
  }
  sampleRtt(t, f, (flag & ACK_ADVANCED) != 0);
  if (usesRack(t)) rackUpdate(t, f, ack, flag);
  if (f.tlpHighSeq != 0) probeAnswered(t, f, ack, flag);
  settle(t, f, flag, priorOut, priorDelivered, priorLost);
}

/** Nothing is lost, SACKed, retransmitted or marked, and the current segment says nothing of the kind. */
function isQuiet(t: Tcb, f: Flight): bool {
  if (t.caState != CA_OPEN || segSackCount != 0 || segFlags & (ECE | SYN)) return false;
  return (f.sackedOut | f.lostOut | f.retransOut | f.tlpHighSeq | f.rackDsackRound | f.undoMarker) == 0;
}

/** The usual ACK of a request: all that was in flight, and nothing special is going on. */
function takeLastAck(t: Tcb, f: Flight, ack: u32): void {
  cleanFlight(t, f, ack, t.sndUna);
  f.progressMillis = nowMillis;
  sampleRtt(t, f, true);
  congestionAvoid(t, f, ackedSegments);
  t.tflags &= ~(TF_LOSS_PROBE | TF_REO_TIMER | TF_PROBING);
  t.armed &= ~u8(ARMED_RTO);
  if (hasUnsent(t)) tcpOutput(t);
}

function rackUpdate(t: Tcb, f: Flight, ack: u32, flag: u32): void {
  const roundOver = f.rackDsackRound == 0 || seqGt(ack, f.rackDsackRound);
  if (flag & ACK_ADVANCED && roundOver && f.rackDsackRound != 0) {
    f.rackDsackRound = 0;
    if (f.reoWndPersist > 0) f.reoWndPersist--;
  }
  rackUpdateReoWnd(t, f, roundOver);
}

/** Decides on recovery, the window's growth, the timer, and sends what may go. */
function settle(t: Tcb, f: Flight, flag: u32, priorOut: u32, priorDelivered: u32, priorLost: u32): void {
  let rexmit: u32 = 0;
  // Something has arrived: RACK's timer runs on only if this ACK, too, leaves something to wait for.
  if (flag & ACK_ADVANCED) t.tflags &= ~TF_REO_TIMER;
  const dubious = !(flag & ACK_NOT_DUP) || (flag & ACK_ALERT) != 0 || t.caState != CA_OPEN;
  if (dubious) {
    const duplicates = flag & (ACK_ADVANCED | ACK_NOT_DUP | SACK_DSACK) ? 0 : 1;
    rexmit = fastRetransmitAlert(t, f, ackedSegments, u32(duplicates), flag);
  }
  const delivered = f.delivered - priorDelivered;
  if (flag & ACK_ECE) f.deliveredCe += delivered;
  if (t.caState == CA_CWR || t.caState == CA_RECOVERY) {
    prrUpdate(t, f, delivered, f.lostSegments - priorLost, flag);
  } else if (mayRaise(t, f, flag, delivered)) {
    congestionAvoid(t, f, delivered);
  }
  if (f.packetsOut == 0) {
    disarmTimer(t, ARMED_RTO);
    t.tflags &= ~(TF_LOSS_PROBE | TF_REO_TIMER | TF_PROBING);
  } else if (flag & ACK_ADVANCED && !(t.tflags & TF_REO_TIMER)) {
    rearmRto(t, f);
  }
  if (rexmit == REXMIT_LOST) retransmitLost(t, f);
  if (rexmit != 0 || hasUnsent(t)) tcpOutput(t);
}

/** An ACK while nothing is in flight: the window may have opened (RFC 9293 3.8.6.1). */
function afterIdleAck(t: Tcb): void {
  if (t.tflags & TF_PROBING) {
    const wanted = min(max<u32>(unsentBytes(t), 1), u32(t.mss));
    if (!hasUnsent(t) || i32(t.sndUna + t.sndWnd - t.sndNxt) >= i32(wanted)) {
      t.backoff = 0;
      t.tflags &= ~TF_PROBING;
      disarmTimer(t, ARMED_RTO);
    } else {
      // The window is still shut: the next probe counts from this answer (Linux: tcp_ack_probe).
      armTimer(t, ARMED_RTO, untilUserTimeout(t, backedOffRto(t)));
    }
  }
  tcpOutput(t);
}

/**
 * May this ACK raise cwnd? Where packets are often reordered whatever was delivered counts, else only what SND.UNA has
 * gained (Linux: tcp_may_raise_cwnd).
 */
function mayRaise(t: Tcb, f: Flight, flag: u32, delivered: u32): bool {
  if (t.caState == CA_LOSS && f.lostOut > 0 && t.cwnd >= t.ssthresh) return false;
  if (f.reordering > sysctl(SYSCTL_TCP_REORDERING)) return delivered > 0;
  if (!(flag & ACK_ADVANCED) || ackedSegments == 0) return false;
  return t.caState != CA_DISORDER || (f.rackFlags & RACK_REORDER_SEEN) != 0 || !(flag & ACK_ECE);
}

/** SACK blocks on an ACK below SND.UNA still tell what arrived. */
function staleSack(t: Tcb, f: Flight, una: u32): void {
  if (f.packetsOut == 0) {
    lateDsack(t, f, una);
    return;
  }
  const priorDelivered = f.delivered;
  const priorLost = f.lostSegments;
  sackClear();
  ackedSegments = 0;
  hasSample = false;
  const flag = sackReceive(t, f, una);
  if (!flag) return;
  const rexmit = fastRetransmitAlert(t, f, 0, 0, flag);
  if (t.caState == CA_CWR || t.caState == CA_RECOVERY) {
    prrUpdate(t, f, f.delivered - priorDelivered, f.lostSegments - priorLost, flag);
  }
  if (rexmit == REXMIT_LOST) retransmitLost(t, f);
  if (hasUnsent(t)) tcpOutput(t);
}

/** A tail loss probe was sent up to tlpHighSeq: did it repair a loss? (RFC 8985 7.4) */
function probeAnswered(t: Tcb, f: Flight, ack: u32, flag: u32): void {
  if (!probeAcked(f, ack)) return;
  if (!f.tlpRetrans || flag & SACK_DSACK) {
    f.tlpHighSeq = 0;
  } else if (seqGt(ack, f.tlpHighSeq)) {
    f.tlpHighSeq = 0;
    enterCwr(t, f);
    t.cwnd = t.ssthresh;
    t.caState = u8(CA_OPEN);
  } else if (!(flag & (ACK_NOT_DUP | ACK_ALERT))) {
    f.tlpHighSeq = 0;
  }
}
