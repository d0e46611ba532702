// epoll_*, poll and select: each steps the stack first, since in the shared thread model they are the packet loop.
// Read first: epoll(7), poll(2), select(2).

import { EDEADLK, EPOLL_CTL_DEL, EXCHANGE_EVENTS_MAX } from "../../assembly/layout.ts";
import { invalidType } from "./arguments.ts";
import type { PosixContext } from "./context.ts";
import { dataWords, type EpollEvent, type EpollEventInput, fillEvents } from "./events.ts";
import { createPolling, type PollingCalls } from "./polling.ts";

export interface MultiplexCalls extends PollingCalls {
  epoll_create: (size: number) => number;
  epoll_create1: (flags: number) => number;
  epoll_ctl: (epfd: number, op: number, fd: number, event?: EpollEventInput | null) => number;
  /** Fills `events` (missing elements are made); `timeout` in ms, -1 for none. Returns how many, or -errno. */
  epoll_wait: (epfd: number, events: EpollEvent[], maxevents: number, timeout: number) => number;
}

/** The same behind the checks of checked.ts. */
export type RawMultiplex = Omit<MultiplexCalls, "epoll_create">;

/** Makes the calls for one stack. */
export function createMultiplex(context: PosixContext): RawMultiplex {
  const { core, events: raw, eventsAt, waiter } = context;
  const coreWait = core.epollWait;

  function epoll_wait(epfd: number, events: EpollEvent[], maxevents: number, timeout: number): number {
    waiter.poll();
    const most = maxevents < EXCHANGE_EVENTS_MAX ? maxevents : EXCHANGE_EVENTS_MAX;
    let n = coreWait(epfd, eventsAt, most);
    if (n === 0 && timeout !== 0) n = epollSleep(epfd, most, timeout);
    fillEvents(events, raw, n);
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
  function until(look: () => number, _fds: Iterable<number>, timeout: number): number {
    const deadline = deadlineOf(timeout);
    waiter.poll();
    let n = look();
    while (n === 0 && waiter.now() < deadline) {
      const goesOn = waiter.wait(deadline);
      n = look();
      if (n === 0 && !goesOn) return -EDEADLK;
    }
    return n;
  }

  return {
    epoll_create1: (flags) => core.epollCreate(flags),
    epoll_ctl,
    epoll_wait,
    ...createPolling((fd) => core.pollEvents(fd), until),
  };
}
