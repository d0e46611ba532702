// What the socket layer calls: send, receive, shut down, and what a connection is ready for (RFC 9293 3.10.2, 3.10.3).
// Nothing blocks: what would block is -EAGAIN.

import {
  EAGAIN,
  EINVAL,
  ENOBUFS,
  ENOTCONN,
  EPIPE,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
  EXCHANGE_ARGS,
  MSG_MORE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  SHUT_RD,
  SHUT_WR,
  SYSCTL_TCP_WMEM_MAX,
  TCP_CLOSED,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_LISTEN,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from "../layout";
import { Chunk, chunkData, chunkRoom, dropEmptyTail, queueAppend, queueCommit, queueTail } from "../memory/chunk";
import { queueConsume, queueCopyOut } from "../memory/chunk";
import { Netif, netifFlush } from "../net/netif";
import { socketNotify } from "../socket/notify";
import { SF_OOBINLINE, SF_SNDBUF_LOCKED, SF_WANT_SPACE, SHUT_READ, SHUT_WRITE } from "../socket/socket";
import { stack, sysctl } from "../stack";
import { closeSending, tcpDone } from "./close";
import { readThreshold } from "./established";
import { listenerClose } from "./listen";
import { tcbDefaults } from "./open";
import { currentMss, sendAck } from "./output";
import { flightOf } from "./scoreboard";
import { Flight, TF_MORE, TF_URGENT, Tcb, rcvQueue, sndQueue, tcbAlloc } from "./tcb";
import { tcpOutput, unsentBytes } from "./transmit";
import { readWantsAck, tuneRcvBuf } from "./window";

export { tcpClose } from "./close";
export { listenerEvents, listenerPending, tcpAccept, tcpListen } from "./listen";
export { tcpConnect } from "./open";

/** Bytes received before a connection's receive buffer is tuned. */
const TUNE_FROM_BYTES: u32 = 32768;
/** Flight.urgentByte when there is no byte to read. */
const NO_URGENT_BYTE: u32 = 0xffffffff;

/** A new TCB in CLOSED, or 0 when there is none left. */
export function tcpSocket(): usize {
  const at = tcbAlloc();
  if (at != 0) tcbDefaults(changetype<Tcb>(at));
  return at;
}

/** Lets out what the call has caused. */
function flush(t: Tcb): void {
  if (t.netif != 0 && changetype<Netif>(t.netif).txCount != 0) netifFlush();
  else if (stack.loopHead != 0) netifFlush();
}

/** Bytes that the send queue may hold: SO_SNDBUF, or twice what the congestion window lets out. */
export function sendLimit(t: Tcb): u32 {
  if (t.flags & SF_SNDBUF_LOCKED) return t.sndBuf;
  const window = min<u32>(t.cwnd, 1 << 16) * u32(t.mss) * 2;
  return max(t.sndBuf, min(window, sysctl(SYSCTL_TCP_WMEM_MAX)));
}

/** 0 when the application may send now, else the errno. */
function sendState(t: Tcb): i32 {
  const state = i32(t.state);
  if (t.error != 0) {
    const error = i32(t.error);
    t.error = 0;
    return -error;
  }
  if (t.shut & SHUT_WRITE) return -EPIPE;
  if (state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT) return 0;
  return state == TCP_SYN_SENT || state == TCP_SYN_RECEIVED ? -EAGAIN : -EPIPE;
}

/** Room in the send queue for some of `length` bytes, or a negative errno. */
function sendRoom(t: Tcb, length: u32): i32 {
  const state = sendState(t);
  if (state < 0) return state;
  const limit = sendLimit(t);
  if (t.sndBytes >= limit) {
    t.flags |= u16(SF_WANT_SPACE);
    return -EAGAIN;
  }
  // A request that fits one segment goes alone (solo.ts); more needs the Flight.
  if (t.flight == 0 && (t.sndBytes > 0 || length > currentMss(t)) && flightOf(t) === null) return -ENOBUFS;
  return i32(limit - t.sndBytes);
}

/** send(2): bytes taken, or -EAGAIN, -EPIPE, -ENOBUFS, the pending error. */
export function tcpSend(t: Tcb, data: usize, length: u32, flags: i32): i32 {
  const room = sendRoom(t, length);
  if (room < 0) return room;
  if (length == 0) return 0;
  const taken = queueAppend(sndQueue(t), data, min(length, u32(room)));
  if (taken == 0) return noChunk(t);
  pushed(t, flags, taken == length);
  return i32(taken);
}

/** As tcpSend(), beyond the limit of the send queue: the last bytes before close() or shutdown(). */
export function tcpSendAll(t: Tcb, data: usize, length: u32, flags: i32): i32 {
  const state = sendState(t);
  if (state < 0) return state;
  if (t.flight == 0 && (t.sndBytes > 0 || length > currentMss(t)) && flightOf(t) === null) return -ENOBUFS;
  const taken = queueAppend(sndQueue(t), data, length);
  if (taken == 0) return -ENOBUFS;
  pushed(t, flags, taken == length);
  return i32(taken);
}

/** Without a chunk: if this connection holds some, its own ACKs will free them; if not, nothing will wake it. */
function noChunk(t: Tcb): i32 {
  if (t.sndBytes == 0) return -ENOBUFS;
  t.flags |= u16(SF_WANT_SPACE);
  return -EAGAIN;
}

function pushed(t: Tcb, flags: i32, whole: bool): void {
  if (flags & MSG_MORE) t.tflags |= TF_MORE;
  else t.tflags &= ~TF_MORE;
  if (flags & MSG_OOB && whole) {
    const f = flightOf(t);
    if (f !== null) {
      f.sndUp = t.sndUna + t.sndBytes;
      t.tflags |= TF_URGENT;
    }
  }
  tcpOutput(t);
  flush(t);
}

/** A contiguous run of at most `want` bytes for the application to write to; its address lies at EXCHANGE_ARGS. */
export function tcpReserve(t: Tcb, want: u32): i32 {
  const room = sendRoom(t, want);
  if (room < 0) return room;
  const tail = queueTail(sndQueue(t), want);
  if (tail === null) return noChunk(t);
  store<u32>(usize(stack.exchange) + EXCHANGE_ARGS, u32(chunkData(tail)) + tail.length);
  return i32(min(min(want, u32(room)), chunkRoom(tail)));
}

/** Sends the first `length` bytes of what tcpReserve() gave. */
export function tcpCommit(t: Tcb, length: u32, flags: i32): i32 {
  const q = sndQueue(t);
  if (length > 0) queueCommit(q, length);
  else dropEmptyTail(q);
  if (length > 0) pushed(t, flags, true);
  return i32(length);
}

/** What recv() says when no byte waits: the error, the end, or that there may be more. */
function nothingToRead(t: Tcb): i32 {
  if (t.error != 0) {
    const error = i32(t.error);
    t.error = 0;
    return -error;
  }
  if (t.shut & SHUT_READ) return 0;
  const state = i32(t.state);
  if (state == TCP_CLOSED || state == TCP_LISTEN) return -ENOTCONN;
  return -EAGAIN;
}

/** Bytes that may be read now: up to the urgent mark, the urgent byte itself taken out unless SO_OOBINLINE. */
function readable(t: Tcb, take: bool): u32 {
  if (!(t.tflags & TF_URGENT) || t.flight == 0 || t.flags & SF_OOBINLINE) return t.rcvBytes;
  const f = changetype<Flight>(t.flight);
  const head = t.rcvNxt - u32((t.shut & SHUT_READ) != 0 && t.state != TCP_ESTABLISHED ? 1 : 0) - t.rcvBytes;
  const before = i32(f.rcvUp - head);
  if (before < 0 || u32(before) >= t.rcvBytes) return t.rcvBytes;
  if (before > 0) return u32(before);
  if (take) queueConsume(rcvQueue(t), 1);
  return take ? t.rcvBytes : t.rcvBytes - 1;
}

/** recv(2): bytes received, 0 at the end of the stream, or a negative errno. */
export function tcpReceive(t: Tcb, data: usize, length: u32, flags: i32): i32 {
  if (flags & MSG_OOB) return receiveUrgent(t, data, length, flags);
  if (t.rcvBytes == 0) return nothingToRead(t);
  const n = min(length, readable(t, (flags & MSG_PEEK) == 0));
  if (n == 0) return length == 0 ? 0 : nothingToRead(t);
  if (!(flags & MSG_TRUNC)) queueCopyOut(rcvQueue(t), 0, data, n);
  if (!(flags & MSG_PEEK)) tcpConsume(t, n);
  return i32(n);
}

function receiveUrgent(t: Tcb, data: usize, length: u32, flags: i32): i32 {
  if (t.flight == 0 || t.flags & SF_OOBINLINE || !(t.tflags & TF_URGENT)) return -EINVAL;
  const f = changetype<Flight>(t.flight);
  if (f.urgentByte == NO_URGENT_BYTE) return -EAGAIN;
  if (length == 0) return 0;
  store<u8>(data, u8(f.urgentByte));
  if (!(flags & MSG_PEEK)) f.urgentByte = NO_URGENT_BYTE;
  return 1;
}

/** Length of the first run of received bytes (address at EXCHANGE_ARGS), 0 at the end, or a negative errno. */
export function tcpPeek(t: Tcb): i32 {
  if (t.rcvBytes == 0) return nothingToRead(t);
  const n = readable(t, true);
  if (n == 0) return nothingToRead(t);
  const head = changetype<Chunk>(t.rcvHead);
  store<u32>(usize(stack.exchange) + EXCHANGE_ARGS, u32(chunkData(head)));
  return i32(min(n, u32(head.length)));
}

/** The application has taken `length` bytes: buffers go back, the window may open. */
export function tcpConsume(t: Tcb, length: u32): void {
  queueConsume(rcvQueue(t), length);
  // A connection that only receives needs its Flight for autotuning, but not for requests.
  const bulk = u32(t.rcvMss) << 1 > u32(t.advMss) && t.rcvNxt - t.irs > TUNE_FROM_BYTES;
  const f = t.flight == 0 && bulk ? flightOf(t) : changetype<Flight>(t.flight);
  if (changetype<usize>(f) != 0) tuneRcvBuf(t, changetype<Flight>(changetype<usize>(f)));
  if (t.state != TCP_CLOSED && readWantsAck(t, length)) {
    sendAck(t);
    flush(t);
  }
}

/** shutdown(2): 0, -ENOTCONN. */
export function tcpShutdown(t: Tcb, how: i32): i32 {
  const state = i32(t.state);
  if (state == TCP_CLOSED) return -ENOTCONN;
  if (state == TCP_LISTEN) return 0;
  if (state == TCP_SYN_SENT) {
    tcpDone(t, 0);
    return 0;
  }
  if (how != SHUT_WR) t.shut |= u8(SHUT_READ);
  if (how != SHUT_RD && !(t.shut & SHUT_WRITE)) closeSending(t);
  socketNotify(t, EPOLLIN | EPOLLOUT | EPOLLRDHUP | (t.shut == (SHUT_READ | SHUT_WRITE) ? EPOLLHUP : 0));
  flush(t);
  return 0;
}

/** Stops listening; the descriptor stays. */
export function tcpUnlisten(t: Tcb): void {
  listenerClose(t);
}

/** What the connection is ready for, as Linux's tcp_poll() has it: EPOLL bits. */
export function tcpEvents(t: Tcb): u32 {
  const state = i32(t.state);
  let events: u32 = 0;
  const shut = u32(t.shut);
  if (shut == (SHUT_READ | SHUT_WRITE) || state == TCP_CLOSED) events |= EPOLLHUP;
  if (shut & SHUT_READ) events |= EPOLLIN | EPOLLRDHUP;
  if (state != TCP_SYN_SENT && state != TCP_SYN_RECEIVED) {
    if (t.rcvBytes > 0 && t.rcvBytes >= min(readThreshold(t), t.rcvBuf >>> 1)) events |= EPOLLIN;
    if (shut & SHUT_WRITE || hasSendSpace(t)) events |= EPOLLOUT;
    else t.flags |= u16(SF_WANT_SPACE);
    if (t.tflags & TF_URGENT && t.flight != 0 && changetype<Flight>(t.flight).urgentByte <= 255) events |= EPOLLPRI;
  }
  if (t.error != 0) events |= EPOLLERR;
  return events;
}

/** A third of the buffer is free (Linux: sk_stream_is_writeable). */
export function hasSendSpace(t: Tcb): bool {
  const limit = sendLimit(t);
  return t.sndBytes < limit && limit - t.sndBytes >= t.sndBytes >>> 1;
}

/** Bytes from the head of the queue that may be read; with `take`, a lone urgent byte at the head is taken out. */
export function tcpUnread(t: Tcb, take: bool): u32 {
  return t.rcvBytes == 0 ? 0 : readable(t, take);
}

/** FIONREAD: bytes that recv() would give now. */
export function tcpReadable(t: Tcb): u32 {
  return readable(t, false);
}

/** SIOCOUTQ: bytes that the peer has not acknowledged. */
export function tcpOutq(t: Tcb): u32 {
  return t.sndBytes;
}

/** SIOCOUTQNSD: bytes that have not been sent. */
export function tcpUnsent(t: Tcb): u32 {
  return unsentBytes(t);
}
