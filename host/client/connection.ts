// socket, accept, connect, close and their like for business threads: what only the stack can do is a call to it;
// connections that are ready to be accepted lie in the listener's channel.
// Read first: host/posix/connection.ts; the section 2 pages of each.

import {
  AF_INET,
  AF_UNSPEC,
  CALL_BIND,
  CALL_CLOSE,
  CALL_CONNECT,
  CALL_DISCONNECT,
  CALL_FIN_PENDING,
  CALL_GETPEERNAME,
  CALL_GETSOCKNAME,
  CALL_IOCTL,
  CALL_LISTEN,
  CALL_SHUTDOWN,
  CALL_SOCKET,
  CALL_TAKE_ERROR,
  CHANNEL_FLAGS,
  CHANNEL_REMOTE_ADDRESS,
  CHANNEL_REMOTE_PORT,
  EAFNOSUPPORT,
  EAGAIN,
  EALREADY,
  EBADF,
  ECONNABORTED,
  EINPROGRESS,
  ENETDOWN,
  EINVAL,
  ENOTTY,
  EPIPE,
  EPOLLERR,
  EPOLLHUP,
  EPOLLOUT,
  F_GETFD,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  FIONBIO,
  CHANNEL_HAS_ROOM,
  O_NONBLOCK,
  READY_FLAGS,
  SHUT_WR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
} from "../../assembly/layout.ts";
import {
  formatAddress,
  isForeign,
  isInternet,
  parseAddress,
  portOf,
  type SocketAddress,
  type SocketAddressResult,
} from "../posix/address.ts";
import type { RawConnection } from "../posix/connection.ts";
import type { ContextCore, PosixContext } from "../posix/context.ts";
import type { Link } from "./link.ts";

const O_RDWR = 2;
/** A lingering close asks so often whether the peer has taken all, microseconds. */
const LINGER_MICROS = 2000;

/** A socket of a certain stack: the host's descriptor, or a negative errno. */
export function socketOn(link: Link, stack: number, domain: number, type: number, protocol: number): number {
  const fd = link.seat.call(stack, CALL_SOCKET, domain, type, protocol);
  return fd < 0 ? fd : link.descriptor(stack, fd);
}

/** Makes the calls of one thread. */
export function createClientConnection(link: Link, context: PosixContext<ContextCore>): RawConnection {
  const { core, channel, seat } = link;
  /** The stack that gets the next socket: threads begin with different ones. */
  let next = seat.turn;

  /** One that has just died makes way for the next; -ENETDOWN says that none runs. */
  function socket(domain: number, type: number, protocol = 0): number {
    let fd = -ENETDOWN;
    for (let i = 0; i < link.stacks && fd === -ENETDOWN; i++) {
      fd = socketOn(link, next++ % link.stacks, domain, type, protocol);
    }
    return fd;
  }

  function bind(fd: number, to: SocketAddress): number {
    if (isForeign(to)) return -EAFNOSUPPORT;
    const address = parseAddress(to.address);
    if (!isInternet(to) && !(to.family === AF_UNSPEC && address === 0)) return -EAFNOSUPPORT;
    return link.call(fd, CALL_BIND, address, portOf(to));
  }

  function accept4(fd: number, peer: SocketAddressResult | null | undefined, flags: number): number {
    if (!link.find(fd)) return link.refusal(fd);
    if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) return -EINVAL;
    const { at, part, stack } = channel;
    let accepted = core.clientAccept(part, at);
    if (accepted === -EAGAIN) {
      const deadline = link.deadline(at, false);
      while (accepted === -EAGAIN) {
        const waited = link.wait(at, stack, false, deadline);
        // One that listens no more is told so by accept() itself, one that listens again goes on.
        if (waited < 0 && waited !== -EPIPE) return waited;
        accepted = core.clientAccept(part, at);
      }
    }
    if (accepted < 0) return accepted;
    const child = link.descriptor(stack, accepted);
    link.find(child);
    Atomics.store(link.words, (channel.at + CHANNEL_FLAGS) / 4, flags & (O_NONBLOCK | SOCK_CLOEXEC));
    if (peer !== undefined && peer !== null) {
      peer.family = AF_INET;
      peer.address = formatAddress(link.word(channel.at, CHANNEL_REMOTE_ADDRESS) >>> 0);
      peer.port = link.word(channel.at, CHANNEL_REMOTE_PORT);
    }
    return child;
  }

  function connect(fd: number, to: SocketAddress): number {
    if (to.family === AF_UNSPEC) return link.call(fd, CALL_DISCONNECT);
    if (!isInternet(to)) return -EAFNOSUPPORT;
    const started = link.call(fd, CALL_CONNECT, parseAddress(to.address), portOf(to));
    if (started !== -EINPROGRESS && started !== -EALREADY) return started;
    // Also a connect that was begun without blocking may be waited for with a second call (as Linux).
    if (!link.find(fd)) return -EBADF;
    const { at, stack } = channel;
    const deadline = link.deadline(at, true);
    while (!link.has(at, EPOLLOUT | EPOLLERR | EPOLLHUP | CHANNEL_HAS_ROOM)) {
      const waited = link.wait(at, stack, true, deadline);
      if (waited === -EPIPE) return link.call(fd, CALL_TAKE_ERROR) || -ECONNABORTED;
      if (waited < 0) return waited === -EAGAIN ? started : waited;
    }
    return link.call(fd, CALL_TAKE_ERROR, 1);
  }

  function close(fd: number): number {
    if (!link.find(fd)) return core.shareEpollClose(link.place.share, fd);
    const millis = link.call(fd, CALL_CLOSE, 0);
    if (millis <= 0) return millis;
    linger(fd, millis);
    return link.call(fd, CALL_CLOSE, 1);
  }

  /** SO_LINGER: waits until the peer has acknowledged all, the FIN included, or the time is over. */
  function linger(fd: number, millis: number): void {
    if (link.call(fd, CALL_SHUTDOWN, SHUT_WR) < 0) return;
    const deadline = link.now() + millis * 1000;
    while (link.now() < deadline && link.call(fd, CALL_FIN_PENDING) > 0) {
      if (link.stepped() === 0) link.pause(Math.min(LINGER_MICROS, deadline - link.now()));
    }
  }

  function name(call: number, fd: number, target: SocketAddressResult): number {
    const result = link.call(fd, call);
    if (result === 0) context.giveAddress(target);
    return result;
  }

  function fcntl(fd: number, command: number, argument = 0): number {
    const isSocket = link.find(fd);
    if (!isSocket && link.refusal(fd) === -EBADF) return -EBADF;
    const share = link.place.share;
    const at = isSocket ? channel.at + CHANNEL_FLAGS : (core.shareEpollAt(share, fd) >>> 0) + READY_FLAGS;
    switch (command) {
      case F_GETFD:
        return Atomics.load(link.words, at / 4) & SOCK_CLOEXEC ? FD_CLOEXEC : 0;
      case F_SETFD:
        return setFlag(at, SOCK_CLOEXEC, (argument & FD_CLOEXEC) !== 0);
      case F_GETFL:
        return O_RDWR | (isSocket && !link.isBlocking(channel.at) ? O_NONBLOCK : 0);
      case F_SETFL:
        return isSocket ? setFlag(at, O_NONBLOCK, (argument & O_NONBLOCK) !== 0) : 0;
      default:
        return -EINVAL;
    }
  }

  function setFlag(at: number, flag: number, on: boolean): number {
    if (on) Atomics.or(link.words, at / 4, flag);
    else Atomics.and(link.words, at / 4, ~flag);
    return 0;
  }

  function ioctl(fd: number, request: number, result?: { value?: number } | number | boolean): number {
    if (!link.find(fd)) return link.refusal(fd) === -EBADF ? -EBADF : -ENOTTY;
    const given = Number(typeof result === "object" ? (result.value ?? 0) : (result ?? 0));
    if (request === FIONBIO) return fcntl(fd, F_SETFL, given === 0 ? 0 : O_NONBLOCK);
    const figure = link.call(fd, CALL_IOCTL, request, given);
    if (figure < 0 || typeof result !== "object") return figure;
    result.value = figure;
    return 0;
  }

  return {
    socket,
    bind,
    listen: (fd, backlog) => link.call(fd, CALL_LISTEN, backlog),
    accept4,
    connect,
    shutdown: (fd, how) => link.call(fd, CALL_SHUTDOWN, how),
    close,
    getsockname: (fd, target) => name(CALL_GETSOCKNAME, fd, target),
    getpeername: (fd, target) => name(CALL_GETPEERNAME, fd, target),
    fcntl,
    ioctl,
  };
}
