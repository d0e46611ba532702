// setsockopt and getsockopt: ints of any size, texts, struct linger, struct timeval, struct tcp_info.
// Read first: call-context.ts; host/posix/options.ts; socket(7), tcp(7).

import { EFAULT, ENOPROTOOPT, IPPROTO_TCP, SO_LINGER, SOL_SOCKET, TCP_INFO } from "../../assembly/layout.ts";
import type { TcpInfo } from "../posix/posix.ts";
import { argument, type Call, type CallContext, descriptor, integer } from "./call-context.ts";
import { ScriptFailure, ScriptRefusal } from "./failure.ts";
import type { SyscallEvent, Value } from "./script.ts";
import { compareNumber, describe, isAny, isNull, membersOf, toNumber } from "./values.ts";

/** Longest value of an option, bytes. */
const OPTION_BYTES_MAX = 1024;

export const optionCalls: readonly (readonly [string, Call])[] = [
  ["setsockopt", setsockopt],
  ["getsockopt", getsockopt],
];

/** Members of the structures that scripts write, with their offset and size. */
const STRUCTURES: readonly Readonly<Record<string, readonly [offset: number, bytes: number]>>[] = [
  { onoff: [0, 4], linger: [4, 4] },
  { l_onoff: [0, 4], l_linger: [4, 4] },
  { tv_sec: [0, 8], tv_usec: [8, 8] },
];

function setsockopt(context: CallContext, event: SyscallEvent): number {
  const { line } = event;
  const [level, name] = [integer(event, 1), integer(event, 2)];
  const value = argument(event, 3);
  if (isNull(value)) return -EFAULT;
  const length = event.arguments[4] === undefined || isAny(event.arguments[4]) ? undefined : integer(event, 4);
  const bytes = encode(value, length, line);
  const result = context.posix.setsockopt(descriptor(context, event), level, name, bytes);
  refuseUnknown(event, result);
  return result;
}

/** An option that Linux has and the stack has not is no failure of the stack at what the script tries. */
function refuseUnknown(event: SyscallEvent, result: number): void {
  const expectsSuccess = event.result?.kind === "integer" && event.result.value === 0;
  if (result !== -ENOPROTOOPT || !expectsSuccess) return;
  const option = describe(argument(event, 2));
  throw new ScriptRefusal(event.line, `the stack has no socket option ${option}`);
}

function encode(value: Value, length: number | undefined, line: number): Uint8Array {
  if (value.kind === "string") {
    // Bytes as the script wrote them, "\xa1" too.
    const text = Buffer.from(value.value, "latin1");
    return text.subarray(0, length ?? text.length);
  }
  const struct = value.kind === "list" && value.items[0]?.kind === "struct" ? value.items[0] : value;
  if (struct.kind === "struct") return encodeStructure(struct, length, line);
  const size = checkLength(length ?? 4, line);
  const view = new DataView(new ArrayBuffer(Math.max(size, 8)));
  const number = isAny(value) ? 0 : toNumber(value, line, "the value of the option");
  view.setBigInt64(0, BigInt(number), true);
  return new Uint8Array(view.buffer, 0, size);
}

function checkLength(length: number, line: number): number {
  if (length >= 0 && length <= OPTION_BYTES_MAX) return length;
  throw new ScriptFailure(line, `the length of an option is ${length}; expected 0 to ${OPTION_BYTES_MAX}`);
}

function encodeStructure(value: Value, length: number | undefined, line: number): Uint8Array {
  const members = membersOf(value, line, "the value of the option");
  const layout = layoutOf(members.keys(), line);
  const size = Math.max(...Object.values(layout).map(([offset, bytes]) => offset + bytes));
  const view = new DataView(new ArrayBuffer(Math.max(size, checkLength(length ?? size, line))));
  for (const [name, member] of members) {
    const [offset, bytes] = layout[name] as readonly [number, number];
    const number = toNumber(member.value, line, name);
    if (bytes === 4) view.setInt32(offset, number, true);
    else view.setBigInt64(offset, BigInt(number), true);
  }
  return new Uint8Array(view.buffer, 0, length ?? size);
}

function layoutOf(names: Iterable<string>, line: number): Readonly<Record<string, readonly [number, number]>> {
  const all = [...names];
  const layout = STRUCTURES.find((each) => all.every((name) => Object.hasOwn(each, name)));
  if (layout === undefined) throw new ScriptRefusal(line, `the structure {${all.join(", ")}} is not known`);
  return layout;
}

function getsockopt(context: CallContext, event: SyscallEvent): number {
  const { line } = event;
  const [level, name] = [integer(event, 1), integer(event, 2)];
  const wanted = argument(event, 3);
  if (isNull(wanted)) return -EFAULT;
  const fd = descriptor(context, event);
  const room = lengthOf(event, wanted, level, name);
  const bytes = new Uint8Array(room);
  const n = context.posix.getsockopt(fd, level, name, bytes);
  refuseUnknown(event, n);
  if (n < 0) return n;
  if (level === IPPROTO_TCP && name === TCP_INFO && wanted.kind === "struct") {
    compareInfo(context, fd, wanted, line);
  } else {
    compareBytes(wanted, bytes.subarray(0, n), line);
  }
  const length = event.arguments[4];
  // The length is what goes in, and what comes out where it is longer than the value.
  if (length?.kind === "list" && room !== n && wanted.kind !== "string") compareNumber(length, n, line, "the length");
  return 0;
}

/** The length that the script passes: `[4]`, or what its value needs. */
function lengthOf(event: SyscallEvent, wanted: Value, level: number, name: number): number {
  const length = event.arguments[4];
  if (length !== undefined && !isAny(length)) return checkLength(toNumber(length, event.line, "length"), event.line);
  if (wanted.kind === "string") return OPTION_BYTES_MAX;
  return level === SOL_SOCKET && name === SO_LINGER ? 8 : 4;
}

function compareInfo(context: CallContext, fd: number, wanted: Value, line: number): void {
  const info: Partial<TcpInfo> = {};
  context.posix.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info);
  for (const [name, member] of membersOf(wanted, line, "struct tcp_info")) {
    const came = info[name as keyof TcpInfo];
    if (came === undefined) throw new ScriptRefusal(line, `struct tcp_info has no ${name}`);
    compareNumber(member.value, came, line, name);
  }
}

function compareBytes(wanted: Value, bytes: Uint8Array, line: number): void {
  if (isAny(wanted)) return;
  const view = new DataView(bytes.slice(0, 8).buffer);
  if (wanted.kind === "string") {
    const text = new TextDecoder().decode(bytes).replace(/\0.*$/s, "");
    if (wanted.prefix === true ? text.startsWith(wanted.value) : text === wanted.value) return;
    throw new ScriptFailure(line, `the option: expected "${wanted.value}", got "${text}"`);
  }
  const struct = wanted.kind === "list" && wanted.items[0]?.kind === "struct" ? wanted.items[0] : wanted;
  if (struct.kind === "struct") {
    compareStructure(struct, bytes, line);
    return;
  }
  if (wanted.kind === "list" && isAny(wanted.items[0])) return;
  const came = bytes.length >= 4 ? view.getInt32(0, true) : bytes.length === 0 ? 0 : view.getUint8(0);
  compareNumber(wanted, came, line, "the option");
}

function compareStructure(wanted: Value, bytes: Uint8Array, line: number): void {
  const members = membersOf(wanted, line, "the value of the option");
  const layout = layoutOf(members.keys(), line);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const [name, member] of members) {
    const [offset, size] = layout[name] as readonly [number, number];
    if (offset + size > bytes.length) throw new ScriptFailure(line, `${name} does not come back: too short`);
    const came = size === 4 ? view.getInt32(offset, true) : Number(view.getBigInt64(offset, true));
    compareNumber(member.value, came, line, name);
  }
}
