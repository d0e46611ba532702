// user-vbridge: a learning, VLAN-aware Ethernet switch; every sender's thread runs it for its own frames.
// Read first: IEEE 802.1Q clause 8 "Principles of Bridge operation"; Linux bridge(8), "bridge vlan".

import {
  BRIDGE_COUNTERS,
  BRIDGE_FLOODED,
  BRIDGE_FORWARDED,
  BRIDGE_HAIRPINS,
  BRIDGE_HEADER,
  BRIDGE_LEARNED,
  BRIDGE_MAC_TABLE,
  BRIDGE_MOVED,
  BRIDGE_SLOT_TABLE,
  BRIDGE_TABLE_FULL,
  BRIDGE_VLAN_AWARE,
  BRIDGE_VLAN_DROPS,
  EBUSY,
  EINVAL,
  ENOENT,
  ENOSPC,
  MAC_ENTRY_BYTES,
  SLOT_BYTES,
  SLOT_FLOODED,
  SLOT_FORWARDED,
  SLOT_PVID,
  SLOT_TAGGED,
  SLOT_UNTAGGED,
  TXQ_FLOODED,
  TXQ_FORWARDED,
} from "../../assembly/layout";
import { Burst, burstFrame, burstMillis, VIEW_EGRESS } from "./burst";
import { Frame, frameRetag, frameTci } from "./frame";
import {
  MAC_FULL,
  MAC_KNOWN,
  MAC_LEARNED,
  macFind,
  macForget,
  macIsOld,
  macLearn,
  macLocate,
  macTouch,
  NO_SLOT,
} from "./mac-table";
import { Port, portAt, portForgetReceivers, portIsPlugged, portTakeCounter } from "./port";
import { DROPPED, TAKEN } from "./receive";
import { spinLock, spinUnlock } from "./spin";
import { arrive } from "./wire";

@unmanaged
export class Bridge {
  magic: u32;
  flags: u32;
  agingMillis: u32;
  slots: u32;
  entries: u32;
  used: u32;
  slotTable: u32;
  macTable: u32;
  lock: u32;
  /** Changes whenever an answer of the table may: see bridgeStillSends(). */
  generation: u32;
}
if (offsetof<Bridge>("slotTable") != BRIDGE_SLOT_TABLE || offsetof<Bridge>("macTable") != BRIDGE_MAC_TABLE) {
  ERROR("Bridge layout");
}

@unmanaged
class Slot {
  port: u32;
  /** VLAN of frames that come without a tag, 0 = they are dropped. */
  pvid: u32;
  /** VLAN that leaves without its tag, 0 = none. */
  untagged: u32;
}
if (offsetof<Slot>("pvid") != SLOT_PVID || offsetof<Slot>("untagged") != SLOT_UNTAGGED) ERROR("Slot layout");

const BRIDGE_MAGIC: u32 = 0x47445242; // "BRDG"
const MAC_MASK: u64 = 0xffffffffffff;
const LOCK: u32 = u32(offsetof<Bridge>("lock"));
const VLAN_ID: i32 = 0xfff;
/** Tag bits above the VLAN: priority and drop eligibility. */
const PRIORITY: i32 = 0xf000;

/** Bytes of a bridge's region. `entries` is a power of two from 8. */
export function bridgeBytes(slots: u32, entries: u32): u32 {
  return slotTableBytes(slots) + entries * MAC_ENTRY_BYTES;
}

/** Lays out a zeroed region whose header the host has filled in (flags, aging, slots, entries). */
export function bridgeInit(base: u32): void {
  const br = changetype<Bridge>(base);
  assert(br.entries >= 8 && (br.entries & (br.entries - 1)) == 0);
  br.used = 0;
  br.slotTable = base + BRIDGE_HEADER;
  br.macTable = base + slotTableBytes(br.slots);
  br.lock = 0;
  br.magic = BRIDGE_MAGIC;
}

/** Plugs a port in, as an access port of VLAN 1. Its slot, -EBUSY (plugged in already) or -ENOSPC. */
export function bridgeAttach(base: u32, handle: u32): i32 {
  const br = bridgeAt(base);
  const p = portAt(handle);
  spinLock(base + LOCK);
  let slot = 0;
  if (portIsPlugged(p)) {
    slot = -EBUSY;
  } else {
    while (slot < i32(br.slots) && slotAt(br, slot).port != 0) slot++;
    if (slot == i32(br.slots)) slot = -ENOSPC;
    else plug(br, slot, p, handle);
  }
  spinUnlock(base + LOCK);
  return slot;
}

function plug(br: Bridge, index: u32, p: Port, handle: u32): void {
  const slot = slotAt(br, index);
  slot.pvid = 1;
  slot.untagged = 1;
  memory.fill(changetype<usize>(slot) + SLOT_TAGGED, 0, 512);
  p.slot = index;
  portForgetReceivers(p);
  br.used = max(br.used, index + 1);
  atomic.store<u32>(changetype<usize>(slot), handle);
  changed(br);
  p.bridge = u32(changetype<usize>(br));
}

/** Unplugs a port and forgets the addresses behind it. 0, or -ENOENT when it is not plugged in here. */
export function bridgeDetach(base: u32, handle: u32): i32 {
  const br = bridgeAt(base);
  const p = portAt(handle);
  if (p.bridge != base) return -ENOENT;
  spinLock(base + LOCK);
  p.bridge = 0;
  atomic.store<u32>(changetype<usize>(slotAt(br, p.slot)), 0);
  macForget(br.macTable, br.entries - 1, p.slot);
  retireCounters(br, changetype<usize>(slotAt(br, p.slot)), p);
  changed(br);
  spinUnlock(base + LOCK);
  return 0;
}

/** Sets the VLANs of a port; the tagged ones lie in the slot's bit set. 0 or -EINVAL. */
export function bridgeSetVlan(base: u32, slot: u32, pvid: u32, untagged: u32): i32 {
  const br = bridgeAt(base);
  if (slot >= br.slots || pvid > 4094 || untagged > 4094) return -EINVAL;
  slotAt(br, slot).pvid = pvid;
  slotAt(br, slot).untagged = untagged;
  return 0;
}

/** Forgets every learned address. */
export function bridgeFlush(base: u32): void {
  const br = bridgeAt(base);
  macForget(br.macTable, br.entries - 1, NO_SLOT);
  changed(br);
}

export function bridgeAt(base: u32): Bridge {
  const br = changetype<Bridge>(base);
  assert(br.magic == BRIDGE_MAGIC);
  return br;
}

export function bridgeIsVlanAware(br: Bridge): bool {
  return (br.flags & BRIDGE_VLAN_AWARE) != 0;
}

/** Takes a frame that comes in by slot `from`. TAKEN, DROPPED, or BUSY when its one receiver has no room. */
export function bridgeForward(br: Bridge, from: u32, f: Frame, b: Burst): i32 {
  let vlan = 0;
  if ((br.flags & BRIDGE_VLAN_AWARE) != 0) {
    vlan = ingressVlan(slotAt(br, from), f);
    if (vlan < 0) return count(br, BRIDGE_VLAN_DROPS);
  }
  const head = usize(f.head);
  const tag = u64(vlan) << 48;
  learn(br, from, (load<u64>(head, 6) & MAC_MASK) | tag, b);
  const target = load<u64>(head) & MAC_MASK;
  const slot = (target & 1) != 0 ? -1 : find(br, target | tag, b);
  if (slot < 0) return flood(br, from, f, b, vlan);
  if (u32(slot) == from) return count(br, BRIDGE_HAIRPINS);
  return forward(br, u32(slot), f, b, vlan);
}

/** The one port that a frame from slot `from` would go to, or null: it would be flooded or dropped. Learns as well. */
export function bridgeTarget(br: Bridge, from: u32, f: Frame, b: Burst): Port | null {
  let vlan = 0;
  if ((br.flags & BRIDGE_VLAN_AWARE) != 0) vlan = ingressVlan(slotAt(br, from), f);
  const target = load<u64>(f.head) & MAC_MASK;
  if (vlan < 0 || (target & 1) != 0) return null;
  learn(br, from, (load<u64>(f.head, 6) & MAC_MASK) | (u64(vlan) << 48), b);
  const slot = find(br, target | (u64(vlan) << 48), b);
  if (slot < 0 || u32(slot) == from) return null;
  return changetype<Port | null>(slotAt(br, u32(slot)).port);
}

/** Notes in the burst what bridgeTarget() has just said of a frame, for bridgeStillSends(). */
export function bridgeRemember(br: Bridge, f: Frame, b: Burst): void {
  b.generation = br.generation;
  b.source = u32(macLocate(br.macTable, br.entries - 1, load<u64>(f.head, 6) & MAC_MASK));
  b.target = u32(macLocate(br.macTable, br.entries - 1, load<u64>(f.head) & MAC_MASK));
}

/** True when a frame like the remembered one would go the same way now; what learning would do is done. */
export function bridgeStillSends(br: Bridge, b: Burst): bool {
  if (br.generation != b.generation || b.source == 0 || b.target == 0) return false;
  const millis = burstMillis(b);
  macTouch(b.source, millis, br.agingMillis);
  return !macIsOld(b.target, millis, br.agingMillis);
}

/** Adds what a burst out of a link of slot `from` has forwarded to the slot's counters: any thread may poll a link. */
export function bridgeCommit(br: Bridge, from: u32, b: Burst): void {
  const slot = changetype<usize>(slotAt(br, from));
  if (b.forwarded != 0) atomic.add<u64>(slot, b.forwarded, SLOT_FORWARDED);
  if (b.flooded != 0) atomic.add<u64>(slot, b.flooded, SLOT_FLOODED);
}

/** Moves a slot's counters to the bridge's, and those of the port that was in it. */
function retireCounters(br: Bridge, slot: usize, p: Port): void {
  const counters = changetype<usize>(br) + BRIDGE_COUNTERS;
  const forwarded = portTakeCounter(p, TXQ_FORWARDED) + atomic.xchg<u64>(slot, 0, SLOT_FORWARDED);
  const flooded = portTakeCounter(p, TXQ_FLOODED) + atomic.xchg<u64>(slot, 0, SLOT_FLOODED);
  atomic.add<u64>(counters + BRIDGE_FORWARDED * 8, forwarded);
  atomic.add<u64>(counters + BRIDGE_FLOODED * 8, flooded);
}

/** Makes every thread ask the table again. */
function changed(br: Bridge): void {
  atomic.add<u32>(changetype<usize>(br), 1, offsetof<Bridge>("generation"));
}

function slotTableBytes(slots: u32): u32 {
  return (BRIDGE_HEADER + slots * SLOT_BYTES + 127) & ~127;
}

function slotAt(br: Bridge, index: u32): Slot {
  return changetype<Slot>(br.slotTable + index * SLOT_BYTES);
}

function count(br: Bridge, counter: u32): i32 {
  atomic.add<u64>(changetype<usize>(br) + BRIDGE_COUNTERS + counter * 8, 1);
  return DROPPED;
}

/** Learns where a frame came from. */
function learn(br: Bridge, from: u32, key: u64, b: Burst): void {
  if ((key & 1) != 0 || (key & MAC_MASK) == 0) return;
  const result = macLearn(br.macTable, br.entries - 1, key, from, burstMillis(b), br.agingMillis);
  if (result == MAC_KNOWN) return;
  changed(br);
  count(br, result == MAC_LEARNED ? BRIDGE_LEARNED : result == MAC_FULL ? BRIDGE_TABLE_FULL : BRIDGE_MOVED);
}

/** The slot behind which an address is, or -1. */
function find(br: Bridge, key: u64, b: Burst): i32 {
  if ((key & MAC_MASK) == 0) return -1;
  return macFind(br.macTable, br.entries - 1, key, burstMillis(b), br.agingMillis);
}

/** The VLAN of a frame that comes in, or -1 when the port does not take it. */
function ingressVlan(slot: Slot, f: Frame): i32 {
  const tci = frameTci(f);
  // VLAN 0 is a priority tag: such a frame counts as untagged (802.1Q 6.9.1).
  if (tci < 0 || (tci & VLAN_ID) == 0) return slot.pvid != 0 ? i32(slot.pvid) : -1;
  const vlan = tci & VLAN_ID;
  return u32(vlan) == slot.pvid || isTagged(slot, vlan) ? vlan : -1;
}

function isTagged(slot: Slot, vlan: i32): bool {
  return ((u32(load<u8>(changetype<usize>(slot) + (u32(vlan) >>> 3), SLOT_TAGGED)) >>> (vlan & 7)) & 1) != 0;
}

function forward(br: Bridge, index: u32, f: Frame, b: Burst, vlan: i32): i32 {
  const slot = slotAt(br, index);
  const port = atomic.load<u32>(changetype<usize>(slot));
  if (port == 0) return DROPPED;
  let out = f;
  if (vlan != 0) {
    const tci = egressTci(slot, f, vlan);
    if (tci == NOT_A_MEMBER) return count(br, BRIDGE_VLAN_DROPS);
    if (tci != frameTci(f)) {
      out = burstFrame(b, VIEW_EGRESS);
      frameRetag(out, f, tci);
    }
  }
  const result = arrive(changetype<Port>(port), out, b);
  if (result == TAKEN) b.forwarded++;
  return result;
}

const NOT_A_MEMBER: i32 = -2;

/** The tag with which a frame of a VLAN leaves by a port: a TCI, -1 = without, or NOT_A_MEMBER. */
function egressTci(slot: Slot, f: Frame, vlan: i32): i32 {
  if (isTagged(slot, vlan)) return (max(frameTci(f), 0) & PRIORITY) | vlan;
  return u32(vlan) == slot.untagged ? -1 : NOT_A_MEMBER;
}

/** To every port of the VLAN but the one it came from. */
function flood(br: Bridge, from: u32, f: Frame, b: Burst, vlan: i32): i32 {
  b.flooded++;
  const mayBlock = b.mayBlock;
  b.mayBlock = 0;
  const used = br.used;
  for (let i: u32 = 0; i < used; i++) {
    if (i == from) continue;
    const slot = slotAt(br, i);
    const port = atomic.load<u32>(changetype<usize>(slot));
    if (port == 0) continue;
    let out = f;
    if (vlan != 0) {
      const tci = egressTci(slot, f, vlan);
      if (tci == NOT_A_MEMBER) continue;
      if (tci != frameTci(f)) {
        out = burstFrame(b, VIEW_EGRESS);
        frameRetag(out, f, tci);
      }
    }
    arrive(changetype<Port>(port), out, b);
  }
  b.mayBlock = mayBlock;
  return TAKEN;
}
