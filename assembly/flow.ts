// The 4-tuple table: connections and TIME-WAIT records by addresses and ports. Open addressing with linear probing
// and backward-shift deletion (no tombstones), at most half full, so that a look-up stays O(1) at a million entries.

import { flowHash } from "./hash";
import { stack } from "./stack";
import { flowForget } from "./steer/flows";
import { Socket } from "./socket/socket";

/** Offsets in the table. */
const FLOW_MASK: usize = 0;
const FLOW_COUNT: usize = 4;
const FLOW_SLOTS: usize = 64; // {hash u32, object u32} each

let table: usize = 0;
let mask: u32 = 0;

function slotsFor(entries: u32): u32 {
  let slots: u32 = 64;
  while (slots < entries * 2) slots <<= 1;
  return slots;
}

/** Bytes of a table for `entries` flows. */
export function flowBytes(entries: u32): u32 {
  return u32(FLOW_SLOTS) + slotsFor(entries) * 8;
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
}

/** Flows in the table. */
export function flowCount(): u32 {
  return load<u32>(table, FLOW_COUNT);
}

/** The object of a 4-tuple (host order; `ports` is local << 16 | remote), or 0. */
export function flowFind(local: u32, remote: u32, ports: u32): usize {
  const hash = flowHash(local, remote, ports);
  let index = hash & mask;
  while (true) {
    const slot = table + FLOW_SLOTS + (usize(index) << 3);
    const object = load<u32>(slot, 4);
    if (object == 0) return 0;
    if (load<u32>(slot) == hash) {
      const s = changetype<Socket>(object);
      if (s.remoteAddress == remote && s.localAddress == local && portsOf(s) == ports) return object;
    }
    index = (index + 1) & mask;
  }
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
  store<u32>(table + FLOW_SLOTS + (usize(slotOf(s)) << 3), u32(changetype<usize>(other)), 4);
}

/** Takes an object out; it must be in the table. */
export function flowRemove(s: Socket): void {
  flowForget(s);
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

/** The table's hash of a 4-tuple, for whoever shares flows out. */
export function flowHashOf(local: u32, remote: u32, ports: u32): u32 {
  return flowHash(local, remote, ports);
}
