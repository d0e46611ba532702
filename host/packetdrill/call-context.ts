// What the system calls of a script share: the host's calls, the script's descriptors, connections and defaults.
// Read first: system-calls.ts.

import type { Posix, SocketAddress } from "../posix/posix.ts";
import type { Connections } from "./connections.ts";
import type { Descriptors } from "./descriptors.ts";
import { ScriptFailure } from "./failure.ts";
import type { SyscallEvent, Value } from "./script.ts";
import { compareNumber, isAny, itemsOf, membersOf, toNumber } from "./values.ts";

/** Makes one call: >= 0 or a negative errno. What its arguments say about results is compared on the way. */
export type Call = (context: CallContext, event: SyscallEvent) => number;

/** Addresses that `...` stands for; host-order numbers. */
export interface CallDefaults {
  localAddress: number;
  remoteAddress: number;
  bindPort: number;
  connectPort: number;
}

export interface CallContext {
  posix: Posix;
  descriptors: Descriptors;
  connections: Connections;
  defaults: CallDefaults;
  /** The script's time of a moment of the stack's clock, and how far off a time may be: microseconds. */
  toScript: (micros: number) => number;
  toleranceMicros: number;
}

/** Argument `index` of a call. @throws {ScriptFailure} when it is missing */
export function argument(event: SyscallEvent, index: number): Value {
  const value = event.arguments[index];
  if (value !== undefined) return value;
  throw new ScriptFailure(event.line, `${event.name} has ${event.arguments.length} arguments; more are needed`);
}

/** Argument `index` as a number. */
export function integer(event: SyscallEvent, index: number): number {
  return toNumber(argument(event, index), event.line, `argument ${index + 1} of ${event.name}`);
}

/** Argument `index` as a number, or what stands for `...` and for nothing. */
export function integerOr(event: SyscallEvent, index: number, otherwise: number): number {
  return isAny(event.arguments[index]) ? otherwise : integer(event, index);
}

/** Argument `index` as a descriptor of the stack. */
export function descriptor(context: CallContext, event: SyscallEvent, index = 0): number {
  return context.descriptors.toLive(integer(event, index));
}

/** Maps a descriptor that the stack has opened to the number that the script gives it. */
export function opened(context: CallContext, event: SyscallEvent, live: number): number {
  if (live < 0) return live;
  const { result, line } = event;
  const fd = result === undefined || isAny(result) ? context.descriptors.free() : toNumber(result, line, "the result");
  if (fd < 0) return live;
  context.descriptors.add(fd, live);
  return fd;
}

/** Where an address argument points: `...` is the default, a symbol a family alone, a structure what it says. */
export function addressArgument(
  event: SyscallEvent,
  value: Value | undefined,
  otherwise: { address: number; port: number },
): SocketAddress {
  if (value === undefined || isAny(value)) return otherwise;
  if (value.kind !== "struct") return { family: toNumber(value, event.line, "the address") };
  const members = membersOf(value, event.line, "the address");
  const of = (name: string, missing: number): number => {
    const member = members.get(name);
    return member === undefined || isAny(member.value) ? missing : toNumber(member.value, event.line, name);
  };
  return {
    family: of("sa_family", of("sin_family", 2)),
    port: of("sin_port", otherwise.port) & 0xffff,
    address: of("sin_addr", otherwise.address),
  };
}

/** Compares an address that came back with what is written: `...` is any. */
export function compareAddress(event: SyscallEvent, value: Value | undefined, came: SocketAddress): void {
  if (value?.kind !== "struct") return;
  for (const [name, member] of membersOf(value, event.line, "the address")) {
    const field = { sa_family: came.family, sin_family: came.family, sin_port: came.port, sin_addr: came.address }[
      name
    ];
    if (field !== undefined) compareNumber(member.value, Number(field), event.line, name);
  }
}

/** The lengths of an iovec: `[{..., 100}, {..., 20}]`. */
export function iovLengths(event: SyscallEvent, value: Value): number[] {
  return itemsOf(value, event.line, "the iovec").map((item) => {
    if (item.kind !== "struct") throw new ScriptFailure(event.line, "an iovec is a list of {..., bytes}");
    const named = item.members.find((member) => member.name === "iov_len") ?? item.members.at(-1);
    return named === undefined || isAny(named.value) ? 0 : toNumber(named.value, event.line, "iov_len");
  });
}
