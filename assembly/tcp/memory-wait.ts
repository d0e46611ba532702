// Connections that wait for memory: writers whom no chunk was given, receivers that had to drop a segment. First come,
// first served; a wake-up is due whenever more memory is free than when the last of them was refused.
// Read first: memory/chunk.ts, who may have a chunk when; memory-run.ts, what happens then.

import { largeChunksFree, smallChunksFree } from "../memory/chunk";
import { SF_MEMORY_WAIT } from "../socket/socket";
import { stack } from "../stack";
import { Tcb } from "./tcb";

/** The list: a ring of addresses, 0 where one has left out of turn. */
@unmanaged
class Waiting {
  /** Places ever taken and given up; the live ones lie between. */
  tail: u32;
  head: u32;
  mask: u32;
  /** Entries that the round under way has still to look at. */
  left: u32;
  /** Free chunks when the last round began, or less since. */
  seenSmall: u32;
  seenLarge: u32;
}
const HEADER: u32 = 24;
if (offsetof<Waiting>() != usize(HEADER)) ERROR("Waiting layout");

let list: Waiting = changetype<Waiting>(0);

function places(connections: u32): u32 {
  return (<u32>1) << (32 - clz<u32>(max<u32>(connections, 2) - 1));
}

/** Bytes of the list for so many connections. */
export function memoryWaitBytes(connections: u32): u32 {
  return HEADER + (places(connections) << 2);
}

/** Prepares the list in zeroed bytes at `at`. */
export function memoryWaitInit(at: u32, connections: u32): void {
  changetype<Waiting>(usize(at)).mask = places(connections) - 1;
}

/** Points this instance at the list. */
export function memoryWaitAttach(): void {
  list = changetype<Waiting>(usize(stack.memoryWait));
}

function placeOf(index: u32): usize {
  return changetype<usize>(list) + usize(HEADER) + (usize(index & list.mask) << 2);
}

/** Notes that `t` waits for memory; how much there is now was not enough. */
export function memoryWait(t: Tcb): void {
  list.seenSmall = min(list.seenSmall, smallChunksFree());
  list.seenLarge = min(list.seenLarge, largeChunksFree());
  if (t.flags & SF_MEMORY_WAIT) return;
  if (list.tail - list.head > list.mask) compact();
  if (list.tail == list.head) {
    list.seenSmall = smallChunksFree();
    list.seenLarge = largeChunksFree();
  }
  t.flags |= u16(SF_MEMORY_WAIT);
  store<u32>(placeOf(list.tail), u32(changetype<usize>(t)));
  list.tail++;
}

/** Places of those that have left go; there is a place for each connection then. */
function compact(): void {
  let to = list.head;
  for (let from = list.head; from != list.tail; from++) {
    const at = load<u32>(placeOf(from));
    if (at == 0) {
      // What the round under way has before it becomes less.
      if (from - list.head < list.left) list.left--;
      continue;
    }
    store<u32>(placeOf(to), at);
    to++;
  }
  list.tail = to;
}

/** A connection goes: it waits no more. */
export function memoryWaitDrop(t: Tcb): void {
  t.flags &= ~u16(SF_MEMORY_WAIT);
  for (let i = list.head; i != list.tail; i++) {
    if (load<u32>(placeOf(i)) != u32(changetype<usize>(t))) continue;
    store<u32>(placeOf(i), 0);
    return;
  }
}

/** True while a connection waits. */
export function memoryWaits(): bool {
  return list.tail != list.head;
}

/** True when there is memory for one that waits: asked before the stack's thread sleeps. */
export function memoryDue(): bool {
  return list.tail != list.head && (list.left != 0 || hasGrown());
}

function hasGrown(): bool {
  return smallChunksFree() > list.seenSmall || largeChunksFree() > list.seenLarge;
}

/** Begins a round when there is more memory than before, or goes on with one; false: there is nothing to do. */
export function memoryRound(): bool {
  const small = smallChunksFree();
  const large = largeChunksFree();
  if (list.left == 0 && hasGrown()) {
    list.left = list.tail - list.head;
    list.seenSmall = small;
    list.seenLarge = large;
  }
  list.seenSmall = min(list.seenSmall, small);
  list.seenLarge = min(list.seenLarge, large);
  return list.left != 0;
}

/** The next connection of the round, which is in the list no more; 0 at the round's end. */
export function memoryNext(): u32 {
  while (list.left != 0) {
    const at = load<u32>(placeOf(list.head));
    list.head++;
    list.left--;
    if (at == 0) continue;
    changetype<Tcb>(usize(at)).flags &= ~u16(SF_MEMORY_WAIT);
    return at;
  }
  return 0;
}
