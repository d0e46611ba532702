// Marks in the byte stream that a connection sends: ends of records, which no segment spans (MSG_EOR), and ends of
// sends whose completion the application wants to hear of (MSG_ZEROCOPY). Sequence numbers in chains of chunks.
// Read first: sendmsg(2) MSG_EOR; Linux Documentation/networking/msg_zerocopy.rst.

import { EPOLLERR, MSG_DONTWAIT, MSG_EOR, MSG_ZEROCOPY } from "../layout";
import { ByteQueue, Chunk, chunkData, queueClear, queueCommit, queueConsume, queueTail } from "../memory/chunk";
import { zerocopyNote } from "../net/error-queue";
import { extraOf } from "../socket/extra";
import { socketNotify } from "../socket/notify";
import { SF_NONBLOCK, SocketExtra, recordQueue, zerocopyQueue } from "../socket/socket";
import { seqGt } from "./sequence";
import { STAMPS, stampSend, stampsAcked, stampsClear } from "./stamps";
import { Tcb } from "./tcb";

/** Bytes of a mark: chunks hold whole ones. */
export const MARK_BYTES: u32 = 4;

/** Adds a mark; false when memory has run out. */
export function pushMark(q: ByteQueue, seq: u32): bool {
  const tail = queueTail(q, MARK_BYTES);
  if (tail === null) return false;
  store<u32>(chunkData(tail) + tail.length, seq);
  queueCommit(q, MARK_BYTES);
  return true;
}

/** The mark `offset` bytes behind the head. */
export function markAt(q: ByteQueue, offset: u32): u32 {
  let c = changetype<Chunk>(q.head);
  while (offset >= u32(c.length)) {
    offset -= c.length;
    c = changetype<Chunk>(c.next);
  }
  return load<u32>(chunkData(c) + offset);
}

/**
 * A send has queued bytes up to sequence number `end`; `whole`: all it had. Asked for SocketExtra and MSG_EOR only.
 * A call that may block is not over before; without memory for a mark it is as if the flag had not been there.
 */
export function markSent(t: Tcb, flags: i32, end: u32, whole: bool): void {
  if (flags & MSG_EOR && whole) {
    const extra = extraOf(t);
    if (extra !== null) pushMark(recordQueue(extra), end);
  }
  if (t.extra == 0) return;
  const extra = changetype<SocketExtra>(t.extra);
  if (!whole && !(t.flags & SF_NONBLOCK) && !(flags & MSG_DONTWAIT)) return;
  if (extra.timestamping & STAMPS) stampSend(t, extra, end);
  if (flags & MSG_ZEROCOPY && extra.zerocopy) pushMark(zerocopyQueue(extra), end);
}

/** Bytes from SND.NXT to the end of the record that they are part of; u32.MAX_VALUE without one. */
export function recordLeft(t: Tcb): u32 {
  const extra = changetype<SocketExtra>(t.extra);
  const q = recordQueue(extra);
  while (extra.recordsPassed < q.bytes) {
    const left = markAt(q, extra.recordsPassed) - t.sndNxt;
    if (i32(left) > 0) return left;
    extra.recordsPassed += MARK_BYTES;
  }
  return u32.MAX_VALUE;
}

/** True when a record ends at sequence number `end`, the end of the queue: what follows starts a new packet. */
export function recordEndsAt(t: Tcb, end: u32): bool {
  const q = recordQueue(changetype<SocketExtra>(t.extra));
  return q.bytes != 0 && markAt(q, q.bytes - MARK_BYTES) == end;
}

/** SND.UNA has moved to `una`: the connection has SocketExtra. */
export function marksAcked(t: Tcb, una: u32): void {
  const extra = changetype<SocketExtra>(t.extra);
  const records = recordQueue(extra);
  while (records.bytes != 0 && !seqGt(markAt(records, 0), una)) {
    queueConsume(records, MARK_BYTES);
    if (extra.recordsPassed != 0) extra.recordsPassed -= MARK_BYTES;
  }
  if (extra.stampsBytes != 0) stampsAcked(t, extra, una);
  const sends = zerocopyQueue(extra);
  if (sends.bytes == 0 || seqGt(markAt(sends, 0), una)) return;
  while (sends.bytes != 0 && !seqGt(markAt(sends, 0), una)) completed(t, extra);
  socketNotify(t, EPOLLERR);
}

/** The send buffer is gone: what was under way is over as well. */
export function marksClear(t: Tcb): void {
  if (t.extra == 0) return;
  const extra = changetype<SocketExtra>(t.extra);
  queueClear(recordQueue(extra));
  extra.recordsPassed = 0;
  stampsClear(extra);
  if (zerocopyQueue(extra).bytes == 0) return;
  while (zerocopyQueue(extra).bytes != 0) completed(t, extra);
  socketNotify(t, EPOLLERR);
}

/** The oldest of the sends is over. */
function completed(t: Tcb, extra: SocketExtra): void {
  queueConsume(zerocopyQueue(extra), MARK_BYTES);
  zerocopyNote(t, extra.zerocopySent++);
}
