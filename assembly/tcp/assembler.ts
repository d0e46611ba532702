// Out-of-order arrivals: islands of bytes ordered by sequence, their SACK blocks (RFC 2018) and D-SACKs (RFC 2883).
//
//   rcvNxt        island          island
//     |   hole   [seq, endSeq)   [seq, endSeq)
//
// Each island has its own chain of chunks, so that memory follows what has arrived, not what might.

import {
  CHUNK_BYTES,
  FIN,
  MIB_TCP_DSACK_SENT,
  MIB_TCP_OFO_DROPPED,
  MIB_TCP_OFO_PRUNED,
  MIB_TCP_OFO_QUEUED,
  SYSCTL_TCP_DSACK,
} from "../layout";
import { ByteQueue, QUEUE_MIN, queueAppendFor } from "../memory/chunk";
import { queueClear, queueConsume, queueSplice, queueTrimTail } from "../memory/chunk";
import { Mbuf } from "../memory/mbuf";
import { count, sysctl } from "../stack";
import { put32 } from "../wire/bytes";
import { segData, segDataLen, segFlags, segMbuf, segSeq, segTrimFront } from "./segment";
import { seqGe, seqGt, seqLe, seqLt } from "./sequence";
import { Flight, Island, TF_SACK, TF_TIMESTAMPS, Tcb, islandAlloc, islandFree, islandQueue, rcvQueue } from "./tcb";

/** Most islands of one connection, whatever its buffer; a segment that would make one more is dropped and counted. */
const ISLANDS_MAX: u32 = 1024;

/**
 * Appends the current segment's payload to a queue whose owner holds `held` bytes; false when memory is short (nothing
 * is appended then).
 */
export function appendPayload(q: ByteQueue, held: u32): bool {
  let left = segDataLen;
  if (left == 0) return true;
  let m = segMbuf;
  let p = segData;
  let here = min(left, m.data + m.dataLen - u32(p));
  const before = q.bytes;
  while (true) {
    if (queueAppendFor(q, p, here, held) != here) {
      if (q.bytes > before) queueTrimTail(q, q.bytes - before);
      return false;
    }
    left -= here;
    if (left == 0) return true;
    m = changetype<Mbuf>(m.next);
    p = m.data;
    here = min(left, m.dataLen);
  }
}

/** Stores the current segment, which begins beyond rcvNxt and lies inside the window. */
export function islandInsert(t: Tcb, f: Flight): void {
  const seq = segSeq;
  const end = segSeq + segDataLen + (segFlags & FIN);
  let previous: u32 = 0;
  let next: u32 = f.islandHead;
  if (f.islandTail != 0 && seqGe(seq, changetype<Island>(f.islandTail).seq)) {
    // The usual case: it continues, or follows, the last island.
    previous = f.islandTail;
    next = 0;
  } else {
    while (next != 0 && seqLe(changetype<Island>(next).seq, seq)) {
      previous = next;
      next = changetype<Island>(next).next;
    }
  }
  if (previous != 0) {
    const p = changetype<Island>(previous);
    if (seqGe(p.endSeq, seq)) {
      if (seqGe(p.endSeq, end)) {
        noteDsack(f, seq, end);
        p.stamp = ++f.islandStamp;
      } else {
        extend(t, f, p, end);
      }
      return;
    }
  }
  insertBetween(t, f, previous, next, end);
}

/** Notes a range that arrived a second time: the next ACK reports it first (RFC 2883). */
export function noteDsack(f: Flight, start: u32, end: u32): void {
  if (!sysctl(SYSCTL_TCP_DSACK)) return;
  f.dsackStart = start;
  f.dsackEnd = end;
}

/**
 * More of a segment came twice. One D-SACK can tell of one range: the first, with what adjoins it (RFC 2883 section 4;
 * Linux: tcp_dsack_extend).
 */
function noteMoreDsack(f: Flight, start: u32, end: u32): void {
  if (f.dsackStart == f.dsackEnd) noteDsack(f, start, end);
  else if (seqLe(start, f.dsackEnd) && seqGt(end, f.dsackEnd)) f.dsackEnd = end;
}

/** Appends what of the segment lies behind island `p`, then swallows the islands that it now reaches. */
function extend(t: Tcb, f: Flight, p: Island, end: u32): void {
  const overlap = p.endSeq - segSeq;
  if (overlap > 0) {
    noteDsack(f, segSeq, p.endSeq);
    segTrimFront(overlap);
  }
  const q = islandQueue(p);
  const before = q.bytes;
  if (!appendPayload(q, heldBy(t, f))) {
    count(MIB_TCP_OFO_DROPPED);
    return;
  }
  count(MIB_TCP_OFO_QUEUED);
  f.islandBytes += q.bytes - before;
  p.endSeq = end;
  p.fin |= segFlags & FIN;
  p.stamp = ++f.islandStamp;
  swallow(f, p);
}

function insertBetween(t: Tcb, f: Flight, previous: u32, next: u32, end: u32): void {
  const most = min(max<u32>(t.rcvBuf / CHUNK_BYTES, 16), ISLANDS_MAX);
  const at = f.islandCount < most ? islandAlloc() : 0;
  if (at == 0) {
    count(MIB_TCP_OFO_DROPPED);
    return;
  }
  const p = changetype<Island>(at);
  const q = islandQueue(p);
  q.head = 0;
  q.tail = 0;
  q.bytes = 0;
  if (!appendPayload(q, heldBy(t, f))) {
    count(MIB_TCP_OFO_DROPPED);
    islandFree(p);
    return;
  }
  count(MIB_TCP_OFO_QUEUED);
  p.seq = segSeq;
  p.endSeq = end;
  p.fin = segFlags & FIN;
  p.stamp = ++f.islandStamp;
  p.next = next;
  if (previous != 0) changetype<Island>(previous).next = u32(at);
  else f.islandHead = u32(at);
  if (next == 0) f.islandTail = u32(at);
  f.islandCount++;
  f.islandBytes += q.bytes;
  swallow(f, p);
}

/** What counts for more out of order: the reserve of those that hold little is for what is in line. */
function heldBy(t: Tcb, f: Flight): u32 {
  return t.rcvBytes + f.islandBytes + QUEUE_MIN;
}

/** Gives the last island back, which the peer will send again (RFC 2018 section 8); false: there is none. */
export function islandsPrune(f: Flight): bool {
  if (f.islandTail == 0) return false;
  const last = changetype<Island>(f.islandTail);
  let before: u32 = 0;
  for (let at = f.islandHead; at != f.islandTail; at = changetype<Island>(at).next) before = at;
  if (before != 0) changetype<Island>(before).next = 0;
  else f.islandHead = 0;
  f.islandTail = before;
  f.islandCount--;
  f.islandBytes -= islandQueue(last).bytes;
  queueClear(islandQueue(last));
  islandFree(last);
  count(MIB_TCP_OFO_PRUNED);
  return true;
}

/** Joins the islands that `p` touches or covers. */
function swallow(f: Flight, p: Island): void {
  while (p.next != 0) {
    const n = changetype<Island>(p.next);
    if (seqGt(n.seq, p.endSeq)) return;
    const q = islandQueue(n);
    const overlap = p.endSeq - n.seq;
    if (overlap > 0) noteMoreDsack(f, n.seq, seqLt(n.endSeq, p.endSeq) ? n.endSeq : p.endSeq);
    if (seqLe(n.endSeq, p.endSeq)) {
      f.islandBytes -= q.bytes;
      queueClear(q);
    } else {
      const drop = min(overlap, q.bytes);
      f.islandBytes -= drop;
      queueConsume(q, drop);
      queueSplice(islandQueue(p), q);
      p.endSeq = n.endSeq;
    }
    p.fin |= n.fin;
    p.next = n.next;
    if (p.next == 0) f.islandTail = u32(changetype<usize>(p));
    f.islandCount--;
    islandFree(n);
  }
}

/**
 * After rcvNxt has moved: moves what has become contiguous to the receive queue and rcvNxt with it.
 * Returns 1 when a FIN has come into line.
 */
export function islandsDrain(t: Tcb, f: Flight): u32 {
  let fin: u32 = 0;
  while (f.islandHead != 0) {
    const i = changetype<Island>(f.islandHead);
    if (seqGt(i.seq, t.rcvNxt)) break;
    const q = islandQueue(i);
    f.islandBytes -= q.bytes;
    const overlap = t.rcvNxt - i.seq;
    if (overlap > 0) noteMoreDsack(f, i.seq, seqLt(i.endSeq, t.rcvNxt) ? i.endSeq : t.rcvNxt);
    if (seqGt(i.endSeq, t.rcvNxt)) {
      queueConsume(q, min(overlap, q.bytes));
      queueSplice(rcvQueue(t), q);
      t.rcvNxt = i.endSeq - i.fin;
      fin = i.fin;
    } else {
      queueClear(q);
    }
    f.islandHead = i.next;
    if (i.next == 0) f.islandTail = 0;
    f.islandCount--;
    islandFree(i);
  }
  return fin;
}

/** Gives every island back. */
export function islandsClear(f: Flight): void {
  while (f.islandHead != 0) {
    const i = changetype<Island>(f.islandHead);
    f.islandHead = i.next;
    queueClear(islandQueue(i));
    islandFree(i);
  }
  f.islandTail = 0;
  f.islandCount = 0;
  f.islandBytes = 0;
}

/** SACK blocks that the next segment carries: the D-SACK first, at most 4, 3 with timestamps (RFC 2018 section 3). */
function blockCount(t: Tcb, f: Flight): u32 {
  if (!(t.tflags & TF_SACK)) return 0;
  const blocks = f.islandCount + (f.dsackStart != f.dsackEnd ? 1 : 0);
  return min<u32>(blocks, t.tflags & TF_TIMESTAMPS ? 3 : 4);
}

/** Bytes of the SACK option on the next segment, NOPs included. */
export function sackBlocksBytes(t: Tcb): u32 {
  const blocks = blockCount(t, changetype<Flight>(t.flight));
  return blocks == 0 ? 0 : 4 + 8 * blocks;
}

/** Writes the SACK option at `p` and returns its bytes; the D-SACK is reported once. */
export function sackBlocksWrite(t: Tcb, p: usize): u32 {
  const f = changetype<Flight>(t.flight);
  const blocks = blockCount(t, f);
  if (blocks == 0) return 0;
  store<u32>(p, 0x00050101 | ((2 + 8 * blocks) << 24));
  let at = p + 4;
  let left = blocks;
  if (f.dsackStart != f.dsackEnd) {
    put32(at, f.dsackStart);
    put32(at + 4, f.dsackEnd);
    f.dsackEnd = f.dsackStart;
    count(MIB_TCP_DSACK_SENT);
    at += 8;
    left--;
  }
  // "the first SACK block MUST specify the contiguous block of data containing the segment which triggered this ACK"
  let below: u32 = u32.MAX_VALUE;
  while (left > 0) {
    const i = newestBelow(f, below);
    below = i.stamp;
    put32(at, i.seq);
    put32(at + 4, i.endSeq);
    at += 8;
    left--;
  }
  return 4 + 8 * blocks;
}

function newestBelow(f: Flight, stamp: u32): Island {
  let best: u32 = 0;
  let newest: u32 = 0;
  for (let at = f.islandHead; at != 0; at = changetype<Island>(at).next) {
    const s = changetype<Island>(at).stamp;
    if (s < stamp && s >= newest) {
      newest = s;
      best = at;
    }
  }
  return changetype<Island>(best);
}
