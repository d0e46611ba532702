// SYN-SENT and SYN-RECEIVED (RFC 9293 3.10.7.3 and 3.10.7.4), simultaneous open included.

import {
  ACK,
  ECE,
  ECONNREFUSED,
  EPOLLIN,
  EPOLLOUT,
  FIN,
  MIB_TCP_PAWS_REJECTED,
  RST,
  SYN,
  SYSCTL_TCP_ECN,
  SYSCTL_TCP_INIT_RTO,
} from "../layout";
import { socketNotify } from "../socket/notify";
import { SocketExtra } from "../socket/socket";
import { count, nowMicros, nowMillis, sysctl } from "../stack";
import { noteDsack } from "./assembler";
import { tcpAbort, tcpDone } from "./close";
import { answerIsLimited, challengeAck, dupAck } from "./challenge";
import { enterQuickAck, established, noteTimestamp, takeData } from "./established";
import { FO_ASKED, FO_SYN_DATA, FO_WRITER, fastopenOf, fastopenPending } from "./fastopen";
import { fastopenCrossed, fastopenSynAck } from "./fastopen-client";
import { fastopenInput } from "./fastopen-server";
import { resetSegment } from "./input";
import { abortsOnOverflow, acceptQueueHolds, defersAccept, listenerAnnounce, listenerPromote } from "./listen";
import { takePeerOptions } from "./open";
import { sendAck, sendSyn } from "./output";
import { rttSample } from "./rtt";
import { flightOf } from "./scoreboard";
import {
  segAck,
  segDataLen,
  segFlags,
  segHasTs,
  segLength,
  segSeq,
  segTrimFront,
  segTsEcr,
  segTsVal,
  segWindow,
} from "./segment";
import { seqGt, seqLe } from "./sequence";
import { EV_CLOSE, EV_SYN, EV_SYN_ACKED, setState } from "./state";
import {
  ARMED_ACK,
  ARMED_RTO,
  TF_ACK_PENDING,
  TF_COOKIE,
  TF_DEFERRED,
  TF_ECN,
  TF_FIN_QUEUED,
  TF_ORPHAN,
  TF_PINGPONG,
  TF_SYN_SEEN,
  TF_TIMESTAMPS,
  TF_WSCALE,
  Tcb,
} from "./tcb";
import { armTimer, disarmTimer } from "./timers";
import { tcpOutput } from "./transmit";

/** Longest delay of an ACK, ms (Linux: TCP_DELACK_MAX). */
const DELACK_MAX_MILLIS: u32 = 200;

/** The current segment belongs to `t` in SYN-SENT. */
export function synSentInput(t: Tcb): void {
  const flags = segFlags;
  if (flags & ACK) {
    // "If SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset (unless the RST bit is set)"
    if (seqLe(segAck, t.iss) || seqGt(segAck, t.sndNxt)) {
      resetSegment(t);
      return;
    }
    if (t.tflags & TF_TIMESTAMPS && segHasTs && segTsEcr != 0 && !wasSent(t, segTsEcr)) {
      count(MIB_TCP_PAWS_REJECTED);
      resetSegment(t);
      return;
    }
  }
  if (flags & RST) {
    if (flags & ACK) tcpDone(t, ECONNREFUSED);
    return;
  }
  if (!(flags & SYN)) return;
  takePeerOptions(t, segSeq);
  if (!(t.tflags & TF_WSCALE)) t.rcvScale = 0;
  if (flags & ACK) synAcked(t);
  else simultaneousOpen(t);
}

/** Was this timestamp on one of our SYNs, of which the first left at lastRcvMillis? (Linux: PAWSActiveRejected) */
function wasSent(t: Tcb, stamp: u32): bool {
  return stamp - (t.lastRcvMillis + t.tsOffset) <= nowMillis - t.lastRcvMillis;
}

/** SYN,ACK: the connection is established. */
function synAcked(t: Tcb): void {
  if (segFlags & ECE && sysctl(SYSCTL_TCP_ECN) == 1) t.tflags |= TF_ECN;
  const retries = u32(t.synRetries);
  t.sndUna = t.iss + 1;
  t.sndSml = t.sndUna;
  if (retries > 1 && !answersFirstSyn(t)) t.cwnd = 1;
  // The SYN brings the sample, whatever of its data is acknowledged with it.
  sampleSyn(t);
  disarmTimer(t, ARMED_RTO);
  setState(t, EV_SYN_ACKED);
  const fast = fastopenOf(t) & (FO_ASKED | FO_SYN_DATA);
  const repeated = fast && fastopenSynAck(t, retries);
  established(t);
  socketNotify(t, EPOLLOUT);
  if (repeated) return;
  // Data on the SYN,ACK is taken as if it had come behind it.
  if (segDataLen > 0 || segFlags & FIN) {
    segTrimFront(1);
    takeData(t);
  } else if (dataWillFollow(t)) {
    enterQuickAck(t);
    t.tflags |= TF_ACK_PENDING;
    armTimer(t, ARMED_ACK, DELACK_MAX_MILLIS);
  } else {
    sendAck(t);
  }
}

/**
 * The third segment of the handshake waits for data to go with when a writer waits for the connection, or the
 * application has said that data will follow (Linux: tcp_rcv_synsent_state_process).
 */
function dataWillFollow(t: Tcb): bool {
  if (t.tflags & TF_PINGPONG || fastopenOf(t) & FO_WRITER) return true;
  return t.extra != 0 && changetype<SocketExtra>(t.extra).deferAcceptTimeouts != 0;
}

/**
 * "If the SYN or SYN/ACK is lost, the initial window ... MUST be one segment" (RFC 5681 3.1; Linux: when two were
 * lost), unless the timestamp tells that the first was only late.
 */
function answersFirstSyn(t: Tcb): bool {
  if (!segHasTs || !(t.tflags & TF_TIMESTAMPS)) return false;
  const first = nowMillis - (nowMicros - t.sentMicros) / 1000 + t.tsOffset;
  return i32(segTsEcr - first) <= 1;
}

/** The handshake's round trip; after a repeated SYN only the timestamps can tell which one was answered (Karn). */
export function sampleSyn(t: Tcb): void {
  if (t.synRetries == 0) {
    const rtt = max<u32>(nowMicros - t.sentMicros, 1);
    rttSample(t, rtt);
    t.minRttMicros = rtt;
  } else if (segHasTs && t.tflags & TF_TIMESTAMPS && segTsEcr != 0) {
    rttSample(t, min<u32>(nowMillis + t.tsOffset - segTsEcr, 60000) * 1000);
  } else {
    // "If the timer expires awaiting the ACK of a SYN ..., the RTO MUST be re-initialized to 3 seconds" (RFC 6298 5.7)
    t.rtoMillis = 3000;
  }
  t.backoff = 0;
  t.synRetries = 0;
}

/** Both sides have sent a SYN (RFC 9293 figure 7). */
function simultaneousOpen(t: Tcb): void {
  setState(t, EV_SYN);
  t.tflags |= TF_SYN_SEEN;
  t.synRetries = 0;
  t.backoff = 0;
  sendSyn(t, SYN | ACK);
  armTimer(t, ARMED_RTO, sysctl(SYSCTL_TCP_INIT_RTO));
}

/** The current segment belongs to `t` in SYN-RECEIVED, or came as the ACK of a SYN cookie. */
export function handshakeInput(t: Tcb): void {
  if (fastopenPending(t)) {
    fastopenInput(t);
    return;
  }
  const flags = segFlags;
  const cookie = (t.tflags & TF_COOKIE) != 0 && t.parent != 0;
  const repeatedSyn = flags & SYN && segSeq == t.irs;
  if (segHasTs && t.tflags & TF_TIMESTAMPS && i32(segTsVal - t.tsRecent) < 0 && !(flags & RST) && !repeatedSyn) {
    count(MIB_TCP_PAWS_REJECTED);
    dupAck(t);
    return;
  }
  if (repeatedSyn) {
    if (flags & ACK && t.tflags & TF_SYN_SEEN && segAck == t.sndNxt) completedTwice(t);
    else if (flags & ACK && !(flags & RST)) dupAck(t);
    else if (!(flags & (RST | ACK)) && !answerIsLimited(t)) sendSyn(t, SYN | ACK);
    return;
  }
  if (seqGt(segSeq, t.rcvNxt + t.rcvWnd) || seqGt(t.rcvNxt, segSeq + segLength())) {
    if (!(flags & RST)) dupAck(t);
    return;
  }
  if (flags & RST) {
    resetEmbryonic(t);
    return;
  }
  if (flags & SYN) {
    challengeAck(t);
    return;
  }
  if (!(flags & ACK)) return;
  // "If SND.UNA < SEG.ACK =< SND.NXT, then enter ESTABLISHED; if not, form a reset"
  if (seqLe(segAck, t.sndUna) || seqGt(segAck, t.sndNxt)) {
    resetSegment(t);
    if (cookie) dropCookie(t);
    return;
  }
  completed(t, cookie);
}

function resetEmbryonic(t: Tcb): void {
  if (segSeq == t.rcvNxt) tcpDone(t, ECONNREFUSED);
  else challengeAck(t);
}

/** The third segment of the handshake. */
function completed(t: Tcb, cookie: bool): void {
  if (t.parent != 0 && !acceptQueueHolds(t) && !promote(t, cookie)) return;
  t.tflags &= ~(TF_COOKIE | TF_DEFERRED);
  const closing = (t.tflags & TF_FIN_QUEUED) != 0;
  t.sndUna++;
  t.sndSml = t.sndUna;
  t.sndWnd = segWindow << u32(t.sndScale);
  t.maxSndWnd = max(t.sndWnd, t.maxSndWnd);
  t.sndWl1 = segSeq;
  if (!closing && !cookie) sampleSyn(t);
  disarmTimer(t, ARMED_RTO);
  if (cookie) setState(t, EV_SYN);
  setState(t, EV_SYN_ACKED);
  if (closing) setState(t, EV_CLOSE);
  noteTimestamp(t);
  if (fastopenOf(t) & FO_SYN_DATA) fastopenCrossed(t);
  established(t);
  if (t.parent != 0) listenerAnnounce(t);
  else socketNotify(t, EPOLLIN | EPOLLOUT);
  if (segDataLen > 0 || segFlags & FIN) takeData(t);
  if (closing) tcpOutput(t);
}

/** Simultaneous open, figure 7: the peer's SYN,ACK repeats its SYN, which is reported as what came twice (as Linux). */
function completedTwice(t: Tcb): void {
  const seq = segSeq;
  completed(t, false);
  const f = flightOf(t);
  if (f !== null) noteDsack(f, seq, seq + 1);
  sendAck(t);
}

/** Moves an embryonic connection to the accept queue; false when the ACK is to count as lost. */
function promote(t: Tcb, cookie: bool): bool {
  if (!cookie && segDataLen == 0 && !(segFlags & FIN) && u32(t.synRetries) < defersAccept(t)) {
    // TCP_DEFER_ACCEPT: a bare ACK does not count before the SYN,ACK has gone again at the end of the time.
    t.tflags |= TF_DEFERRED;
    return false;
  }
  if (listenerPromote(t, !cookie)) return true;
  if (cookie) dropCookie(t);
  else if (abortsOnOverflow()) tcpAbort(t, 0);
  return false;
}

/** A connection that came from a cookie and finds no place: nothing was promised, nothing is kept. */
function dropCookie(t: Tcb): void {
  t.parent = 0;
  t.tflags |= TF_ORPHAN;
  tcpDone(t, 0);
}
