// The segments in flight: one record each, ordered by sequence and by time of transmission, with the counts that
// loss recovery works on (RFC 6675's scoreboard, Linux's packets_out, sacked_out, lost_out, retrans_out).

import { SYSCTL_TCP_REORDERING } from "../layout";
import { nowMicros, nowMillis, sysctl } from "../stack";
import { islandsClear } from "./assembler";
import { seqGt, seqLt } from "./sequence";
import {
  ARMED_IDLE,
  Flight,
  TF_FIN_SENT,
  TF_SOLO,
  TS_EVER_RETRANS,
  TS_FIN,
  TS_LOST,
  TS_PUSH,
  TS_RETRANS,
  TS_SACKED,
  Tcb,
  TxSeg,
  flightAlloc,
  flightFree,
  txsegAlloc,
  txsegFree,
} from "./tcb";
import { armTimer } from "./timers";
import { URGENT_NONE } from "./urgent";

/** The connection's Flight, taken now if it has none; null when the pool is empty. */
export function flightOf(t: Tcb): Flight | null {
  if (t.flight != 0) return changetype<Flight>(t.flight);
  const at = flightAlloc();
  if (at == 0) return null;
  const f = changetype<Flight>(at);
  t.flight = u32(at);
  f.reordering = sysctl(SYSCTL_TCP_REORDERING);
  f.reoWndSteps = 1;
  f.reoWndPersist = 16;
  f.highSeq = t.sndUna;
  f.highSack = t.sndUna;
  f.sndUp = t.sndUna;
  f.rcvUp = t.rcvNxt;
  f.packetSeq = t.sndUna;
  f.pushedSeq = t.sndUna + t.sndBytes;
  f.urgentByte = URGENT_NONE;
  f.progressMillis = nowMillis;
  f.minRttMillis = nowMillis;
  if (t.tflags & TF_SOLO && !adoptSolo(t, f)) {
    flightFree(f);
    t.flight = 0;
    return null;
  }
  armTimer(t, ARMED_IDLE, 1000);
  return f;
}

/** The one segment in flight gets its record; false when there is none left. */
function adoptSolo(t: Tcb, f: Flight): bool {
  const fin = t.tflags & TF_FIN_SENT ? TS_FIN : 0;
  const push = t.sndNxt - t.sndUna > u32(fin != 0) ? TS_PUSH : 0;
  if (!scoreboardAdd(f, t.sndUna, t.sndNxt, 1, fin | push)) return false;
  changetype<TxSeg>(f.segHead).sentMicros = t.sentMicros;
  f.maxPacketsOut = 1;
  f.limitedSeq = t.sndNxt;
  t.tflags &= ~TF_SOLO;
  return true;
}

/** Gives the Flight and all it holds back. */
export function flightDrop(t: Tcb): void {
  if (t.flight == 0) return;
  const f = changetype<Flight>(t.flight);
  scoreboardClear(f);
  islandsClear(f);
  flightFree(f);
  t.flight = 0;
  t.armed &= ~u8(ARMED_IDLE);
}

/** Forgets every segment in flight. */
export function scoreboardClear(f: Flight): void {
  while (f.segHead != 0) {
    const s = changetype<TxSeg>(f.segHead);
    f.segHead = s.next;
    txsegFree(s);
  }
  f.segTail = 0;
  f.timeHead = 0;
  f.timeTail = 0;
  f.segments = 0;
  f.packetsOut = 0;
  f.sackedOut = 0;
  f.lostOut = 0;
  f.retransOut = 0;
  f.sackHint = 0;
  f.retransHint = 0;
}

/** Segments that the network is thought to hold (RFC 6675's pipe). */
export function inFlight(f: Flight): u32 {
  const out = f.packetsOut + f.retransOut;
  const left = f.sackedOut + f.lostOut;
  return out > left ? out - left : 0;
}

/** Notes a new segment at the end; false when there is no record left. */
export function scoreboardAdd(f: Flight, seq: u32, endSeq: u32, pcount: u32, flags: u32): bool {
  const at = txsegAlloc();
  if (at == 0) return false;
  const s = changetype<TxSeg>(at);
  s.next = 0;
  s.prev = f.segTail;
  s.seq = seq;
  s.endSeq = endSeq;
  s.flags = u8(flags);
  s.inTime = 0;
  s.pcount = u16(pcount);
  if (f.segTail != 0) changetype<TxSeg>(f.segTail).next = u32(at);
  else f.segHead = u32(at);
  f.segTail = u32(at);
  f.segments++;
  f.packetsOut += pcount;
  timeAppend(f, s);
  return true;
}

/** Puts a segment at the end of the list by time, sent now. */
export function timeAppend(f: Flight, s: TxSeg): void {
  timeRemove(f, s);
  s.sentMicros = nowMicros;
  s.inTime = 1;
  s.timeNext = 0;
  s.timePrev = f.timeTail;
  const at = u32(changetype<usize>(s));
  if (f.timeTail != 0) changetype<TxSeg>(f.timeTail).timeNext = at;
  else f.timeHead = at;
  f.timeTail = at;
}

/** Takes a segment off the list by time. */
export function timeRemove(f: Flight, s: TxSeg): void {
  if (!s.inTime) return;
  s.inTime = 0;
  if (s.timeNext != 0) changetype<TxSeg>(s.timeNext).timePrev = s.timePrev;
  else f.timeTail = s.timePrev;
  if (s.timePrev != 0) changetype<TxSeg>(s.timePrev).timeNext = s.timeNext;
  else f.timeHead = s.timeNext;
}

/**
 * Puts a segment that had been taken for lost back on the list by time, where its transmission belongs; `near` is one
 * on it that was sent about then, or 0. Returns the segment, for the next call.
 */
export function timeRestore(f: Flight, s: TxSeg, near: u32): u32 {
  const at = u32(changetype<usize>(s));
  if (s.inTime) return at;
  let before = near != 0 ? near : f.timeTail;
  while (before != 0 && isSentLater(before, s)) before = changetype<TxSeg>(before).timePrev;
  let after = before != 0 ? changetype<TxSeg>(before).timeNext : f.timeHead;
  while (after != 0 && !isSentLater(after, s)) {
    before = after;
    after = changetype<TxSeg>(after).timeNext;
  }
  s.inTime = 1;
  s.timePrev = before;
  s.timeNext = after;
  if (before != 0) changetype<TxSeg>(before).timeNext = at;
  else f.timeHead = at;
  if (after != 0) changetype<TxSeg>(after).timePrev = at;
  else f.timeTail = at;
  return at;
}

function isSentLater(at: u32, s: TxSeg): bool {
  return i32(changetype<TxSeg>(at).sentMicros - s.sentMicros) > 0;
}

/** Takes the first segment (acknowledged) out with its counts. */
export function scoreboardShift(f: Flight): void {
  const s = changetype<TxSeg>(f.segHead);
  const pcount = u32(s.pcount);
  const flags = u32(s.flags);
  f.segments--;
  f.packetsOut -= pcount;
  if (flags) {
    if (flags & TS_SACKED) f.sackedOut -= pcount;
    if (flags & TS_LOST) f.lostOut -= pcount;
    if (flags & TS_RETRANS) f.retransOut -= pcount;
  }
  timeRemove(f, s);
  const at = f.segHead;
  if (f.sackHint == at) f.sackHint = 0;
  if (f.retransHint == at) f.retransHint = s.next;
  f.segHead = s.next;
  if (s.next != 0) changetype<TxSeg>(s.next).prev = 0;
  else f.segTail = 0;
  txsegFree(s);
}

/**
 * Cuts a segment in two at `seq`, which lies inside it; `mss` tells how many wire segments each part stands for.
 * False when there is no record left: the segment stays whole.
 */
export function scoreboardSplit(f: Flight, s: TxSeg, seq: u32, mss: u32): bool {
  const at = txsegAlloc();
  if (at == 0) return false;
  f.segments++;
  const n = changetype<TxSeg>(at);
  n.seq = seq;
  n.endSeq = s.endSeq;
  n.sentMicros = s.sentMicros;
  n.flags = s.flags;
  n.inTime = 0;
  const before = u32(s.pcount);
  const first = max<u32>((seq - s.seq + mss - 1) / mss, 1);
  const second = max<u32>((s.endSeq - seq + mss - 1) / mss, 1);
  s.endSeq = seq;
  s.pcount = u16(first);
  n.pcount = u16(second);
  s.flags &= ~u8(TS_FIN | TS_PUSH); // they go with the last byte
  recount(f, u32(s.flags), i32(first + second - before));
  n.next = s.next;
  n.prev = u32(changetype<usize>(s));
  if (s.next != 0) changetype<TxSeg>(s.next).prev = u32(at);
  else f.segTail = u32(at);
  s.next = u32(at);
  if (s.inTime) {
    n.inTime = 1;
    n.timePrev = u32(changetype<usize>(s));
    n.timeNext = s.timeNext;
    if (s.timeNext != 0) changetype<TxSeg>(s.timeNext).timePrev = u32(at);
    else f.timeTail = u32(at);
    s.timeNext = u32(at);
  }
  return true;
}

/** Adds `change` segments with these flags to the counts. */
function recount(f: Flight, flags: u32, change: i32): void {
  if (change == 0) return;
  f.packetsOut += change;
  if (flags & TS_SACKED) f.sackedOut += change;
  if (flags & TS_LOST) f.lostOut += change;
  if (flags & TS_RETRANS) f.retransOut += change;
}

/** Cuts acknowledged bytes off the front of the first segment. */
export function scoreboardTrimHead(f: Flight, una: u32, mss: u32): u32 {
  const s = changetype<TxSeg>(f.segHead);
  const before = u32(s.pcount);
  s.seq = una;
  if (before == 1) return 0;
  const left = max<u32>((s.endSeq - una + mss - 1) / mss, 1);
  s.pcount = u16(left);
  recount(f, u32(s.flags), i32(left) - i32(before));
  return before > left ? before - left : 0;
}

/** Marks a segment lost; it waits for retransmission. */
export function markLost(f: Flight, s: TxSeg): void {
  const flags = u32(s.flags);
  if (flags & TS_SACKED) return;
  const pcount = u32(s.pcount);
  if (flags & TS_RETRANS) {
    s.flags &= ~u8(TS_RETRANS);
    f.retransOut -= pcount;
  }
  if (!(flags & TS_LOST)) {
    s.flags |= u8(TS_LOST);
    f.lostOut += pcount;
    f.lostSegments += pcount;
  }
  timeRemove(f, s);
  if (f.retransHint == 0 || seqLt(s.seq, changetype<TxSeg>(f.retransHint).seq)) {
    f.retransHint = u32(changetype<usize>(s));
  }
}

/** Marks a segment as received out of order. */
export function markSacked(f: Flight, s: TxSeg): void {
  const flags = u32(s.flags);
  const pcount = u32(s.pcount);
  if (flags & TS_RETRANS) f.retransOut -= pcount;
  if (flags & TS_LOST) f.lostOut -= pcount;
  s.flags = u8((flags & ~(TS_RETRANS | TS_LOST)) | TS_SACKED);
  f.sackedOut += pcount;
  timeRemove(f, s);
  if (seqGt(s.endSeq, f.highSack)) f.highSack = s.endSeq;
}

/** True when a retransmission of `s` was ever sent. */
export function wasRetransmitted(s: TxSeg): bool {
  return (u32(s.flags) & TS_EVER_RETRANS) != 0;
}
