// The stack's beat for business threads, after its own: calls are answered, signalled and noted channels looked at,
// those who sleep are woken once for all of it.
// Read first: DESIGN.md section 4; assembly/index.ts, poll().

import {
  CHANNEL_KIND,
  CHANNEL_SIGNALLED,
  CHANNEL_TX,
  KIND_TCP,
  PART_CALLS,
  PART_CALLS_MAX,
  PART_COUNT_BEATS,
  PART_COUNT_SIGNALS,
  PART_COUNT_WAKEUPS,
  PART_ESTABLISHED,
  PART_SCAN,
  PART_SIGNALS,
} from "../layout";
import { mpscIsEmpty, mpscPop } from "../memory/ring";
import { close } from "../socket/calls";
import { fdGet } from "../socket/descriptor";
import { stack } from "../stack";
import { answer } from "./calls";
import { DRAIN_BLOCKED, bufferRelease, drainChannel } from "./drain";
import { heat, hotNext, hotTake, isHot, notedTake, notesAttach } from "./note";
import { activate, deactivate, heldMillis, keepAttach, keepBegin, keepDue, retrySoon, settle } from "./keep";
import { look } from "./look";
import {
  SLOT_ACTIVE,
  SLOT_CLOSING,
  SLOT_HOT,
  SLOT_NOTED,
  Slot,
  channelOf,
  countPart,
  part,
  partAttach,
  share,
  slotCount,
  slotOf,
} from "./part";
import { readyWake } from "./ready";

/** Signals that one beat follows at most: the network is not to wait for long. */
const SIGNALS_MAX: u32 = 256;
/**
 * A thread that holds a turn for longer is dead: what it does in a turn takes microseconds. The host takes turns of
 * dead threads away earlier (reclaim.ts); this is for where it cannot tell who is dead.
 */
const TURN_MILLIS_MAX: u32 = 10_000;

/** Points this instance at its part, if the stack has one; lists that another instance has left are made anew. */
export function shareAttach(): void {
  partAttach();
  notesAttach();
  keepAttach();
  if (part == 0) return;
  for (let fd = 0; u32(fd) < slotCount(); fd++) {
    const slot = slotOf(fd);
    const left = slot.flags & (SLOT_NOTED | SLOT_HOT | SLOT_ACTIVE);
    if (left == 0) continue;
    slot.flags &= ~left;
    heat(slot);
  }
}

/** Gives the stack its part at `at`; 0: its calls are its own thread's again. */
export function shareJoin(at: u32): void {
  stack.part = at;
  shareAttach();
}

/** One beat. Returns how much there was to do. */
export function shareBeat(): u32 {
  let work = answerCalls(usize(load<u32>(part, PART_CALLS)));
  if (atomic.load<u32>(part, PART_SCAN) != 0) work += scan();
  work += followSignals();
  for (let at = hotTake(); at != 0;) {
    const slot = changetype<Slot>(usize(at));
    at = hotNext(at);
    if (slot.flags & SLOT_CLOSING) finishClose(slot);
    else look(slot, takeEvents(slot));
    work++;
  }
  for (let at = keepBegin(); at != 0;) {
    const slot = changetype<Slot>(usize(at));
    work++;
    if (slot.flags & SLOT_CLOSING) {
      at = slot.activeNext;
      finishClose(slot);
      continue;
    }
    look(slot, takeEvents(slot));
    at = settle(slot);
  }
  // Last: what has been carried out may have had events of its own.
  for (let at = notedTake(); at != 0; at = notedTake()) {
    const slot = changetype<Slot>(usize(at));
    look(slot, takeEvents(slot));
    work++;
  }
  store<u32>(part, stack.currEstab, PART_ESTABLISHED);
  const woken = readyWake(share);
  for (let i: u32 = 0; i < woken; i++) countPart(PART_COUNT_WAKEUPS);
  if (work != 0) countPart(PART_COUNT_BEATS);
  return work;
}

function takeEvents(slot: Slot): u32 {
  const events = slot.events;
  slot.events = 0;
  return events;
}

function answerCalls(ring: usize): u32 {
  const most = load<u32>(part, PART_CALLS_MAX);
  let n: u32 = 0;
  while (n < most) {
    const seat = mpscPop(ring);
    if (seat == 0) break;
    answer(seat - 1);
    n++;
  }
  return n;
}

function followSignals(): u32 {
  const ring = usize(load<u32>(part, PART_SIGNALS));
  let n: u32 = 0;
  while (n < SIGNALS_MAX) {
    const fd = mpscPop(ring) - 1;
    if (fd >= slotCount()) break;
    const c = channelOf(fd);
    atomic.store<u32>(c, 0, CHANNEL_SIGNALLED);
    const slot = slotOf(fd);
    slot.fd = fd;
    if (!(slot.flags & SLOT_CLOSING)) look(slot, takeEvents(slot));
    countPart(PART_COUNT_SIGNALS);
    n++;
  }
  return n;
}

/** Signals were lost, with a thread or for want of room: every open channel is looked at. */
function scan(): u32 {
  atomic.store<u32>(part, 0, PART_SCAN);
  for (let fd = 0; u32(fd) < slotCount(); fd++) {
    const c = channelOf(fd);
    if (load<u32>(c, CHANNEL_KIND) == 0) continue;
    atomic.store<u32>(c, 0, CHANNEL_SIGNALLED);
    heat(slotOf(fd));
  }
  return 1;
}

/**
 * Closes a descriptor when nothing is left to send behind it: a thread that was about to send is done, or it is dead,
 * and the stack has taken the stream's last byte. While the pools are empty that waits for the housekeeping.
 */
export function finishClose(slot: Slot): void {
  const c = channelOf(slot.fd);
  const s = fdGet(slot.fd);
  const tx = atomic.load<u64>(c, CHANNEL_TX);
  const isHeld = tx >> 32 != 0 && heldMillis(slot, u32(tx >> 32)) <= TURN_MILLIS_MAX;
  if (!isHeld && s !== null && s.kind == KIND_TCP && drainChannel(c, slot, s, true) == DRAIN_BLOCKED) {
    activate(slot);
    retrySoon(false);
    return;
  }
  if (isHeld || !bufferRelease(c, tx)) {
    heat(slot);
    return;
  }
  slot.flags &= ~SLOT_CLOSING;
  deactivate(slot);
  close(slot.fd);
}

/**
 * True when a beat would find something: asked when the thread has said that it is about to sleep. Every word of others
 * is loaded atomically here: a plain load may be carried out before that was said.
 */
export function sharePending(): bool {
  if (isHot() || atomic.load<u32>(part, PART_SCAN) != 0) return true;
  return !mpscIsEmpty(usize(load<u32>(part, PART_CALLS))) || !mpscIsEmpty(usize(load<u32>(part, PART_SIGNALS)));
}

/** When a beat wants to be though nobody asks, microseconds. */
export function shareDeadline(): f64 {
  return keepDue();
}
