// Segments of synchronized connections, ESTABLISHED to LAST-ACK, step by step as RFC 9293 3.10.7.4 has them,
// with PAWS (RFC 7323 5) in front and RFC 5961's challenges for what might be forged.

import {
  ACK,
  ECONNRESET,
  EPIPE,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  FIN,
  MIB_TCP_ABORT_ON_DATA,
  MIB_TCP_DUP_SEGS,
  MIB_TCP_ECN_CE_RECEIVED,
  MIB_TCP_OUT_OF_WINDOW,
  MIB_TCP_PAWS_OLD_ACKS,
  MIB_TCP_PAWS_REJECTED,
  MIB_TCP_RCV_PRUNED,
  RST,
  SYN,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT_1,
  TCP_FIN_WAIT_2,
  TCP_LAST_ACK,
  URG,
  CWR,
} from "../layout";
import { socketNotify } from "../socket/notify";
import { SF_KEEPALIVE, SF_WANT_SPACE, SHUT_READ, SocketExtra } from "../socket/socket";
import { count, nowCoarse, nowMillis } from "../stack";
import { ACKED_FUTURE, ACKED_TOO_OLD, tcpAck } from "./ack";
import { appendPayload, islandInsert, islandsDrain, islandsPrune, noteDsack } from "./assembler";
import { challengeAck, dupAck } from "./challenge";
import { orphanTimer, skipsFinWait2, tcpDone, toTimeWait } from "./close";
import { fastopenStrayFin, fastopenStrayReset } from "./fastopen-client";
import { ackSoon, resetSegment } from "./input";
import { memoryWait } from "./memory-wait";
import { sendAck } from "./output";
import { flightOf } from "./scoreboard";
import {
  segAck,
  segDataLen,
  segFlags,
  segHasTs,
  segLength,
  segSeq,
  segTos,
  segTrimFront,
  segTsVal,
  segUnit,
} from "./segment";
import { expandSndBuf, hasSendSpace, writerWaits } from "./send-space";
import { seqGe, seqGt, seqLe, seqLt } from "./sequence";
import { EV_FIN, EV_FIN_ACKED, mayReceive, setState } from "./state";
import {
  ARMED_ACK,
  ARMED_KEEP,
  Flight,
  Island,
  TF_ACK_NOW,
  TF_ACK_PENDING,
  TF_ECE_DEMAND,
  TF_ECN,
  TF_FASTOPEN,
  TF_FIN_RECEIVED,
  TF_FIN_SENT,
  TF_NO_MEMORY,
  TF_PINGPONG,
  TF_TIMESTAMPS,
  TF_URGENT,
  Tcb,
  rcvQueue,
} from "./tcb";
import { PAWS_DAYS_COARSE } from "./time-wait";
import { ATO_MIN_MILLIS, armTimer, keepIdle } from "./timers";
import { hasUnsent, tcpOutput } from "./transmit";
import { urgentInput } from "./urgent";
import { growWindow, measureRcvMss, measureRcvRtt, newWindow, openWindow, tuneOutOfOrder } from "./window";

/** The current segment belongs to `t`, whose state is ESTABLISHED or later. Frees `t` when that ends it. */
export function establishedInput(t: Tcb): void {
  if (!acceptable(t)) return;
  if (segFlags & RST) {
    reset(t);
    return;
  }
  // RFC 5961 4.2: a SYN in a synchronized state, wherever it lies, is answered by a challenge ACK
  if (segFlags & SYN) {
    challengeAck(t);
    return;
  }
  if (!(segFlags & ACK)) return;
  // RFC 7323 4.3: what the ACK sets off echoes its timestamp already
  if (seqGe(segAck, t.sndUna) && seqLe(segAck, t.sndNxt)) noteTimestamp(t);
  const result = tcpAck(t);
  if (result == ACKED_TOO_OLD) {
    challengeAck(t);
    return;
  }
  if (result == ACKED_FUTURE) {
    // "If the ACK acks something not yet sent, then send an ACK, drop the segment, and return"
    challengeAck(t);
    return;
  }
  if (!acknowledgedFin(t)) return;
  if (segFlags & URG || t.tflags & TF_URGENT) urgentInput(t);
  if (segDataLen > 0 || segFlags & FIN) takeData(t);
}

/** PAWS, then the sequence check (RFC 9293 3.10.7.4 first; RFC 7323 5.3 R1 to R4). */
function acceptable(t: Tcb): bool {
  if (t.tflags & TF_TIMESTAMPS && segHasTs && i32(segTsVal - t.tsRecent) < 0 && !(segFlags & RST)) {
    if (nowCoarse - t.tsRecentCoarse < PAWS_DAYS_COARSE && !isHarmless(t)) {
      if ((segFlags & (ACK | SYN)) == ACK && segLength() == 0 && seqLt(segSeq, t.rcvNxt)) {
        // A pure ACK that data has overtaken is usual and tells nothing: no answer (Linux: PAWSOldAck).
        count(MIB_TCP_PAWS_OLD_ACKS);
        return false;
      }
      count(MIB_TCP_PAWS_REJECTED);
      noteDuplicate(t, segSeq + segLength());
      dupAck(t);
      return false;
    }
  }
  const end = segSeq + segLength();
  const limit = t.rcvNxt + openWindow(t);
  if (seqGe(end, t.rcvWup) && seqLe(segSeq, limit)) {
    // What reaches beyond the window is taken whole or not at all, whole only while nothing waits to be read (Linux).
    if (seqLe(segSeq + segDataLen, limit) || t.rcvBytes == 0) return true;
  }
  if (segFlags & RST) return false;
  count(MIB_TCP_OUT_OF_WINDOW);
  if (segFlags & SYN) {
    challengeAck(t);
    return false;
  }
  if (segDataLen > 0 || segFlags & FIN) noteDuplicate(t, end);
  dupAck(t);
  return false;
}

/** A pure ACK that a router delayed is not worth a reply (Linux: tcp_disordered_ack). */
function isHarmless(t: Tcb): bool {
  return segDataLen == 0 && segSeq == t.rcvNxt && !(segFlags & (SYN | FIN)) && i32(t.tsRecent - segTsVal) <= 1;
}

/** Data that came before is reported by a D-SACK (RFC 2883). */
function noteDuplicate(t: Tcb, end: u32): void {
  if (end == segSeq || !seqLt(segSeq, t.rcvNxt)) return;
  count(MIB_TCP_DUP_SEGS);
  const f = flightOf(t);
  if (f !== null) noteDsack(f, segSeq, seqLt(end, t.rcvNxt) ? end : t.rcvNxt);
}

/** "If the RST bit is set and the sequence number exactly matches RCV.NXT, ... reset" (RFC 5961 3.2). */
function reset(t: Tcb): void {
  if (segSeq != t.rcvNxt && !matchesSackEdge(t)) {
    if (t.tflags & TF_FASTOPEN) fastopenStrayReset(t);
    challengeAck(t);
    return;
  }
  tcpDone(t, t.state == TCP_CLOSE_WAIT ? EPIPE : ECONNRESET);
}

/** A peer that lost an ACK resets at the right edge of what it has sent (Linux accepts that). */
function matchesSackEdge(t: Tcb): bool {
  if (t.flight == 0) return false;
  const f = changetype<Flight>(t.flight);
  return f.islandTail != 0 && f.islandCount > 0 && segSeq == changetype<Island>(f.islandTail).endSeq;
}

/** Is our FIN acknowledged, and what follows? False when the connection is gone. */
function acknowledgedFin(t: Tcb): bool {
  if (t.tflags & TF_FIN_SENT && t.sndUna == t.sndNxt) {
    switch (i32(t.state)) {
      case TCP_FIN_WAIT_1:
        setState(t, EV_FIN_ACKED);
        if (skipsFinWait2(t)) {
          count(MIB_TCP_ABORT_ON_DATA);
          resetSegment(t);
          tcpDone(t, 0);
          return false;
        }
        orphanTimer(t);
        break;
      case TCP_CLOSING:
        // The ACK of the peer's FIN may wait for the end of this burst; afterwards nobody would send it.
        if (t.tflags & (TF_ACK_NOW | TF_ACK_PENDING)) sendAck(t);
        setState(t, EV_FIN_ACKED);
        toTimeWait(t);
        return false;
      case TCP_LAST_ACK:
        tcpDone(t, 0);
        return false;
      default:
        break;
    }
  }
  wakeWriter(t);
  return true;
}

/** A writer found the send buffer full: there may be room now. */
export function wakeWriter(t: Tcb): void {
  if (!(t.flags & SF_WANT_SPACE)) return;
  expandSndBuf(t);
  if (!hasSendSpace(t)) {
    writerWaits(t);
    return;
  }
  t.flags &= ~u16(SF_WANT_SPACE);
  socketNotify(t, EPOLLOUT);
}

/** RFC 7323 4.3: TS.Recent follows segments that lie at the left edge of what was last acknowledged. */
export function noteTimestamp(t: Tcb): void {
  if (!(t.tflags & TF_TIMESTAMPS) || !segHasTs || seqGt(segSeq, t.rcvWup)) return;
  if (i32(segTsVal - t.tsRecent) >= 0 || nowCoarse - t.tsRecentCoarse >= PAWS_DAYS_COARSE) {
    t.tsRecent = segTsVal;
    t.tsRecentCoarse = nowCoarse;
  }
}

/** Data and FIN (RFC 9293 3.10.7.4 seventh and eighth). */
export function takeData(t: Tcb): void {
  if (!mayReceive(i32(t.state))) {
    // After the peer's FIN nothing can follow; what overlaps is old.
    if (seqGt(segSeq + segLength(), t.rcvNxt)) return;
    noteDuplicate(t, segSeq + segLength());
    sendAck(t);
    return;
  }
  if (t.state != TCP_ESTABLISHED && t.shut & SHUT_READ && seqGt(segSeq + segDataLen, t.rcvNxt)) {
    // RFC 9293 3.6.1: nobody will read this, and the peer is to know (RFC 2525 2.17)
    if (t.tflags & TF_FASTOPEN && segFlags & FIN) fastopenStrayFin(t);
    count(MIB_TCP_ABORT_ON_DATA);
    resetSegment(t);
    tcpDone(t, ECONNRESET);
    return;
  }
  ecnMarks(t);
  const window = openWindow(t);
  const end = segSeq + segLength();
  if (seqLe(end, t.rcvNxt)) {
    noteDuplicate(t, end);
    enterQuickAck(t);
    sendAck(t);
    return;
  }
  if (seqGe(segSeq, t.rcvNxt + window)) {
    // Nothing of it fits. A FIN alone at the edge of a shut window is taken (Linux does so too).
    if (!(window == 0 && segDataLen == 0 && segSeq == t.rcvNxt)) {
      count(MIB_TCP_OUT_OF_WINDOW);
      enterQuickAck(t);
      sendAck(t);
      return;
    }
  }
  if (seqLt(segSeq, t.rcvNxt)) {
    const f = flightOf(t);
    if (f !== null) noteDsack(f, segSeq, t.rcvNxt);
    segTrimFront(t.rcvNxt - segSeq);
  }
  if (segSeq == t.rcvNxt) inOrder(t);
  else outOfOrder(t);
}

function inOrder(t: Tcb): void {
  const bytes = segDataLen;
  if (t.shut & SHUT_READ) {
    // shutdown(SHUT_RD): the bytes are acknowledged and dropped (Linux)
    t.rcvNxt += bytes;
  } else if (bytes > 0) {
    if (!appendPayload(rcvQueue(t), t.rcvBytes) && !makeRoom(t)) {
      // The window shuts with the ACK; memory that comes back opens it.
      count(MIB_TCP_RCV_PRUNED);
      t.tflags |= TF_NO_MEMORY;
      memoryWait(t);
      ackSoon(t);
      return;
    }
    t.rcvNxt += bytes;
  }
  let fin = segFlags & FIN;
  if (t.flight != 0) {
    const f = changetype<Flight>(t.flight);
    if (f.islandCount > 0) {
      if (!fin) fin = islandsDrain(t, f);
      // Linux answers every segment that fills a hole at once
      enterQuickAck(t);
      t.tflags |= TF_ACK_PENDING;
    }
  }
  if (fin) {
    finReceived(t, bytes);
    return;
  }
  received(t, bytes);
}

/** What is in line comes before what is not: islands go, the last one first, until it has a place. */
function makeRoom(t: Tcb): bool {
  if (t.flight == 0) return false;
  const f = changetype<Flight>(t.flight);
  while (islandsPrune(f)) {
    if (appendPayload(rcvQueue(t), t.rcvBytes)) return true;
  }
  return false;
}

function outOfOrder(t: Tcb): void {
  const f = flightOf(t);
  if (f !== null) {
    f.rcvOutOfOrder++;
    if (segDataLen > u32(t.rcvMss)) growRcvMss(t, segDataLen);
    growWindow(t, segDataLen);
    if (!(t.shut & SHUT_READ)) islandInsert(t, f);
    if (f.islandTail != 0) tuneOutOfOrder(t, f, changetype<Island>(f.islandTail).endSeq);
  }
  // "A TCP receiver SHOULD send an immediate duplicate ACK when an out-of-order segment arrives" (RFC 5681 4.2)
  enterQuickAck(t);
  sendAck(t);
}

/** The peer's FIN is in line. */
function finReceived(t: Tcb, bytes: u32): void {
  t.rcvNxt++;
  t.tflags |= TF_FIN_RECEIVED;
  // Nothing follows that could be missing: SACKs have said all (Linux: tcp_sack_reset).
  if (t.flight != 0) noteDsack(changetype<Flight>(t.flight), 0, 0);
  t.shut |= u8(SHUT_READ);
  if (t.state == TCP_FIN_WAIT_2) {
    // The last ACK leaves first: the TCB ends with this.
    t.lastRcvMillis = nowMillis;
    sendAck(t);
    setState(t, EV_FIN);
    socketNotify(t, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
    toTimeWait(t);
    return;
  }
  const state = i32(t.state);
  setState(t, EV_FIN);
  if (state == TCP_FIN_WAIT_1) {
    ackSoon(t);
  } else {
    // The application will close soon: the ACK may ride on its FIN (Linux: tcp_fin).
    if (bytes > 0) noteSegment(t, bytes);
    t.tflags |= TF_PINGPONG;
    if (openWindow(t) == 0) ackSoon(t);
    else scheduleAck(t);
  }
  socketNotify(t, EPOLLIN | EPOLLRDHUP | (t.state == TCP_CLOSING ? EPOLLHUP : 0));
}

/** In-order data has come: the ACK's timing, the estimate of the peer's segments, the reader. */
export function received(t: Tcb, bytes: u32): void {
  noteSegment(t, bytes);
  scheduleAck(t);
  if (bytes > 0) socketNotify(t, EPOLLIN);
}

/** A larger segment than any before, or several that a NIC has put together: then it says how large each was. */
function growRcvMss(t: Tcb, bytes: u32): void {
  const unit = min(segUnit != 0 ? min(segUnit, bytes) : bytes, u32(t.advMss));
  if (unit > u32(t.rcvMss)) measureRcvMss(t, unit, segUnit != 0 ? bytes : unit);
}

function noteSegment(t: Tcb, bytes: u32): void {
  if (bytes > u32(t.rcvMss)) growRcvMss(t, bytes);
  const since = nowMillis - t.lastRcvMillis;
  if (t.atoMillis == 0) {
    // The first data of the connection.
    fillQuickAcks(t);
    t.atoMillis = u16(ATO_MIN_MILLIS);
  } else {
    adaptAto(t, since);
  }
  t.lastRcvMillis = nowMillis;
  t.keepProbes = 0;
  if (t.flight != 0) measureRcvRtt(t, changetype<Flight>(t.flight));
}

/** ATO follows the gaps between segments (Linux: tcp_event_data_recv). */
function adaptAto(t: Tcb, since: u32): void {
  const ato = u32(t.atoMillis);
  if (since <= ATO_MIN_MILLIS >>> 1) t.atoMillis = u16((ato >>> 1) + (ATO_MIN_MILLIS >>> 1));
  else if (since < ato) t.atoMillis = u16(min((ato >>> 1) + since, t.rtoMillis));
  else if (since > t.rtoMillis) fillQuickAcks(t);
}

function fillQuickAcks(t: Tcb): void {
  const mss = max<u32>(t.rcvMss, 1);
  const quick = min(max<u32>(t.rcvWnd / (2 * mss), 2), 16);
  if (quick > u32(t.quickAcks)) t.quickAcks = u8(quick);
}

/** The next ACKs leave at once: the peer needs them (start of a connection, loss). */
export function enterQuickAck(t: Tcb): void {
  fillQuickAcks(t);
  t.tflags &= ~TF_PINGPONG;
  t.atoMillis = u16(ATO_MIN_MILLIS);
}

/** An ACK now, or a delayed one (RFC 9293 3.8.6.3: for every second full segment, within 0.5 s). */
function scheduleAck(t: Tcb): void {
  const tflags = t.tflags;
  if (tflags & TF_ACK_NOW) return;
  const quick = t.quickAcks > 0 && !(tflags & TF_PINGPONG);
  const much = t.rcvNxt - t.rcvWup > u32(t.rcvMss) && newWindow(t) >= openWindow(t);
  if (quick || much) {
    t.tflags |= TF_ACK_PENDING;
    ackSoon(t);
    return;
  }
  if (tflags & TF_ACK_PENDING && t.armed & ARMED_ACK) return;
  t.tflags |= TF_ACK_PENDING;
  armTimer(t, ARMED_ACK, min<u32>(t.atoMillis, 200));
}

/** ECN at the receiver: a CE mark is echoed until the sender answers with CWR (RFC 3168 6.1.3). */
function ecnMarks(t: Tcb): void {
  if (!(t.tflags & TF_ECN)) return;
  if (segFlags & CWR) t.tflags &= ~TF_ECE_DEMAND;
  if ((segTos & 3) == 3) {
    count(MIB_TCP_ECN_CE_RECEIVED);
    t.tflags |= TF_ECE_DEMAND;
    enterQuickAck(t);
  }
}

/** A connection has been established: keepalive runs, what waits is sent. */
export function established(t: Tcb): void {
  expandSndBuf(t);
  t.lastRcvMillis = nowMillis;
  if (t.flags & SF_KEEPALIVE) armTimer(t, ARMED_KEEP, keepIdle(t));
  if (hasUnsent(t)) tcpOutput(t);
}

/** Wakes a reader only when SO_RCVLOWAT is reached; used by tcpEvents. */
export function readThreshold(t: Tcb): u32 {
  return t.extra != 0 ? max<u32>(changetype<SocketExtra>(t.extra).rcvLowat, 1) : 1;
}
