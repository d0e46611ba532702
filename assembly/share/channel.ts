// The true state of a channel: what it is ready for, out of its own words; for business threads, and for epolls.
// Read first: epoll(7); assembly/tcp/api.ts, tcpEvents(), which this agrees with.

import {
  CHANNEL_CONSUMED,
  CHANNEL_DRAINED,
  CHANNEL_ENDED,
  CHANNEL_ASK,
  CHANNEL_HAS_ROOM,
  CHANNEL_KIND,
  CHANNEL_LOWAT,
  CHANNEL_MAY_SEND,
  CHANNEL_PRODUCED,
  CHANNEL_STATE,
  CHANNEL_TX,
  CHANNEL_TX_SIZE,
  CHANNEL_WANT_SPACE,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
  EPOLLRDNORM,
  EPOLLWRNORM,
  KIND_LISTENER,
  KIND_UDP,
  SEND_SMALL_BYTES,
} from "../layout";

/** Bits of CHANNEL_STATE that are readiness as it stands. */
const PLAIN: u32 = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP;

/** Bytes (a listener: connections) that may be taken. */
export function channelUnread(c: usize): u32 {
  const consumed = u32(atomic.load<u64>(c, CHANNEL_CONSUMED));
  return u32(atomic.load<u64>(c, CHANNEL_PRODUCED)) - consumed;
}

/** Bytes that wait in the send buffer. */
export function channelUnsent(c: usize): u32 {
  const drained = atomic.load<u32>(c, CHANNEL_DRAINED);
  return u32(atomic.load<u64>(c, CHANNEL_TX)) - drained;
}

/** Bytes that the send buffer takes now; a channel without one can have one. */
export function channelRoom(c: usize): u32 {
  const unsent = channelUnsent(c);
  const size = max(atomic.load<u32>(c, CHANNEL_TX_SIZE), <u32>SEND_SMALL_BYTES);
  return unsent < size ? size - unsent : 0;
}

/** A third of the send buffer is free. */
export function channelIsRoomy(c: usize): bool {
  const unsent = channelUnsent(c);
  const size = max(atomic.load<u32>(c, CHANNEL_TX_SIZE), <u32>SEND_SMALL_BYTES);
  return unsent < size && size - unsent >= unsent >>> 1;
}

/** Readiness of a channel that is open, as EPOLL bits. Asks to be told of room when there is none. */
export function channelEvents(c: usize): u32 {
  const state = atomic.load<u32>(c, CHANNEL_STATE);
  let events = state & PLAIN;
  const unread = channelUnread(c);
  if (unread != 0 && unread >= atomic.load<u32>(c, CHANNEL_LOWAT)) events |= EPOLLIN;
  if (state & CHANNEL_HAS_ROOM) {
    if (channelIsRoomy(c)) {
      events |= EPOLLOUT;
    } else {
      atomic.store<u32>(c, 1, CHANNEL_WANT_SPACE);
      if (channelIsRoomy(c)) events |= EPOLLOUT;
    }
  }
  if (events & EPOLLIN) events |= EPOLLRDNORM;
  if (events & EPOLLOUT) events |= EPOLLWRNORM;
  return events;
}

/** True when a call that receives (or accepts) need not wait. */
export function channelReadable(c: usize): bool {
  if (channelUnread(c) != 0) return true;
  const state = atomic.load<u32>(c, CHANNEL_STATE);
  return (state & (CHANNEL_ENDED | CHANNEL_ASK)) != 0 || atomic.load<u32>(c, CHANNEL_KIND) == 0;
}

/** True when a call that sends need not wait, or can say why nothing can be sent. */
export function channelWritable(c: usize): bool {
  const kind = atomic.load<u32>(c, CHANNEL_KIND);
  const state = atomic.load<u32>(c, CHANNEL_STATE);
  if (kind == 0 || kind == KIND_LISTENER || state & (CHANNEL_ASK | EPOLLERR | EPOLLHUP | EPOLLOUT)) return true;
  if (!(state & CHANNEL_MAY_SEND)) return false;
  if (hasRoom(c, kind)) return true;
  atomic.store<u32>(c, 1, CHANNEL_WANT_SPACE);
  return hasRoom(c, kind);
}

/** A stream takes any byte; a datagram goes as a whole. */
function hasRoom(c: usize, kind: u32): bool {
  // Without a send buffer the stack's own queue counts.
  if (atomic.load<u32>(c, CHANNEL_TX_SIZE) == 0) return (atomic.load<u32>(c, CHANNEL_STATE) & CHANNEL_HAS_ROOM) != 0;
  return kind == KIND_UDP ? channelIsRoomy(c) : channelRoom(c) != 0;
}
