// The exported calls that move payload. The short way is TCP: one lookup, one branch, then the protocol.
// sendReserve and recvPeek hand out the socket's own chunks, so that bulk data is copied once.

import {
  EAGAIN,
  EBADF,
  EINVAL,
  ENOTCONN,
  ENOTSOCK,
  EOPNOTSUPP,
  EISCONN,
  EPIPE,
  EXCHANGE_ADDRESS,
  KIND_EPOLL,
  KIND_TCP,
  KIND_UDP,
  INADDR_LOOPBACK,
  MSG_ERRQUEUE,
  MSG_FASTOPEN,
} from "../layout";
import { errorQueueRead } from "../net/error-queue";
import { udpReceive, udpSend } from "../net/udp";
import { stack } from "../stack";
import { tcpCommit, tcpConsume, tcpPeek, tcpReceive, tcpReserve, tcpReserved, tcpSend } from "../tcp/api";
import { fastopenIsOver, fastopenSend } from "../tcp/fastopen-client";
import { fdGet } from "./descriptor";
import { tcbOf, udpOf } from "./kinds";
import { SHUT_READ, Socket } from "./socket";

/** send(2): bytes taken, or -EAGAIN, -EPIPE, -ENOTCONN, -EDESTADDRREQ, -EMSGSIZE and others. */
export function send(fd: i32, data: usize, length: u32, flags: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind == KIND_TCP) return sendStream(s, data, length, flags, 0, 0);
  return sendDatagram(s, data, length, flags, 0, 0);
}

/**
 * sendto(2): as send; `address` and `port` (0: none) name the peer of a UDP socket. TCP ignores them, as Linux, but for
 * MSG_FASTOPEN: that connects, and returns the bytes that went with the SYN, or -EINPROGRESS (fastopenSend).
 */
export function sendto(fd: i32, data: usize, length: u32, flags: i32, address: u32, port: u32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (port > 65535) return -EINVAL;
  if (s.kind == KIND_TCP) return sendStream(s, data, length, flags, address, port);
  return sendDatagram(s, data, length, flags, address, port);
}

/** MSG_FASTOPEN on a connection that the last such call has begun is an ordinary send, once. */
function sendStream(s: Socket, data: usize, length: u32, flags: i32, address: u32, port: u32): i32 {
  const t = tcbOf(s);
  if (flags & MSG_FASTOPEN && !fastopenIsOver(t)) {
    return fastopenSend(t, data, length, flags, port != 0 ? destinationOf(s, address) : address, port);
  }
  return tcpSend(t, data, length, flags);
}

/** Linux: the wildcard as a destination is this host. */
export function destinationOf(s: Socket, address: u32): u32 {
  if (address != 0) return address;
  return s.localAddress != 0 ? s.localAddress : u32(INADDR_LOOPBACK);
}

/** sendmsg(2) with IP_TTL or IP_TOS as ancillary data: sendto with them for this datagram; -1 leaves one as it is. */
export function sendtoWith(
  fd: i32,
  data: usize,
  length: u32,
  flags: i32,
  address: u32,
  port: u32,
  ttl: i32,
  tos: i32,
): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (port > 65535 || ttl > 255 || tos > 255) return -EINVAL;
  const ttlBefore = s.ttl;
  const tosBefore = s.tos;
  if (s.kind == KIND_UDP) {
    if (ttl >= 0) s.ttl = u8(ttl);
    if (tos >= 0) s.tos = u8(tos);
  }
  const sent = sendto(fd, data, length, flags, address, port);
  s.ttl = ttlBefore;
  s.tos = tosBefore;
  return sent;
}

/** recv(2): bytes received, 0 at the end, or -EAGAIN, -ENOTCONN, the pending error and others. */
export function recv(fd: i32, data: usize, length: u32, flags: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind == KIND_TCP) return receiveStream(s, data, length, flags);
  return receiveDatagram(s, data, length, flags);
}

/**
 * recvfrom(2): as recv; the sender lies at EXCHANGE_ADDRESS (all zero: none, it is a stream), a datagram's own
 * address, interface, TTL and TOS behind it.
 */
export function recvfrom(fd: i32, data: usize, length: u32, flags: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  const at = usize(stack.exchange);
  store<u64>(at, 0, EXCHANGE_ADDRESS);
  store<u64>(at, 0, EXCHANGE_ADDRESS + 8);
  if (s.kind == KIND_TCP) return receiveStream(s, data, length, flags);
  return receiveDatagram(s, data, length, flags);
}

/**
 * Bytes (at most `want`) that may be written for sending at the address left at EXCHANGE_ARGS, or the errno of
 * send(2). Nothing is sent before sendCommit. TCP only: -EOPNOTSUPP.
 */
export function sendReserve(fd: i32, want: u32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind != KIND_TCP) return notStream(s);
  return tcpReserve(tcbOf(s), want);
}

/** Sends the first `length` bytes of what sendReserve gave. Returns `length` or a negative errno: -EINVAL for more. */
export function sendCommit(fd: i32, length: u32, flags: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind != KIND_TCP) return notStream(s);
  if (length > tcpReserved(tcbOf(s))) return -EINVAL;
  return tcpCommit(tcbOf(s), length, flags);
}

/** Length of the first contiguous run of received bytes; its address is left at EXCHANGE_ARGS. Errors as recv(2). */
export function recvPeek(fd: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind != KIND_TCP) return notStream(s);
  return tcpPeek(tcbOf(s));
}

/** Drops `length` received bytes. Returns how many are left; -EINVAL when there are not so many. */
export function recvConsume(fd: i32, length: u32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind != KIND_TCP) return notStream(s);
  if (length > s.rcvBytes) return -EINVAL;
  if (length != 0) tcpConsume(tcbOf(s), length);
  return i32(s.rcvBytes);
}

function sendDatagram(s: Socket, data: usize, length: u32, flags: i32, address: u32, port: u32): i32 {
  if (s.kind == KIND_EPOLL) return -ENOTSOCK;
  if (s.kind != KIND_UDP) return flags & MSG_FASTOPEN ? -EISCONN : -EPIPE;
  return udpSend(udpOf(s), data, length, flags, address, port);
}

/** The error queue of a connection holds what became of sends with MSG_ZEROCOPY. */
function receiveStream(s: Socket, data: usize, length: u32, flags: i32): i32 {
  return flags & MSG_ERRQUEUE ? errorQueueRead(s, data, length, flags) : tcpReceive(tcbOf(s), data, length, flags);
}

function receiveDatagram(s: Socket, data: usize, length: u32, flags: i32): i32 {
  if (s.kind == KIND_EPOLL) return -ENOTSOCK;
  if (s.kind != KIND_UDP) return -ENOTCONN;
  const received = udpReceive(udpOf(s), data, length, flags);
  return received == -EAGAIN && s.shut & SHUT_READ && !(flags & MSG_ERRQUEUE) ? 0 : received;
}

function notStream(s: Socket): i32 {
  return s.kind == KIND_EPOLL ? -ENOTSOCK : s.kind == KIND_UDP ? -EOPNOTSUPP : -ENOTCONN;
}
