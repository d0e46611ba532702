// poll, epoll_create, epoll_create1, epoll_ctl, epoll_wait.
// Read first: call-context.ts; host/posix/multiplex.ts.

import type { EpollEvent, EpollEventInput, PollFd } from "../posix/posix.ts";
import { argument, type Call, type CallContext, descriptor, integer, integerOr, opened } from "./call-context.ts";
import { ScriptFailure } from "./failure.ts";
import type { Member, SyscallEvent, Value } from "./script.ts";
import { compareNumber, isAny, isNull, itemsOf, membersOf, toNumber } from "./values.ts";

/** Names under which scripts read and write epoll_data_t; it is whatever the program keeps there. */
const DATA_NAMES = ["fd", "ptr", "u32", "u64"] as const;

export const multiplexCalls: readonly (readonly [string, Call])[] = [
  ["poll", poll],
  ["epoll_create", (context, event) => opened(context, event, context.posix.epoll_create(integer(event, 0)))],
  ["epoll_create1", (context, event) => opened(context, event, context.posix.epoll_create1(integer(event, 0)))],
  ["epoll_ctl", epollCtl],
  ["epoll_wait", epollWait],
];

function poll(context: CallContext, event: SyscallEvent): number {
  const { line } = event;
  const wanted = itemsOf(argument(event, 0), line, "struct pollfd").map((item) => membersOf(item, line, "pollfd"));
  const fds = wanted.map((members): PollFd => {
    const fd = numberOfMember(members, "fd", line);
    return { fd: fd < 0 ? fd : liveOrUnknown(context, fd), events: numberOfMember(members, "events", line) };
  });
  const result = context.posix.poll(fds, integer(event, 2));
  if (result < 0) return result;
  fds.forEach((entry, i) => {
    compareNumber(wanted[i]?.get("revents")?.value, entry.revents ?? 0, line, `revents of fd ${i}`);
  });
  return result;
}

/** poll() skips negative descriptors; one that is not open is to give POLLNVAL. */
function liveOrUnknown({ descriptors }: CallContext, fd: number): number {
  const live = descriptors.toLive(fd);
  return live < 0 ? 0x7fffffff : live;
}

function numberOfMember(members: Map<string, Member>, name: string, line: number): number {
  const member = members.get(name);
  if (member === undefined) throw new ScriptFailure(line, `the structure has no ${name}`);
  return toNumber(member.value, line, name);
}

function epollCtl(context: CallContext, event: SyscallEvent): number {
  const { line } = event;
  const [epfd, op, fd] = [descriptor(context, event), integer(event, 1), descriptor(context, event, 2)];
  const given = event.arguments[3];
  if (given === undefined || isAny(given) || isNull(given)) return context.posix.epoll_ctl(epfd, op, fd, { events: 0 });
  const members = membersOf(structure(given), line, "struct epoll_event");
  const input: EpollEventInput = { events: numberOfMember(members, "events", line), data: integer(event, 2) };
  const data = DATA_NAMES.map((name) => members.get(name)).find((member) => member !== undefined);
  if (data !== undefined && !isAny(data.value)) input.data = toNumber(data.value, line, data.name);
  return context.posix.epoll_ctl(epfd, op, fd, input);
}

/** One event may stand alone or in a list of one. */
function structure(value: Value): Value {
  return value.kind === "list" && value.items.length === 1 ? (value.items[0] as Value) : value;
}

function epollWait(context: CallContext, event: SyscallEvent): number {
  const { line } = event;
  const events: EpollEvent[] = [];
  const wanted = argument(event, 1);
  const result = context.posix.epoll_wait(
    descriptor(context, event),
    events,
    integerOr(event, 2, 1),
    integerOr(event, 3, -1),
  );
  if (result <= 0 || isAny(wanted)) return result;
  const items = wanted.kind === "list" ? wanted.items : [wanted];
  for (const [i, item] of items.entries()) {
    const came = events[i];
    if (came === undefined || i >= result || isAny(item)) continue;
    for (const [name, member] of membersOf(item, line, "struct epoll_event")) {
      if (name === "events") compareNumber(member.value, came.events, line, "events");
      else if (name === "fd" || name === "u32") compareNumber(member.value, came.data.fd, line, name);
      else compareNumber(member.value, Number(came.data.u64), line, name);
    }
  }
  return result;
}
