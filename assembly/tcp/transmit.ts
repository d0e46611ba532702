// What may be sent, and when: new data under the windows, Nagle and the cork; retransmissions; the persist state.
// Read first: RFC 9293 3.7.4 (Nagle), 3.8.6.2.1 (silly windows), RFC 6675 section 5 for what recovery may send.

import { flowExpect } from "../flow";
import {
  ACK,
  CAP_TX_TSO,
  FIN,
  MIB_TCP_RETRANS_SEGS,
  PSH,
  SYSCTL_TCP_INIT_CWND,
  SYSCTL_TCP_MIN_TSO_SEGS,
  SYSCTL_TCP_MTU_PROBING,
  SYSCTL_TCP_SLOW_START_AFTER_IDLE,
} from "../layout";
import { Chunk } from "../memory/chunk";
import { txAvailable } from "../memory/tx-pool";
import { Netif } from "../net/netif";
import { SF_WANT_SPACE, SocketExtra } from "../socket/socket";
import { countBy, nowMillis, sysctl } from "../stack";
import { chronoUpdate } from "./chronograph";
import { restartWindow, validateWindow } from "./congestion";
import { cubicIdle } from "./cubic";
import { PROBE_NONE, PROBE_SENT, PROBE_WAIT, mtuBegin, mtuProbe } from "./mtu-probe";
import { currentMss, sendSegment, tcpRoute } from "./output";
import { recordLeft } from "./marks";
import { backedOffRto } from "./rtt";
import { flightOf, inFlight, scoreboardAdd, scoreboardSplit, timeAppend } from "./scoreboard";
import { expandSndBuf, packetLeft } from "./send-space";
import { seqGt } from "./sequence";
import { soloSend } from "./solo";
import { stampsSent } from "./stamps";
import {
  ARMED_RTO,
  CA_CWR,
  CA_OPEN,
  CA_RECOVERY,
  Flight,
  TF_CORK,
  TF_CORK_FLUSH,
  TF_FIN_QUEUED,
  TF_FIN_SENT,
  TF_LOSS_PROBE,
  TF_MORE,
  TF_NODELAY,
  TF_PINGPONG,
  TF_PROBING,
  TF_REO_TIMER,
  TF_TX_WAIT,
  TS_EVER_RETRANS,
  TS_FIN,
  TS_LOST,
  TS_PUSH,
  TS_RETRANS,
  Tcb,
  TxSeg,
} from "./tcb";
import { armTimer, disarmTimer, scheduleLossProbe } from "./timers";
import { sendTrain } from "./train-output";
import { txAbounds, txFit, txRepairs, txRoom, txWait } from "./tx-wait";

/** Largest payload of one descriptor with TSO: an IP datagram less its headers. */
const TSO_BYTES_MAX: u32 = 65535 - 20 - 60;
/** Most segments of a train without TSO: as many as fit one burst of the NIC. */
const TRAIN_SEGMENTS_MAX: u32 = 44;

/** Bytes that have not been sent yet. */
export function unsentBytes(t: Tcb): u32 {
  if (t.tflags & TF_FIN_SENT) return 0;
  return t.sndUna + t.sndBytes - t.sndNxt;
}

/** True while data or a FIN waits for its first transmission. */
export function hasUnsent(t: Tcb): bool {
  return unsentBytes(t) > 0 || (t.tflags & (TF_FIN_QUEUED | TF_FIN_SENT)) == TF_FIN_QUEUED;
}

/** True while a send() with MSG_MORE sends: its last part waits for more, until an ACK or the timer looks again. */
let isMore: bool = false;

/** True while one packet leaves that the call which writes has filled, with more behind it: that is nothing to push. */
let isPart: bool = false;

/** The application has written: sends what may go, with MSG_MORE whole segments only. */
export function tcpOutputWritten(t: Tcb, more: bool): void {
  isMore = more;
  restartAfterIdle(t);
  if (t.flight != 0) changetype<Flight>(t.flight).pushedSeq = t.sndUna + t.sndBytes;
  tcpOutput(t);
  isMore = false;
}

/**
 * The application is writing and has filled a packet. What makes half of the peer's window is pushed, all of it; less
 * leaves only where nothing waits before it, and one packet at most: the rest is filled first (Linux: forced_push,
 * tcp_push_one).
 */
export function tcpOutputFilled(t: Tcb, f: Flight): void {
  const end = t.sndUna + t.sndBytes;
  const isPushed = seqGt(end, f.pushedSeq + (t.maxSndWnd >>> 1));
  if (isPushed) f.pushedSeq = end;
  else if (i32(f.packetSeq - t.sndNxt) > 0) return;
  isPart = !isPushed;
  restartAfterIdle(t);
  tcpOutput(t);
  isPart = false;
}

/** Sends what the windows, the congestion control and the options allow. Returns how many packets left. */
export function tcpOutput(t: Tcb): u32 {
  const unsent = unsentBytes(t);
  const finWaits = (t.tflags & (TF_FIN_QUEUED | TF_FIN_SENT)) == TF_FIN_QUEUED;
  if (unsent == 0 && !finWaits) return 0;
  if (!tcpRoute(t)) {
    retryLater(t);
    return 0;
  }
  if (t.flight == 0 && soloSend(t, unsent, currentMss(t), finWaits)) return 1;
  const f = flightOf(t);
  if (f === null) {
    retryLater(t);
    return 0;
  }
  const tso = (changetype<Netif>(t.netif).caps & CAP_TX_TSO) != 0;
  const probe = sysctl(SYSCTL_TCP_MTU_PROBING) != 0 ? probeMtu(t, f, tso) : PROBE_NONE;
  const mss = currentMss(t);
  const most = isPart ? packetSegments(t, f, mss) : u32.MAX_VALUE;
  let sent = u32(probe == PROBE_SENT);
  while (probe != PROBE_WAIT) {
    const n = sendNext(t, f, mss, tso);
    if (n == 0) break;
    sent += n;
    // A writer waits while the window still has room: the send buffer may grow (Linux: tcp_check_space).
    if (t.flags & SF_WANT_SPACE) expandSndBuf(t);
    if (sent >= most) break;
  }
  const isStopped = inFlight(f) >= t.cwnd;
  if (sent > 0 || isStopped) validateWindow(t, f, isStopped);
  if (sent > 0) {
    if (t.tflags & TF_PROBING) {
      t.tflags &= ~TF_PROBING;
      disarmTimer(t, ARMED_RTO);
    }
    if (!scheduleLossProbe(t, f) && !(t.armed & ARMED_RTO)) armTimer(t, ARMED_RTO, backedOffRto(t));
  } else if (f.packetsOut == 0 && !(t.armed & ARMED_RTO) && !(t.tflags & TF_TX_WAIT) && hasUnsent(t)) {
    startPersist(t);
  }
  chronoUpdate(t, f);
  return sent;
}

/** tcp_mtu_probing: tries a larger segment out. */
function probeMtu(t: Tcb, f: Flight, tso: bool): i32 {
  if (!f.mtupEnabled && sysctl(SYSCTL_TCP_MTU_PROBING) > 1) mtuBegin(t, f);
  return mtuProbe(t, f, currentMss(t), tso);
}

/** Nothing in flight and the window shut: the persist timer asks for it (RFC 9293 3.8.6.1). */
function startPersist(t: Tcb): void {
  if (corkHolds(t)) {
    // tcp(7) speaks of 200 ms; Linux lets the probe timer end it, which runs at least that long.
    armTimer(t, ARMED_RTO, backedOffRto(t));
    t.tflags |= TF_PROBING;
    return;
  }
  t.tflags |= TF_PROBING;
  armTimer(t, ARMED_RTO, backedOffRto(t));
}

/** True when it is the cork, not the window, that holds the data back. */
export function corkHolds(t: Tcb): bool {
  const unsent = unsentBytes(t);
  return (t.tflags & (TF_CORK | TF_MORE)) != 0 && unsent > 0 && i32(t.sndUna + t.sndWnd - t.sndNxt) >= i32(unsent);
}

/** Memory or route is missing: the retransmission timer looks again. */
function retryLater(t: Tcb): void {
  if (t.armed & ARMED_RTO) return;
  t.tflags |= TF_PROBING;
  armTimer(t, ARMED_RTO, backedOffRto(t));
}

/**
 * RFC 5681 section 4.1: a sender that was idle for more than an RTO starts over from the initial window. Asked when
 * there is something new: data, or a window for it.
 */
export function restartAfterIdle(t: Tcb): void {
  if (t.flight != 0 && changetype<Flight>(t.flight).packetsOut != 0) return;
  const idle = nowMillis - t.lastSndMillis;
  if (idle <= t.rtoMillis || !sysctl(SYSCTL_TCP_SLOW_START_AFTER_IDLE)) return;
  if (t.caState == CA_OPEN && t.lastSndMillis != 0) restartWindow(t, sysctl(SYSCTL_TCP_INIT_CWND), idle);
}

/** Sends the next new segment if it may go; returns how many wire segments it stands for, or 0. */
function sendNext(t: Tcb, f: Flight, mss: u32, tso: bool): u32 {
  const unsent = unsentBytes(t);
  const finWaits = (t.tflags & (TF_FIN_QUEUED | TF_FIN_SENT)) == TF_FIN_QUEUED;
  if (unsent == 0 && !finWaits) return 0;
  const pipe = inFlight(f);
  if (pipe >= t.cwnd) return 0;
  const room = i32(t.sndUna + t.sndWnd - t.sndNxt);
  const places = txRoom(t);
  if (places == 0) {
    if (!txWait(t)) retryLater(t);
    return 0;
  }
  const record = t.extra != 0 ? recordLeft(t) : u32.MAX_VALUE;
  if (record < unsent) return sendRecord(t, f, record, mss, min(u32(max(room, 0)), (t.cwnd - pipe) * mss), tso);
  let length = min(unsent, mss);
  // A FIN takes its place in the window as a byte does.
  if (room < i32(max<u32>(length, 1))) return 0;
  if (unsent > mss) {
    const run = tso ? TSO_BYTES_MAX : min(TRAIN_SEGMENTS_MAX, places) * mss;
    const whole = packetLeft(t, f, unsent, mss);
    const most = min(min(run, u32(room)), min(packetSegments(t, f, mss), t.cwnd - pipe) * mss);
    length = whole <= most ? whole : most - (most % mss);
    if (length > mss && length % mss != 0 && holdsPartial(t, f, finWaits)) length -= length % mss;
  }
  if (length < mss && holdsPartial(t, f, finWaits)) return 0;
  return emitNew(t, f, length, mss, unsent, finWaits && room > i32(length), tso);
}

/** Sends of a record (MSG_EOR) with more behind it: its last part waits for nothing and is followed by nothing. */
function sendRecord(t: Tcb, f: Flight, left: u32, mss: u32, room: u32, tso: bool): u32 {
  const most = min(room, packetSegments(t, f, mss) * mss);
  const length = left <= most ? left : most - (most % mss);
  if (length == 0) return 0;
  return emitNew(t, f, length, mss, left, false, tso);
}

/**
 * Segments of one packet: what a millisecond carries at the pacing rate, more on short paths, at least
 * tcp_min_tso_segs, and half of cwnd at most (Linux: tcp_tso_autosize, tcp_cwnd_test). With TSO or without, a packet of
 * several segments ends in a PSH, so that the receiver need not wait for more.
 */
function packetSegments(t: Tcb, f: Flight, mss: u32): u32 {
  const half = max<u32>(t.cwnd >>> 1, 1);
  if (t.srtt8 == 0) return half;
  const ratio: u64 = t.cwnd < t.ssthresh >>> 1 ? 200 : 120;
  let bytes = ((u64(mss) * ratio * 80000 * u64(max(t.cwnd, f.packetsOut))) / u64(t.srtt8)) >>> 10;
  const distance = (t.minRttMicros != 0 ? t.minRttMicros : t.srtt8 >>> 3) >>> 9;
  if (distance < 17) bytes += 65536 >>> distance;
  const segments = u32(min<u64>(bytes, 65536)) / mss;
  return min(half, max(segments, sysctl(SYSCTL_TCP_MIN_TSO_SEGS)));
}

/** Should the last part of the data, less than a segment, wait for more? (Nagle in Minshall's form, and the cork.) */
function holdsPartial(t: Tcb, f: Flight, finWaits: bool): bool {
  if (finWaits) return false;
  if ((isMore || t.tflags & TF_CORK) && !(t.tflags & TF_CORK_FLUSH)) return true;
  if (t.tflags & (TF_NODELAY | TF_CORK_FLUSH)) return false;
  return f.packetsOut > 0 && seqGt(t.sndSml, t.sndUna);
}

/** Sends `most` bytes of the `unsent` from SND.NXT on, in segments of `mss`; returns how many, 0 without memory. */
export function emitNew(t: Tcb, f: Flight, most: u32, mss: u32, unsent: u32, finWaits: bool, tso: bool): u32 {
  locate(t, f);
  const length = most == 0 || txAbounds() ? most : txFit(f.cursorChunk, most, mss, tso);
  if (length == 0 && most != 0) {
    if (!txWait(t)) retryLater(t);
    return 0;
  }
  const last = length == unsent;
  const fin = last && finWaits;
  const push = last && length > 0 && !isPart && !(t.tflags & TF_MORE);
  const pcount = length <= mss ? 1 : (length + mss - 1) / mss;
  let flags: u32 = ACK;
  if (push || pcount > 1) flags |= PSH;
  if (fin) flags |= FIN;
  if (f.packetsOut == 0) cubicIdle(t, f);
  const seq = t.sndNxt;
  const end = seq + length + u32(fin);
  if (!scoreboardAdd(f, seq, end, pcount, (fin ? TS_FIN : 0) | (push ? TS_PUSH : 0))) {
    retryLater(t);
    return 0;
  }
  const chunk = f.cursorChunk;
  const offset = chunk == 0 ? 0 : f.cursorOffset - u32(changetype<Chunk>(chunk).start);
  // Whether or not an mbuf was to be had: what did not leave is like a loss on the wire.
  if (length > mss && !tso) sendTrain(t, seq, flags, chunk, offset, length, mss);
  else sendSegment(t, seq, flags, chunk, offset, length, mss);
  t.sndNxt = end;
  if (t.caState == CA_RECOVERY || t.caState == CA_CWR) f.prrOut += pcount;
  if (fin) t.tflags |= TF_FIN_SENT;
  if (last) t.tflags &= ~TF_CORK_FLUSH;
  noteSent(t, length, mss);
  moveCursor(f, length);
  return pcount;
}

/** What `length` new bytes up to SND.NXT mean for Nagle and for what is to come. */
export function noteSent(t: Tcb, length: u32, mss: u32): void {
  if (length == 0) return;
  flowExpect(t);
  if (length < mss || length % mss != 0) t.sndSml = t.sndNxt;
  if (t.extra != 0) {
    const extra = changetype<SocketExtra>(t.extra);
    if (extra.stampsBytes != 0) stampsSent(t, extra);
  }
  if (nowMillis - t.lastRcvMillis < t.atoMillis) t.tflags |= TF_PINGPONG;
}

/** Sends `length` new bytes whatever Nagle thinks: the override of the silly window's timer. */
export function sendPart(t: Tcb, f: Flight, length: u32, mss: u32): void {
  emitNew(t, f, length, mss, unsentBytes(t), false, false);
}

/** Finds where sndNxt lies in the send queue. */
function locate(t: Tcb, f: Flight): void {
  if (f.cursorChunk == 0) {
    let at = t.sndHead;
    if (at == 0) return;
    let offset = t.sndNxt - t.sndUna;
    while (offset >= u32(changetype<Chunk>(at).length) && changetype<Chunk>(at).next != 0) {
      offset -= changetype<Chunk>(at).length;
      at = changetype<Chunk>(at).next;
    }
    f.cursorChunk = at;
    f.cursorOffset = u32(changetype<Chunk>(at).start) + offset;
  }
  moveCursor(f, 0);
}

/** Moves the place of sndNxt by `bytes`; kept as an offset in the chunk that the chunk's consumption does not move. */
function moveCursor(f: Flight, bytes: u32): void {
  if (f.cursorChunk == 0) return;
  let offset = f.cursorOffset + bytes;
  let c = changetype<Chunk>(f.cursorChunk);
  while (offset >= u32(c.start) + u32(c.length) && c.next != 0) {
    offset -= u32(c.start) + u32(c.length);
    c = changetype<Chunk>(c.next);
    offset += c.start;
  }
  f.cursorChunk = u32(changetype<usize>(c));
  f.cursorOffset = offset;
}

/**
 * Sends a segment of the scoreboard again, at most `segments` of the wire's. Returns how many went out, 0 when the
 * window forbids it or memory ran out.
 */
export function retransmit(t: Tcb, f: Flight, s: TxSeg, segments: u32): u32 {
  const mss = currentMss(t);
  const bytes = s.endSeq - s.seq - (s.flags & TS_FIN ? 1 : 0);
  const room = i32(t.sndUna + t.sndWnd - s.seq);
  // The window may have shrunk; the first segment goes all the same, it is the probe (RFC 9293 3.8.6.1)
  if (room <= 0 && s.seq != t.sndUna) return 0;
  if (!tcpRoute(t)) return 0;
  const tso = (changetype<Netif>(t.netif).caps & CAP_TX_TSO) != 0;
  const most = min(min(max<u32>(segments, 1), TRAIN_SEGMENTS_MAX), txRepairs(mss, tso)) * mss;
  if (bytes > most && !scoreboardSplit(f, s, s.seq + most, mss)) return 0;
  const length = min(bytes, most);
  if (!(s.flags & TS_RETRANS)) {
    s.flags |= u8(TS_RETRANS | TS_EVER_RETRANS);
    f.retransOut += s.pcount;
  }
  f.totalRetrans += s.pcount;
  f.bytesRetrans += length;
  // Whatever is sent again, the probe that may have been among it tells nothing any more.
  f.mtupSize = 0;
  countBy(MIB_TCP_RETRANS_SEGS, s.pcount);
  timeAppend(f, s);
  sendFromQueue(t, s, length, mss, tso);
  if (t.retransStampMillis == 0) t.retransStampMillis = max<u32>(nowMillis, 1);
  return s.pcount;
}

/** Sends `length` bytes from the start of segment `s`, which is in flight, and its FIN. */
function sendFromQueue(t: Tcb, s: TxSeg, length: u32, mss: u32, tso: bool): void {
  let at = t.sndHead;
  let offset = s.seq - t.sndUna;
  if (length > 0) {
    while (offset >= u32(changetype<Chunk>(at).length)) {
      offset -= changetype<Chunk>(at).length;
      at = changetype<Chunk>(at).next;
    }
  }
  const flags = ACK | (s.flags & TS_PUSH || length > mss ? PSH : 0) | (s.flags & TS_FIN ? FIN : 0);
  if (length > mss && !tso) sendTrain(t, s.seq, flags, at, offset, length, mss);
  else sendSegment(t, s.seq, flags, at, offset, length, mss);
}

/** Sends lost segments again as far as cwnd allows (RFC 6675 section 5, step C). */
export function retransmitLost(t: Tcb, f: Flight): void {
  let at = f.retransHint != 0 ? f.retransHint : f.segHead;
  while (at != 0) {
    const s = changetype<TxSeg>(at);
    const pipe = inFlight(f);
    if (pipe >= t.cwnd) break;
    const flags = u32(s.flags);
    if (flags & TS_LOST && !(flags & TS_RETRANS)) {
      // When it cannot wait among the others, the timer has the last mbufs.
      if (txAvailable() == 0 && txWait(t)) break;
      const n = retransmit(t, f, s, min(t.cwnd - pipe, packetSegments(t, f, currentMss(t))));
      if (n == 0) break;
      if (f.undoMarker != 0 && f.undoRetrans != u32.MAX_VALUE) f.undoRetrans += n;
      else if (f.undoMarker != 0) f.undoRetrans = n;
      f.prrOut += n;
      if (!(t.armed & ARMED_RTO) || (at == f.segHead && !(t.tflags & TF_REO_TIMER))) {
        t.tflags &= ~TF_LOSS_PROBE;
        armTimer(t, ARMED_RTO, backedOffRto(t));
      }
    }
    at = s.next;
  }
  f.retransHint = at;
}
