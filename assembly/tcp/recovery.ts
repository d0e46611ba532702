// Loss recovery's state machine: open, disorder, CWR, recovery, loss (Linux's tcp_fastretrans_alert).
// Read first: RFC 6675 (SACK recovery), 6582 (NewReno), 6937 (PRR), 5682 (F-RTO); undo as RFC 3522 and 2883 allow.

import {
  MIB_TCP_FAST_RETRANS,
  MIB_TCP_SACK_RENEGING,
  MIB_TCP_SPURIOUS_RTOS,
  SYSCTL_TCP_FRTO,
  SYSCTL_TCP_REORDERING,
} from "../layout";
import { count, nowMillis, sysctl } from "../stack";
import { congestionLoss, currentSsthresh, lossSsthresh } from "./congestion";
import { mtuProbeLost } from "./mtu-probe";
import { currentMss } from "./output";
import { RACK_DSACK_SEEN, rackMarkLost, usesRack } from "./rack";
import { SACK_DATA, SACK_DSACK, SACK_ORIGINAL } from "./sack";
import { inFlight, markLost, scoreboardSplit, timeRestore } from "./scoreboard";
import { segHasTs, segTsEcr } from "./segment";
import { seqGe, seqGt } from "./sequence";
import {
  CA_CWR,
  CA_DISORDER,
  CA_LOSS,
  CA_OPEN,
  CA_RECOVERY,
  Flight,
  TF_CWR_PENDING,
  TF_ECN,
  TF_SACK,
  TS_EVER_RETRANS,
  TS_LOST,
  TS_RETRANS,
  TS_SACKED,
  Tcb,
  TxSeg,
} from "./tcb";
import { armReorderingTimer } from "./timers";
import { hasUnsent } from "./transmit";

/** How long what looks like reneging may last at least, before all that was SACKed counts as lost. */
const RENEGING_MIN_MICROS: u32 = 10000;

/** What an ACK did: the low bits are SACK_*. */
export const ACK_ADVANCED: u32 = 16; // SND.UNA moved
export const ACK_DATA: u32 = 32; // the segment carried data
export const ACK_WINDOW: u32 = 64; // the window changed
export const ACK_ECE: u32 = 128;
export const ACK_RETRANS: u32 = 256; // a retransmitted segment was acknowledged
export const ACK_SYN: u32 = 512;
export const ACK_NOT_DUP: u32 = ACK_ADVANCED | ACK_DATA | ACK_WINDOW;
/** An ACK that needs the state machine. */
export const ACK_ALERT: u32 = SACK_DATA | SACK_DSACK | ACK_ECE;

/** What to send after an ACK. */
export const REXMIT_NONE: u32 = 0;
export const REXMIT_LOST: u32 = 1;
export const REXMIT_NEW: u32 = 2;

/** Without SACK: a duplicate ACK says that one segment left the network (Linux: tcp_add_reno_sack). */
function addRenoSack(f: Flight, duplicates: u32): void {
  if (duplicates == 0) return;
  const holes = max(min(f.lostOut, f.packetsOut), 1);
  const before = f.sackedOut;
  f.sackedOut = min(f.sackedOut + duplicates, f.packetsOut - min(holes, f.packetsOut));
  if (f.sackedOut > before) f.delivered += f.sackedOut - before;
}

/** Without SACK: an ACK that moves SND.UNA by `acked` segments takes them out of the guess. */
export function removeRenoSacks(f: Flight, acked: u32): void {
  if (acked > 0) {
    const gone = acked - 1;
    f.sackedOut = f.sackedOut > gone ? f.sackedOut - gone : 0;
  }
  const holes = max(min(f.lostOut, f.packetsOut), 1);
  f.sackedOut = min(f.sackedOut, f.packetsOut - min(holes, f.packetsOut));
}

function hasSack(t: Tcb): bool {
  return (t.tflags & TF_SACK) != 0;
}

/** True when the ACK answers an original although it was retransmitted (Eifel, RFC 3522). */
function answersOriginal(t: Tcb): bool {
  return (
    t.retransStampMillis != 0 && segHasTs && segTsEcr != 0 && i32(segTsEcr - t.tsOffset - t.retransStampMillis) < 0
  );
}

function mayUndo(t: Tcb, f: Flight): bool {
  return f.undoMarker != 0 && (f.undoRetrans == 0 || answersOriginal(t));
}

/** Takes the window reduction back. */
function undoReduction(t: Tcb, f: Flight, unmarkLost: bool): void {
  if (unmarkLost) {
    let near: u32 = 0;
    for (let at = f.segHead; at != 0; at = changetype<TxSeg>(at).next) {
      const s = changetype<TxSeg>(at);
      if (s.flags & TS_LOST) {
        s.flags &= ~u8(TS_LOST);
        f.lostOut -= s.pcount;
        near = timeRestore(f, s, near);
      }
    }
    f.retransHint = 0;
  }
  if (f.priorSsthresh != 0) {
    t.cwnd = max(t.cwnd, f.priorCwnd);
    if (f.priorSsthresh > t.ssthresh) {
      t.ssthresh = f.priorSsthresh;
      t.tflags &= ~TF_CWR_PENDING;
    }
  }
  f.undoMarker = 0;
  f.rackFlags |= RACK_DSACK_SEEN;
}

/** At the end of recovery: undo it if it was needless. True: NewReno stays until something above highSeq is ACKed. */
function tryUndoRecovery(t: Tcb, f: Flight): bool {
  if (mayUndo(t, f)) {
    if (t.caState == CA_LOSS) count(MIB_TCP_SPURIOUS_RTOS);
    undoReduction(t, f, false);
  }
  if (t.sndUna == f.highSeq && !hasSack(t)) {
    // "Hold old state until something *above* high_seq is ACKed" (RFC 6582 3.2 step 4: avoid multiple fast retransmits)
    if (f.retransOut == 0) t.retransStampMillis = 0;
    return true;
  }
  t.caState = u8(CA_OPEN);
  return false;
}

function tryUndoDsack(t: Tcb, f: Flight): bool {
  if (f.undoMarker != 0 && f.undoRetrans == 0) {
    undoReduction(t, f, false);
    return true;
  }
  return false;
}

/** The D-SACK came when nothing was in flight any more (Linux: tcp_ack, no_queue). */
export function undoLate(t: Tcb, f: Flight): void {
  if (t.caState <= CA_DISORDER) tryUndoDsack(t, f);
}

function tryUndoLoss(t: Tcb, f: Flight, spurious: bool): bool {
  if (!spurious && !mayUndo(t, f)) return false;
  undoReduction(t, f, true);
  count(MIB_TCP_SPURIOUS_RTOS);
  t.retransmits = 0;
  t.backoff = 0;
  if (t.sndUna == f.highSeq && !hasSack(t)) {
    // The state stays, but what is sent next and lost is another matter.
    if (f.retransOut == 0) t.retransStampMillis = 0;
    return true;
  }
  if (spurious || hasSack(t)) t.caState = u8(CA_OPEN);
  return true;
}

/** A partial ACK in recovery that answers an original: the segments were reordered, not lost. */
function tryUndoPartial(t: Tcb, f: Flight): bool {
  if (f.undoMarker == 0 || !answersOriginal(t)) return false;
  if (f.retransOut > 0) return true;
  undoReduction(t, f, true);
  tryToOpen(t, f, 0);
  return true;
}

/** Something is missing, or was sent again, in what is in flight. */
function isDisordered(f: Flight): bool {
  if (f.sackedOut + f.lostOut + f.retransOut > 0) return true;
  return f.segHead != 0 && (changetype<TxSeg>(f.segHead).flags & TS_EVER_RETRANS) != 0;
}

function tryKeepOpen(t: Tcb, f: Flight): void {
  const state = isDisordered(f) ? CA_DISORDER : CA_OPEN;
  if (u32(t.caState) != state) {
    t.caState = u8(state);
    f.highSeq = t.sndNxt;
  }
}

function tryToOpen(t: Tcb, f: Flight, flag: u32): void {
  if (f.retransOut == 0) t.retransStampMillis = 0;
  if (flag & ACK_ECE) enterCwr(t, f);
  if (t.caState != CA_CWR) tryKeepOpen(t, f);
}

/** Prepares PRR (RFC 6937). */
function initReduction(t: Tcb, f: Flight): void {
  f.highSeq = t.sndNxt;
  f.tlpHighSeq = 0;
  t.cwndCount = 0;
  f.priorCwnd = t.cwnd;
  f.prrDelivered = 0;
  f.prrOut = 0;
  t.ssthresh = lossSsthresh(t, f);
  if (t.tflags & TF_ECN) t.tflags |= TF_CWR_PENDING;
}

/** ECN's echo, or a lost probe that was repaired: one reduction in a window (RFC 3168 6.1.2). */
export function enterCwr(t: Tcb, f: Flight): void {
  f.priorSsthresh = 0;
  if (t.caState >= CA_CWR) return;
  f.undoMarker = 0;
  initReduction(t, f);
  t.caState = u8(CA_CWR);
}

/** PRR: how much may leave for what has arrived (RFC 6937 section 3, with slow start part). */
export function prrUpdate(t: Tcb, f: Flight, delivered: u32, newlyLost: u32, flag: u32): void {
  if (delivered == 0 || f.priorCwnd == 0) return;
  const pipe = inFlight(f);
  f.prrDelivered += delivered;
  let send: i32;
  if (pipe > t.ssthresh) {
    const due = u32((u64(t.ssthresh) * u64(f.prrDelivered) + u64(f.priorCwnd) - 1) / u64(f.priorCwnd));
    send = i32(due) - i32(f.prrOut);
  } else {
    send = max<i32>(i32(f.prrDelivered) - i32(f.prrOut), i32(delivered));
    if (flag & ACK_ADVANCED && newlyLost == 0) send++;
    send = min(send, i32(t.ssthresh - pipe));
  }
  // "Force a fast retransmit upon entering fast recovery"
  send = max(send, f.prrOut > 0 ? 0 : 1);
  t.cwnd = pipe + u32(send);
}

function endReduction(t: Tcb, f: Flight): void {
  if (t.ssthresh < 0x7fffffff && (t.caState == CA_CWR || f.undoMarker != 0)) t.cwnd = t.ssthresh;
}

function initUndo(t: Tcb, f: Flight): void {
  f.undoMarker = max<u32>(t.sndUna, 1);
  f.undoRetrans = f.retransOut > 0 ? f.retransOut : u32.MAX_VALUE;
}

/** Fast recovery begins. */
export function enterRecovery(t: Tcb, f: Flight, ece: bool): void {
  count(MIB_TCP_FAST_RETRANS);
  f.priorSsthresh = 0;
  initUndo(t, f);
  if (t.caState < CA_CWR) {
    if (!ece) f.priorSsthresh = currentSsthresh(t);
    initReduction(t, f);
  }
  t.caState = u8(CA_RECOVERY);
}

/** A retransmission timeout: everything not SACKed is lost, one segment may go (RFC 5681 3.1, RFC 6298 5.4-5.6). */
export function enterLoss(t: Tcb, f: Flight): void {
  const newRecovery = t.caState < CA_RECOVERY;
  const reneged = f.segHead != 0 && (changetype<TxSeg>(f.segHead).flags & TS_SACKED) != 0;
  if (reneged) {
    count(MIB_TCP_SACK_RENEGING);
    forgetSacks(f);
  } else if (!hasSack(t)) {
    f.sackedOut = 0;
  }
  for (let at = f.segHead; at != 0; at = changetype<TxSeg>(at).next) markLost(f, changetype<TxSeg>(at));
  if (t.caState <= CA_DISORDER || !seqGt(f.highSeq, t.sndUna) || (t.caState == CA_LOSS && t.retransmits == 0)) {
    f.priorSsthresh = currentSsthresh(t);
    f.priorCwnd = t.cwnd;
    t.ssthresh = lossSsthresh(t, f);
    congestionLoss(t, f);
    initUndo(t, f);
  }
  t.cwnd = inFlight(f) + 1;
  t.cwndCount = 0;
  if (t.caState <= CA_DISORDER && f.sackedOut >= f.reordering) {
    f.reordering = min(f.reordering, sysctl(SYSCTL_TCP_REORDERING));
  }
  t.caState = u8(CA_LOSS);
  f.highSeq = t.sndNxt;
  f.tlpHighSeq = 0;
  f.retransHint = 0;
  if (t.tflags & TF_ECN) t.tflags |= TF_CWR_PENDING;
  f.frto = u32(sysctl(SYSCTL_TCP_FRTO) != 0 && (newRecovery || t.retransmits > 0) && f.mtupSize == 0 && hasSack(t));
}

/** The receiver has thrown away what it had SACKed (RFC 2018 section 8). */
function forgetSacks(f: Flight): void {
  for (let at = f.segHead; at != 0; at = changetype<TxSeg>(at).next) {
    const s = changetype<TxSeg>(at);
    if (s.flags & TS_SACKED) {
      s.flags &= ~u8(TS_SACKED);
      f.sackedOut -= s.pcount;
    }
  }
}

/**
 * Without SACK: "the first unacknowledged segment" is lost, and no more is known (RFC 6582 3.2): of several that left
 * together the first alone. A partial ACK tells of the next one.
 */
function newRenoMarkLost(t: Tcb, f: Flight, flag: u32): void {
  const isNew = t.caState < CA_RECOVERY && f.sackedOut >= f.reordering;
  if (!isNew && !(t.caState == CA_RECOVERY && flag & ACK_ADVANCED)) return;
  const s = changetype<TxSeg>(f.segHead);
  const mss = currentMss(t);
  if (s.flags & TS_LOST) return;
  if (s.pcount > 1 && s.endSeq - s.seq > mss && !scoreboardSplit(f, s, s.seq + mss, mss)) return;
  markLost(f, s);
}

/** Looks for lost segments. */
function identifyLoss(t: Tcb, f: Flight, flag: u32): void {
  if (f.segHead == 0) return;
  if (usesRack(t)) {
    const micros = rackMarkLost(t, f);
    if (micros > 0) armReorderingTimer(t, micros);
  } else if (!hasSack(t)) {
    newRenoMarkLost(t, f, flag);
  } else {
    sackMarkLost(f);
  }
}

/** SACK without RACK (RFC 6675 IsLost): dupThresh segments above it were SACKed. */
function sackMarkLost(f: Flight): void {
  let above = f.sackedOut;
  for (let at = f.segHead; at != 0 && above >= f.reordering; at = changetype<TxSeg>(at).next) {
    const s = changetype<TxSeg>(at);
    if (s.flags & TS_SACKED) above -= s.pcount;
    else if (!(s.flags & (TS_LOST | TS_EVER_RETRANS))) markLost(f, s);
  }
}

function processLoss(t: Tcb, f: Flight, flag: u32, duplicates: u32): u32 {
  const recovered = seqGe(t.sndUna, f.highSeq);
  if (flag & ACK_ADVANCED && tryUndoLoss(t, f, false)) return REXMIT_NONE;
  if (f.frto) {
    // RFC 5682 3.1: an ACK for what was never sent again, after the timeout, says that the timeout was spurious
    if (flag & SACK_ORIGINAL && tryUndoLoss(t, f, true)) return REXMIT_NONE;
    if (seqGt(t.sndNxt, f.highSeq)) {
      if (flag & SACK_DATA || duplicates > 0) f.frto = 0;
    } else if (flag & ACK_ADVANCED && !recovered) {
      f.highSeq = t.sndNxt;
      if (hasUnsent(t) && seqGt(t.sndUna + t.sndWnd, t.sndNxt)) return REXMIT_NEW;
      f.frto = 0;
    }
  }
  if (recovered) {
    tryUndoRecovery(t, f);
    return REXMIT_NONE;
  }
  if (!hasSack(t)) {
    if (seqGt(t.sndNxt, f.highSeq) && duplicates > 0) addRenoSack(f, duplicates);
    else if (flag & ACK_ADVANCED) f.sackedOut = 0;
  }
  return REXMIT_LOST;
}

/** The head of the queue is SACKed while the ACK stays below it: the receiver reneges; the timer will clear it up. */
function isReneging(t: Tcb, f: Flight): bool {
  return f.segHead != 0 && (changetype<TxSeg>(f.segHead).flags & TS_SACKED) != 0 && hasSack(t);
}

/**
 * An ACK that is not simply more of the same. `una` is SND.UNA before it, `acked` how many segments it took away,
 * `duplicates` 1 for a duplicate. Returns REXMIT_*.
 */
export function fastRetransmitAlert(t: Tcb, f: Flight, acked: u32, duplicates: u32, flag: u32): u32 {
  if (flag & ACK_ECE) f.priorSsthresh = 0;
  if (flag & ACK_ADVANCED && isReneging(t, f)) {
    // Half a round trip may still clear it up.
    armReorderingTimer(t, max<u32>(t.srtt8 >>> 4, RENEGING_MIN_MICROS));
    return REXMIT_NONE;
  }
  if (t.caState == CA_OPEN) {
    t.retransStampMillis = 0;
  } else if (seqGe(t.sndUna, f.highSeq)) {
    if (t.caState == CA_CWR && t.sndUna != f.highSeq) {
      endReduction(t, f);
      t.caState = u8(CA_OPEN);
    } else if (t.caState == CA_RECOVERY) {
      if (!hasSack(t)) f.sackedOut = 0;
      if (tryUndoRecovery(t, f)) return REXMIT_NONE;
      endReduction(t, f);
    }
  }
  switch (u32(t.caState)) {
    case CA_RECOVERY:
      if (!(flag & ACK_ADVANCED)) {
        if (!hasSack(t)) addRenoSack(f, duplicates);
      } else {
        if (tryUndoPartial(t, f)) return REXMIT_LOST;
        if (!hasSack(t)) removeRenoSacks(f, acked);
      }
      if (tryUndoDsack(t, f)) {
        tryToOpen(t, f, flag);
        return REXMIT_LOST;
      }
      identifyLoss(t, f, flag);
      return REXMIT_LOST;
    case CA_LOSS: {
      const rexmit = processLoss(t, f, flag, duplicates);
      identifyLoss(t, f, flag & ~ACK_ADVANCED);
      if (t.caState != CA_OPEN) return rexmit;
      break;
    }
    default:
      if (!hasSack(t)) {
        if (flag & ACK_ADVANCED) f.sackedOut = 0;
        addRenoSack(f, duplicates);
      }
      if (t.caState <= CA_DISORDER) tryUndoDsack(t, f);
      identifyLoss(t, f, flag);
      break;
  }
  if (f.lostOut == 0) {
    tryToOpen(t, f, flag);
    return REXMIT_NONE;
  }
  if (t.caState < CA_CWR && mtuProbeLost(t, f)) {
    markTooBig(t, f, currentMss(t));
    return REXMIT_LOST;
  }
  enterRecovery(t, f, (flag & ACK_ECE) != 0);
  return REXMIT_LOST;
}

/** Marks segments that a smaller path MTU has cut off: they are sent again at once (RFC 1191 6.5). */
export function markTooBig(t: Tcb, f: Flight, mss: u32): void {
  let any = false;
  for (let at = f.segHead; at != 0; at = changetype<TxSeg>(at).next) {
    const s = changetype<TxSeg>(at);
    if (!(s.flags & TS_SACKED) && (s.endSeq - s.seq > mss || s.flags & TS_RETRANS)) {
      markLost(f, s);
      any = true;
    }
  }
  if (any && t.caState != CA_LOSS) {
    f.highSeq = t.sndNxt;
    t.ssthresh = currentSsthresh(t);
    f.priorSsthresh = 0;
    f.undoMarker = 0;
    t.caState = u8(CA_LOSS);
  }
  t.retransStampMillis = max<u32>(nowMillis, 1);
}
