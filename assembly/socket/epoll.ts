// Epoll: sets of watched sockets, each set with a list of those that may be ready.
// Read first: epoll(7), epoll_ctl(2); Linux fs/eventpoll.c (this follows its rules, the exclusive ones too).
//
//   socket.epitems --> item --> item --> ...           all items that watch a socket (socketNext)
//   epoll.items    --> item <-> item <-> ...           all items of an epoll (allPrev, allNext)
//   epoll.ready    --> item <-> item                   those whose socket may be ready (readyPrev, readyNext)

import {
  EBADF,
  EEXIST,
  EINVAL,
  ELOOP,
  ENOENT,
  ENOSPC,
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
  EPOLLWRNORM,
  KIND_EPOLL,
  KIND_FREE,
  POOL_EPITEM,
  POOL_SOCKET,
} from "../layout";
import { poolAlloc, poolFree } from "../memory/pool";
import { poolAt } from "../stack";
import { fdGet } from "./descriptor";
import { socketEvents } from "./notify";
import { Socket } from "./socket";

/** An epoll instance: a socket, so that it has a descriptor and can be watched by another epoll. */
@unmanaged
export class Epoll extends Socket {
  items: u32;
  readyHead: u32;
  readyTail: u32;
  /** Callers that sleep in epoll_wait: an exclusive wake-up stops at the first epoll that has one. */
  waiters: u32;
  /** Items whose target is an epoll. */
  nested: u32;
}
/** Bytes of an epoll instance, an element of POOL_SOCKET. */
export const EPOLL_BYTES: u32 = (offsetof<Epoll>() + 7) & ~7;

/** One watch: a socket in an epoll. */
@unmanaged
class Epitem {
  socketNext: u32;
  epoll: u32; // in the word of the pool's free mark, which no address equals
  socket: u32;
  allNext: u32;
  allPrev: u32;
  readyNext: u32;
  readyPrev: u32;
  /** Events as epoll_ctl gave them, with EPOLLET and its like. */
  events: u32;
  /** Readiness bits that count; 0 when a one-shot item has fired. */
  mask: u32;
  dataLow: u32;
  dataHigh: u32;
  queued: u32;
}
/** Bytes of an element of POOL_EPITEM. */
export const EPITEM_BYTES: u32 = offsetof<Epitem>();
if (offsetof<Epitem>() != 48) ERROR("Epitem layout");

/** Deepest chain of epolls that watch epolls (Linux: EP_MAX_NESTS). */
const NESTS_MAX: u32 = 4;
const CONTROL_BITS: u32 = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP;
/** What may accompany EPOLLEXCLUSIVE (Linux: EPOLLEXCLUSIVE_OK_BITS). */
const EXCLUSIVE_BITS: u32 = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

/** A new epoll instance without a descriptor, or null when POOL_SOCKET is empty. */
export function epollAlloc(): Epoll | null {
  const at = poolAlloc(poolAt(POOL_SOCKET));
  if (at == 0) return null;
  memory.fill(at, 0, EPOLL_BYTES);
  const ep = changetype<Epoll>(at);
  ep.kind = u8(KIND_EPOLL);
  ep.fd = -1;
  return ep;
}

/** Frees an epoll instance and every watch in it. The watches on it must be gone. */
export function epollFree(ep: Epoll): void {
  while (ep.items != 0) itemFree(changetype<Epitem>(ep.items));
  assert(ep.epitems == 0 && ep.readyHead == 0);
  ep.kind = u8(KIND_FREE);
  poolFree(poolAt(POOL_SOCKET), changetype<usize>(ep));
}

/** Adds EPOLLRDNORM and EPOLLWRNORM where their plain twins are set. */
export function withNorm(events: u32): u32 {
  if (events & EPOLLIN) events |= EPOLLRDNORM;
  if (events & EPOLLOUT) events |= EPOLLWRNORM;
  return events;
}

/** Ends every watch on a socket that is being closed. */
export function epollForget(s: Socket): void {
  while (s.epitems != 0) itemFree(changetype<Epitem>(s.epitems));
}

/** Queues the items that watch `s` for one of `events`. Call through socketNotify(). */
export function epollWake(s: Socket, events: u32): void {
  events = withNorm(events);
  let at = s.epitems;
  while (at != 0) {
    const item = changetype<Epitem>(at);
    at = item.socketNext;
    if ((item.mask & events) == 0) continue;
    itemWake(item);
    // Exclusive items come last; the first whose epoll has a sleeper takes the event.
    if (item.events & EPOLLEXCLUSIVE && changetype<Epoll>(item.epoll).waiters != 0) return;
  }
}

function itemWake(item: Epitem): void {
  const ep = changetype<Epoll>(item.epoll);
  if (!item.queued) readyAppend(ep, item);
  if (ep.epitems != 0) epollWake(ep, EPOLLIN);
}

/** Readiness of an epoll instance: EPOLLIN when epoll_wait would report something. Drops what is ready no more. */
export function epollEvents(s: Socket): u32 {
  const ep = changetype<Epoll>(changetype<usize>(s));
  while (ep.readyHead != 0) {
    const item = changetype<Epitem>(ep.readyHead);
    if (socketEvents(changetype<Socket>(item.socket)) & item.mask) return EPOLLIN;
    readyRemove(ep, item);
  }
  return 0;
}

/**
 * Reports up to `max` ready sockets at `out`, 16 bytes each: events, descriptor, the two words of user data.
 * Level-triggered items go to the tail, so that a small `max` serves everybody in turn. Never waits.
 */
export function epollCollect(ep: Epoll, out: usize, max: u32): u32 {
  const last = ep.readyTail;
  let found: u32 = 0;
  while (ep.readyHead != 0 && found < max) {
    const at = ep.readyHead;
    const item = changetype<Epitem>(at);
    const s = changetype<Socket>(item.socket);
    readyRemove(ep, item);
    const events = socketEvents(s) & item.mask;
    if (events != 0) {
      store<u32>(out, events);
      store<u32>(out, u32(s.fd), 4);
      store<u32>(out, item.dataLow, 8);
      store<u32>(out, item.dataHigh, 12);
      out += 16;
      found++;
      if (item.events & EPOLLONESHOT) item.mask = 0;
      else if (!(item.events & EPOLLET)) readyAppend(ep, item);
    }
    if (at == last) break;
  }
  return found;
}

/** epoll_ctl(2) on an epoll instance: 0, or -EBADF, -EINVAL, -EEXIST, -ENOENT, -ELOOP, -ENOSPC. */
export function epollControl(ep: Epoll, op: i32, fd: i32, events: u32, dataLow: u32, dataHigh: u32): i32 {
  const s = fdGet(fd);
  if (s === null) return -EBADF;
  if (changetype<usize>(s) == changetype<usize>(ep)) return -EINVAL;
  const exclusive = op != EPOLL_CTL_DEL && (events & EPOLLEXCLUSIVE) != 0;
  if (exclusive && (op == EPOLL_CTL_MOD || s.kind == KIND_EPOLL || events & ~EXCLUSIVE_BITS)) return -EINVAL;
  const at = itemFind(ep, s);
  switch (op) {
    case EPOLL_CTL_ADD:
      // Linux looks for loops before it looks for the item.
      if (s.kind == KIND_EPOLL && wouldNestTooDeep(ep, changetype<Epoll>(changetype<usize>(s)))) return -ELOOP;
      if (at != 0) return -EEXIST;
      return itemAdd(ep, s, events, dataLow, dataHigh);
    case EPOLL_CTL_DEL:
      if (at == 0) return -ENOENT;
      itemFree(changetype<Epitem>(at));
      return 0;
    case EPOLL_CTL_MOD: {
      if (at == 0) return -ENOENT;
      const item = changetype<Epitem>(at);
      if (item.events & EPOLLEXCLUSIVE) return -EINVAL;
      itemArm(item, events, dataLow, dataHigh);
      return 0;
    }
    default:
      return -EINVAL;
  }
}

/** Says that a caller begins (1) or ends (-1) to sleep on an epoll. */
export function epollSleep(ep: Epoll, change: i32): void {
  if (change > 0) ep.waiters++;
  else if (ep.waiters != 0) ep.waiters--;
}

function itemFind(ep: Epoll, s: Socket): u32 {
  let at = s.epitems;
  while (at != 0 && changetype<Epitem>(at).epoll != u32(changetype<usize>(ep))) at = changetype<Epitem>(at).socketNext;
  return at;
}

function itemAdd(ep: Epoll, s: Socket, events: u32, dataLow: u32, dataHigh: u32): i32 {
  const at = poolAlloc(poolAt(POOL_EPITEM));
  if (at == 0) return -ENOSPC;
  memory.fill(at, 0, EPITEM_BYTES);
  const item = changetype<Epitem>(at);
  item.epoll = u32(changetype<usize>(ep));
  item.socket = u32(changetype<usize>(s));
  item.allNext = ep.items;
  if (ep.items != 0) changetype<Epitem>(ep.items).allPrev = u32(at);
  ep.items = u32(at);
  if (s.kind == KIND_EPOLL) ep.nested++;
  linkToSocket(s, item, (events & EPOLLEXCLUSIVE) != 0);
  itemArm(item, events, dataLow, dataHigh);
  return 0;
}

/** Plain items in front, exclusive ones behind in the order of their coming. */
function linkToSocket(s: Socket, item: Epitem, exclusive: bool): void {
  let link = changetype<usize>(s) + offsetof<Socket>("epitems");
  if (exclusive) {
    while (load<u32>(link) != 0) link = usize(load<u32>(link)) + offsetof<Epitem>("socketNext");
  }
  item.socketNext = load<u32>(link);
  store<u32>(link, u32(changetype<usize>(item)));
}

/** Sets what an item waits for, and queues it at once when that is already there. */
function itemArm(item: Epitem, events: u32, dataLow: u32, dataHigh: u32): void {
  item.events = events;
  item.mask = (events & ~CONTROL_BITS) | EPOLLERR | EPOLLHUP;
  item.dataLow = dataLow;
  item.dataHigh = dataHigh;
  if (socketEvents(changetype<Socket>(item.socket)) & item.mask) itemWake(item);
}

/** Takes an item out of all its lists and gives it back. */
function itemFree(item: Epitem): void {
  const ep = changetype<Epoll>(item.epoll);
  const s = changetype<Socket>(item.socket);
  const at = u32(changetype<usize>(item));
  let link = usize(item.socket) + offsetof<Socket>("epitems");
  while (load<u32>(link) != at) link = usize(load<u32>(link)) + offsetof<Epitem>("socketNext");
  store<u32>(link, item.socketNext);
  if (item.queued) readyRemove(ep, item);
  if (item.allNext != 0) changetype<Epitem>(item.allNext).allPrev = item.allPrev;
  if (item.allPrev != 0) changetype<Epitem>(item.allPrev).allNext = item.allNext;
  else ep.items = item.allNext;
  if (s.kind == KIND_EPOLL) ep.nested--;
  poolFree(poolAt(POOL_EPITEM), usize(at));
}

function readyAppend(ep: Epoll, item: Epitem): void {
  const at = u32(changetype<usize>(item));
  const tail = ep.readyTail;
  item.readyPrev = tail;
  item.readyNext = 0;
  item.queued = 1;
  if (tail != 0) changetype<Epitem>(tail).readyNext = at;
  else ep.readyHead = at;
  ep.readyTail = at;
}

function readyRemove(ep: Epoll, item: Epitem): void {
  const next = item.readyNext;
  const prev = item.readyPrev;
  if (next != 0) changetype<Epitem>(next).readyPrev = prev;
  else ep.readyTail = prev;
  if (prev != 0) changetype<Epitem>(prev).readyNext = next;
  else ep.readyHead = next;
  item.queued = 0;
}

/** True when `ep` may not watch `target`: a circle, or a chain of more than NESTS_MAX watches. */
function wouldNestTooDeep(ep: Epoll, target: Epoll): bool {
  const below = depthBelow(target, ep);
  return below > NESTS_MAX || below + 1 + depthAbove(ep) > NESTS_MAX;
}

/** Longest chain of watched epolls under `ep`; more than NESTS_MAX when `forbidden` is found there. */
function depthBelow(ep: Epoll, forbidden: Epoll): u32 {
  if (changetype<usize>(ep) == changetype<usize>(forbidden)) return NESTS_MAX + 1;
  let deepest: u32 = 0;
  let left = ep.nested;
  for (let at = ep.items; left != 0; at = changetype<Epitem>(at).allNext) {
    const s = changetype<Socket>(changetype<Epitem>(at).socket);
    if (s.kind != KIND_EPOLL) continue;
    left--;
    deepest = max(deepest, 1 + depthBelow(changetype<Epoll>(changetype<usize>(s)), forbidden));
  }
  return deepest;
}

/** Longest chain of epolls that watch `ep`. */
function depthAbove(ep: Epoll): u32 {
  let highest: u32 = 0;
  for (let at = ep.epitems; at != 0; at = changetype<Epitem>(at).socketNext) {
    highest = max(highest, 1 + depthAbove(changetype<Epoll>(changetype<Epitem>(at).epoll)));
  }
  return highest;
}
