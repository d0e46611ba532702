// Sockets that have something to tell business threads: noted when it happens, told once a beat.

import { Socket } from "../socket/socket";
import { SLOT_HOT, SLOT_NOTED, Slot, slotOf } from "./part";

/** First slots of two lists: noted ones, and those to be looked at in the next beat whatever happens. */
let noted: u32 = 0;
let hot: u32 = 0;

/** Forgets the lists: this instance uses another stack from now on. */
export function notesAttach(): void {
  noted = 0;
  hot = 0;
}

/** Notes that readiness bits of a socket may have become true. */
export function note(s: Socket, events: u32): void {
  if (s.fd < 0) return;
  const slot = slotOf(s.fd);
  slot.events |= events;
  if (slot.flags & SLOT_NOTED) return;
  slot.flags |= SLOT_NOTED;
  slot.notedNext = noted;
  noted = u32(changetype<usize>(slot));
}

/** Takes one of the noted slots out of the list; 0: there is none. */
export function notedTake(): u32 {
  const at = noted;
  if (at == 0) return 0;
  const slot = changetype<Slot>(usize(at));
  noted = slot.notedNext;
  slot.flags &= ~SLOT_NOTED;
  return at;
}

/** Has a slot looked at in the next beat, which does not wait for anything. */
export function heat(slot: Slot): void {
  if (slot.flags & SLOT_HOT) return;
  slot.flags |= SLOT_HOT;
  slot.hotNext = hot;
  hot = u32(changetype<usize>(slot));
}

/** The hot slots; the list is empty then, and those in it are hot no more when hotNext() has gone past them. */
export function hotTake(): u32 {
  const at = hot;
  hot = 0;
  return at;
}

/** The slot behind a hot one, which cools down. */
export function hotNext(at: u32): u32 {
  const slot = changetype<Slot>(usize(at));
  slot.flags &= ~SLOT_HOT;
  return slot.hotNext;
}

/** True while a slot is hot. */
export function isHot(): bool {
  return hot != 0;
}
