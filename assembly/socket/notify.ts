// Readiness: what a socket is ready for now, and the word to those who watch it that this may have changed.
// Read first: epoll(7); Linux fs/eventpoll.c, ep_poll_callback().

import { KIND_EPOLL, KIND_LISTENER, KIND_TCP, KIND_UDP } from "../layout";
import { udpEvents } from "../net/udp";
import { part } from "../share/part";
import { note } from "../share/note";
import { listenerEvents, tcpEvents } from "../tcp/api";
import { epollEvents, epollWake, withNorm } from "./epoll";
import { tcbOf, udpOf } from "./kinds";
import { Socket } from "./socket";

/**
 * Tells those who watch `s` that the readiness bits `events` (EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP) may
 * just have become true. A bit too many is harmless: whoever wakes looks again.
 */
export function socketNotify(s: Socket, events: u32): void {
  if (s.epitems != 0) epollWake(s, events);
  if (part != 0) note(s, events);
}

/** What a socket is ready for now: EPOLL bits, the NORM ones along with their plain ones. */
export function socketEvents(s: Socket): u32 {
  return withNorm(eventsOf(s));
}

function eventsOf(s: Socket): u32 {
  switch (i32(s.kind)) {
    case KIND_TCP:
      return tcpEvents(tcbOf(s));
    case KIND_LISTENER:
      return listenerEvents(tcbOf(s));
    case KIND_UDP:
      return udpEvents(udpOf(s));
    case KIND_EPOLL:
      return epollEvents(s);
    default:
      assert(false);
      return 0;
  }
}
