// TCP Fast Open at the server: a SYN with a cookie opens a connection whose data can be read before the handshake ends.
// Read first: RFC 7413 sections 4.2.2 and 5.1 (the limit on pending requests); Linux net/ipv4/tcp_fastopen.c.

import {
  ACK,
  ECONNRESET,
  FIN,
  KIND_LISTENER,
  MIB_TCP_ATTEMPT_FAILS,
  MIB_TCP_FASTOPEN_COOKIE_REQUESTS,
  MIB_TCP_FASTOPEN_LISTEN_OVERFLOW,
  MIB_TCP_FASTOPEN_PASSIVE,
  MIB_TCP_FASTOPEN_PASSIVE_ALT_KEY,
  MIB_TCP_FASTOPEN_PASSIVE_FAIL,
  MIB_TCP_PAWS_REJECTED,
  RST,
  SYN,
  SYSCTL_SOMAXCONN,
  SYSCTL_TCP_FASTOPEN,
  TCP_SYN_RECEIVED,
  TFO_SERVER,
  TFO_SERVER_ALL,
  TFO_SERVER_NO_COOKIE,
  EPOLLIN,
  EPOLLOUT,
} from "../layout";
import { Chunk, chunkData, queueCommit, queueConsume, queueTail } from "../memory/chunk";
import { SHUT_WRITE } from "../socket/socket";
import { socketNotify } from "../socket/notify";
import { count, nowMillis, stack, sysctl } from "../stack";
import { appendPayload } from "./assembler";
import { closeSending, tcpDone } from "./close";
import { answerIsLimited, challengeAck, dupAck } from "./challenge";
import { established, establishedInput } from "./established";
import {
  COOKIE_BYTES,
  FO_CHILD,
  FO_DATA_ACKED,
  FO_LISTENER,
  FO_NO_COOKIE,
  FO_PENDING,
  FO_SERIAL_SHIFT,
  fastopenCheck,
  fastopenCookie,
  fastopenMark,
  fastopenOf,
  fastopenOffer,
} from "./fastopen";
import { resetSegment } from "./input";
import { Listener, listenerPromote } from "./listen";
import { sendSyn } from "./output";
import { sampleSyn } from "./handshake";
import {
  segAck,
  segCookieBytes,
  segCookieExp,
  segDataLen,
  segFlags,
  segHasTs,
  segLength,
  segSackCount,
  segSeq,
  segTrimFront,
  segTsVal,
  segWindow,
} from "./segment";
import { seqGt, seqLt } from "./sequence";
import { EV_SYN_ACKED, setState } from "./state";
import { ARMED_RTO, TF_TIMESTAMPS, Tcb, rcvQueue, sndQueue } from "./tcb";
import { armTimer, disarmTimer } from "./timers";
import { backedOffRto } from "./rtt";

/** A reset request counts as pending for so long: a forger of cookies exhausts the limit, not the server (5.1), ms. */
const RESET_MILLIS: u32 = 60000;

/** TCP_FASTOPEN: how many connections of `t`, a listener or one to be, may be pending; 0 switches Fast Open off. */
export function fastopenSetLimit(t: Tcb, most: u32): void {
  changetype<Listener>(changetype<usize>(t)).fastopenMax = u16(min(min(most, sysctl(SYSCTL_SOMAXCONN)), 65535));
  fastopenMark(t, FO_LISTENER, 0);
}

/** The limit that TCP_FASTOPEN has set. */
export function fastopenLimit(t: Tcb): u32 {
  return fastopenOf(t) & FO_LISTENER ? u32(changetype<Listener>(changetype<usize>(t)).fastopenMax) : 0;
}

/** A socket begins to listen with this backlog. */
export function fastopenListen(t: Tcb, backlog: u32): void {
  const l = changetype<Listener>(changetype<usize>(t));
  const most = fastopenLimit(t);
  l.fastopenMax = u16(most);
  l.fastopenCount = 0;
  l.serial = stack.listenerSerial++ & 0xffff;
  const mode = sysctl(SYSCTL_TCP_FASTOPEN);
  if (most == 0 && mode & TFO_SERVER && mode & TFO_SERVER_ALL) fastopenSetLimit(t, backlog);
}

/** May one more connection be pending? Looks at the limit before any cookie, as Linux does. */
function hasRoom(t: Tcb): bool {
  const l = changetype<Listener>(changetype<usize>(t));
  if (!(fastopenOf(t) & FO_LISTENER) || l.fastopenMax == 0) return false;
  if (l.fastopenCount < l.fastopenMax) return true;
  // The oldest of those that were reset makes way when its time is over.
  const resets = sndQueue(t);
  if (resets.bytes != 0) {
    const first = load<u32>(chunkData(changetype<Chunk>(resets.head)));
    if (i32(nowMillis - first) >= 0) {
      queueConsume(resets, 4);
      l.fastopenCount--;
      return true;
    }
  }
  count(MIB_TCP_FASTOPEN_LISTEN_OVERFLOW);
  return false;
}

function offer(t: Tcb, local: u32, remote: u32): void {
  fastopenOffer(COOKIE_BYTES, segCookieExp, fastopenCookie(t, 0, local, remote), 0);
}

/**
 * The current SYN created `child` of listener `t`: true when it opens the connection at once. The child then waits for
 * accept() with the SYN's data. In any case the cookie that the SYN,ACK is to carry has been offered.
 */
export function fastopenTry(t: Tcb, child: Tcb): bool {
  fastopenOffer(-1, false, 0, 0);
  if (segCookieBytes == 0) count(MIB_TCP_FASTOPEN_COOKIE_REQUESTS);
  const mode = sysctl(SYSCTL_TCP_FASTOPEN);
  if (!(mode & TFO_SERVER) || (segDataLen == 0 && segCookieBytes < 0) || !hasRoom(t)) return false;
  const local = child.localAddress;
  const remote = child.remoteAddress;
  let key: u32 = 0;
  if (!(mode & TFO_SERVER_NO_COOKIE) && !(fastopenOf(t) & FO_NO_COOKIE)) {
    if (segCookieBytes < 0) return false;
    if (segCookieBytes > 0) {
      key = fastopenCheck(t, local, remote);
      if (key == 0) count(MIB_TCP_FASTOPEN_PASSIVE_FAIL);
    }
    if (key == 0) {
      offer(t, local, remote);
      return false;
    }
  }
  if (!openChild(t, child)) {
    count(MIB_TCP_FASTOPEN_PASSIVE_FAIL);
    if (key != 0) offer(t, local, remote);
    return false;
  }
  if (key == 2) {
    count(MIB_TCP_FASTOPEN_PASSIVE_ALT_KEY);
    offer(t, local, remote);
  }
  count(MIB_TCP_FASTOPEN_PASSIVE);
  return true;
}

/** Takes the SYN's data and puts the child into the accept queue; false: no memory, nothing has changed. */
function openChild(t: Tcb, child: Tcb): bool {
  segTrimFront(1);
  const bytes = segDataLen;
  if (!appendPayload(rcvQueue(child), 0) || !listenerPromote(child, false)) {
    queueConsume(rcvQueue(child), child.rcvBytes);
    return false;
  }
  const l = changetype<Listener>(changetype<usize>(t));
  l.fastopenCount++;
  child.rcvNxt += bytes;
  child.rcvWup = child.rcvNxt;
  child.sndUna = child.sndNxt;
  child.sndSml = child.sndNxt;
  if (bytes > 0) child.lastRcvMillis = nowMillis;
  fastopenMark(child, FO_PENDING | FO_CHILD | (bytes > 0 ? FO_DATA_ACKED : 0) | (l.serial << FO_SERIAL_SHIFT), 0);
  return true;
}

/** accept() takes a connection: its listener must be found again though it is no child any more. */
export function fastopenAccepted(child: Tcb, listener: Tcb): void {
  if (fastopenOf(child) & FO_PENDING) child.acceptNext = u32(changetype<usize>(listener));
}

/** The listener that counts a pending connection, or null when it is gone. */
function listenerOf(t: Tcb): Listener | null {
  const at = t.parent != 0 ? t.parent : t.acceptNext;
  if (at == 0) return null;
  const l = changetype<Listener>(at);
  return l.kind == KIND_LISTENER && l.serial == fastopenOf(t) >>> FO_SERIAL_SHIFT ? l : null;
}

/** A connection is pending no more: its handshake has ended, it was reset (`reset`), or it failed. */
export function fastopenEnd(t: Tcb, reset: bool): void {
  const l = listenerOf(t);
  const accepted = t.parent == 0;
  if (accepted) t.acceptNext = 0;
  fastopenMark(t, 0, FO_PENDING | (0xffff << FO_SERIAL_SHIFT));
  if (l === null || l.fastopenCount == 0) return;
  if (reset && accepted && noteReset(changetype<Tcb>(changetype<usize>(l)))) return;
  l.fastopenCount--;
}

/** Keeps a reset request counted for a minute; false without memory. */
function noteReset(t: Tcb): bool {
  const tail = queueTail(sndQueue(t), 4);
  if (tail === null) return false;
  store<u32>(chunkData(tail) + tail.length, nowMillis + RESET_MILLIS);
  queueCommit(sndQueue(t), 4);
  return true;
}

/** The current segment belongs to a pending connection, in SYN-RECEIVED or, closed since, in FIN-WAIT-1. */
export function fastopenInput(t: Tcb): void {
  const flags = segFlags;
  const late = segHasTs && t.tflags & TF_TIMESTAMPS && i32(segTsVal - t.tsRecent) < 0 && !(flags & RST);
  if (segSeq == t.irs && (flags & (SYN | ACK | RST | FIN)) == SYN && !late) {
    // The SYN again: our answer was lost, or is late
    if (answerIsLimited(t)) return;
    sendSyn(t, SYN | ACK);
    armTimer(t, ARMED_RTO, backedOffRto(t));
    return;
  }
  if (late || seqGt(segSeq, t.rcvNxt + t.rcvWnd) || seqLt(segSeq + segLength(), t.rcvNxt)) {
    if (late) count(MIB_TCP_PAWS_REJECTED);
    if (!(flags & RST)) dupAck(t);
    return;
  }
  if (flags & RST) {
    reset(t);
    return;
  }
  if (flags & SYN && segSeq != t.irs) {
    // "We try not to reset the local connection": the peer is told, what is open stays open
    count(MIB_TCP_ATTEMPT_FAILS);
    resetSegment(t);
    return;
  }
  if (!(flags & ACK)) return;
  if (seqLt(segAck, t.sndUna) || seqGt(segAck, t.sndNxt)) {
    if (t.state == TCP_SYN_RECEIVED) resetSegment(t);
    else challengeAck(t);
    return;
  }
  confirmed(t);
  establishedInput(t);
}

/** A reset in SYN-RECEIVED (RFC 5961 3.2, RFC 9293 3.10.7.4): exactly in place it ends the connection. */
function reset(t: Tcb): void {
  if (segSeq != t.rcvNxt) {
    challengeAck(t);
    return;
  }
  count(MIB_TCP_ATTEMPT_FAILS);
  fastopenEnd(t, true);
  tcpDone(t, ECONNRESET);
}

/** The ACK of our SYN has come: an ordinary connection from here on. */
function confirmed(t: Tcb): void {
  fastopenEnd(t, false);
  const idle = t.sndNxt == t.sndUna;
  if (segAck == t.sndUna && segSackCount == 0) sampleSyn(t);
  t.backoff = 0;
  t.synRetries = 0;
  t.retransStampMillis = 0;
  t.sndWnd = segWindow << u32(t.sndScale);
  t.maxSndWnd = max(t.sndWnd, t.maxSndWnd);
  t.sndWl1 = segSeq;
  disarmTimer(t, ARMED_RTO);
  if (t.state == TCP_SYN_RECEIVED) {
    setState(t, EV_SYN_ACKED);
    if (t.shut & SHUT_WRITE) closeSending(t);
  }
  // The ACK that follows takes care of what it acknowledges; the rest has its timer from now on.
  if (!idle) armTimer(t, ARMED_RTO, backedOffRto(t));
  established(t);
  socketNotify(t, EPOLLIN | EPOLLOUT);
}
