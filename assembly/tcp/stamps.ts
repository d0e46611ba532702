// SO_TIMESTAMPING for what a connection sends: of the last byte of each send it is reported when it was handed to the
// NIC's queue, when it left, and when the peer acknowledged it.
// Read first: Linux Documentation/networking/timestamping.rst, sections 1.3 and 2.1.

import {
  EPOLLERR,
  SCM_TSTAMP_ACK,
  SCM_TSTAMP_SCHED,
  SCM_TSTAMP_SND,
  SOF_TIMESTAMPING_TX_ACK,
  SOF_TIMESTAMPING_TX_SCHED,
  SOF_TIMESTAMPING_TX_SOFTWARE,
} from "../layout";
import { chunkData, Chunk, queueClear, queueConsume } from "../memory/chunk";
import { stampNote } from "../net/error-queue";
import { socketNotify } from "../socket/notify";
import { SocketExtra, stampQueue } from "../socket/socket";
import { MARK_BYTES, markAt, pushMark } from "./marks";
import { seqGt } from "./sequence";
import { Flight, Tcb } from "./tcb";

/** Any of the moments that are reported. */
export const STAMPS: u32 = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_ACK;

/** Number of the byte before sequence number `end`, from where SO_TIMESTAMPING was set. */
function keyOf(extra: SocketExtra, end: u32): u32 {
  return end - 1 - extra.stampBase;
}

/** A send has queued bytes up to `end`. A packet tells of its last send only, as in Linux. */
export function stampSend(t: Tcb, extra: SocketExtra, end: u32): void {
  const q = stampQueue(extra);
  const last = q.bytes > extra.stampsPassed ? markAt(q, q.bytes - MARK_BYTES) : t.sndUna;
  if (q.bytes > extra.stampsPassed && t.flight != 0 && seqGt(last, changetype<Flight>(t.flight).packetSeq)) {
    const tail = changetype<Chunk>(q.tail);
    store<u32>(chunkData(tail) + tail.length - MARK_BYTES, end);
    return;
  }
  if (!pushMark(q, end)) return;
  // What has left while the call was still writing has not been looked at.
  if (!seqGt(end, t.sndNxt)) extra.stampsPassed += MARK_BYTES;
}

/** SND.NXT has moved. */
export function stampsSent(t: Tcb, extra: SocketExtra): void {
  const q = stampQueue(extra);
  const flags = extra.timestamping;
  let any = false;
  while (extra.stampsPassed < q.bytes && !seqGt(markAt(q, extra.stampsPassed), t.sndNxt)) {
    const key = keyOf(extra, markAt(q, extra.stampsPassed));
    if (flags & SOF_TIMESTAMPING_TX_SCHED) stampNote(t, SCM_TSTAMP_SCHED, key);
    if (flags & SOF_TIMESTAMPING_TX_SOFTWARE) stampNote(t, SCM_TSTAMP_SND, key);
    extra.stampsPassed += MARK_BYTES;
    any = true;
  }
  if (any) socketNotify(t, EPOLLERR);
}

/** SND.UNA has moved to `una`. */
export function stampsAcked(t: Tcb, extra: SocketExtra, una: u32): void {
  const q = stampQueue(extra);
  let any = false;
  while (q.bytes != 0 && !seqGt(markAt(q, 0), una)) {
    if (extra.timestamping & SOF_TIMESTAMPING_TX_ACK) {
      stampNote(t, SCM_TSTAMP_ACK, keyOf(extra, markAt(q, 0)));
      any = true;
    }
    queueConsume(q, MARK_BYTES);
    if (extra.stampsPassed != 0) extra.stampsPassed -= MARK_BYTES;
  }
  if (any) socketNotify(t, EPOLLERR);
}

/** Nothing of what waits will be reported any more. */
export function stampsClear(extra: SocketExtra): void {
  queueClear(stampQueue(extra));
  extra.stampsPassed = 0;
}
