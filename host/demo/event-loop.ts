// The client's side of the demo with threads: an epoll loop in the main thread, which lets Node's own event loop turn.
// Read first: epoll(7).

import { setImmediate } from "node:timers/promises";
import { EPOLL_CTL_ADD, EPOLLET, EPOLLIN, EPOLLOUT } from "../posix/constants.ts";
import type { EpollEvent, Posix } from "../posix/posix.ts";
import { checked } from "./calls.ts";
import { type Crew, ThreadFailure } from "./crew.ts";

const EVENTS_MAX = 64;
/** So often it looks whether it is done though nothing comes, milliseconds. */
const LOOK_MILLIS = 10;
/** What threads report and what the user types is heard where Node's event loop turns: so often, milliseconds. */
const TURN_MILLIS = 25;
/** When nothing has come for so long, nothing will, milliseconds: longer than TCP waits between two attempts here. */
const STALL_MILLIS = 30_000;

/** The sockets that the client waits for. Edge-triggered: a handler goes on until it would have to wait. */
export class ClientLoop {
  readonly #posix: Posix;
  readonly #crew: Crew;
  readonly #epoll: number;
  readonly #events: EpollEvent[] = [];
  readonly #handlers = new Map<number, (events: number) => void>();

  /** @throws {CallError} */
  constructor(posix: Posix, crew: Crew) {
    this.#posix = posix;
    this.#crew = crew;
    this.#epoll = checked("epoll_create1", posix.epoll_create1(0));
  }

  /** Calls `handler` when a socket has become ready to send or receive. */
  add(fd: number, handler: (events: number) => void): void {
    this.#handlers.set(fd, handler);
    const event = { events: EPOLLIN | EPOLLOUT | EPOLLET, data: { fd } };
    checked("epoll_ctl", this.#posix.epoll_ctl(this.#epoll, EPOLL_CTL_ADD, fd, event));
  }

  /** Closes a socket; nobody waits for it any more. */
  close(fd: number): void {
    this.#handlers.delete(fd);
    checked("close", this.#posix.close(fd));
  }

  /** Runs handlers until `isDone()`. @throws {ThreadFailure} when a thread has failed, or nothing comes any more */
  async run(isDone: () => boolean): Promise<void> {
    let turned = performance.now();
    let heard = turned;
    while (!isDone()) {
      const count = checked("epoll_wait", this.#posix.epoll_wait(this.#epoll, this.#events, EVENTS_MAX, LOOK_MILLIS));
      for (let i = 0; i < count; i++) {
        const { events, data } = this.#events[i] as EpollEvent;
        this.#handlers.get(data.fd)?.(events);
      }
      const now = performance.now();
      if (count > 0) heard = now;
      if (now - turned < TURN_MILLIS) continue;
      await setImmediate();
      this.#crew.check();
      if (now - heard > STALL_MILLIS) {
        throw new ThreadFailure(`nothing has come from the server's threads for ${STALL_MILLIS / 1000} s`);
      }
      turned = performance.now();
    }
  }
}
