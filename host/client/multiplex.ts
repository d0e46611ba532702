// epoll_*, poll and select for business threads: the watches and ready lists lie in the share; nobody asks a stack.
// Read first: assembly/share/ready.ts; host/posix/multiplex.ts; epoll(7), poll(2), select(2).

import {
  EBADF,
  EINVAL,
  EMFILE,
  EPOLL_CTL_DEL,
  EPOLLERR,
  EPOLLHUP,
  EXCHANGE_EVENTS_MAX,
  POLLNVAL,
  READY_POLLERS,
  READY_SEQUENCE,
  READY_WAITERS,
  SOCK_CLOEXEC,
} from "../../assembly/layout.ts";
import { invalidType } from "../posix/arguments.ts";
import type { ContextCore, PosixContext } from "../posix/context.ts";
import {
  dataWords,
  EpollEvent,
  type EpollEventInput,
  type PollFd,
  type TimeSpec,
  type TimeVal,
} from "../posix/events.ts";
import { EXCEPTIONAL, type MultiplexCalls, READABLE, WRITABLE } from "../posix/multiplex.ts";
import type { Link } from "./link.ts";

/** Makes the calls of one thread. */
export function createClientMultiplex(link: Link, context: PosixContext<ContextCore>): MultiplexCalls {
  const { core, seat, place } = link;
  const { share } = place;
  const { events: raw, eventsAt } = context;

  function epoll_create1(flags: number): number {
    if (flags & ~SOCK_CLOEXEC) return -EINVAL;
    const fd = core.shareEpollOpen(share);
    return fd < 0 ? -EMFILE : fd;
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
    if (!(maxevents > 0)) return -EINVAL;
    const most = maxevents < EXCHANGE_EVENTS_MAX ? maxevents : EXCHANGE_EVENTS_MAX;
    link.stepped();
    let n = collect(epfd, most);
    if (n === 0 && timeout !== 0) n = sleepOn(epfd, most, timeout);
    for (let i = 0, at = 0; i < n; i++, at += 4) {
      let event = events[i];
      if (!(event instanceof EpollEvent)) events[i] = event = new EpollEvent();
      event.events = (raw[at] as number) >>> 0;
      event.data.fd = raw[at + 2] as number;
      event.data.high = raw[at + 3] as number;
    }
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
    if (typeof millis !== "number") invalidType("timeout", "of type number", millis);
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

  function lookAll(fds: PollFd[]): number {
    let ready = 0;
    for (const entry of fds) {
      entry.revents = entry.fd < 0 ? 0 : readiness(entry.fd, entry.events);
      if (entry.revents !== 0) ready++;
    }
    return ready;
  }

  function readiness(fd: number, wanted: number): number {
    const events = core.shareEvents(share, fd);
    return events < 0 ? POLLNVAL : events & (wanted | EPOLLERR | EPOLLHUP);
  }

  function poll(fds: PollFd[], timeout: number): number {
    return until(
      () => lookAll(fds),
      fds.map(({ fd }) => fd),
      timeout,
    );
  }

  function ppoll(fds: PollFd[], timeout: TimeSpec | null): number {
    if (timeout === null) return poll(fds, -1);
    if (timeout.tv_sec < 0 || timeout.tv_nsec < 0 || timeout.tv_nsec >= 1e9) return -EINVAL;
    return poll(fds, timeout.tv_sec * 1e3 + timeout.tv_nsec / 1e6);
  }

  function select(
    nfds: number,
    readfds: Set<number> | null,
    writefds: Set<number> | null,
    exceptfds: Set<number> | null,
    timeout: TimeVal | null,
  ): number {
    if (nfds < 0) return -EINVAL;
    if (timeout !== null && (timeout.tv_sec < 0 || timeout.tv_usec < 0)) return -EINVAL;
    const sets = [
      { of: readfds, mask: READABLE },
      { of: writefds, mask: WRITABLE },
      { of: exceptfds, mask: EXCEPTIONAL },
    ].map(({ of, mask }) => ({ of, mask, fds: [...(of ?? [])].filter((fd) => fd < nfds), found: [] as number[] }));
    const look = (): number => {
      let ready = 0;
      for (const set of sets) {
        set.found.length = 0;
        for (const fd of set.fds) {
          const events = core.shareEvents(share, fd);
          if (events < 0) return -EBADF;
          if (events & set.mask) set.found.push(fd);
        }
        ready += set.found.length;
      }
      return ready;
    };
    const n = until(
      look,
      new Set(sets.flatMap(({ fds }) => fds)),
      timeout === null ? -1 : timeout.tv_sec * 1e3 + timeout.tv_usec / 1e3,
    );
    // On an error the sets stay as they are.
    if (n < 0) return n;
    for (const set of sets) {
      set.of?.clear();
      for (const fd of set.found) set.of?.add(fd);
    }
    return n;
  }

  return {
    epoll_create: (size) => (size > 0 ? epoll_create1(0) : -EINVAL),
    epoll_create1,
    epoll_ctl,
    epoll_wait,
    poll,
    ppoll,
    select,
  };
}
