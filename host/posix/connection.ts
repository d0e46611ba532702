// socket, bind, listen, accept, connect, shutdown, close and the names of both ends, blocking where C's calls block.
// Read first: the section 2 pages of each; socket(7) SO_LINGER.

import {
  AF_UNSPEC,
  EAFNOSUPPORT,
  EAGAIN,
  EALREADY,
  EINPROGRESS,
  EPOLLERR,
  EPOLLHUP,
  EPOLLOUT,
  FIONBIO,
  SHUT_WR,
} from "../../assembly/layout.ts";
import {
  isForeign,
  isInternet,
  parseAddress,
  portOf,
  type SocketAddress,
  type SocketAddressResult,
} from "./address.ts";
import type { PosixContext } from "./context.ts";

/** `bind(fd, { address, port })` or `bind(fd, address, port)`; so connect. */
export interface Naming {
  (fd: number, address: SocketAddress): number;
  (fd: number, address: string | number, port: number): number;
}

export interface ConnectionCalls {
  socket: (domain: number, type: number, protocol?: number) => number;
  bind: Naming;
  listen: (fd: number, backlog: number) => number;
  accept: (fd: number, peer?: SocketAddressResult | null) => number;
  accept4: (fd: number, peer: SocketAddressResult | null | undefined, flags: number) => number;
  connect: Naming;
  shutdown: (fd: number, how: number) => number;
  close: (fd: number) => number;
  getsockname: (fd: number, name: SocketAddressResult) => number;
  getpeername: (fd: number, name: SocketAddressResult) => number;
  fcntl: (fd: number, command: number, argument?: number) => number;
  /**
   * FIONREAD (SIOCINQ), SIOCOUTQ, SIOCOUTQNSD and SIOCATMARK return their figure, or put it into `result.value` and
   * return 0.
   */
  ioctl: (fd: number, request: number, result?: { value?: number } | number | boolean) => number;
}

/** The same behind the checks of checked.ts. */
export type RawConnection = Omit<ConnectionCalls, "bind" | "accept" | "connect"> &
  Record<"bind" | "connect", (fd: number, to: SocketAddress) => number>;

/** Makes the calls for one stack. */
export function createConnection(context: PosixContext): RawConnection {
  const { core, waiter } = context;

  function bind(fd: number, to: SocketAddress): number {
    if (isForeign(to)) return -EAFNOSUPPORT;
    const address = parseAddress(to.address);
    // As Linux: AF_UNSPEC passes for AF_INET with the wildcard address.
    if (!isInternet(to) && !(to.family === AF_UNSPEC && address === 0)) return -EAFNOSUPPORT;
    return core.bind(fd, address, portOf(to));
  }

  function accept4(fd: number, peer: SocketAddressResult | null | undefined, flags: number): number {
    let accepted = core.accept(fd, flags);
    if (accepted === -EAGAIN) accepted = acceptWaiting(fd, flags);
    if (accepted >= 0 && peer !== undefined && peer !== null) context.giveAddress(peer);
    return accepted;
  }

  function acceptWaiting(fd: number, flags: number): number {
    const deadline = context.deadline(fd, 0);
    while (true) {
      const waited = context.wait(deadline);
      if (waited < 0) return waited;
      const accepted = core.accept(fd, flags);
      if (accepted !== -EAGAIN) return accepted;
    }
  }

  function connect(fd: number, to: SocketAddress): number {
    if (to.family === AF_UNSPEC) return core.disconnect(fd);
    if (!isInternet(to)) return -EAFNOSUPPORT;
    context.touch();
    const started = core.connect(fd, parseAddress(to.address), portOf(to));
    if (started !== -EINPROGRESS && started !== -EALREADY) return started;
    // Also a connect that was begun without blocking may be waited for with a second call (as Linux).
    const deadline = context.deadline(fd, 1);
    while (!(core.pollEvents(fd) & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
      const waited = context.wait(deadline);
      if (waited < 0) return waited === -EAGAIN ? started : waited;
    }
    return core.connectResult(fd);
  }

  function close(fd: number): number {
    const millis = core.lingerLimit(fd);
    if (millis > 0) linger(fd, millis);
    context.touch();
    return core.close(fd);
  }

  /** SO_LINGER: waits until the peer has acknowledged all, the FIN included, or the time is over. */
  function linger(fd: number, millis: number): void {
    context.touch();
    if (core.shutdown(fd, SHUT_WR) < 0) return;
    const deadline = waiter.now() + millis * 1000;
    while (core.finPending(fd) && context.wait(deadline) === 0);
  }

  function name(call: (fd: number) => number, fd: number, target: SocketAddressResult): number {
    const result = call(fd);
    if (result === 0) context.giveAddress(target);
    return result;
  }

  function ioctl(fd: number, request: number, result?: { value?: number } | number | boolean): number {
    if (typeof result !== "object") return core.ioctl(fd, request, Number(result ?? 0));
    const figure = core.ioctl(fd, request, request === FIONBIO ? Number(result.value ?? 0) : 0);
    if (figure < 0 || request === FIONBIO) return figure;
    result.value = figure;
    return 0;
  }

  return {
    socket: (domain, type, protocol = 0) => core.socket(domain, type, protocol),
    bind,
    listen: (fd, backlog) => core.listen(fd, backlog),
    accept4,
    connect,
    shutdown: (fd, how) => {
      context.touch();
      return core.shutdown(fd, how);
    },
    close,
    getsockname: (fd, target) => name(core.getsockname, fd, target),
    getpeername: (fd, target) => name(core.getpeername, fd, target),
    fcntl: (fd, command, argument = 0) => core.fcntl(fd, command, argument),
    ioctl,
  };
}
