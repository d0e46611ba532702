// Housekeeping of channels that hold memory: what was read without a signal is given back, send buffers that nobody
// uses any more go to others, and what found no room is tried again.

import { CHANNEL_KIND, CHANNEL_TX, CHANNEL_TX_BUFFER } from "../layout";
import { nowMillis, stack } from "../stack";
import { bufferRelease } from "./drain";
import { SLOT_ACTIVE, Slot, channelOf } from "./part";

/** Microseconds from one housekeeping to the next. */
const KEEP_MICROS: f64 = 20_000;
/** After so long a datagram that the interface had no room for is tried again, microseconds. */
const RETRY_MICROS: f64 = 100;

let active: u32 = 0;
let keepAt: f64 = Infinity;

/** Forgets the list: this instance uses another stack from now on. */
export function keepAttach(): void {
  active = 0;
  keepAt = Infinity;
}

/** A slot's channel holds memory. */
export function activate(slot: Slot): void {
  if (slot.flags & SLOT_ACTIVE) return;
  slot.flags |= SLOT_ACTIVE;
  slot.activePrev = 0;
  slot.activeNext = active;
  const at = u32(changetype<usize>(slot));
  if (active != 0) changetype<Slot>(usize(active)).activePrev = at;
  active = at;
  keepAt = min(keepAt, stack.now + KEEP_MICROS);
}

/** It holds none any more, or is closed. */
export function deactivate(slot: Slot): void {
  if (!(slot.flags & SLOT_ACTIVE)) return;
  slot.flags &= ~SLOT_ACTIVE;
  if (slot.activeNext != 0) changetype<Slot>(usize(slot.activeNext)).activePrev = slot.activePrev;
  if (slot.activePrev != 0) changetype<Slot>(usize(slot.activePrev)).activeNext = slot.activeNext;
  else active = slot.activeNext;
}

/** Something found no room below: the next housekeeping tries again; at once when nothing will tell of room. */
export function retrySoon(atOnce: bool): void {
  keepAt = min(keepAt, stack.now + (atOnce ? RETRY_MICROS : KEEP_MICROS));
}

/** When the next housekeeping is due, microseconds; Infinity: there is nothing to keep. */
export function keepDue(): f64 {
  return keepAt;
}

/** First of the active slots, when housekeeping is due; the caller looks at each and asks settle() about it. */
export function keepBegin(): u32 {
  if (stack.now < keepAt) return 0;
  keepAt = active == 0 ? Infinity : stack.now + KEEP_MICROS;
  return active;
}

/** After a look: gives an idle send buffer back; a channel without memory leaves the list. Returns the next slot. */
export function settle(slot: Slot): u32 {
  const next = slot.activeNext;
  const c = channelOf(slot.fd);
  const tx = atomic.load<u64>(c, CHANNEL_TX);
  const position = u32(tx);
  const isIdle = load<u32>(c, CHANNEL_TX_BUFFER) != 0 && position == slot.drained;
  if (isIdle && tx >> 32 == 0 && position == slot.idleAt) bufferRelease(c, tx);
  slot.idleAt = position;
  const holds = slot.published != slot.applied || load<u32>(c, CHANNEL_TX_BUFFER) != 0;
  if (!holds || load<u32>(c, CHANNEL_KIND) == 0) deactivate(slot);
  return next;
}

/** Milliseconds for which one and the same thread has held a channel's turn. */
export function heldMillis(slot: Slot, turn: u32): u32 {
  if (turn == 0 || slot.heldTurn != turn) {
    slot.heldTurn = turn;
    slot.heldSince = nowMillis;
  }
  return nowMillis - slot.heldSince;
}
