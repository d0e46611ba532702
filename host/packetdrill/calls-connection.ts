// socket, bind, listen, accept, connect, shutdown, close, names of both ends, fcntl, ioctl.
// Read first: call-context.ts; host/posix/connection.ts.

import {
  AF_UNSPEC,
  IPPROTO_TCP,
  SOCK_STREAM,
  SO_TYPE,
  SOL_SOCKET,
  TCP_CLOSED,
  TCP_INFO,
} from "../../assembly/layout.ts";
import { formatAddress, parseAddress } from "../posix/address.ts";
import type { SocketAddress, SocketAddressResult } from "../posix/posix.ts";
import {
  addressArgument,
  argument,
  type Call,
  type CallContext,
  compareAddress,
  descriptor,
  integer,
  integerOr,
  opened,
} from "./call-context.ts";
import type { SyscallEvent } from "./script.ts";
import { compareNumber, isAny } from "./values.ts";

const AF_INET = 2;

export const connectionCalls: readonly (readonly [string, Call])[] = [
  ["socket", socket],
  ["bind", bind],
  ["listen", listen],
  ["accept", (context, event) => accept(context, event, 0)],
  ["accept4", (context, event) => accept(context, event, integer(event, 3))],
  ["connect", connect],
  ["shutdown", (context, event) => context.posix.shutdown(descriptor(context, event), integer(event, 1))],
  ["close", close],
  ["getsockname", (context, event) => nameOf(context, event, "getsockname")],
  ["getpeername", (context, event) => nameOf(context, event, "getpeername")],
  ["fcntl", fcntl],
  ["ioctl", ioctl],
];

function socket(context: CallContext, event: SyscallEvent): number {
  // `...` is the family that the options of the script chose: IPv4.
  const live = context.posix.socket(integerOr(event, 0, AF_INET), integer(event, 1), integerOr(event, 2, 0));
  return opened(context, event, live);
}

function bind(context: CallContext, event: SyscallEvent): number {
  const { defaults, posix, connections } = context;
  const fd = descriptor(context, event);
  const where = addressArgument(event, event.arguments[1], {
    address: defaults.localAddress,
    port: defaults.bindPort,
  });
  const result = posix.bind(fd, where);
  if (result === 0 && !isStream(context, fd)) udpConnection(context, fd);
  else if (result === 0) connections.bound(where.port ?? 0);
  return result;
}

/** A UDP socket is one connection to the script, from when it has a name. */
export function udpConnection(context: CallContext, fd: number): void {
  const { connections, posix } = context;
  const known = connections.ofDescriptor(fd);
  const local: SocketAddressResult = {};
  const localPort = posix.getsockname(fd, local) === 0 ? (local.port ?? 0) : 0;
  if (known !== undefined) {
    if (localPort !== 0) known.localPort = localPort;
    connections.current = known;
    return;
  }
  connections.add("udp", "udp", { localPort }).fd = fd;
}

function listen(context: CallContext, event: SyscallEvent): number {
  const fd = descriptor(context, event);
  const result = context.posix.listen(fd, integer(event, 1));
  if (result !== 0) return result;
  const local: SocketAddressResult = {};
  context.posix.getsockname(fd, local);
  const known = context.connections.ofDescriptor(fd);
  if (known?.role === "listening") context.connections.current = known;
  else context.connections.add("tcp", "listening", { localPort: local.port ?? 0, remotePort: 0 }).fd = fd;
  return 0;
}

function accept(context: CallContext, event: SyscallEvent, flags: number): number {
  const peer: SocketAddressResult = {};
  const live = context.posix.accept4(descriptor(context, event), peer, flags);
  if (live < 0) return live;
  compareAddress(event, event.arguments[1], numeric(peer));
  context.connections.accepted(peer.port ?? 0, live);
  return opened(context, event, live);
}

function connect(context: CallContext, event: SyscallEvent): number {
  const { defaults, posix, connections } = context;
  const fd = descriptor(context, event);
  const to = addressArgument(event, event.arguments[1], {
    address: defaults.remoteAddress,
    port: defaults.connectPort,
  });
  if (to.family === AF_UNSPEC) return posix.connect(fd, to);
  const remote = { remoteAddress: parseAddress(to.address), remotePort: to.port ?? 0 };
  if (isStream(context, fd)) {
    if (isClosed(context, fd)) active(context, fd, remote);
    return posix.connect(fd, to);
  }
  const result = posix.connect(fd, to);
  if (result === 0) {
    udpConnection(context, fd);
    Object.assign(connections.current ?? {}, remote);
  }
  return result;
}

/** A connection that the stack is about to open: its port is learned from its name or from its SYN. */
export function active(
  { posix, connections }: CallContext,
  fd: number,
  remote: { remoteAddress: number; remotePort: number },
): void {
  const local: SocketAddressResult = {};
  const localPort = posix.getsockname(fd, local) === 0 ? (local.port ?? 0) : 0;
  connections.add("tcp", "active", { localPort, ...remote }).fd = fd;
}

/** Is it a TCP socket that has no connection? */
export function isClosed({ posix }: CallContext, fd: number): boolean {
  const info = new Uint8Array(1);
  return posix.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info) === 1 && info[0] === TCP_CLOSED;
}

export function isStream({ posix }: CallContext, fd: number): boolean {
  return posix.getsockopt(fd, SOL_SOCKET, SO_TYPE) === SOCK_STREAM;
}

function close(context: CallContext, event: SyscallEvent): number {
  const fd = integer(event, 0);
  if (context.descriptors.played(fd) !== undefined) {
    context.descriptors.remove(fd);
    return 0;
  }
  const result = context.posix.close(context.descriptors.toLive(fd));
  if (result === 0) context.descriptors.remove(fd);
  return result;
}

function nameOf(context: CallContext, event: SyscallEvent, call: "getsockname" | "getpeername"): number {
  const name: SocketAddressResult = {};
  const result = context.posix[call](descriptor(context, event), name);
  if (result === 0) compareAddress(event, event.arguments[1], numeric(name));
  return result;
}

/** Scripts compare numbers: inet_addr() is one. */
function numeric({ family = AF_INET, address = "", port = 0 }: SocketAddressResult): SocketAddress {
  return { family, port, address: parseAddress(address === "" ? formatAddress(0) : address) };
}

function fcntl(context: CallContext, event: SyscallEvent): number {
  return context.posix.fcntl(descriptor(context, event), integer(event, 1), integerOr(event, 2, 0));
}

function ioctl(context: CallContext, event: SyscallEvent): number {
  const request = integer(event, 1);
  const given = event.arguments[2];
  const box = { value: given === undefined || isAny(given) || given.kind === "list" ? 0 : integer(event, 2) };
  if (given?.kind === "list" && given.items.length === 1) box.value = integer(event, 2);
  const result = context.posix.ioctl(descriptor(context, event), request, box);
  if (result === 0 && given?.kind === "list") compareNumber(argument(event, 2), box.value, event.line, event.name);
  return result;
}
