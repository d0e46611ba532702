// The calls as applications have them: every argument is checked here, by the rule of arguments.ts and for both thread
// models, and every result is an int. Behind this the calls get what C's would: ints, bytes, whole structures.
// Read first: arguments.ts; shapes.ts, for what lies behind pointers.

import { EFAULT, EINVAL } from "../../assembly/layout.ts";
import { inet_ntop, inet_pton, type SocketAddress, type SocketAddressResult, socketAddress } from "./address.ts";
import {
  type Bytes,
  checkLength,
  int,
  invalidType,
  isGone,
  millis,
  optional,
  structure,
  toBytes,
  word,
} from "./arguments.ts";
import type { ConnectionCalls, RawConnection } from "./connection.ts";
import type { EpollEvent, EpollEventInput } from "./events.ts";
import type { MessageCalls } from "./message.ts";
import type { MultiplexCalls, RawMultiplex } from "./multiplex.ts";
import type { OptionCalls } from "./options.ts";
import type { Posix } from "./posix.ts";
import {
  checkControl,
  checkEvent,
  checkIov,
  checkMessage,
  checkPolled,
  checkSet,
  timeSpec,
  timeVal,
} from "./shapes.ts";
import type { RawTransfer, TransferCalls } from "./transfer.ts";

/** The calls of a thread model, behind the checks: in one form each, with all of their arguments. */
export interface RawPosix extends RawConnection, RawTransfer, MessageCalls, OptionCalls, RawMultiplex {}

/** Linux: EP_MAX_EVENTS. */
const EVENTS_MAX = 178_956_970;

/** Puts the checks before the calls of a thread model. */
export function checkedPosix(raw: RawPosix): Posix {
  return {
    ...checkedConnection(raw),
    ...checkedTransfer(raw),
    ...checkedMessage(raw),
    ...checkedMultiplex(raw),
    inet_pton,
    inet_ntop,
  };
}

function checkedConnection(raw: RawPosix): ConnectionCalls & OptionCalls {
  const accept4 = (fd: number, peer: SocketAddressResult | null | undefined, flags: number): number =>
    raw.accept4(int("fd", fd), optional("peer", peer), word("flags", flags)) | 0;
  return {
    socket: (domain, type, protocol = 0) =>
      raw.socket(int("domain", domain), word("type", type), int("protocol", protocol)) | 0,
    bind: (fd: number, where: SocketAddress | string | number, port?: number) =>
      raw.bind(int("fd", fd), socketAddress(where, port)) | 0,
    listen: (fd, backlog) => raw.listen(int("fd", fd), word("backlog", backlog)) | 0,
    accept: (fd, peer) => accept4(fd, peer, 0),
    accept4,
    connect: (fd: number, where: SocketAddress | string | number, port?: number) =>
      raw.connect(int("fd", fd), socketAddress(where, port)) | 0,
    shutdown: (fd, how) => raw.shutdown(int("fd", fd), int("how", how)) | 0,
    close: (fd) => raw.close(int("fd", fd)) | 0,
    getsockname: (fd, name) => raw.getsockname(int("fd", fd), structure("name", name)) | 0,
    getpeername: (fd, name) => raw.getpeername(int("fd", fd), structure("name", name)) | 0,
    fcntl: (fd, command, argument = 0) =>
      raw.fcntl(int("fd", fd), int("command", command), word("argument", argument)) | 0,
    ioctl: (fd, request, result) => raw.ioctl(int("fd", fd), word("request", request), checkControl(result)) | 0,
    setsockopt: (fd, level, name, value) =>
      isGone(value) ? -EFAULT : raw.setsockopt(int("fd", fd), int("level", level), int("name", name), value) | 0,
    getsockopt: (fd, level, name, result) => {
      if (result !== undefined) structure("result", result);
      return isGone(result)
        ? -EFAULT
        : raw.getsockopt(int("fd", fd), int("level", level), int("name", name), result) | 0;
    },
  };
}

function checkedTransfer(raw: RawPosix): TransferCalls {
  function send(fd: number, buffer: Bytes, a: number = 0, b?: number): number {
    let bytes = toBytes(buffer);
    if (bytes.length === 0 && isGone(buffer)) return -EFAULT;
    if (b === undefined) return raw.send(int("fd", fd), bytes, word("flags", a)) | 0;
    checkLength(a, bytes.length);
    if (a !== bytes.length) bytes = bytes.subarray(0, a);
    return raw.send(int("fd", fd), bytes, word("flags", b)) | 0;
  }

  function recv(fd: number, buffer: Bytes, a: number = 0, b?: number): number {
    const bytes = toBytes(buffer);
    if (bytes.length === 0 && isGone(buffer)) return -EFAULT;
    if (b === undefined) return raw.recv(int("fd", fd), bytes, bytes.length, word("flags", a)) | 0;
    checkLength(a, bytes.length);
    return raw.recv(int("fd", fd), bytes, a, word("flags", b)) | 0;
  }

  function sendto(
    fd: number,
    buffer: Bytes,
    a: number = 0,
    b?: number | SocketAddress | null,
    c?: SocketAddress | null,
  ): number {
    const asInC = typeof b === "number";
    const to = optional("to", asInC ? c : b);
    if (to === null) return asInC ? send(fd, buffer, a, b) : send(fd, buffer, a);
    let bytes = toBytes(buffer);
    if (bytes.length === 0 && isGone(buffer)) return -EFAULT;
    if (asInC) {
      checkLength(a, bytes.length);
      bytes = bytes.subarray(0, a);
    }
    return raw.sendto(int("fd", fd), bytes, word("flags", asInC ? b : a), socketAddress(to)) | 0;
  }

  function recvfrom(
    fd: number,
    buffer: Bytes,
    a: number = 0,
    b?: number | SocketAddressResult | null,
    c?: SocketAddressResult | null,
  ): number {
    const asInC = typeof b === "number";
    const from = optional("from", asInC ? c : b);
    if (from === null) return asInC ? recv(fd, buffer, a, b) : recv(fd, buffer, a);
    const bytes = toBytes(buffer);
    if (bytes.length === 0 && isGone(buffer)) return -EFAULT;
    if (asInC) checkLength(a, bytes.length);
    const length = asInC ? a : bytes.length;
    return raw.recvfrom(int("fd", fd), bytes, length, word("flags", asInC ? b : a), from) | 0;
  }

  return {
    send,
    recv,
    sendto,
    recvfrom,
    read: (fd, buffer, length) => (length === undefined ? recv(fd, buffer) : recv(fd, buffer, length, 0)),
    write: (fd, buffer, length) => (length === undefined ? send(fd, buffer) : send(fd, buffer, length, 0)),
    recv_view: (fd) => raw.recv_view(int("fd", fd)),
    recv_done: (fd, length) => raw.recv_done(int("fd", fd), int("length", length)) | 0,
  };
}

function checkedMessage(raw: RawPosix): MessageCalls {
  return {
    sendmsg: (fd, message, flags = 0) =>
      checkMessage(message) || raw.sendmsg(int("fd", fd), message, word("flags", flags)) | 0,
    recvmsg: (fd, message, flags = 0) =>
      checkMessage(message) || raw.recvmsg(int("fd", fd), message, word("flags", flags)) | 0,
    readv: (fd, iov) => checkIov("iov", iov) || raw.readv(int("fd", fd), iov) | 0,
    writev: (fd, iov) => checkIov("iov", iov) || raw.writev(int("fd", fd), iov) | 0,
  };
}

function checkedMultiplex(raw: RawPosix): MultiplexCalls {
  function epoll_wait(epfd: number, events: EpollEvent[], maxevents: number, timeout: number): number {
    if (!Array.isArray(events)) invalidType("events", "an array", events);
    const most = int("maxevents", maxevents);
    if (most <= 0 || most > EVENTS_MAX) return -EINVAL;
    return raw.epoll_wait(int("epfd", epfd), events, most, millis("timeout", timeout)) | 0;
  }

  function epoll_ctl(epfd: number, op: number, fd: number, event?: EpollEventInput | null): number {
    return raw.epoll_ctl(int("epfd", epfd), int("op", op), int("fd", fd), checkEvent(event)) | 0;
  }

  return {
    epoll_create: (size) => (int("size", size) > 0 ? raw.epoll_create1(0) | 0 : -EINVAL),
    epoll_create1: (flags) => raw.epoll_create1(word("flags", flags)) | 0,
    epoll_ctl,
    epoll_wait,
    poll: (fds, timeout) => raw.poll(checkPolled(fds), millis("timeout", timeout)) | 0,
    ppoll: (fds, timeout) => raw.ppoll(checkPolled(fds), timeSpec(timeout)) | 0,
    select: (nfds, readfds, writefds, exceptfds, timeout) =>
      raw.select(
        int("nfds", nfds),
        checkSet("readfds", readfds),
        checkSet("writefds", writefds),
        checkSet("exceptfds", exceptfds),
        timeVal(timeout),
      ) | 0,
  };
}
