// poll and select, for whoever can tell what a descriptor is ready for and can wait for a change.
// Read first: poll(2), select(2).

import {
  EBADF,
  EINVAL,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDBAND,
  EPOLLRDNORM,
  EPOLLWRBAND,
  EPOLLWRNORM,
  POLLNVAL,
} from "../../assembly/layout.ts";
import type { PollFd, TimeSpec, TimeVal } from "./events.ts";

/** What the sets of select(2) stand for (Linux: POLLIN_SET, POLLOUT_SET, POLLEX_SET). */
const READABLE = EPOLLIN | EPOLLRDNORM | EPOLLRDBAND | EPOLLHUP | EPOLLERR;
const WRITABLE = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND | EPOLLERR;
const EXCEPTIONAL = EPOLLPRI;

export interface PollingCalls {
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

/** Asks `look` until it finds something (not 0), waiting on `fds` in between: `timeout` ms, for ever below 0. */
export type Until = (look: () => number, fds: Iterable<number>, timeout: number) => number;

/** Makes the calls. @param eventsOf what a descriptor is ready for, EPOLL bits, or a negative errno */
export function createPolling(eventsOf: (fd: number) => number, until: Until): PollingCalls {
  function lookAll(fds: PollFd[]): number {
    let ready = 0;
    for (const entry of fds) {
      entry.revents = entry.fd < 0 ? 0 : readiness(entry.fd, entry.events);
      if (entry.revents !== 0) ready++;
    }
    return ready;
  }

  function readiness(fd: number, wanted: number): number {
    const events = eventsOf(fd);
    return events < 0 ? POLLNVAL : events & (wanted | EPOLLERR | EPOLLHUP);
  }

  function poll(fds: PollFd[], timeout: number): number {
    const watched = fds.map(({ fd }) => fd);
    return until(() => lookAll(fds), watched, timeout);
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
          const events = eventsOf(fd);
          if (events < 0) return -EBADF;
          if (events & set.mask) set.found.push(fd);
        }
        ready += set.found.length;
      }
      return ready;
    };
    const watched = new Set(sets.flatMap(({ fds }) => fds));
    const n = until(look, watched, timeout === null ? -1 : timeout.tv_sec * 1e3 + timeout.tv_usec / 1e3);
    // On an error the sets stay as they are.
    if (n < 0) return n;
    for (const set of sets) {
      set.of?.clear();
      for (const fd of set.found) set.of?.add(fd);
    }
    return n;
  }

  return { poll, ppoll, select };
}
