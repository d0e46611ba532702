// The 4-tuple table: connections and TIME-WAIT records by addresses and ports. Open addressing with linear probing
// and backward-shift deletion (no tombstones), at most half full, so that a look-up stays O(1) at a million entries.

import { FLOW_SLOTS } from "./layout";
import { flowHash } from "./hash";
import { stack } from "./stack";
import { flowForget } from "./steer/flows";
import { Socket } from "./socket/socket";

/** Offsets in the table; from FLOW_SLOTS on: {hash u32, object u32} each. */
const FLOW_MASK: usize = 0;
const FLOW_COUNT: usize = 4;
/** Behind the slots: those of the flows that something was sent on last, by the lowest bits of their hash. */
const RECENT: u32 = 64;

let table: usize = 0;
let mask: u32 = 0;
let recent: usize = 0;

/** From so many flows on the table and what it leads to are seldom in the processor's nearest cache. */
const MANY: u32 = 1024;

function slotsFor(entries: u32): u32 {
  let slots: u32 = 64;
  while (slots < entries * 2) slots <<= 1;
  return slots;
}

/** Bytes of a table for `entries` flows. */
export function flowBytes(entries: u32): u32 {
  return u32(FLOW_SLOTS) + (slotsFor(entries) + RECENT) * 8;
}

/** Prepares an empty table at `at`, whose bytes are zero. */
export function flowInit(at: usize, entries: u32): void {
  store<u32>(at, slotsFor(entries) - 1, FLOW_MASK);
  store<u32>(at, 0, FLOW_COUNT);
}

/** Points this instance at the table. */
export function flowAttach(): void {
  table = stack.flowTable;
  mask = load<u32>(table, FLOW_MASK);
  recent = table + FLOW_SLOTS + ((usize(mask) + 1) << 3);
}

/** Are there so many flows that it pays to know beforehand which ones will be asked for? */
export function flowsAreMany(): bool {
  return load<u32>(table, FLOW_COUNT) >= MANY;
}

/** An answer to what is sent on a flow comes soon, often: with many flows, it will be found without the table. */
export function flowExpect(s: Socket): void {
  if (!flowsAreMany()) return;
  const hash = flowHash(s.localAddress, s.remoteAddress, portsOf(s));
  store<u64>(recentSlot(hash), u64(hash) | (u64(changetype<usize>(s)) << 32));
}

/** What the table holds at the place where an entry of a 4-tuple would be looked for first: it, most likely, or 0. */
export function flowGuess(local: u32, remote: u32, ports: u32): usize {
  const index = flowHash(local, remote, ports) & mask;
  return load<u32>(table + FLOW_SLOTS + (usize(index) << 3), 4);
}

function recentSlot(hash: u32): usize {
  return recent + (usize(hash & (RECENT - 1)) << 3);
}

/** Flows in the table. */
export function flowCount(): u32 {
  return load<u32>(table, FLOW_COUNT);
}

/** The object of a 4-tuple (host order; `ports` is local << 16 | remote), or 0. */
export function flowFind(local: u32, remote: u32, ports: u32): usize {
  const hash = flowHash(local, remote, ports);
  if (flowsAreMany()) {
    const last = load<u64>(recentSlot(hash));
    if (u32(last) == hash && last >> 32 != 0 && isFlow(u32(last >> 32), local, remote, ports)) return u32(last >> 32);
  }
  let index = hash & mask;
  while (true) {
    const slot = table + FLOW_SLOTS + (usize(index) << 3);
    const object = load<u32>(slot, 4);
    if (object == 0) return 0;
    if (load<u32>(slot) == hash && isFlow(object, local, remote, ports)) return object;
    index = (index + 1) & mask;
  }
}

function isFlow(object: usize, local: u32, remote: u32, ports: u32): bool {
  const s = changetype<Socket>(object);
  return s.remoteAddress == remote && s.localAddress == local && portsOf(s) == ports;
}

/** Local port << 16 | remote port. */
export function portsOf(s: Socket): u32 {
  return (u32(s.localPort) << 16) | u32(s.remotePort);
}

/** Adds an object under its own 4-tuple, which must not be in the table. Traps when the table is full: it is never. */
export function flowAdd(s: Socket): void {
  const hash = flowHash(s.localAddress, s.remoteAddress, portsOf(s));
  let index = hash & mask;
  let slot = table + FLOW_SLOTS + (usize(index) << 3);
  while (load<u32>(slot, 4) != 0) {
    index = (index + 1) & mask;
    slot = table + FLOW_SLOTS + (usize(index) << 3);
  }
  const count = load<u32>(table, FLOW_COUNT) + 1;
  assert(count <= mask);
  store<u32>(table, count, FLOW_COUNT);
  store<u32>(slot, hash);
  store<u32>(slot, u32(changetype<usize>(s)), 4);
}

function slotOf(s: Socket): u32 {
  let index = flowHash(s.localAddress, s.remoteAddress, portsOf(s)) & mask;
  while (true) {
    const object = load<u32>(table + FLOW_SLOTS + (usize(index) << 3), 4);
    if (object == u32(changetype<usize>(s))) return index;
    assert(object != 0);
    index = (index + 1) & mask;
  }
}

/** Puts `other`, which has the same 4-tuple, in the place of `s`. */
export function flowReplace(s: Socket, other: Socket): void {
  forget(s);
  store<u32>(table + FLOW_SLOTS + (usize(slotOf(s)) << 3), u32(changetype<usize>(other)), 4);
}

/** Takes an object out; it must be in the table. */
export function flowRemove(s: Socket): void {
  flowForget(s);
  forget(s);
  let hole = slotOf(s);
  let index = hole;
  while (true) {
    index = (index + 1) & mask;
    const slot = table + FLOW_SLOTS + (usize(index) << 3);
    if (load<u32>(slot, 4) == 0) break;
    // An entry may move back into the hole unless its home lies cyclically in (hole, index].
    const home = load<u32>(slot) & mask;
    if (((index - home) & mask) >= ((index - hole) & mask)) {
      store<u64>(table + FLOW_SLOTS + (usize(hole) << 3), load<u64>(slot));
      hole = index;
    }
  }
  store<u64>(table + FLOW_SLOTS + (usize(hole) << 3), 0);
  store<u32>(table, load<u32>(table, FLOW_COUNT) - 1, FLOW_COUNT);
}

/** An object leaves: nothing is to lead to it. */
function forget(s: Socket): void {
  const slot = recentSlot(flowHash(s.localAddress, s.remoteAddress, portsOf(s)));
  if (load<u32>(slot, 4) == u32(changetype<usize>(s))) store<u64>(slot, 0);
}

/** The table's hash of a 4-tuple, for whoever shares flows out. */
export function flowHashOf(local: u32, remote: u32, ports: u32): u32 {
  return flowHash(local, remote, ports);
}
