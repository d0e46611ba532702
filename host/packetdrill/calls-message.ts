// sendmsg and recvmsg with struct msghdr: iovecs, names, flags, ancillary data.
// Read first: call-context.ts; host/posix/message.ts; cmsg(3).

import { parseAddress } from "../posix/address.ts";
import type { ControlMessage, MessageHeader, SocketAddress, SocketAddressResult, TimeSpec } from "../posix/posix.ts";
import {
  addressArgument,
  argument,
  type Call,
  type CallContext,
  compareAddress,
  descriptor,
  integerOr,
  iovLengths,
} from "./call-context.ts";
import { isStream } from "./calls-connection.ts";
import { bufferOf, opening, sendTo } from "./calls-transfer.ts";
import { ScriptFailure } from "./failure.ts";
import type { SyscallEvent, Value } from "./script.ts";
import { compareNumber, isAny, itemsOf, membersOf, toNumber } from "./values.ts";

/** Bytes of struct cmsghdr. */
const CMSG_HEADER = 16;

export const messageCalls: readonly (readonly [string, Call])[] = [
  ["sendmsg", sendmsg],
  ["recvmsg", recvmsg],
];

function sendmsg(context: CallContext, event: SyscallEvent): number {
  const { line } = event;
  const fd = descriptor(context, event);
  const members = membersOf(argument(event, 1), line, "struct msghdr");
  const flags = integerOr(event, 2, 0);
  const message: MessageHeader = { msg_iov: buffersOf(event, members.get("msg_iov")?.value) };
  const control = members.get("msg_control")?.value;
  if (control !== undefined && !isAny(control)) message.msg_control = controlOf(event, control);
  const to = nameOf(context, event, members.get("msg_name")?.value, fd, flags);
  if (to !== undefined) message.msg_name = to;
  return sendTo(context, fd, to, () => context.posix.sendmsg(fd, message, flags));
}

/** The destination: of a datagram socket the default where nothing is written, of a stream only where something is. */
function nameOf(
  context: CallContext,
  event: SyscallEvent,
  value: Value | undefined,
  fd: number,
  flags: number,
): SocketAddress | undefined {
  const { defaults } = context;
  const remote = { address: defaults.remoteAddress, port: defaults.connectPort };
  if (isStream(context, fd)) {
    if (value === undefined) return undefined;
    const to = addressArgument(event, value, remote);
    opening(context, fd, to, flags);
    return to;
  }
  if (value === undefined || isAny(value)) return context.posix.getpeername(fd, {}) === 0 ? undefined : remote;
  return addressArgument(event, value, remote);
}

function buffersOf(event: SyscallEvent, iov: Value | undefined): Uint8Array[] {
  if (iov === undefined || isAny(iov)) return [];
  return iovLengths(event, iov).map((length) => bufferOf(event, length));
}

function controlOf(event: SyscallEvent, control: Value): ControlMessage[] {
  return itemsOf(control, event.line, "msg_control").map((item) => {
    const members = membersOf(item, event.line, "struct cmsghdr");
    const of = (name: string): number => {
      const member = members.get(name);
      if (member === undefined) throw new ScriptFailure(event.line, `a control message has no ${name}`);
      return toNumber(member.value, event.line, name);
    };
    return { cmsg_level: of("cmsg_level"), cmsg_type: of("cmsg_type"), data: of("cmsg_data") };
  });
}

function recvmsg(context: CallContext, event: SyscallEvent): number {
  const { line } = event;
  const members = membersOf(argument(event, 1), line, "struct msghdr");
  const name: SocketAddressResult = {};
  const message: MessageHeader = {
    msg_name: name,
    msg_iov: buffersOf(event, members.get("msg_iov")?.value),
    msg_control: [],
  };
  const result = context.posix.recvmsg(descriptor(context, event), message, integerOr(event, 2, 0));
  if (result < 0) return result;
  const wantedName = members.get("msg_name")?.value;
  if (name.port !== undefined) compareAddress(event, wantedName, { ...name, address: parseAddress(name.address) });
  compareNumber(members.get("msg_flags")?.value, message.msg_flags ?? 0, line, "msg_flags");
  const control = members.get("msg_control")?.value;
  if (control !== undefined && !isAny(control)) compareControl(context, event, control, message.msg_control ?? []);
  return result;
}

function compareControl(
  context: CallContext,
  event: SyscallEvent,
  wanted: Value,
  came: readonly ControlMessage[],
): void {
  const items = itemsOf(wanted, event.line, "msg_control");
  if (items.length !== came.length) {
    const text = `expected ${items.length} control messages, got ${came.length}`;
    throw new ScriptFailure(event.line, `msg_control: ${text}`);
  }
  for (const [i, item] of items.entries()) {
    const message = came[i] as ControlMessage;
    const fields: Record<string, unknown> = { ...message, cmsg_data: message.data, cmsg_len: controlBytes(message) };
    for (const [name, member] of membersOf(item, event.line, "struct cmsghdr")) {
      if (name === "cmsg_data" && typeof message.data === "object" && "ts" in message.data) {
        compareStamp(context, event, member.value, message.data.ts[0]);
        continue;
      }
      compareField(event, member.value, fields[name], name);
    }
  }
}

/** Bytes of a control message in Linux: struct cmsghdr, and what it brings (an error comes with an address). */
function controlBytes({ data }: ControlMessage): number {
  if (typeof data !== "object") return CMSG_HEADER + 4;
  return CMSG_HEADER + ("ts" in data ? 48 : "ee_errno" in data ? 32 : 12);
}

/** {scm_sec=0,scm_nsec=20000000}: the script's time, give or take its tolerance. */
function compareStamp(context: CallContext, event: SyscallEvent, wanted: Value, came: TimeSpec): void {
  if (isAny(wanted)) return;
  const members = membersOf(wanted, event.line, "struct scm_timestamping");
  const of = (name: string): number => {
    const member = members.get(name);
    return member === undefined ? 0 : toNumber(member.value, event.line, name);
  };
  const should = of("scm_sec") * 1e6 + of("scm_nsec") / 1000;
  const micros = context.toScript(came.tv_sec * 1e6 + came.tv_nsec / 1000);
  if (Math.abs(micros - should) <= context.toleranceMicros) return;
  throw new ScriptFailure(event.line, `the stamp: expected ${should / 1e6} s, got ${micros / 1e6} s`);
}

/** Compares a number, or the members of a structure with those of an object. */
function compareField(event: SyscallEvent, wanted: Value, came: unknown, name: string): void {
  if (isAny(wanted)) return;
  if (wanted.kind === "struct") {
    for (const [member, { value }] of membersOf(wanted, event.line, name)) {
      compareField(event, value, (came as Record<string, unknown> | undefined)?.[member], member);
    }
    return;
  }
  if (typeof came === "number") compareNumber(wanted, came, event.line, name);
  else throw new ScriptFailure(event.line, `${name} does not come back`);
}
