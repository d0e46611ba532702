// read, write, send, recv and their like: payloads of zeros, of which the script gives the length.
// Read first: call-context.ts; host/posix/transfer.ts.

import { EBADF, EFAULT, EINVAL, SO_TYPE, SOL_SOCKET } from "../../assembly/layout.ts";
import { parseAddress } from "../posix/address.ts";
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
  iovLengths,
} from "./call-context.ts";
import { active, isClosed, isStream, udpConnection } from "./calls-connection.ts";
import { ScriptFailure } from "./failure.ts";
import { numberOf } from "./names.ts";
import type { SyscallEvent } from "./script.ts";
import { isNull } from "./values.ts";

/** Most bytes of one call: more than any buffer of a socket holds several times. */
const BYTES_MAX = 64 << 20;
const MSG_FASTOPEN = numberOf("MSG_FASTOPEN") as number;

export const transferCalls: readonly (readonly [string, Call])[] = [
  ["read", withBuffer((context, fd, bytes) => context.posix.read(fd, bytes))],
  ["write", withBuffer((context, fd, bytes) => context.posix.write(fd, bytes))],
  ["recv", withBuffer((context, fd, bytes, event) => context.posix.recv(fd, bytes, integer(event, 3)))],
  ["send", withBuffer((context, fd, bytes, event) => context.posix.send(fd, bytes, integer(event, 3)))],
  ["recvfrom", withBuffer(recvfrom)],
  ["sendto", withBuffer(sendto)],
  ["readv", (context, event) => context.posix.readv(descriptor(context, event), buffers(event))],
  ["writev", (context, event) => context.posix.writev(descriptor(context, event), buffers(event))],
];

type Transfer = (context: CallContext, fd: number, bytes: Uint8Array, event: SyscallEvent) => number;

/** A call on a buffer: argument 1 says where (`...`, or NULL), argument 2 how long it is. */
function withBuffer(transfer: Transfer): Call {
  return (context, event) => {
    const fd = descriptor(context, event);
    const length = integer(event, 2);
    // JavaScript has no null pointer: what C's calls say to one is said here.
    if (isNull(argument(event, 1)) && length > 0) return isOpen(context, fd) ? -EFAULT : -EBADF;
    // A C program that passes -1 passes the largest size_t.
    if (length < 0) return -EINVAL;
    return transfer(context, fd, bufferOf(event, length), event);
  };
}

function isOpen({ posix }: CallContext, fd: number): boolean {
  return posix.getsockopt(fd, SOL_SOCKET, SO_TYPE) > 0;
}

/** A buffer of zeros. */
export function bufferOf(event: SyscallEvent, length: number): Uint8Array {
  if (length >= 0 && length <= BYTES_MAX) return new Uint8Array(length);
  throw new ScriptFailure(event.line, `${event.name} of ${length} bytes: 0 to ${BYTES_MAX} in one call`);
}

function buffers(event: SyscallEvent): Uint8Array[] {
  return iovLengths(event, argument(event, 1)).map((length) => bufferOf(event, length));
}

function recvfrom(context: CallContext, fd: number, bytes: Uint8Array, event: SyscallEvent): number {
  const from: SocketAddressResult = {};
  const result = context.posix.recvfrom(fd, bytes, integerOr(event, 3, 0), from);
  if (result >= 0 && from.port !== undefined) {
    compareAddress(event, event.arguments[4], { ...from, address: parseAddress(from.address) });
  }
  return result;
}

function sendto(context: CallContext, fd: number, bytes: Uint8Array, event: SyscallEvent): number {
  const flags = integerOr(event, 3, 0);
  const to = isNull(event.arguments[4]) ? undefined : destination(context, fd, event, flags);
  return sendTo(context, fd, to, () => context.posix.sendto(fd, bytes, flags, to ?? null));
}

function destination(context: CallContext, fd: number, event: SyscallEvent, flags: number): SocketAddress | undefined {
  const { defaults } = context;
  const to = addressArgument(event, event.arguments[4], {
    address: defaults.remoteAddress,
    port: defaults.connectPort,
  });
  opening(context, fd, to, flags);
  return to;
}

/** MSG_FASTOPEN opens the connection with the first data. */
export function opening(context: CallContext, fd: number, to: SocketAddress, flags: number): void {
  if (!(flags & MSG_FASTOPEN) || !isStream(context, fd) || !isClosed(context, fd)) return;
  active(context, fd, { remoteAddress: parseAddress(to.address), remotePort: to.port ?? 0 });
}

/** A datagram to an address makes the two ends known. */
export function sendTo(context: CallContext, fd: number, to: SocketAddress | undefined, send: () => number): number {
  const result = send();
  if (result < 0 || to === undefined || isStream(context, fd)) return result;
  udpConnection(context, fd);
  const { current } = context.connections;
  if (current !== undefined) {
    current.remoteAddress = parseAddress(to.address);
    current.remotePort = to.port ?? 0;
  }
  return result;
}
