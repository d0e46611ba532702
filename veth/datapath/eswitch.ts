// The switch inside a NIC whose PF is split into VFs: frames between functions never leave the NIC, the rest goes out.
// Read first: Linux ip-link(8), "vf NUM mac vlan spoofchk trust state"; IEEE 802.1Q, "Edge Virtual Bridging" (VEB).
//
// Nothing is learned: a function has the address that it was given. Every sender's thread runs the switch for itself.

import {
  ESWITCH_COUNT,
  ESWITCH_HEADER,
  ESWITCH_PORT,
  ESWITCH_UNKNOWN,
  ESWITCH_UPLINK,
  FUNCTION_BYTES,
  FUNCTION_COUNTERS,
  FUNCTION_DISABLED,
  FUNCTION_FLAGS,
  FUNCTION_MAC,
  FUNCTION_RX_GROUP,
  FUNCTION_RX_SWITCHED,
  FUNCTION_RX_UPLINK,
  FUNCTION_SPOOFCHECK,
  FUNCTION_TCI,
  FUNCTION_TRUST,
  FUNCTION_TX_DISABLED,
  FUNCTION_TX_GROUP,
  FUNCTION_TX_SPOOFED,
  FUNCTION_TX_SWITCHED,
  FUNCTION_TX_UPLINK,
  FUNCTION_TX_VLAN,
  PORT_PROMISCUOUS,
} from "../../assembly/layout";
import { extentCount, extentPut } from "../../assembly/memory/extent";
import { Burst, burstFrame, VIEW_TAKEN_OUT, VIEW_VLAN } from "./burst";
import { Frame, frameRetag, frameTci } from "./frame";
import { Port, portAt } from "./port";
import { DROPPED, TAKEN } from "./receive";
import { arrive, wireOut } from "./wire";

@unmanaged
class Eswitch {
  magic: u32;
  count: u32;
  /** The port that is plugged into the network. */
  port: u32;
}
if (offsetof<Eswitch>("count") != ESWITCH_COUNT || offsetof<Eswitch>("port") != ESWITCH_PORT) ERROR("Eswitch layout");

@unmanaged
class EswitchFunction {
  port: u32;
  flags: u32;
  /** The tag that its frames have on the wire; 0 = they stay as they are. */
  tci: u32;
  reserved: u32;
  mac: u64;
}
if (offsetof<EswitchFunction>("flags") != FUNCTION_FLAGS || offsetof<EswitchFunction>("tci") != FUNCTION_TCI)
  ERROR("EswitchFunction layout");
if (offsetof<EswitchFunction>("mac") != FUNCTION_MAC || <i32>offsetof<EswitchFunction>() > FUNCTION_COUNTERS)
  ERROR("EswitchFunction layout");

const ESWITCH_MAGIC: u32 = 0x43545753; // "SWTC"
const MAC_MASK: u64 = 0xffffffffffff;
const VLAN_ID: i32 = 0xfff;

/** Bytes of a switch between `count` functions. */
export function eswitchBytes(count: u32): u32 {
  return ESWITCH_HEADER + count * FUNCTION_BYTES;
}

/**
 * Lays out a zeroed region whose words the host has filled in (count, ports, addresses), and puts the functions behind
 * the port of the switch. None of the functions' ports may be plugged in anywhere.
 */
export function eswitchInit(base: u32): void {
  const sw = changetype<Eswitch>(base);
  assert(sw.count >= 1 && sw.count < u32(ESWITCH_UPLINK));
  for (let i: u32 = 0; i < sw.count; i++) {
    const p = portAt(functionAt(base, i).port);
    assert((p.bridge | p.peer | p.eswitch) == 0);
    p.func = i;
    p.eswitch = base;
  }
  const uplink = portAt(sw.port);
  uplink.func = ESWITCH_UPLINK;
  uplink.eswitch = base;
  sw.magic = ESWITCH_MAGIC;
}

/** Writes the extents of a switch to `at`; returns how many. */
export function eswitchExtents(base: u32, at: usize): u32 {
  return extentCount(at, extentPut(at, base, eswitchBytes(eswitchAt(base).count)));
}

/** The port by which frames of the switch leave. */
export function eswitchPort(base: u32): Port {
  return changetype<Port>(changetype<Eswitch>(base).port);
}

/** Takes a frame that function `p` sends. TAKEN, DROPPED (counted), or BUSY when its one receiver has no room. */
export function eswitchSend(p: Port, f: Frame, b: Burst): i32 {
  const from = functionAt(p.eswitch, p.func);
  if ((from.flags & FUNCTION_DISABLED) != 0) return drop(from, FUNCTION_TX_DISABLED);
  if ((from.flags & FUNCTION_SPOOFCHECK) != 0 && (load<u64>(f.head, 6) & MAC_MASK) != from.mac) {
    return drop(from, FUNCTION_TX_SPOOFED);
  }
  const vlan = vlanOf(f);
  let out = f;
  if (from.tci != 0) {
    if (vlan != 0) return drop(from, FUNCTION_TX_VLAN);
    out = burstFrame(b, VIEW_VLAN);
    frameRetag(out, f, i32(from.tci));
  } else if (vlan != 0 && (from.flags & (FUNCTION_SPOOFCHECK | FUNCTION_TRUST)) == FUNCTION_SPOOFCHECK) {
    return drop(from, FUNCTION_TX_VLAN);
  }
  return dispatch(p.eswitch, p.func, out, b);
}

/** Takes a frame that comes over the wire to the port of the switch. */
export function eswitchReceive(p: Port, f: Frame, b: Burst): i32 {
  return dispatch(p.eswitch, ESWITCH_UPLINK, f, b);
}

/** The one port that a frame from function or uplink `p` would go to as it is, or null. */
export function eswitchTarget(p: Port, f: Frame): Port | null {
  const index = find(p.eswitch, load<u64>(f.head) & MAC_MASK);
  if (index < 0 || u32(index) == p.func) return null;
  const to = functionAt(p.eswitch, u32(index));
  const tci: u32 = p.func == ESWITCH_UPLINK ? 0 : functionAt(p.eswitch, p.func).tci;
  const isPlain = (to.tci | tci | (to.flags & FUNCTION_DISABLED)) == 0 && vlanOf(f) == 0;
  return isPlain ? changetype<Port>(to.port) : null;
}

function eswitchAt(base: u32): Eswitch {
  const sw = changetype<Eswitch>(base);
  assert(sw.magic == ESWITCH_MAGIC);
  return sw;
}

function functionAt(base: u32, index: u32): EswitchFunction {
  return changetype<EswitchFunction>(base + ESWITCH_HEADER + index * FUNCTION_BYTES);
}

/** The VLAN that a frame names; 0: none. A priority tag counts as none (802.1Q 6.9.1). */
function vlanOf(f: Frame): i32 {
  return max(frameTci(f), 0) & VLAN_ID;
}

/** The function that has an address, or -1. */
function find(base: u32, mac: u64): i32 {
  const count = changetype<Eswitch>(base).count;
  for (let i: u32 = 0; i < count; i++) if (functionAt(base, i).mac == mac) return i32(i);
  return -1;
}

/** May function `to` see frames of a VLAN? One without a VLAN of its own sees tagged frames only when it is trusted. */
function isMember(to: EswitchFunction, vlan: i32): bool {
  if ((to.flags & FUNCTION_DISABLED) != 0) return false;
  if (to.tci != 0) return (i32(to.tci) & VLAN_ID) == vlan;
  return vlan == 0 || (to.flags & FUNCTION_TRUST) != 0;
}

/** A frame with the tag that it has on the wire. */
function dispatch(base: u32, from: u32, f: Frame, b: Burst): i32 {
  const target = load<u64>(f.head) & MAC_MASK;
  const vlan = vlanOf(f);
  if ((target & 1) != 0) return flood(base, from, f, b, vlan);
  const index = find(base, target);
  if (index >= 0 && u32(index) == from) return DROPPED;
  if (index >= 0 && isMember(functionAt(base, u32(index)), vlan)) {
    const result = deliver(base, u32(index), f, b, from == ESWITCH_UPLINK ? FUNCTION_RX_UPLINK : FUNCTION_RX_SWITCHED);
    if (result == TAKEN) countSent(base, from, FUNCTION_TX_SWITCHED);
    return result;
  }
  const seen = copyToPromiscuous(base, from, f, b, vlan);
  if (from != ESWITCH_UPLINK) {
    const result = wireOut(eswitchPort(base), f, b);
    if (result == TAKEN) countSent(base, from, FUNCTION_TX_UPLINK);
    return result;
  }
  if (!seen) atomic.add<u64>(base, 1, ESWITCH_UNKNOWN);
  return seen ? TAKEN : DROPPED;
}

/** To every function of the VLAN but the sender, and to the network if it does not come from there. */
function flood(base: u32, from: u32, f: Frame, b: Burst, vlan: i32): i32 {
  const mayBlock = b.mayBlock;
  b.mayBlock = 0;
  const count = changetype<Eswitch>(base).count;
  for (let i: u32 = 0; i < count; i++) {
    if (i != from && isMember(functionAt(base, i), vlan)) deliver(base, i, f, b, FUNCTION_RX_GROUP);
  }
  if (from != ESWITCH_UPLINK) wireOut(eswitchPort(base), f, b);
  countSent(base, from, FUNCTION_TX_GROUP);
  b.mayBlock = mayBlock;
  return TAKEN;
}

/** Frames for nobody here are shown to functions that are promiscuous, and trusted to be. */
function copyToPromiscuous(base: u32, from: u32, f: Frame, b: Burst, vlan: i32): bool {
  let seen = false;
  const mayBlock = b.mayBlock;
  b.mayBlock = 0;
  const count = changetype<Eswitch>(base).count;
  for (let i: u32 = 0; i < count; i++) {
    const to = functionAt(base, i);
    if (i == from || (to.flags & FUNCTION_TRUST) == 0 || !isMember(to, vlan)) continue;
    if ((changetype<Port>(to.port).flags & PORT_PROMISCUOUS) == 0) continue;
    deliver(base, i, f, b, FUNCTION_RX_UPLINK);
    seen = true;
  }
  b.mayBlock = mayBlock;
  return seen;
}

/** Puts a frame into a function, without the tag that stands for the function's own VLAN. */
function deliver(base: u32, index: u32, f: Frame, b: Burst, counter: u32): i32 {
  const to = functionAt(base, index);
  let out = f;
  if (to.tci != 0) {
    out = burstFrame(b, VIEW_TAKEN_OUT);
    frameRetag(out, f, -1);
  }
  const result = arrive(changetype<Port>(to.port), out, b);
  if (result == TAKEN) count(to, counter);
  return result;
}

function drop(from: EswitchFunction, counter: u32): i32 {
  count(from, counter);
  return DROPPED;
}

function count(at: EswitchFunction, counter: u32): void {
  atomic.add<u64>(changetype<usize>(at) + FUNCTION_COUNTERS + counter * 8, 1);
}

function countSent(base: u32, from: u32, counter: u32): void {
  if (from != ESWITCH_UPLINK) count(functionAt(base, from), counter);
}
