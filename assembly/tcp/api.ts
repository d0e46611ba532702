// What the socket layer calls: send, receive, shut down, and what a connection is ready for (RFC 9293 3.10.2, 3.10.3).
// Nothing blocks: what would block is -EAGAIN.

import {
  EAGAIN,
  ENOTCONN,
  EOPNOTSUPP,
  EPIPE,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  EXCHANGE_ARGS,
  MIB_TCP_MEMORY_WAITS,
  MSG_BATCH,
  MSG_EOR,
  MSG_MORE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  SHUT_RD,
  SHUT_WR,
  TCP_CLOSED,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_LISTEN,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from "../layout";
import { Chunk, chunkData, chunkRoom, dropEmptyTail, queueAppend, queueCommit, queueTail } from "../memory/chunk";
import { queueConsume, queueCopyOut } from "../memory/chunk";
import { errorQueueCount } from "../net/error-queue";
import { Netif, netifFlush } from "../net/netif";
import { socketNotify } from "../socket/notify";
import { SF_CONNECTING, SHUT_READ, SHUT_WRITE } from "../socket/socket";
import { count, stack } from "../stack";
import { closeSending } from "./close";
import { tcpDisconnect } from "./disconnect";
import { FO_DEFERRED, FO_WRITER, fastopenMark, fastopenOf, fastopenPending } from "./fastopen";
import { fastopenSend, mayWait } from "./fastopen-client";
import { readThreshold } from "./established";
import { markSent } from "./marks";
import { isOpening, tcbDefaults } from "./open";
import { currentMss, sendAck } from "./output";
import { flightOf } from "./scoreboard";
import { hasSendSpace, isPacketFull, packetRoom, writerWaits } from "./send-space";
import { Flight, TF_MORE, Tcb, rcvQueue, sndQueue, tcbAlloc } from "./tcb";
import { tcpOutputFilled, tcpOutputWritten, unsentBytes } from "./transmit";
import {
  receiveUrgent,
  urgentEvents,
  urgentPassed,
  urgentPending,
  urgentReadable,
  urgentSend,
  urgentSkip,
} from "./urgent";
import { readWantsAck, tuneRcvBuf } from "./window";

export { tcpClose } from "./close";
export { listenerEvents, listenerPending, tcpAccept, tcpListen } from "./listen";
export { tcpDisconnect } from "./disconnect";
export { connectEnded, isOpening, tcpConnect } from "./open";
export { urgentAtMark } from "./urgent";

/** Bytes received before a connection's receive buffer is tuned. */
const TUNE_FROM_BYTES: u32 = 32768;

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

/** 0 when the application may send now, else the errno. */
function sendState(t: Tcb): i32 {
  const state = i32(t.state);
  if (t.error != 0) {
    const error = i32(t.error);
    t.error = 0;
    return -error;
  }
  if (t.shut & SHUT_WRITE) return -EPIPE;
  if (state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT || fastopenPending(t)) return 0;
  return state == TCP_SYN_SENT || state == TCP_SYN_RECEIVED ? -EAGAIN : -EPIPE;
}

/** Bytes of `length` that the packet now filled takes, or a negative errno. */
function sendRoom(t: Tcb, length: u32): i32 {
  const state = sendState(t);
  if (state < 0) return state;
  if (t.flight == 0) {
    // A request that fits one segment goes alone (solo.ts); more needs the Flight.
    if (t.sndBytes == 0 && length <= currentMss(t)) return length;
    if (flightOf(t) === null) {
      // Without a Flight there is one segment at a time.
      if (t.sndBytes == 0) return i32(currentMss(t));
      writerWaits(t);
      return -EAGAIN;
    }
  }
  const room = packetRoom(t, changetype<Flight>(t.flight));
  return room == 0 ? -EAGAIN : room;
}

/** send(2): bytes taken, or -EAGAIN (the buffer is full, or memory is short), -EPIPE, the pending error. */
export function tcpSend(t: Tcb, data: usize, length: u32, flags: i32): i32 {
  const room = sendRoom(t, length);
  if (room < 0) {
    if (defersOpen(t)) return fastopenSend(t, data, length, flags, 0, 0);
    // The call waits for the connection: its data goes with the ACK that ends the handshake.
    if (room == -EAGAIN && isOpening(t) && mayWait(t, flags)) fastopenMark(t, FO_WRITER, 0);
    return room;
  }
  if (length == 0) return 0;
  const taken = fillPackets(t, data, length, u32(room));
  if (taken == 0) return noMemory(t);
  if (t.extra != 0 || flags & MSG_EOR) markSent(t, flags, t.sndUna + t.sndBytes, taken == length);
  pushed(t, flags, taken == length);
  if (taken < length) writerWaits(t);
  return i32(taken);
}

/** Queues bytes, the first `room` for the packet now filled; each full packet may leave before the next is begun. */
function fillPackets(t: Tcb, data: usize, length: u32, room: u32): u32 {
  const q = sndQueue(t);
  let taken: u32 = 0;
  while (true) {
    const want = min(length - taken, room);
    const n = queueAppend(q, data + taken, want);
    taken += n;
    if (n < want || taken == length || t.flight == 0) return taken;
    const f = changetype<Flight>(t.flight);
    tcpOutputFilled(t, f);
    room = packetRoom(t, f);
    if (room == 0) return taken;
  }
}

/** As tcpSend(), beyond the limit of the send queue: the last bytes before close() or shutdown(). */
export function tcpSendAll(t: Tcb, data: usize, length: u32, flags: i32): i32 {
  const state = sendState(t);
  if (state < 0) return state;
  if (t.flight == 0 && (t.sndBytes > 0 || length > currentMss(t)) && flightOf(t) === null) return noMemory(t);
  const taken = queueAppend(sndQueue(t), data, length);
  if (taken == 0) return noMemory(t);
  pushed(t, flags, taken == length);
  return i32(taken);
}

/** True when the connection waits for the first data to open with (TCP_FASTOPEN_CONNECT). */
function defersOpen(t: Tcb): bool {
  return t.state == TCP_SYN_SENT && (fastopenOf(t) & FO_DEFERRED) != 0;
}

/** Linux waits for memory as it does for room, and so does whoever calls; nobody is told ENOBUFS. */
function noMemory(t: Tcb): i32 {
  count(MIB_TCP_MEMORY_WAITS);
  writerWaits(t);
  return -EAGAIN;
}

function pushed(t: Tcb, flags: i32, whole: bool): void {
  if (flags & MSG_MORE) t.tflags |= TF_MORE;
  else t.tflags &= ~TF_MORE;
  if (flags & MSG_OOB && whole) urgentSend(t);
  tcpOutputWritten(t, (flags & MSG_MORE) != 0);
  flush(t);
}

/**
 * A contiguous run of at most `want` bytes for the application to write to; its address lies at EXCHANGE_ARGS.
 * -EOPNOTSUPP: the connection opens with this data, send() must be used.
 */
export function tcpReserve(t: Tcb, want: u32): i32 {
  const room = sendRoom(t, want);
  if (room < 0) {
    if (room == -EAGAIN) batchEnds(t);
    return defersOpen(t) ? -EOPNOTSUPP : room;
  }
  const tail = queueTail(sndQueue(t), want);
  if (tail === null) {
    batchEnds(t);
    return noMemory(t);
  }
  store<u32>(usize(stack.exchange) + EXCHANGE_ARGS, u32(chunkData(tail)) + tail.length);
  return i32(min(min(want, u32(room)), chunkRoom(tail)));
}

/** The call that writes ends here, or waits: what it has queued may go (see MSG_BATCH). */
function batchEnds(t: Tcb): void {
  if (t.flight == 0) return;
  if (t.extra != 0) markSent(t, 0, t.sndUna + t.sndBytes, false);
  pushed(t, 0, false);
}

/** Bytes that may be written behind what is queued: what tcpReserve() gave at most. */
export function tcpReserved(t: Tcb): u32 {
  const tail = sndQueue(t).tail;
  return tail != 0 ? chunkRoom(changetype<Chunk>(tail)) : 0;
}

/** Sends the first `length` bytes of what tcpReserve() gave; with MSG_BATCH they wait for their packet to be full. */
export function tcpCommit(t: Tcb, length: u32, flags: i32): i32 {
  const q = sndQueue(t);
  if (length > 0) queueCommit(q, length);
  else dropEmptyTail(q);
  if (flags & MSG_BATCH && t.flight != 0) {
    const f = changetype<Flight>(t.flight);
    if (isPacketFull(t, f)) tcpOutputFilled(t, f);
  } else if (length > 0) {
    if (t.extra != 0) markSent(t, flags, t.sndUna + t.sndBytes, true);
    pushed(t, flags, true);
  }
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

/** recv(2): bytes received, 0 at the end of the stream, or a negative errno. */
export function tcpReceive(t: Tcb, data: usize, length: u32, flags: i32): i32 {
  if (flags & MSG_OOB) return receiveUrgent(t, data, length, flags);
  if (t.rcvBytes == 0) return nothingToRead(t);
  const take = (flags & MSG_PEEK) == 0;
  const skip = take ? 0 : urgentSkip(t);
  const n = min(length, urgentReadable(t, take));
  if (n == 0) return length == 0 ? 0 : nothingToRead(t);
  if (!(flags & MSG_TRUNC)) queueCopyOut(rcvQueue(t), skip, data, n);
  if (!(flags & MSG_PEEK)) tcpConsume(t, n);
  return i32(n);
}

/** Length of the first run of received bytes (address at EXCHANGE_ARGS), 0 at the end, or a negative errno. */
export function tcpPeek(t: Tcb): i32 {
  if (t.rcvBytes == 0) return nothingToRead(t);
  const n = urgentReadable(t, true);
  if (n == 0) return nothingToRead(t);
  const head = changetype<Chunk>(t.rcvHead);
  store<u32>(usize(stack.exchange) + EXCHANGE_ARGS, u32(chunkData(head)));
  return i32(min(n, u32(head.length)));
}

/** The application has taken `length` bytes: buffers go back, the window may open. */
export function tcpConsume(t: Tcb, length: u32): void {
  queueConsume(rcvQueue(t), length);
  urgentPassed(t);
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
  if (state == TCP_LISTEN) {
    // Linux: a listener that receives no more does not listen any more.
    if (how != SHUT_WR) tcpDisconnect(t);
    return 0;
  }
  if (state == TCP_SYN_SENT) {
    tcpDisconnect(t);
    return 0;
  }
  // Who shuts down knows of the connection (Linux: inet_shutdown).
  if (state != TCP_SYN_RECEIVED) t.flags &= ~u16(SF_CONNECTING);
  if (how != SHUT_WR) t.shut |= u8(SHUT_READ);
  if (how != SHUT_RD && !(t.shut & SHUT_WRITE)) closeSending(t);
  socketNotify(t, EPOLLIN | EPOLLOUT | EPOLLRDHUP | (t.shut == (SHUT_READ | SHUT_WRITE) ? EPOLLHUP : 0));
  flush(t);
  return 0;
}

/** What the connection is ready for, as Linux's tcp_poll() has it: EPOLL bits. */
export function tcpEvents(t: Tcb): u32 {
  const state = i32(t.state);
  let events: u32 = 0;
  const shut = u32(t.shut);
  if (shut == (SHUT_READ | SHUT_WRITE) || state == TCP_CLOSED) events |= EPOLLHUP;
  if (shut & SHUT_READ) events |= EPOLLIN | EPOLLRDHUP;
  if (defersOpen(t)) events |= EPOLLOUT;
  if (state != TCP_SYN_SENT && (state != TCP_SYN_RECEIVED || fastopenPending(t))) {
    if (t.rcvBytes > 0 && t.rcvBytes >= min(readThreshold(t), t.rcvBuf >>> 1)) events |= EPOLLIN;
    if (shut & SHUT_WRITE || hasSendSpace(t)) events |= EPOLLOUT;
    else writerWaits(t);
    events |= urgentEvents(t);
  }
  if (t.error != 0 || (t.extra != 0 && errorQueueCount(t) != 0)) events |= EPOLLERR;
  return events;
}

/** Bytes from the head of the queue that may be read; with `take`, a lone urgent byte at the head is taken out. */
export function tcpUnread(t: Tcb, take: bool): u32 {
  return t.rcvBytes == 0 ? 0 : urgentReadable(t, take);
}

/** FIONREAD: bytes that recv() would give now. */
export function tcpReadable(t: Tcb): u32 {
  return urgentPending(t);
}

/** SIOCOUTQ: bytes that the peer has not acknowledged; none counts before the handshake is over (Linux). */
export function tcpOutq(t: Tcb): u32 {
  return t.state == TCP_SYN_SENT || t.state == TCP_SYN_RECEIVED ? 0 : t.sndBytes;
}

/** SIOCOUTQNSD: bytes that have not been sent. */
export function tcpUnsent(t: Tcb): u32 {
  return t.state == TCP_SYN_SENT || t.state == TCP_SYN_RECEIVED ? 0 : unsentBytes(t);
}
