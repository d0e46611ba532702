// What lies behind pointers: the members of C's structures, each checked by the rule of arguments.ts. A member that is
// left out is what a compiler would have refused, unless the structure says what it then is.

import { EFAULT } from "../../assembly/layout.ts";
import { socketAddress } from "./address.ts";
import { int, invalidType, isGone, long, optional, structure, toBytes, word } from "./arguments.ts";
import { EpollData, type EpollEventInput, type PollFd, type TimeSpec, type TimeVal } from "./events.ts";
import type { MessageHeader } from "./message.ts";

/** struct timeval; null: none. */
export function timeVal(time: TimeVal | null | undefined): TimeVal | null {
  const given = optional("timeout", time);
  if (given === null) return null;
  long("tv_sec", given.tv_sec);
  long("tv_usec", given.tv_usec);
  return given;
}

/** struct timespec; null: none. */
export function timeSpec(time: TimeSpec | null | undefined): TimeSpec | null {
  const given = optional("timeout", time);
  if (given === null) return null;
  long("tv_sec", given.tv_sec);
  long("tv_nsec", given.tv_nsec);
  return given;
}

/** struct iovec[]: 0, or -EFAULT for memory that is gone. */
export function checkIov(name: string, iov: unknown): number {
  if (!Array.isArray(iov)) invalidType(name, "an array of buffers", iov);
  for (const buffer of iov as unknown[]) if (toBytes(buffer, name).length === 0 && isGone(buffer)) return -EFAULT;
  return 0;
}

/** struct msghdr: 0, or -EFAULT for memory that is gone. */
export function checkMessage(message: MessageHeader): number {
  const { msg_iov, msg_name, msg_control } = structure("message", message);
  if (msg_name !== undefined && msg_name !== null) socketAddress(msg_name);
  if (msg_control !== undefined) {
    if (!Array.isArray(msg_control)) invalidType("msg_control", "an array", msg_control);
    for (const { cmsg_level, cmsg_type, data } of msg_control.map((one) => structure("msg_control", one))) {
      int("cmsg_level", cmsg_level);
      int("cmsg_type", cmsg_type);
      if (typeof data !== "object" || data === null) int("data", data);
    }
  }
  return checkIov("msg_iov", msg_iov);
}

/** What ioctl(2) points to, or takes by value. */
export function checkControl<T extends { value?: number } | number | boolean>(result: T | undefined): T | undefined {
  const value = typeof result === "object" ? structure<{ value?: number }>("result", result).value : result;
  if (value !== undefined && typeof value !== "boolean") word("result", value);
  return result;
}

/** struct epoll_event; null: none. */
export function checkEvent(event: EpollEventInput | null | undefined): EpollEventInput | null {
  const given = optional("event", event);
  if (given === null) return null;
  word("events", given.events);
  const { data } = given;
  if (data === undefined || data instanceof EpollData) return given;
  if (typeof data === "number") {
    long("data", data);
    return given;
  }
  const { fd, u32, u64, high } = structure("data", data, "a number or an object");
  if (fd !== undefined) word("data.fd", fd);
  if (u32 !== undefined) word("data.u32", u32);
  if (high !== undefined) word("data.high", high);
  if (u64 !== undefined && typeof u64 !== "bigint") invalidType("data.u64", "of type bigint", u64);
  return given;
}

/** struct pollfd[]. */
export function checkPolled(fds: PollFd[]): PollFd[] {
  if (!Array.isArray(fds)) invalidType("fds", "an array", fds);
  for (const entry of fds) {
    int("fd", structure("fds", entry).fd);
    word("events", entry.events);
  }
  return fds;
}

/** fd_set; null: none. */
export function checkSet(name: string, set: Set<number> | null | undefined): Set<number> | null {
  if (set === undefined || set === null) return null;
  if (!(set instanceof Set)) invalidType(name, "a Set of descriptors, or null", set);
  for (const fd of set) int(name, fd);
  return set;
}
