// A look at one channel: what business threads have done is carried out, what the stack has for them is published,
// and those who wait or watch are told.

import {
  CHANNEL_CONSUMED,
  CHANNEL_DRAINED,
  CHANNEL_FLAGS,
  CHANNEL_GENERATION,
  CHANNEL_HAS_ROOM,
  CHANNEL_KIND,
  CHANNEL_POLLERS,
  CHANNEL_PRODUCED,
  CHANNEL_RX_SEQUENCE,
  CHANNEL_RX_WAITERS,
  CHANNEL_SIGNALLED,
  CHANNEL_STATE,
  CHANNEL_TX,
  CHANNEL_TX_BUFFER,
  CHANNEL_TX_MORE,
  CHANNEL_TX_SEQUENCE,
  CHANNEL_TX_SIZE,
  CHANNEL_TX_WAITERS,
  CHANNEL_WANT_SPACE,
  CHANNEL_WATCHERS,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
  KIND_LISTENER,
  KIND_UDP,
  PART_COUNT_WAKEUPS,
  SHUT_WR,
} from "../layout";
import { accept, shutdown } from "../socket/calls";
import { fdGet } from "../socket/descriptor";
import { Socket } from "../socket/socket";
import { withNorm } from "../socket/epoll";
import { tcbOf } from "../socket/kinds";
import { listenerEvents } from "../tcp/api";
import { DRAIN_BLOCKED, DRAIN_HELD, drainChannel, drainMadeRoom } from "./drain";
import { heat } from "./note";
import { SLOT_ENDING, Slot, channelOf, countPart, share, slotOf, stackIndex, stacks } from "./part";
import {
  acceptAdd,
  acceptRoom,
  acceptSignal,
  consumedApply,
  publish,
  publishedWhole,
  publishNothing,
  signalAtOf,
} from "./publish";
import { pollersDue, readyTell } from "./ready";
import { activate, retrySoon } from "./keep";
import { optionsShow, stateShow } from "./state";
import { received, runsForget, withdrawReceived } from "./withdraw";

const OF_READERS: u32 = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
const OF_WRITERS: u32 = EPOLLOUT | EPOLLHUP | EPOLLERR;
const EVERYTHING: u32 = OF_READERS | OF_WRITERS;
/** A new life's position to send lies at a multiple of this, as datagrams want, behind all that were before. */
const SENT_APART: u32 = 16;

/** Looks at a slot's channel; `events` have been noted of its socket. */
export function look(slot: Slot, events: u32): void {
  const s = fdGet(slot.fd);
  const c = channelOf(slot.fd);
  if (s === null || load<u32>(c, CHANNEL_KIND) == 0) return;
  const before = load<u32>(c, CHANNEL_STATE);
  events &= ~EPOLLOUT;
  if (s.kind == KIND_LISTENER) {
    if (handOut(c, slot, s)) events |= EPOLLIN;
  } else {
    consumedApply(c, slot, s);
    const drained = drainChannel(c, slot, s, (slot.flags & SLOT_ENDING) != 0);
    if (slot.flags & SLOT_ENDING && drained != DRAIN_BLOCKED) ended(slot);
    if (drainMadeRoom) events |= EPOLLOUT;
    if (drained == DRAIN_HELD) heat(slot);
    else if (drained == DRAIN_BLOCKED) retrySoon(s.kind == KIND_UDP);
    if (publish(c, slot, s)) events |= EPOLLIN;
    if (slot.published != slot.applied || load<u32>(c, CHANNEL_TX_BUFFER) != 0) activate(slot);
  }
  stateShow(c, s, s.kind == KIND_LISTENER || publishedWhole);
  const writable = EPOLLOUT | CHANNEL_HAS_ROOM;
  if ((before & writable) == 0 && load<u32>(c, CHANNEL_STATE) & writable) events |= EPOLLOUT;
  // A reader may have passed the mark before it was set.
  if (i32(u32(atomic.load<u64>(c, CHANNEL_CONSUMED)) - signalAtOf(c)) >= 0) heat(slot);
  if (events != 0) tell(c, slot.fd, events);
}

/** What lay before the end has been taken: now the FIN may follow. */
function ended(slot: Slot): void {
  slot.flags &= ~SLOT_ENDING;
  shutdown(slot.fd, SHUT_WR);
}

/** Connections that are complete get their descriptors, and whoever accepts finds them. */
function handOut(c: usize, slot: Slot, s: Socket): bool {
  let room = acceptRoom(c, slot);
  let hasNew = false;
  while (room != 0) {
    const fd = accept(slot.fd, 0);
    if (fd < 0) break;
    open(fd, 0);
    acceptAdd(c, slot, fd);
    hasNew = true;
    room--;
  }
  acceptSignal(c, slot, listenerEvents(tcbOf(s)) != 0);
  return hasNew;
}

/** Tells those who wait for, poll or watch a channel of events. */
function tell(c: usize, fd: i32, events: u32): void {
  const watchers = atomic.load<u64>(c, CHANNEL_WATCHERS);
  if (watchers != 0) readyTell(share, watchers, u32(fd) * stacks + stackIndex, withNorm(events));
  if (events & OF_READERS && atomic.load<u32>(c, CHANNEL_RX_WAITERS) != 0) wake(c + CHANNEL_RX_SEQUENCE);
  if (events & OF_WRITERS && atomic.load<u32>(c, CHANNEL_TX_WAITERS) != 0) wake(c + CHANNEL_TX_SEQUENCE);
  if (atomic.load<u32>(c, CHANNEL_POLLERS) != 0) pollersDue();
}

function wake(sequence: usize): void {
  atomic.add<u32>(sequence, 1);
  atomic.notify(sequence, -1);
  countPart(PART_COUNT_WAKEUPS);
}

/** Opens the channel of a new descriptor; `flags`: O_NONBLOCK, SOCK_CLOEXEC. */
export function open(fd: i32, flags: u32): void {
  const c = channelOf(fd);
  const slot = slotOf(fd);
  const s = fdGet(fd) as Socket;
  // Positions go on from one life of a descriptor to the next, and so do epochs: nobody takes one for another.
  const sent = (u32(atomic.load<u64>(c, CHANNEL_TX)) + SENT_APART) & ~(SENT_APART - 1);
  slot.fd = fd;
  slot.published = u32(load<u64>(c, CHANNEL_PRODUCED));
  slot.drained = sent;
  slot.runHead = 0;
  slot.idleAt = sent - 1;
  slot.heldTurn = 0;
  slot.flags &= ~SLOT_ENDING;
  withdrawReceived(c, slot.published);
  received(slot);
  runsForget(c, slot.published);
  store<u32>(c, 0, CHANNEL_TX_MORE);
  store<u32>(c, 0, CHANNEL_TX_BUFFER);
  store<u32>(c, 0, CHANNEL_TX_SIZE);
  atomic.store<u32>(c, 0, CHANNEL_WANT_SPACE);
  // Whoever was to put the signal of an earlier life into the ring may have died.
  atomic.store<u32>(c, 0, CHANNEL_SIGNALLED);
  atomic.store<u64>(c, 0, CHANNEL_WATCHERS);
  atomic.store<u32>(c, flags, CHANNEL_FLAGS);
  publishNothing(c, slot);
  atomic.store<u32>(c, sent, CHANNEL_DRAINED);
  atomic.store<u64>(c, u64(sent), CHANNEL_TX);
  stateShow(c, s, true);
  optionsShow(c, s);
  look(slot, 0);
}

/**
 * The descriptor of a channel is closed: calls that wait for it end with -EBADF, watches of it are no more. Returns the
 * position up to which something was taken.
 */
export function shut(c: usize, slot: Slot): u32 {
  atomic.store<u32>(c, load<u32>(c, CHANNEL_GENERATION) + 1, CHANNEL_GENERATION);
  atomic.store<u32>(c, 0, CHANNEL_KIND);
  atomic.store<u32>(c, 0, CHANNEL_STATE);
  atomic.store<u64>(c, 0, CHANNEL_WATCHERS);
  // What readers are copying just now is given back when the socket is.
  const taken = withdrawReceived(c, slot.published);
  received(slot);
  tell(c, slot.fd, EVERYTHING);
  return taken;
}
