// Urgent data: a mark in the stream, and the byte before it, which recv(MSG_OOB) takes out of line. Reads stop there.
// Read first: RFC 9293 section 3.8.5; RFC 6093 (what stacks make of it); Linux net/ipv4/tcp.c, tcp_recv_urg().

import { EAGAIN, EINVAL, EPOLLPRI, MSG_PEEK, SYSCTL_TCP_STDURG, URG } from "../layout";
import { Mbuf } from "../memory/mbuf";
import { queueConsume } from "../memory/chunk";
import { socketNotify } from "../socket/notify";
import { SF_OOBINLINE } from "../socket/socket";
import { sysctl } from "../stack";
import { put16 } from "../wire/bytes";
import { flightOf } from "./scoreboard";
import { segData, segDataLen, segFlags, segMbuf, segSeq, segUrgent } from "./segment";
import { seqGt, seqLe, seqLt } from "./sequence";
import { mayReceive } from "./state";
import { Flight, TF_FIN_RECEIVED, TF_URGENT, Tcb, rcvQueue } from "./tcb";

/** Flight.urgentByte: no mark lies before the reader; */
export const URGENT_NONE: u32 = 0xffffffff;
/** the mark is known, its byte has not come; */
const URGENT_AWAITED: u32 = 0xfffffffe;
/** recv(MSG_OOB) has taken the byte, the mark is still ahead. Any other value is the byte. */
const URGENT_TAKEN: u32 = 0xfffffffd;
/** The largest distance that the header's field can say. */
const POINTER_MAX: u32 = 65535;

/** The current segment of a connection that knows urgent data, or has URG itself: its pointer, then its byte. */
export function urgentInput(t: Tcb): void {
  if (!mayReceive(i32(t.state))) return;
  if (segFlags & URG && segUrgent != 0) {
    // RFC 1122 4.2.2.4 has the pointer at the last urgent byte, everybody else behind it (RFC 6093 3.1)
    notePointer(t, segSeq + segUrgent - (sysctl(SYSCTL_TCP_STDURG) ? 0 : 1));
  }
  if (t.flight == 0) return;
  const f = changetype<Flight>(t.flight);
  const offset = f.rcvUp - segSeq;
  if (f.urgentByte != URGENT_AWAITED || offset >= segDataLen) return;
  f.urgentByte = byteOfSegment(offset);
  socketNotify(t, EPOLLPRI);
}

/** `up`: sequence number of the urgent byte. One that was seen before, or is older, is no news. */
function notePointer(t: Tcb, up: u32): void {
  if (seqLt(up, t.rcvNxt)) return;
  const f = flightOf(t);
  if (f === null || (f.urgentByte != URGENT_NONE && seqLe(up, f.rcvUp))) return;
  // As Linux and BSD: when a second mark comes while the reader stands at the first, the byte there is dropped.
  if (f.urgentByte != URGENT_NONE && t.rcvBytes > 0 && f.rcvUp == readSeq(t) && !(t.flags & SF_OOBINLINE)) {
    queueConsume(rcvQueue(t), 1);
  }
  f.rcvUp = up;
  f.urgentByte = URGENT_AWAITED;
  t.tflags |= TF_URGENT;
  socketNotify(t, EPOLLPRI);
}

/** The payload may span mbufs. */
function byteOfSegment(offset: u32): u32 {
  let m: Mbuf = segMbuf;
  let at = u32(segData) - m.data + offset;
  while (at >= m.dataLen) {
    at -= m.dataLen;
    m = changetype<Mbuf>(m.next);
  }
  return load<u8>(m.data + at);
}

/** Sequence number of the next byte that the application reads. */
function readSeq(t: Tcb): u32 {
  return t.rcvNxt - u32((t.tflags & TF_FIN_RECEIVED) != 0) - t.rcvBytes;
}

/** The mark that lies before the reader, as bytes from where it reads; -1 when there is none. */
function distance(t: Tcb): i32 {
  if (!(t.tflags & TF_URGENT) || t.flight == 0) return -1;
  const f = changetype<Flight>(t.flight);
  return f.urgentByte == URGENT_NONE ? -1 : i32(f.rcvUp - readSeq(t));
}

/**
 * Bytes that one read may give: up to the mark; at the mark what follows it, without urgentSkip().
 * @param take drop what urgentSkip() says, too
 */
export function urgentReadable(t: Tcb, take: bool): u32 {
  const before = distance(t);
  if (before < 0 || u32(before) >= t.rcvBytes) return t.rcvBytes;
  if (before > 0) return u32(before);
  const skip = urgentSkip(t);
  if (!take) return t.rcvBytes - skip;
  queueConsume(rcvQueue(t), skip);
  urgentPassed(t);
  return t.rcvBytes;
}

/** Bytes that a read leaves out: 1 for the urgent byte when the reader stands there, unless SO_OOBINLINE. */
export function urgentSkip(t: Tcb): u32 {
  return u32(distance(t) == 0 && t.rcvBytes > 0 && !(t.flags & SF_OOBINLINE));
}

/** FIONREAD, as Linux counts: up to the mark, 0 at it, unless SO_OOBINLINE. */
export function urgentPending(t: Tcb): u32 {
  const before = distance(t);
  return before < 0 || t.flags & SF_OOBINLINE ? t.rcvBytes : min(u32(before), t.rcvBytes);
}

/** SIOCATMARK: does the reader stand at the mark? */
export function urgentAtMark(t: Tcb): bool {
  return distance(t) == 0;
}

/** The application has read: the mark may lie behind it now. */
export function urgentPassed(t: Tcb): void {
  if (!(t.tflags & TF_URGENT) || t.flight == 0) return;
  const f = changetype<Flight>(t.flight);
  if (f.urgentByte != URGENT_NONE && i32(f.rcvUp - readSeq(t)) < 0) f.urgentByte = URGENT_NONE;
  if (f.urgentByte == URGENT_NONE && !seqGt(f.sndUp, t.sndUna)) t.tflags &= ~TF_URGENT;
}

/** recv(MSG_OOB): never blocks. 1, -EAGAIN while the byte has not come, -EINVAL when there is none to take. */
export function receiveUrgent(t: Tcb, data: usize, length: u32, flags: i32): i32 {
  if (t.flight == 0 || t.flags & SF_OOBINLINE || !(t.tflags & TF_URGENT)) return -EINVAL;
  const f = changetype<Flight>(t.flight);
  if (f.urgentByte == URGENT_NONE || f.urgentByte == URGENT_TAKEN) return -EINVAL;
  if (f.urgentByte == URGENT_AWAITED) return -EAGAIN;
  if (length == 0) return 0;
  store<u8>(data, u8(f.urgentByte));
  if (!(flags & MSG_PEEK)) f.urgentByte = URGENT_TAKEN;
  return 1;
}

/** EPOLLPRI while an urgent byte can be taken. */
export function urgentEvents(t: Tcb): u32 {
  return t.tflags & TF_URGENT && t.flight != 0 && changetype<Flight>(t.flight).urgentByte <= 255 ? EPOLLPRI : 0;
}

/** send(MSG_OOB): what is queued so far is urgent. */
export function urgentSend(t: Tcb): void {
  const f = flightOf(t);
  if (f === null) return; // no memory: it goes as a byte like any other
  f.sndUp = t.sndUna + t.sndBytes;
  t.tflags |= TF_URGENT;
}

/** The urgent pointer of a segment that leaves, as every stack sends it: behind the urgent byte (RFC 6093 3.1). */
export function putUrgent(t: Tcb, h: usize, seq: u32): void {
  const pointer = changetype<Flight>(t.flight).sndUp - seq;
  if (i32(pointer) <= 0) {
    urgentPassed(t);
    return;
  }
  // Farther than the field can say: as Linux, the farthest, unless more than that is on its way already.
  if (pointer > POINTER_MAX && !seqGt(seq + POINTER_MAX, t.sndNxt)) return;
  store<u8>(h, load<u8>(h, 13) | URG, 13);
  put16(h + 18, min(pointer, POINTER_MAX));
}
