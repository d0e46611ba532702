// epoll_*, poll and select for business threads: the watches and ready lists lie in the share; nobody asks a stack.
// Read first: assembly/share/ready.ts; host/posix/multiplex.ts; epoll(7), poll(2), select(2).

import {
  EBADF,
  EINVAL,
  EMFILE,
  EPOLL_CTL_DEL,
  EXCHANGE_EVENTS_MAX,
  READY_FLAGS,
  READY_POLLERS,
  READY_SEQUENCE,
  READY_WAITERS,
  SOCK_CLOEXEC,
} from "../../assembly/layout.ts";
import { invalidType } from "../posix/arguments.ts";
import type { ContextCore, PosixContext } from "../posix/context.ts";
import { dataWords, type EpollEvent, type EpollEventInput, fillEvents } from "../posix/events.ts";
import type { RawMultiplex } from "../posix/multiplex.ts";
import { createPolling } from "../posix/polling.ts";
import type { Link } from "./link.ts";

/** Makes the calls of one thread. */
export function createClientMultiplex(link: Link, context: PosixContext<ContextCore>): RawMultiplex {
  const { core, seat, place } = link;
  const { share } = place;
  const { events: raw, eventsAt } = context;

  function epoll_create1(flags: number): number {
    if (flags & ~SOCK_CLOEXEC) return -EINVAL;
    const fd = core.shareEpollOpen(share);
    if (fd < 0) return -EMFILE;
    Atomics.store(link.words, ((core.shareEpollAt(share, fd) >>> 0) + READY_FLAGS) / 4, flags);
    return fd;
  }

  /** Does something in the epoll's turn. */
  function inTurn<T>(epfd: number, action: () => T): T {
    while (core.shareEpollEnter(share, epfd, seat.turn) === 0) {
      link.awaitTurn(
        () => core.shareEpollTurn(share, epfd),
        () => core.shareEpollTurns(share, epfd),
        (holder) => core.shareEpollFree(share, epfd, holder),
        0,
      );
    }
    const result = action();
    core.shareEpollLeave(share, epfd, seat.turn);
    return result;
  }

  function epoll_ctl(epfd: number, op: number, fd: number, event?: EpollEventInput | null): number {
    if ((event === undefined || event === null) && op !== EPOLL_CTL_DEL) invalidType("event", "of type object", event);
    if (core.shareIsEpoll(share, epfd) === 0) return !link.find(epfd) || link.pollersOf(fd) === 0 ? -EBADF : -EINVAL;
    const [low, high] = event === undefined || event === null ? [0, 0] : dataWords(event.data, fd);
    return inTurn(epfd, () => core.shareEpollControl(share, epfd, op, fd, event?.events ?? 0, low, high));
  }

  function collect(epfd: number, most: number): number {
    return inTurn(epfd, () => core.shareEpollCollect(share, epfd, eventsAt, most));
  }

  function epoll_wait(epfd: number, events: EpollEvent[], maxevents: number, timeout: number): number {
    if (core.shareIsEpoll(share, epfd) === 0) return link.find(epfd) ? -EINVAL : -EBADF;
    const most = maxevents < EXCHANGE_EVENTS_MAX ? maxevents : EXCHANGE_EVENTS_MAX;
    link.stepped();
    let n = collect(epfd, most);
    if (n === 0 && timeout !== 0) n = sleepOn(epfd, most, timeout);
    fillEvents(events, raw, n);
    return n;
  }

  function sleepOn(epfd: number, most: number, timeout: number): number {
    const at = core.shareEpollAt(share, epfd) >>> 0;
    const futex = { sequence: (at + READY_SEQUENCE) / 4, waiters: (at + READY_WAITERS) / 4 };
    let n = 0;
    const isReady = (): boolean => {
      // What has been collected is not there any more.
      if (n > 0) return true;
      if (core.shareEpollHints(share, epfd) === 0) return core.shareIsEpoll(share, epfd) === 0;
      n = collect(epfd, most);
      return n > 0;
    };
    const waited = link.waitOn(futex, [at + READY_POLLERS, at + READY_WAITERS], isReady, deadlineOf(timeout));
    return core.shareIsEpoll(share, epfd) === 0 ? -EBADF : waited < 0 ? waited : n;
  }

  function deadlineOf(millis: number): number {
    return millis < 0 ? Infinity : link.now() + millis * 1000;
  }

  /** Asks `look` until it finds something, sleeping in between on all of `fds`. */
  function until(look: () => number, fds: Iterable<number>, timeout: number): number {
    link.stepped();
    let n = look();
    if (n !== 0 || timeout === 0) return n;
    const pollers = [...fds].map((fd) => link.pollersOf(fd)).filter((at) => at !== 0);
    const deadline = deadlineOf(timeout);
    link.announce(pollers, 1);
    const waited = link.waitOn(link.pollFutex, [], () => (n = look()) !== 0, deadline);
    link.announce(pollers, -1);
    return waited < 0 ? waited : n;
  }

  return {
    epoll_create1,
    epoll_ctl,
    epoll_wait,
    ...createPolling((fd) => core.shareEvents(share, fd), until),
  };
}
