// epoll_ctl and epoll_wait for business threads: the watches lie in the share, no stack is asked.
// Read first: ready.ts; epoll(7); Linux fs/eventpoll.c for the order of errors.

import {
  CHANNEL_BYTES,
  CHANNEL_GENERATION,
  CHANNEL_KIND,
  CHANNEL_WATCHERS,
  EBADF,
  EEXIST,
  EINVAL,
  ELOOP,
  ENOENT,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLERR,
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLHUP,
  EPOLLIN,
  EPOLLONESHOT,
  EPOLLOUT,
  EPOLLRDNORM,
  EPOLLWAKEUP,
  KIND_FREE,
  PART_CHANNELS,
  READY_CURSOR,
  READY_GENERATION,
  READY_SLOTS,
  READY_TURN,
  READY_TURNS,
  READY_USED,
  READY_WATCHERS,
  SHARE_CAPACITY,
  SHARE_EPOLL_COUNT,
  SHARE_PARTS,
  SHARE_STACKS,
  WATCH_DATA,
  WATCH_EVENTS,
  WATCH_GENERATION,
  WATCH_MASK,
  WATCH_PRESENT,
} from "../layout";
import { channelEvents } from "./channel";
import {
  epollSlot,
  readyAt,
  readyClear,
  readyNext,
  readySet,
  readySetAll,
  readyTell,
  readyWake,
  watchOf,
} from "./ready";

const CONTROL_BITS: u32 = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP | WATCH_PRESENT;
/** What may accompany EPOLLEXCLUSIVE (Linux: EPOLLEXCLUSIVE_OK_BITS). */
const EXCLUSIVE_BITS: u32 = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
/** Deepest chain of epolls that watch epolls (Linux: EP_MAX_NESTS). */
const NESTS_MAX: u32 = 4;

/** The channel of a socket's descriptor, 0 when it is an epoll's or out of range. */
export function shareChannel(share: usize, fd: u32): usize {
  const stacks = load<u32>(share, SHARE_STACKS);
  const index = fd % stacks;
  const local = fd / stacks;
  if (local >= load<u32>(share, SHARE_CAPACITY)) return 0;
  const part = usize(load<u32>(share + (usize(index) << 2), SHARE_PARTS));
  return usize(load<u32>(part, PART_CHANNELS)) + usize(local) * CHANNEL_BYTES;
}

/** The epoll of a descriptor, open or not; 0: it is a socket's, or out of range. */
function epollOf(share: usize, fd: u32): usize {
  const index = fd - epollSlot(share, 0);
  return index < load<u32>(share, SHARE_EPOLL_COUNT) ? readyAt(share, index) : 0;
}

/** Which life of a descriptor this is, from 1; 0: it is not open. */
function lifeOf(share: usize, fd: u32): u32 {
  const c = shareChannel(share, fd);
  if (c != 0) {
    const generation = atomic.load<u32>(c, CHANNEL_GENERATION);
    return atomic.load<u32>(c, CHANNEL_KIND) == KIND_FREE ? 0 : generation + 1;
  }
  const e = epollOf(share, fd);
  if (e == 0 || atomic.load<u32>(e, READY_USED) == 0) return 0;
  return atomic.load<u32>(e, READY_GENERATION) + 1;
}

/** Readiness of any descriptor as EPOLL bits, or -EBADF. */
export function shareEvents(share: usize, fd: u32): i32 {
  if (lifeOf(share, fd) == 0) return -EBADF;
  const c = shareChannel(share, fd);
  if (c != 0) return i32(channelEvents(c));
  return epollIsReady(share, epollOf(share, fd), 0) ? EPOLLIN | EPOLLRDNORM : 0;
}

/** True when epoll_wait would find something. */
function epollIsReady(share: usize, e: usize, depth: u32): bool {
  const end = load<u32>(e, READY_SLOTS);
  for (let fd = readyNext(e, 0, end); fd >= 0; fd = readyNext(e, fd + 1, end)) {
    if (watchedEvents(share, watchOf(e, fd), fd, depth) != 0) return true;
  }
  return false;
}

/** What a watch would report now. */
function watchedEvents(share: usize, watch: usize, fd: u32, depth: u32): u32 {
  const mask = atomic.load<u32>(watch, WATCH_MASK);
  if (mask == 0 || atomic.load<u32>(watch, WATCH_GENERATION) != lifeOf(share, fd)) return 0;
  const c = shareChannel(share, fd);
  if (c != 0) return channelEvents(c) & mask;
  if (depth > NESTS_MAX || !(mask & EPOLLIN)) return 0;
  return epollIsReady(share, epollOf(share, fd), depth + 1) ? mask & (EPOLLIN | EPOLLRDNORM) : 0;
}

/** epoll_create(2): a descriptor, or -1 when all are open. */
export function shareEpollOpen(share: usize): i32 {
  const count = load<u32>(share, SHARE_EPOLL_COUNT);
  for (let i: u32 = 0; i < count; i++) {
    if (atomic.cmpxchg<u32>(readyAt(share, i), 0, 1, READY_USED) == 0) return i32(epollSlot(share, i));
  }
  return -1;
}

/** close(2) of an epoll: 0, -EBADF. Its watches end, and watches of it. */
export function shareEpollClose(share: usize, fd: u32): i32 {
  const e = epollOf(share, fd);
  if (e == 0 || atomic.load<u32>(e, READY_USED) == 0) return -EBADF;
  const end = load<u32>(e, READY_SLOTS);
  for (let i: u32 = 0; i < end; i++) {
    if (load<u32>(watchOf(e, i), WATCH_EVENTS) != 0) watchRemove(share, e, fd - epollSlot(share, 0), i);
  }
  atomic.store<u64>(e, 0, READY_WATCHERS);
  atomic.add<u32>(e, 1, READY_GENERATION);
  atomic.store<u32>(e, 0, READY_TURN);
  atomic.store<u32>(e, 0, READY_USED);
  return 0;
}

/** Begins to change or look through an epoll: true when it is the caller's turn now, or when there is no such epoll. */
export function shareEpollEnter(share: usize, fd: u32, turn: u32): bool {
  const e = epollOf(share, fd);
  return e == 0 || atomic.cmpxchg<u32>(e, 0, turn, READY_TURN) == 0;
}

/** Changes with every turn. */
export function shareEpollTurns(share: usize, fd: u32): u32 {
  const e = epollOf(share, fd);
  return e == 0 ? 0 : atomic.load<u32>(e, READY_TURNS);
}

/** Whose turn it is; 0: nobody's. */
export function shareEpollTurn(share: usize, fd: u32): u32 {
  const e = epollOf(share, fd);
  return e == 0 ? 0 : atomic.load<u32>(e, READY_TURN);
}

/** Takes the turn of a dead thread away. What it has left half done is looked at anew. */
export function shareEpollFree(share: usize, fd: u32, holder: u32): void {
  const e = epollOf(share, fd);
  if (e == 0 || atomic.load<u32>(e, READY_TURN) != holder) return;
  readySetAll(e);
  atomic.cmpxchg<u32>(e, holder, 0, READY_TURN);
}

export function shareEpollLeave(share: usize, fd: u32, turn: u32): void {
  const e = epollOf(share, fd);
  if (e == 0) return;
  atomic.add<u32>(e, 1, READY_TURNS);
  atomic.cmpxchg<u32>(e, turn, 0, READY_TURN);
}

/** True when a descriptor is an epoll's, and open. */
export function shareIsEpoll(share: usize, fd: u32): bool {
  const e = epollOf(share, fd);
  return e != 0 && atomic.load<u32>(e, READY_USED) != 0;
}

/** Address of an epoll, for its futex. */
export function shareEpollAt(share: usize, fd: u32): usize {
  return epollOf(share, fd);
}

/** epoll_ctl(2), within the epoll's turn: 0, -EBADF, -EINVAL, -EEXIST, -ENOENT, -ELOOP. */
export function shareEpollControl(share: usize, epfd: u32, op: i32, fd: u32, events: u32, low: u32, high: u32): i32 {
  const life = lifeOf(share, fd);
  const data = u64(low) | (u64(high) << 32);
  if (life == 0) return -EBADF;
  if (fd == epfd) return -EINVAL;
  const e = epollOf(share, epfd);
  if (e == 0) return -EBADF;
  const index = epfd - epollSlot(share, 0);
  const inner = epollOf(share, fd);
  const exclusive = op != EPOLL_CTL_DEL && (events & EPOLLEXCLUSIVE) != 0;
  if (exclusive && (op == EPOLL_CTL_MOD || inner != 0 || events & ~EXCLUSIVE_BITS)) return -EINVAL;
  const watch = watchOf(e, fd);
  const found = load<u32>(watch, WATCH_EVENTS) != 0 && load<u32>(watch, WATCH_GENERATION) == life;
  switch (op) {
    case EPOLL_CTL_ADD:
      if (inner != 0 && nestsTooDeep(share, epfd, fd)) return -ELOOP;
      if (found) return -EEXIST;
      watchSet(share, e, index, fd, life, events, data);
      return 0;
    case EPOLL_CTL_DEL:
      if (!found) return -ENOENT;
      watchRemove(share, e, index, fd);
      return 0;
    case EPOLL_CTL_MOD:
      if (!found) return -ENOENT;
      if (load<u32>(watch, WATCH_EVENTS) & EPOLLEXCLUSIVE) return -EINVAL;
      watchSet(share, e, index, fd, life, events, data);
      return 0;
    default:
      return -EINVAL;
  }
}

function watchersOf(share: usize, fd: u32): usize {
  const c = shareChannel(share, fd);
  return c != 0 ? c + CHANNEL_WATCHERS : epollOf(share, fd) + READY_WATCHERS;
}

/** Arms a watch, then looks: what is there already is noted, what comes later finds the watch. */
function watchSet(share: usize, e: usize, index: u32, fd: u32, life: u32, events: u32, data: u64): void {
  const watch = watchOf(e, fd);
  const mask = (events & ~CONTROL_BITS) | EPOLLERR | EPOLLHUP;
  store<u32>(watch, life, WATCH_GENERATION);
  store<u64>(watch, data, WATCH_DATA);
  atomic.store<u32>(watch, events | WATCH_PRESENT, WATCH_EVENTS);
  atomic.store<u32>(watch, mask, WATCH_MASK);
  atomic.or<u64>(watchersOf(share, fd), u64(1) << index);
  if (watchedEvents(share, watch, fd, 0) == 0) return;
  readyTell(share, u64(1) << index, fd, mask);
  readyWake(share);
}

function watchRemove(share: usize, e: usize, index: u32, fd: u32): void {
  const watch = watchOf(e, fd);
  atomic.and<u64>(watchersOf(share, fd), ~(u64(1) << index));
  atomic.store<u32>(watch, 0, WATCH_MASK);
  atomic.store<u32>(watch, 0, WATCH_EVENTS);
  readyClear(e, fd);
}

/** True when `epfd` may not watch `fd`: a circle, or a chain of more than NESTS_MAX watches. */
function nestsTooDeep(share: usize, epfd: u32, fd: u32): bool {
  const below = depthBelow(share, fd, epfd, 0);
  return below > NESTS_MAX || below + 1 + depthAbove(share, epfd, 0) > NESTS_MAX;
}

function depthBelow(share: usize, fd: u32, forbidden: u32, depth: u32): u32 {
  if (fd == forbidden || depth > NESTS_MAX) return NESTS_MAX + 1;
  const e = epollOf(share, fd);
  const first = epollSlot(share, 0);
  let deepest: u32 = 0;
  for (let inner = first; inner < load<u32>(e, READY_SLOTS); inner++) {
    const watch = watchOf(e, inner);
    if (load<u32>(watch, WATCH_EVENTS) == 0 || load<u32>(watch, WATCH_GENERATION) != lifeOf(share, inner)) continue;
    deepest = max(deepest, 1 + depthBelow(share, inner, forbidden, depth + 1));
  }
  return deepest;
}

function depthAbove(share: usize, fd: u32, depth: u32): u32 {
  if (depth > NESTS_MAX) return depth;
  const first = epollSlot(share, 0);
  let highest: u32 = 0;
  let watchers = atomic.load<u64>(epollOf(share, fd), READY_WATCHERS);
  while (watchers != 0) {
    const index = u32(ctz(watchers));
    watchers &= watchers - 1;
    highest = max(highest, 1 + depthAbove(share, first + index, depth + 1));
  }
  return highest;
}

/**
 * epoll_wait(2) without waiting, within the epoll's turn: events at `out`, 16 bytes each {events, descriptor, data}.
 * It begins where the last one stopped, so that a small `max` serves everybody.
 */
export function shareEpollCollect(share: usize, epfd: u32, out: usize, max: u32): u32 {
  const e = epollOf(share, epfd);
  if (e == 0) return 0;
  const start = load<u32>(e, READY_CURSOR);
  const end = load<u32>(e, READY_SLOTS);
  let found = collect(share, e, start, end, out, max);
  if (found < max) found += collect(share, e, 0, start, out + usize(found) * 16, max - found);
  return found;
}

function collect(share: usize, e: usize, from: u32, end: u32, out: usize, max: u32): u32 {
  let found: u32 = 0;
  while (found < max) {
    const at = readyNext(e, from, end);
    if (at < 0) break;
    from = u32(at) + 1;
    const events = report(share, e, watchOf(e, at), at);
    if (events == 0) continue;
    store<u32>(out, events);
    store<u32>(out, u32(at), 4);
    store<u64>(out, load<u64>(watchOf(e, at), WATCH_DATA), 8);
    out += 16;
    found++;
    store<u32>(e, from, READY_CURSOR);
  }
  return found;
}

/** What a noted watch reports; its note goes or stays. */
function report(share: usize, e: usize, watch: usize, fd: u32): u32 {
  const events = load<u32>(watch, WATCH_EVENTS);
  if (events & (EPOLLET | EPOLLONESHOT)) {
    // Whatever comes from now on sets the note again.
    readyClear(e, fd);
    const now = watchedEvents(share, watch, fd, 0);
    if (now != 0 && events & EPOLLONESHOT) atomic.store<u32>(watch, 0, WATCH_MASK);
    return now;
  }
  const now = watchedEvents(share, watch, fd, 0);
  if (now != 0) return now;
  readyClear(e, fd);
  const again = watchedEvents(share, watch, fd, 0);
  if (again != 0) readySet(e, fd);
  return again;
}

/** 1 when an epoll has a note at all: worth a look. */
export function shareEpollHints(share: usize, epfd: u32): bool {
  const e = epollOf(share, epfd);
  return e != 0 && readyNext(e, 0, load<u32>(e, READY_SLOTS)) >= 0;
}
