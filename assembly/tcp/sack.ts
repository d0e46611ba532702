// SACK blocks from the peer: which are believed, and what they say of the segments in flight.
// Read first: RFC 2018 section 5, RFC 2883 section 4 (D-SACK), RFC 6675; Linux tcp_sacktag_write_queue for the limits.

import { MIB_TCP_DSACK_RECV, MIB_TCP_SACK_RECV, SYSCTL_TCP_MAX_REORDERING } from "../layout";
import { count, sysctl } from "../stack";
import { get32 } from "../wire/bytes";
import { currentMss } from "./output";
import { RACK_DSACK_SEEN, RACK_REORDER_SEEN, rackAdvance } from "./rack";
import { markSacked, scoreboardSplit } from "./scoreboard";
import { segAck, segSackAt, segSackCount } from "./segment";
import { seqGe, seqGt, seqLe, seqLt } from "./sequence";
import { Flight, TS_EVER_RETRANS, TS_SACKED, Tcb, TxSeg } from "./tcb";

/** What sackReceive() found. */
export const SACK_DATA: u32 = 1; // segments were newly SACKed
export const SACK_DSACK: u32 = 2;
export const SACK_ORIGINAL: u32 = 4; // one that was never retransmitted was SACKed
export const SACK_LOST_RETRANS: u32 = 8;

/** Lowest sequence that was newly SACKed by this ACK and never retransmitted, for reordering. */
let lowestNew: u32 = 0;
let anyNew: bool = false;
/** Send time of the latest newly SACKed segment that was never retransmitted, for the round-trip time. */
export let sackSampleMicros: u32 = 0;
export let sackHasSample: bool = false;

/** Forgets the sample of the ACK before. */
export function sackClear(): void {
  sackHasSample = false;
}

/** Works through the blocks of the current segment; `una` is SND.UNA before it. Returns SACK_* bits. */
export function sackReceive(t: Tcb, f: Flight, una: u32): u32 {
  let found: u32 = 0;
  anyNew = false;
  sackHasSample = false;
  const highBefore = f.sackedOut > 0 ? f.highSack : una;
  if (f.sackedOut == 0) f.highSack = una;
  count(MIB_TCP_SACK_RECV);
  for (let i: u32 = 0; i < segSackCount; i++) {
    const start = get32(segSackAt + (i << 3));
    const end = get32(segSackAt + (i << 3) + 4);
    if (i == 0 && isDsack(start, end)) {
      found |= dsack(t, f, start, end, una);
      continue;
    }
    if (!isValid(t, start, end)) continue;
    found |= tag(t, f, start, end);
  }
  if (anyNew && seqLt(lowestNew, highBefore)) noteReordering(t, f, highBefore);
  return found;
}

/** "If the first SACK block ... is less than the cumulative ACK ... or inside the second block" (RFC 2883 4). */
function isDsack(start: u32, end: u32): bool {
  if (seqLt(start, segAck)) return true;
  if (segSackCount < 2) return false;
  return seqGe(start, get32(segSackAt + 8)) && seqLe(end, get32(segSackAt + 12));
}

function dsack(t: Tcb, f: Flight, start: u32, end: u32, una: u32): u32 {
  // One that speaks of data older than the window, or of what was never sent, is nonsense.
  if (seqLe(end, start) || seqGt(end, t.sndNxt) || seqLt(start, una - max<u32>(t.maxSndWnd, 1))) return 0;
  count(MIB_TCP_DSACK_RECV);
  const segments = max<u32>((end - start + u32(t.mss) - 1) / u32(t.mss), 1);
  f.dsackDups += segments;
  // A needless retransmission has arrived as well; more of them than there were are the network's doing.
  if (f.dsackDups <= f.totalRetrans) f.delivered += segments;
  f.rackFlags |= RACK_DSACK_SEEN;
  if (f.undoMarker != 0 && f.undoRetrans != 0 && f.undoRetrans != u32.MAX_VALUE && seqGe(start, f.undoMarker)) {
    f.undoRetrans = f.undoRetrans > segments ? f.undoRetrans - segments : 0;
  }
  return SACK_DSACK;
}

/** Only blocks inside what is in flight are believed. */
function isValid(t: Tcb, start: u32, end: u32): bool {
  return seqLt(start, end) && seqLe(end, t.sndNxt) && seqLt(start, t.sndNxt) && seqGt(start, segAck);
}

/** Marks what lies in [start, end). */
function tag(t: Tcb, f: Flight, start: u32, end: u32): u32 {
  let found: u32 = 0;
  let at = f.segHead;
  if (f.sackHint != 0 && seqLe(changetype<TxSeg>(f.sackHint).seq, start)) at = f.sackHint;
  while (at != 0) {
    const s = changetype<TxSeg>(at);
    if (seqGe(s.seq, end)) break;
    if (seqGt(s.endSeq, start) && !(s.flags & TS_SACKED)) {
      if (seqLt(s.seq, start)) {
        // The block begins inside: only whole wire segments count.
        if (!splitForSack(t, f, s, start)) {
          at = s.next;
          continue;
        }
        at = s.next;
        continue;
      }
      if (seqGt(s.endSeq, end) && !splitForSack(t, f, s, end)) break;
      if (seqGt(s.endSeq, end)) break;
      found |= tagOne(t, f, s);
    }
    f.sackHint = at;
    at = s.next;
  }
  return found;
}

/** Cuts a large (TSO) segment at a block's edge, on its own segment boundary; false when nothing could be cut. */
function splitForSack(t: Tcb, f: Flight, s: TxSeg, edge: u32): bool {
  if (s.pcount <= 1) return false;
  const mss = max<u32>(currentMss(t), 1);
  const cut = s.seq + ((edge - s.seq) / mss) * mss;
  if (cut == s.seq || seqGe(cut, s.endSeq)) return false;
  return scoreboardSplit(f, s, cut, mss);
}

function tagOne(t: Tcb, f: Flight, s: TxSeg): u32 {
  let found = SACK_DATA;
  rackAdvance(t, f, s);
  if (!(s.flags & TS_EVER_RETRANS)) {
    found |= SACK_ORIGINAL;
    if (!anyNew || seqLt(s.seq, lowestNew)) lowestNew = s.seq;
    anyNew = true;
    sackSampleMicros = s.sentMicros;
    sackHasSample = true;
  }
  f.delivered += s.pcount;
  markSacked(f, s);
  return found;
}

/** A segment below the highest SACKed one arrived without having been sent again: the path reorders. */
export function noteReordering(t: Tcb, f: Flight, high: u32): void {
  const distance = high - lowestNew;
  const metric = (distance + u32(t.mss) - 1) / max<u32>(t.mss, 1);
  if (i32(metric) > i32(f.reordering)) f.reordering = min(metric, sysctl(SYSCTL_TCP_MAX_REORDERING));
  f.reordSeen++;
  f.rackFlags |= RACK_REORDER_SEEN;
}

/** The same for a segment that a cumulative ACK covers. */
export function noteAckReordering(t: Tcb, f: Flight, low: u32): void {
  lowestNew = low;
  noteReordering(t, f, f.highSack);
}
