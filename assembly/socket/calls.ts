// The exported calls of the socket interface, each by descriptor: opening, naming, connecting, watching, closing.
// None blocks: what would block returns -EAGAIN (connect: -EINPROGRESS) and the host waits. Payload: data-calls.ts.
// Read first: POSIX.1-2024 XSH 2.10 "Sockets"; Linux net/socket.c and net/ipv4/af_inet.c for the order of errors.

import {
  AF_INET,
  EADDRINUSE,
  EAFNOSUPPORT,
  EALREADY,
  EBADF,
  EINVAL,
  EISCONN,
  EMFILE,
  ENOBUFS,
  ENOTCONN,
  ENOTSOCK,
  ENOTTY,
  EOPNOTSUPP,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  EPROTONOSUPPORT,
  ESOCKTNOSUPPORT,
  EXCHANGE_ADDRESS,
  FD_CLOEXEC,
  F_GETFD,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FIONBIO,
  FIONREAD,
  IPPROTO_TCP,
  IPPROTO_UDP,
  KIND_EPOLL,
  KIND_LISTENER,
  KIND_TCP,
  KIND_UDP,
  O_NONBLOCK,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SIOCATMARK,
  SIOCOUTQ,
  SIOCOUTQNSD,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SYSCTL_SOMAXCONN,
  TCP_CLOSED,
  TCP_CLOSING,
  TCP_FIN_WAIT_1,
  TCP_LAST_ACK,
  TCP_SYN_SENT,
} from "../layout";
import { udpBind, udpClose, udpConnect, udpPending, udpSocket } from "../net/udp";
import { stack, sysctl } from "../stack";
import {
  listenerPending,
  tcpAccept,
  tcpClose,
  connectEnded,
  isOpening,
  tcpConnect,
  tcpDisconnect,
  tcpListen,
  tcpOutq,
  tcpReadable,
  tcpShutdown,
  tcpSocket,
  tcpUnsent,
  urgentAtMark,
} from "../tcp/api";
import { bindMayListen, bindSocket } from "./bind";
import { fdAlloc, fdAvailable, fdCloexec, fdFree, fdGet, fdSetCloexec } from "./descriptor";
import { Epoll, epollAlloc, epollCollect, epollControl, epollForget, epollFree, epollSleep } from "./epoll";
import { destinationOf } from "./data-calls";
import { tcbOf, udpOf } from "./kinds";
import { membershipsEnd } from "./membership";
import { socketEvents, socketNotify } from "./notify";
import { socketGetOption, socketSetOption } from "./options";
import { SF_CONNECTING, SF_LINGER, SF_NONBLOCK, SHUT_READ, SHUT_WRITE, Socket, SocketExtra } from "./socket";

export { recv, recvConsume, recvfrom, recvPeek, send, sendCommit, sendReserve, sendto, sendtoWith } from "./data-calls";

/** File status flags that fcntl(F_GETFL) shows beside O_NONBLOCK. */
const O_RDWR: i32 = 2;
const FLAGS_OF_TYPE: i32 = SOCK_NONBLOCK | SOCK_CLOEXEC;
/** The highest address that could be one: what is above is a negative errno. */
const ADDRESS_MAX: u32 = 0xfffff000;

/** socket(2): a descriptor, -EAFNOSUPPORT, -EINVAL, -ESOCKTNOSUPPORT, -EPROTONOSUPPORT, -ENOBUFS, -EMFILE. */
export function socket(domain: i32, type: i32, protocol: i32): i32 {
  const kind = type & 15;
  if (type & ~(FLAGS_OF_TYPE | 15)) return -EINVAL;
  if (domain != AF_INET) return -EAFNOSUPPORT;
  if (kind != SOCK_STREAM && kind != SOCK_DGRAM) return -ESOCKTNOSUPPORT;
  if (protocol != 0 && protocol != (kind == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP)) return -EPROTONOSUPPORT;
  if (!fdAvailable()) return -EMFILE;
  const at = kind == SOCK_STREAM ? tcpSocket() : udpSocket();
  if (at == 0) return -ENOBUFS;
  return describe(changetype<Socket>(at), type);
}

/** bind(2): 0, -EBADF, -ENOTSOCK, -EINVAL (bound already), -EADDRNOTAVAIL, -EADDRINUSE. */
export function bind(fd: i32, address: u32, port: u32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind == KIND_EPOLL) return -ENOTSOCK;
  if (s.localPort != 0 || (s.kind != KIND_UDP && s.state != TCP_CLOSED) || port > 65535) return -EINVAL;
  if (s.kind == KIND_UDP) return udpBind(udpOf(s), address, port);
  return bindSocket(s, IPPROTO_TCP, address, port);
}

/** listen(2); binds to an ephemeral port when bind() was not called. 0, -EOPNOTSUPP, -EINVAL, -EADDRINUSE. */
export function listen(fd: i32, backlog: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind == KIND_EPOLL) return -ENOTSOCK;
  if (s.kind == KIND_UDP) return -EOPNOTSUPP;
  if (s.kind == KIND_TCP) {
    if (s.state != TCP_CLOSED) return -EINVAL;
    if (s.localPort == 0) {
      const bound = bindSocket(s, IPPROTO_TCP, 0, 0);
      if (bound < 0) return bound;
    } else if (!bindMayListen(s)) {
      return -EADDRINUSE;
    }
  }
  // A negative backlog is the largest (Linux compares it unsigned).
  return tcpListen(tcbOf(s), i32(min(u32(backlog), sysctl(SYSCTL_SOMAXCONN))));
}

/**
 * accept4(2): a descriptor; the peer's address lies in the exchange area. -EAGAIN when nothing waits, -EINVAL when the
 * socket does not listen, -EOPNOTSUPP, -EMFILE, -ECONNABORTED.
 */
export function accept(fd: i32, flags: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (flags & ~FLAGS_OF_TYPE) return -EINVAL;
  if (s.kind != KIND_LISTENER) return s.kind == KIND_EPOLL ? -ENOTSOCK : s.kind == KIND_UDP ? -EOPNOTSUPP : -EINVAL;
  if (!fdAvailable()) return -EMFILE;
  const at = u32(tcpAccept(tcbOf(s)));
  if (at >= ADDRESS_MAX) return i32(at);
  const child = changetype<Socket>(usize(at));
  child.flags &= ~u16(SF_NONBLOCK);
  return describe(child, flags);
}

/** Connections that wait for accept(): for who takes from several listeners in turn. -EBADF, -EINVAL. */
export function acceptPending(fd: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  return s.kind == KIND_LISTENER ? i32(listenerPending(tcbOf(s))) : -EINVAL;
}

/** connect(2): 0 (UDP), -EINPROGRESS, -EALREADY, -EISCONN, -ECONNREFUSED and others. */
export function connect(fd: i32, address: u32, port: u32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (port > 65535) return -EINVAL;
  address = destinationOf(s, address);
  switch (i32(s.kind)) {
    case KIND_TCP:
      return tcpConnect(tcbOf(s), address, port);
    case KIND_LISTENER:
      return -EISCONN;
    case KIND_UDP:
      return udpConnect(udpOf(s), address, port);
    default:
      return -ENOTSOCK;
  }
}

/** How a connect() that was waited for has ended: 0 or -errno, told once (-EALREADY: it has not). */
export function connectResult(fd: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind != KIND_TCP || !(s.flags & SF_CONNECTING)) return 0;
  const t = tcbOf(s);
  return isOpening(t) ? -EALREADY : connectEnded(t);
}

/** connect(2) with AF_UNSPEC: the socket forgets its peer; a connection is reset, a listener listens no more. */
export function disconnect(fd: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind == KIND_EPOLL) return -ENOTSOCK;
  if (s.kind == KIND_UDP) return udpConnect(udpOf(s), 0, 0);
  tcpDisconnect(tcbOf(s));
  return 0;
}

/** The errno (positive) that waits for the next call or SO_ERROR, left where it is; 0 for none, -EBADF. */
export function errorPending(fd: i32): i32 {
  const s = fdGet(fd);
  return s === null ? -EBADF : s.error;
}

/** shutdown(2): 0, -EINVAL, -ENOTCONN. An unconnected UDP socket is shut down all the same (as Linux). */
export function shutdown(fd: i32, how: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind == KIND_EPOLL) return -ENOTSOCK;
  if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return -EINVAL;
  if (s.kind != KIND_UDP) return tcpShutdown(tcbOf(s), how);
  s.shut |= u8(how == SHUT_RD ? SHUT_READ : how == SHUT_WR ? SHUT_WRITE : SHUT_READ | SHUT_WRITE);
  socketNotify(s, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
  return s.remotePort != 0 ? 0 : -ENOTCONN;
}

/** close(2): 0 or -EBADF. What is unsent is still sent, unless SO_LINGER says otherwise. */
export function close(fd: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  epollForget(s);
  fdFree(fd);
  switch (i32(s.kind)) {
    case KIND_UDP:
      membershipsEnd(s);
      udpClose(udpOf(s));
      break;
    case KIND_EPOLL:
      epollFree(epollOf(s));
      break;
    default:
      tcpClose(tcbOf(s));
  }
  return 0;
}

/** getsockname(2): the address lies in the exchange area. */
export function getsockname(fd: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind == KIND_EPOLL) return -ENOTSOCK;
  return giveAddress(s.localAddress, s.localPort);
}

/** getpeername(2): the address lies in the exchange area; -ENOTCONN. */
export function getpeername(fd: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind == KIND_EPOLL) return -ENOTSOCK;
  if (s.remotePort == 0 || s.kind == KIND_LISTENER) return -ENOTCONN;
  if (s.kind == KIND_TCP && (s.state == TCP_CLOSED || s.state == TCP_SYN_SENT)) return -ENOTCONN;
  return giveAddress(s.remoteAddress, s.remotePort);
}

/** getsockopt(2): bytes written at `value`, or a negative errno. */
export function getsockopt(fd: i32, level: i32, name: i32, value: usize, length: u32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind == KIND_EPOLL) return -ENOTSOCK;
  return socketGetOption(s, level, name, value, length);
}

/** setsockopt(2): 0 or a negative errno. */
export function setsockopt(fd: i32, level: i32, name: i32, value: usize, length: u32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (s.kind == KIND_EPOLL) return -ENOTSOCK;
  return socketSetOption(s, level, name, value, length);
}

/** fcntl(2): F_GETFL, F_SETFL (O_NONBLOCK), F_GETFD, F_SETFD (FD_CLOEXEC, which is kept; nothing is executed). */
export function fcntl(fd: i32, command: i32, argument: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  switch (command) {
    case F_GETFL:
      return O_RDWR | (s.flags & SF_NONBLOCK ? O_NONBLOCK : 0);
    case F_SETFL:
      return setNonblocking(s, (argument & O_NONBLOCK) != 0);
    case F_GETFD:
      return fdCloexec(fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
      fdSetCloexec(fd, (argument & FD_CLOEXEC) != 0);
      return 0;
    default:
      return -EINVAL;
  }
}

/** ioctl(2): FIONREAD, SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK return their figure; FIONBIO takes its argument by value. */
export function ioctl(fd: i32, request: i32, argument: i32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (request == FIONBIO) return setNonblocking(s, argument != 0);
  if (s.kind == KIND_EPOLL) return -ENOTTY;
  if (s.kind == KIND_LISTENER) return request == FIONREAD || request == SIOCOUTQ ? -EINVAL : -ENOTTY;
  const datagrams = s.kind == KIND_UDP;
  switch (request) {
    case FIONREAD:
      return datagrams ? i32(udpPending(udpOf(s))) : i32(tcpReadable(tcbOf(s)));
    case SIOCOUTQ:
      return datagrams ? 0 : i32(tcpOutq(tcbOf(s)));
    case SIOCOUTQNSD:
      return datagrams ? -ENOTTY : i32(tcpUnsent(tcbOf(s)));
    case SIOCATMARK:
      return datagrams ? -ENOTTY : i32(urgentAtMark(tcbOf(s)));
    default:
      return -ENOTTY;
  }
}

/**
 * How long a call on this descriptor may block, microseconds: 0 (O_NONBLOCK, a timeout that has passed, no such
 * descriptor), or SO_RCVTIMEO (`sending` 0) or SO_SNDTIMEO (1), Infinity when that is not set.
 */
export function waitLimit(fd: i32, sending: i32): f64 {
  const s = fdGet(fd);
  if (s === null || s.flags & SF_NONBLOCK) return 0;
  if (s.extra == 0) return Infinity;
  const extra = changetype<SocketExtra>(s.extra);
  const timeout = sending ? extra.sndTimeoutMicros : extra.rcvTimeoutMicros;
  return timeout == 0 ? Infinity : max(timeout, 0);
}

/**
 * How long close(2) waits for the peer to take all, milliseconds (SO_LINGER): 0 for what does not linger, and for
 * connections with unread bytes, which close() resets (RFC 2525 section 2.17).
 */
export function lingerLimit(fd: i32): i32 {
  const s = fdGet(fd);
  if (s === null || s.kind != KIND_TCP || !(s.flags & SF_LINGER) || s.extra == 0 || s.rcvBytes != 0) return 0;
  return i32(changetype<SocketExtra>(s.extra).lingerMillis);
}

/** 1 while the peer has not acknowledged the FIN (what a lingering close waits for), else 0. */
export function finPending(fd: i32): i32 {
  const s = fdGet(fd);
  if (s === null || s.kind != KIND_TCP) return 0;
  return i32(s.state == TCP_FIN_WAIT_1 || s.state == TCP_CLOSING || s.state == TCP_LAST_ACK);
}

/** Readiness of a descriptor as EPOLL bits, or -EBADF. */
export function pollEvents(fd: i32): i32 {
  const s = fdGet(fd);
  return s === null ? -EBADF : i32(socketEvents(s));
}

/** epoll_create1(2): a descriptor, -EINVAL, -ENOBUFS, -EMFILE. */
export function epollCreate(flags: i32): i32 {
  if (flags & ~SOCK_CLOEXEC) return -EINVAL;
  if (!fdAvailable()) return -EMFILE;
  const ep = epollAlloc();
  if (ep === null) return -ENOBUFS;
  return withFlags(fdAlloc(ep), flags);
}

/** epoll_ctl(2): 0, or -EBADF, -EINVAL, -EEXIST, -ENOENT, -ELOOP, -ENOSPC (no watches left). */
export function epollCtl(epfd: i32, op: i32, fd: i32, events: u32, dataLow: u32, dataHigh: u32): i32 {
  const s = fdGet(epfd);
  if (s === null) return -EBADF;
  if (s.kind != KIND_EPOLL) return fdGet(fd) === null ? -EBADF : -EINVAL;
  return epollControl(epollOf(s), op, fd, events, dataLow, dataHigh);
}

/** epoll_wait(2) without waiting: events at `out`, 16 bytes each, or -EBADF, -EINVAL. */
export function epollWait(epfd: i32, out: usize, max: i32): i32 {
  const s = fdGet(epfd);
  if (s === null) return -EBADF;
  if (s.kind != KIND_EPOLL || max <= 0) return -EINVAL;
  return i32(epollCollect(epollOf(s), out, u32(max)));
}

/** Says that a caller begins (1) or ends (-1) to sleep in epoll_wait: EPOLLEXCLUSIVE wakes one sleeper. */
export function epollWaiting(epfd: i32, change: i32): i32 {
  const s = fdGet(epfd);
  if (s === null) return -EBADF;
  if (s.kind != KIND_EPOLL) return -EINVAL;
  epollSleep(epollOf(s), change);
  return 0;
}

/** Gives a new socket its descriptor; there is one free. */
function describe(s: Socket, flags: i32): i32 {
  if (flags & SOCK_NONBLOCK) s.flags |= u16(SF_NONBLOCK);
  return withFlags(fdAlloc(s), flags);
}

/** What SOCK_CLOEXEC or EPOLL_CLOEXEC says of a new descriptor. */
function withFlags(fd: i32, flags: i32): i32 {
  if (flags & SOCK_CLOEXEC && fd >= 0) fdSetCloexec(fd, true);
  return fd;
}

function setNonblocking(s: Socket, on: bool): i32 {
  if (on) s.flags |= u16(SF_NONBLOCK);
  else s.flags &= ~u16(SF_NONBLOCK);
  return 0;
}

function giveAddress(address: u32, port: u32): i32 {
  const at = usize(stack.exchange);
  store<u32>(at, address, EXCHANGE_ADDRESS);
  store<u32>(at, port, EXCHANGE_ADDRESS + 4);
  return 0;
}

function epollOf(s: Socket): Epoll {
  return changetype<Epoll>(changetype<usize>(s));
}
