// epoll_*, poll and select: each steps the stack first, since in the shared thread model they are the packet loop.
// Read first: epoll(7), poll(2), select(2).

import {
  EBADF,
  EDEADLK,
  EINVAL,
  EPOLL_CTL_DEL,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDBAND,
  EPOLLRDNORM,
  EPOLLWRBAND,
  EPOLLWRNORM,
  EXCHANGE_EVENTS_MAX,
  POLLNVAL,
} from "../../assembly/layout.ts";
import { invalidType } from "./arguments.ts";
import type { PosixContext } from "./context.ts";
import { dataWords, EpollEvent, type EpollEventInput, type PollFd, type TimeSpec, type TimeVal } from "./events.ts";

/** What the sets of select(2) stand for (Linux: POLLIN_SET, POLLOUT_SET, POLLEX_SET). */
export const READABLE = EPOLLIN | EPOLLRDNORM | EPOLLRDBAND | EPOLLHUP | EPOLLERR;
export const WRITABLE = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND | EPOLLERR;
export const EXCEPTIONAL = EPOLLPRI;

export interface MultiplexCalls {
  epoll_create: (size: number) => number;
  epoll_create1: (flags: number) => number;
  epoll_ctl: (epfd: number, op: number, fd: number, event?: EpollEventInput | null) => number;
  /** Fills `events` (missing elements are made); `timeout` in ms, -1 for none. Returns how many, or -errno. */
  epoll_wait: (epfd: number, events: EpollEvent[], maxevents: number, timeout: number) => number;
  /** Sets `revents` of each; `timeout` in ms, -1 for none. Returns how many are ready, or -errno. */
  poll: (fds: PollFd[], timeout: number) => number;
  ppoll: (fds: PollFd[], timeout: TimeSpec | null) => number;
  /** Leaves in each set the descriptors that are ready. Returns how many in all, or -errno. */
  select: (
    nfds: number,
    readfds: Set<number> | null,
    writefds: Set<number> | null,
    exceptfds: Set<number> | null,
    timeout: TimeVal | null,
  ) => number;
}

/** Makes the calls for one stack. */
export function createMultiplex(context: PosixContext): MultiplexCalls {
  const { core, events: raw, eventsAt, waiter } = context;
  const coreWait = core.epollWait;

  function epoll_wait(epfd: number, events: EpollEvent[], maxevents: number, timeout: number): number {
    waiter.poll();
    const most = maxevents < EXCHANGE_EVENTS_MAX ? maxevents : EXCHANGE_EVENTS_MAX;
    let n = coreWait(epfd, eventsAt, most);
    if (n === 0 && timeout !== 0) n = epollSleep(epfd, most, timeout);
    for (let i = 0, at = 0; i < n; i++, at += 4) {
      let event = events[i];
      if (!(event instanceof EpollEvent)) events[i] = event = new EpollEvent();
      event.events = (raw[at] as number) >>> 0;
      event.data.fd = raw[at + 2] as number;
      event.data.high = raw[at + 3] as number;
    }
    return n;
  }

  function epollSleep(epfd: number, most: number, timeout: number): number {
    const deadline = deadlineOf(timeout);
    core.epollWaiting(epfd, 1);
    try {
      while (true) {
        if (waiter.now() >= deadline) return 0;
        const goesOn = waiter.wait(deadline);
        const n = coreWait(epfd, eventsAt, most);
        if (n !== 0) return n;
        if (!goesOn) return -EDEADLK;
      }
    } finally {
      core.epollWaiting(epfd, -1);
    }
  }

  function deadlineOf(millis: number): number {
    if (typeof millis !== "number") invalidType("timeout", "of type number", millis);
    return millis < 0 ? Infinity : waiter.now() + millis * 1000;
  }

  function epoll_ctl(epfd: number, op: number, fd: number, event?: EpollEventInput | null): number {
    if (event === undefined || event === null) {
      if (op !== EPOLL_CTL_DEL) invalidType("event", "of type object", event);
      return core.epollCtl(epfd, op, fd, 0, 0, 0);
    }
    const [low, high] = dataWords(event.data, fd);
    return core.epollCtl(epfd, op, fd, event.events, low, high);
  }

  /** Asks `look` until it finds something, waiting in between. */
  function until(look: () => number, deadline: number): number {
    waiter.poll();
    let n = look();
    while (n === 0 && waiter.now() < deadline) {
      const goesOn = waiter.wait(deadline);
      n = look();
      if (n === 0 && !goesOn) return -EDEADLK;
    }
    return n;
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
    const events = core.pollEvents(fd);
    return events < 0 ? POLLNVAL : events & (wanted | EPOLLERR | EPOLLHUP);
  }

  function poll(fds: PollFd[], timeout: number): number {
    return until(() => lookAll(fds), deadlineOf(timeout));
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
          const events = core.pollEvents(fd);
          if (events < 0) return -EBADF;
          if (events & set.mask) set.found.push(fd);
        }
        ready += set.found.length;
      }
      return ready;
    };
    const n = until(look, deadlineOf(timeout === null ? -1 : timeout.tv_sec * 1e3 + timeout.tv_usec / 1e3));
    // On an error the sets stay as they are.
    if (n < 0) return n;
    for (const set of sets) {
      set.of?.clear();
      for (const fd of set.found) set.of?.add(fd);
    }
    return n;
  }

  return {
    epoll_create: (size) => (size > 0 ? core.epollCreate(0) : -EINVAL),
    epoll_create1: (flags) => core.epollCreate(flags),
    epoll_ctl,
    epoll_wait,
    poll,
    ppoll,
    select,
  };
}
