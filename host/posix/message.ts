// sendmsg, recvmsg, readv and writev: scattered buffers and ancillary data.
// Read first: sendmsg(2), recvmsg(2), cmsg(3), ip(7).

import {
  AF_INET,
  AF_UNSPEC,
  EAGAIN,
  EINVAL,
  EOPNOTSUPP,
  EPOLLOUT,
  EPOLLRDHUP,
  ERROR_CODE,
  ERROR_DATA,
  ERROR_ERRNO,
  ERROR_INFO,
  ERROR_MICROS,
  ERROR_OFFENDER,
  ERROR_ORIGIN,
  ERROR_TYPE,
  EXCHANGE_DATA_BYTES,
  FIONREAD,
  IPPROTO_IP,
  IPPROTO_TCP,
  IP_PKTINFO,
  IP_RECVERR,
  IP_RECVTOS,
  IP_RECVTTL,
  IP_TOS,
  IP_TTL,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_EOR,
  MSG_ERRQUEUE,
  MSG_MORE,
  MSG_TRUNC,
  MSG_ZEROCOPY,
  SCM_TIMESTAMPING,
  SOL_SOCKET,
  SO_EE_ORIGIN_TIMESTAMPING,
  SO_EE_ORIGIN_ZEROCOPY,
  TCP_CM_INQ,
  TCP_INQ,
} from "../../assembly/layout.ts";
import { formatAddress, parseAddress, portOf, type SocketAddress, type SocketAddressResult } from "./address.ts";
import { type Bytes, toBytes } from "./arguments.ts";
import {
  ADDRESS_DESTINATION,
  ADDRESS_FLAGS,
  ADDRESS_NETIF,
  ADDRESS_TOS,
  ADDRESS_TTL,
  type ContextCore,
  type PosixContext,
} from "./context.ts";
import type { TimeSpec } from "./events.ts";
import type { SocketExports } from "../stack-exports.ts";
import type { RawTransfer } from "./transfer.ts";

/** struct sock_extended_err and the address behind it (SO_EE_OFFENDER). */
export interface ExtendedError {
  ee_errno: number;
  ee_origin: number;
  ee_type: number;
  ee_code: number;
  ee_info: number;
  ee_data: number;
  offender: { family: number; address: string; port: number };
}

/** struct in_pktinfo; interfaces are counted from 1, the loopback. */
export interface PacketInfo {
  ipi_ifindex: number;
  ipi_spec_dst: string;
  ipi_addr: string;
}

/** struct scm_timestamping: the stack's clock; no NIC here has one of its own. */
export interface Timestamping {
  ts: [software: TimeSpec, deprecated: TimeSpec, hardware: TimeSpec];
}

/** struct cmsghdr with its data: a number for IP_TTL and IP_TOS. */
export interface ControlMessage {
  cmsg_level: number;
  cmsg_type: number;
  data: number | ExtendedError | PacketInfo | Timestamping;
}

/** struct msghdr. */
export interface MessageHeader {
  /** sendmsg: the destination. recvmsg: receives the source. */
  msg_name?: SocketAddress | null;
  msg_iov: Bytes[];
  /** recvmsg empties and fills it; without one, ancillary data is dropped and MSG_CTRUNC set. */
  msg_control?: ControlMessage[];
  /** recvmsg: MSG_TRUNC, MSG_CTRUNC, MSG_ERRQUEUE. */
  msg_flags?: number;
}

export interface MessageCalls {
  sendmsg: (fd: number, message: MessageHeader, flags?: number) => number;
  recvmsg: (fd: number, message: MessageHeader, flags?: number) => number;
  readv: (fd: number, iov: Bytes[]) => number;
  writev: (fd: number, iov: Bytes[]) => number;
}

/** Linux: MAX_SKB_FRAGS. */
const FRAGMENTS_MAX = 17;
/** Most buffers of one call (IOV_MAX of Linux). */
const IOV_MAX = 1024;

/** Makes the calls for one stack. */
export function createMessage(
  context: PosixContext<
    ContextCore & Pick<SocketExports, "getsockopt" | "ioctl" | "pollEvents" | "recvPeek" | "sendtoWith">
  >,
  transfer: RawTransfer,
): MessageCalls {
  const { core, args } = context;
  /** Where scattered buffers come together; grows to what a message needs. */
  let gathering = new Uint8Array(4096);

  function room(length: number): Bytes {
    if (gathering.length < length) gathering = new Uint8Array(Math.max(length, 2 * gathering.length));
    return gathering.subarray(0, length);
  }

  function sendmsg(fd: number, message: MessageHeader, flags = 0): number {
    const iov = buffersOf(message);
    if (iov.length > IOV_MAX) return -EINVAL;
    const length = totalOf(iov);
    const control = controlOf(message.msg_control);
    if (control === undefined) return -EINVAL;
    if (length > EXCHANGE_DATA_BYTES && !isDatagram(fd)) return sendEach(fd, iov, length, flags);
    if (flags & MSG_ZEROCOPY && iov.length > FRAGMENTS_MAX && !isDatagram(fd)) return sendParts(fd, iov, flags);
    const bytes = iov.length === 1 ? (iov[0] as Bytes) : gather(iov, room(length));
    const to = message.msg_name;
    if (control.ttl < 0 && control.tos < 0) {
      return to === undefined || to === null ? transfer.send(fd, bytes, flags) : transfer.sendto(fd, bytes, flags, to);
    }
    const part = bytes.subarray(0, EXCHANGE_DATA_BYTES);
    const address = to === undefined || to === null ? 0 : parseAddress(to.address);
    const port = to === undefined || to === null ? 0 : portOf(to);
    context.touch();
    const deadline = flags & MSG_DONTWAIT ? -Infinity : context.deadline(fd, 1);
    while (true) {
      // Whoever was served meanwhile may have used the exchange area.
      context.data.set(part);
      const n = core.sendtoWith(fd, context.dataAt, part.length, flags, address, port, control.ttl, control.tos);
      if (n !== -EAGAIN || core.pollEvents(fd) & EPOLLOUT) return n;
      const waited = context.wait(deadline);
      if (waited < 0) return waited;
    }
  }

  /** A long message of a stream: buffer by buffer, held together with MSG_MORE. */
  function sendEach(fd: number, iov: Bytes[], length: number, flags: number): number {
    let done = 0;
    for (const buffer of iov) {
      const isLast = done + buffer.length === length;
      const n = transfer.send(fd, buffer, isLast ? flags : flags | MSG_MORE);
      if (n < 0) return done > 0 ? done : n;
      done += n;
      if (n < buffer.length) break;
    }
    return done;
  }

  /** Linux sends at most 17 of the application's buffers in one packet without copying: each such part is a record. */
  function sendParts(fd: number, iov: Bytes[], flags: number): number {
    let done = 0;
    for (let i = 0; i < iov.length; i += FRAGMENTS_MAX) {
      const part = iov.slice(i, i + FRAGMENTS_MAX);
      const length = totalOf(part);
      const isLast = i + FRAGMENTS_MAX >= iov.length;
      const n = transfer.send(fd, gather(part, room(length)), isLast ? flags : (flags & ~MSG_ZEROCOPY) | MSG_EOR);
      if (n < 0) return done > 0 ? done : n;
      done += n;
      if (n < length) break;
    }
    return done;
  }

  function recvmsg(fd: number, message: MessageHeader, flags = 0): number {
    const iov = buffersOf(message);
    if (iov.length > IOV_MAX) return -EINVAL;
    const length = totalOf(iov);
    const bytes = iov.length === 1 ? (iov[0] as Bytes) : room(length);
    const from: SocketAddressResult = {};
    // The whole length tells whether a datagram was cut; recvmsg itself reports it only when asked to.
    const n = transfer.recvfrom(fd, bytes, length, flags, from);
    if (n < 0) return n;
    if (iov.length !== 1) scatter(bytes.subarray(0, Math.min(n, length)), iov);
    message.msg_flags = 0;
    if (from.port === undefined) {
      if (flags & MSG_ERRQUEUE)
        message.msg_flags |= MSG_ERRQUEUE | ((context.address[ADDRESS_FLAGS] as number) & MSG_TRUNC);
      giveControl(message, flags & MSG_ERRQUEUE ? errorMessages() : streamMessages(fd, message));
      return n;
    }
    if (message.msg_name) Object.assign(message.msg_name, from);
    message.msg_flags |= (context.address[ADDRESS_FLAGS] as number) & MSG_TRUNC;
    if (flags & MSG_ERRQUEUE) message.msg_flags |= MSG_ERRQUEUE;
    giveControl(message, flags & MSG_ERRQUEUE ? errorMessages() : controlMessages(fd));
    return n;
  }

  function giveControl(message: MessageHeader, found: ControlMessage[]): void {
    if (message.msg_control === undefined) {
      if (found.length > 0) message.msg_flags = (message.msg_flags ?? 0) | MSG_CTRUNC;
      return;
    }
    message.msg_control.length = 0;
    message.msg_control.push(...found);
  }

  /** What the error queue held (IP_RECVERR); before it, when it happened, where that was asked for. */
  function errorMessages(): ControlMessage[] {
    const error: ControlMessage = { cmsg_level: IPPROTO_IP, cmsg_type: IP_RECVERR, data: extendedError() };
    const micros = args.getFloat64(ERROR_MICROS, true);
    if (micros === 0) return [error];
    const software = { tv_sec: Math.floor(micros / 1e6), tv_nsec: (micros % 1e6) * 1000 };
    const none = { tv_sec: 0, tv_nsec: 0 };
    const data: Timestamping = { ts: [software, { ...none }, { ...none }] };
    return [{ cmsg_level: SOL_SOCKET, cmsg_type: SCM_TIMESTAMPING, data }, error];
  }

  function extendedError(): ExtendedError {
    const origin = args.getUint32(ERROR_ORIGIN, true);
    const isLocal = origin === SO_EE_ORIGIN_ZEROCOPY || origin === SO_EE_ORIGIN_TIMESTAMPING;
    return {
      ee_errno: args.getUint32(ERROR_ERRNO, true),
      ee_origin: origin,
      ee_type: args.getUint32(ERROR_TYPE, true),
      ee_code: args.getUint32(ERROR_CODE, true),
      ee_info: args.getUint32(ERROR_INFO, true),
      ee_data: args.getUint32(ERROR_DATA, true),
      offender: {
        family: isLocal ? AF_UNSPEC : AF_INET,
        address: formatAddress(args.getUint32(ERROR_OFFENDER, true)),
        port: 0,
      },
    };
  }

  /** TCP_INQ: the bytes that are left to read; 1 when it is the end that is left. */
  function streamMessages(fd: number, message: MessageHeader): ControlMessage[] {
    if (message.msg_control === undefined || core.getsockopt(fd, IPPROTO_TCP, TCP_INQ, context.argsAt, 4) < 0)
      return [];
    if (args.getInt32(0, true) === 0) return [];
    const left = core.ioctl(fd, FIONREAD, 0);
    const data = left > 0 ? left : core.pollEvents(fd) & EPOLLRDHUP ? 1 : 0;
    return [{ cmsg_level: IPPROTO_TCP, cmsg_type: TCP_CM_INQ, data }];
  }

  /** What the options IP_RECVTTL, IP_RECVTOS and IP_PKTINFO ask for about the datagram that was just received. */
  function controlMessages(fd: number): ControlMessage[] {
    const address = context.address;
    const found: ControlMessage[] = [];
    const wants = (name: number): boolean =>
      core.getsockopt(fd, IPPROTO_IP, name, context.argsAt, 4) > 0 && args.getInt32(0, true) !== 0;
    if (wants(IP_PKTINFO)) {
      const to = formatAddress(address[ADDRESS_DESTINATION] as number);
      const data = { ipi_ifindex: address[ADDRESS_NETIF] as number, ipi_spec_dst: to, ipi_addr: to };
      found.push({ cmsg_level: IPPROTO_IP, cmsg_type: IP_PKTINFO, data });
    }
    if (wants(IP_RECVTTL))
      found.push({ cmsg_level: IPPROTO_IP, cmsg_type: IP_TTL, data: address[ADDRESS_TTL] as number });
    if (wants(IP_RECVTOS))
      found.push({ cmsg_level: IPPROTO_IP, cmsg_type: IP_TOS, data: address[ADDRESS_TOS] as number });
    return found;
  }

  function isDatagram(fd: number): boolean {
    return core.recvPeek(fd) === -EOPNOTSUPP;
  }

  return {
    sendmsg,
    recvmsg,
    readv: (fd, iov) => recvmsg(fd, { msg_iov: iov }),
    writev: (fd, iov) => sendmsg(fd, { msg_iov: iov }),
  };
}

function buffersOf(message: MessageHeader): Bytes[] {
  return message.msg_iov.map((buffer) => toBytes(buffer, "msg_iov"));
}

function totalOf(iov: Bytes[]): number {
  return iov.reduce((sum, buffer) => sum + buffer.length, 0);
}

function gather(iov: Bytes[], target: Bytes): Bytes {
  let at = 0;
  for (const buffer of iov) {
    target.set(buffer, at);
    at += buffer.length;
  }
  return target;
}

function scatter(source: Bytes, iov: Bytes[]): void {
  let at = 0;
  for (const buffer of iov) {
    if (at >= source.length) return;
    const n = Math.min(buffer.length, source.length - at);
    buffer.set(source.subarray(at, at + n));
    at += n;
  }
}

/** TTL and TOS of ancillary data, -1 for none; undefined when there is something else in it. */
function controlOf(control: ControlMessage[] | undefined): { ttl: number; tos: number } | undefined {
  const found = { ttl: -1, tos: -1 };
  for (const { cmsg_level, cmsg_type, data } of control ?? []) {
    if (cmsg_level !== IPPROTO_IP || typeof data !== "number") return undefined;
    if (cmsg_type === IP_TTL && data >= 1 && data <= 255) found.ttl = data;
    else if (cmsg_type === IP_TOS && data >= 0 && data <= 255) found.tos = data;
    else return undefined;
  }
  return found;
}
