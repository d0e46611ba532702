// The frames under way in a link: a heap by due time, then by order of entry; and those that wait to be overtaken.
// The link's lock protects all of it.

import { Link } from "./link";

/** An entry of the heap. */
@unmanaged
export class Due {
  at: f64;
  order: u32;
  /** Address of the buffer, an mbuf. */
  buffer: u32;
}
export const DUE_BYTES: u32 = 16;
if (offsetof<Due>() != DUE_BYTES) ERROR("Due layout");

/** A frame that waits for `left` others: {buffer u32, left u32}; buffer 0 = free. */
const HOLDS_MAX: u32 = 8;
const HOLD_BYTES: u32 = 8;
export const HOLDS_BYTES: u32 = HOLDS_MAX * HOLD_BYTES;

function entryAt(l: Link, index: u32): Due {
  return changetype<Due>(l.heap + index * DUE_BYTES);
}

function isBefore(a: Due, b: Due): bool {
  return a.at < b.at || (a.at == b.at && i32(a.order - b.order) < 0);
}

function swap(a: Due, b: Due): void {
  const entry = v128.load(changetype<usize>(a));
  v128.store(changetype<usize>(a), v128.load(changetype<usize>(b)));
  v128.store(changetype<usize>(b), entry);
}

/** The entry that is due first; the heap is not empty. */
export function dueFirst(l: Link): Due {
  return entryAt(l, 0);
}

/** Adds a buffer; there is room for every buffer of the link. */
export function duePush(l: Link, at: f64, buffer: u32): void {
  const index = l.heapCount;
  assert(index < l.capacity);
  l.heapCount = index + 1;
  const e = entryAt(l, index);
  e.at = at;
  e.order = l.order++;
  e.buffer = buffer;
  siftUp(l, index);
}

/** Removes the entry that is due first. */
export function duePop(l: Link): void {
  const last = l.heapCount - 1;
  l.heapCount = last;
  if (last == 0) return;
  swap(entryAt(l, 0), entryAt(l, last));
  siftDown(l, 0);
}

/** Makes a heap again of entries in any order. */
export function dueRestore(l: Link): void {
  for (let i = l.heapCount >>> 1; i > 0; i--) siftDown(l, i - 1);
}

function siftUp(l: Link, index: u32): void {
  while (index > 0) {
    const parent = (index - 1) >>> 1;
    if (!isBefore(entryAt(l, index), entryAt(l, parent))) return;
    swap(entryAt(l, index), entryAt(l, parent));
    index = parent;
  }
}

function siftDown(l: Link, index: u32): void {
  while (true) {
    let child = index * 2 + 1;
    if (child >= l.heapCount) return;
    if (child + 1 < l.heapCount && isBefore(entryAt(l, child + 1), entryAt(l, child))) child++;
    if (!isBefore(entryAt(l, child), entryAt(l, index))) return;
    swap(entryAt(l, child), entryAt(l, index));
    index = child;
  }
}

/** Notes that a buffer of the heap waits to be overtaken by `frames` others; false when too many wait already. */
export function holdAdd(l: Link, buffer: u32, frames: u32): bool {
  for (let i: u32 = 0; i < HOLDS_MAX; i++) {
    const at = l.holds + i * HOLD_BYTES;
    if (load<u32>(at) != 0) continue;
    store<u32>(at, buffer);
    store<u32>(at, frames, 4);
    l.holding++;
    return true;
  }
  return false;
}

/** A frame that leaves at `due` has overtaken those that wait; the last one it takes lets them go right after it. */
export function holdOvertake(l: Link, due: f64): void {
  for (let i: u32 = 0; i < HOLDS_MAX; i++) {
    const at = l.holds + i * HOLD_BYTES;
    const buffer = load<u32>(at);
    if (buffer == 0) continue;
    const left = load<u32>(at, 4) - 1;
    store<u32>(at, left, 4);
    if (left != 0) continue;
    holdRemove(l, buffer);
    reschedule(l, buffer, due);
  }
}

/** The buffer has left, or no longer waits. */
export function holdRemove(l: Link, buffer: u32): void {
  for (let i: u32 = 0; i < HOLDS_MAX; i++) {
    const at = l.holds + i * HOLD_BYTES;
    if (load<u32>(at) != buffer) continue;
    store<u32>(at, 0);
    l.holding--;
    return;
  }
}

/** Makes a buffer of the heap due at `due`, if that is earlier. Its place is looked for: this is rare. */
function reschedule(l: Link, buffer: u32, due: f64): void {
  for (let i: u32 = 0; i < l.heapCount; i++) {
    const e = entryAt(l, i);
    if (e.buffer != buffer) continue;
    if (e.at > due) {
      e.at = due;
      e.order = l.order++;
      siftUp(l, i);
    }
    return;
  }
}
