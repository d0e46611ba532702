// Where a frame goes: from a port to the other end of its cable or to its bridge, and from there into a port.
// Between a host and its wire there may be links (link.ts), one for each direction.

import { ESWITCH_UPLINK } from "../../assembly/layout";
import {
  Bridge,
  bridgeCommit,
  bridgeForward,
  bridgeIsVlanAware,
  bridgeRemember,
  bridgeStillSends,
  bridgeTarget,
} from "./bridge";
import { Burst } from "./burst";
import { Frame } from "./frame";
import { Link, linkOffer } from "./link";
import { eswitchPort, eswitchReceive, eswitchSend, eswitchTarget } from "./eswitch";
import { Port, portIsPlugged } from "./port";
import { DROPPED, receive } from "./receive";
import { trunkSend } from "./trunk";
import { wake } from "./wake";

/** Puts a frame on the wire behind port `p`. TAKEN, DROPPED (nothing is plugged in, a drop on the way) or BUSY. */
export function wireSend(p: Port, f: Frame, b: Burst): i32 {
  return p.eswitch == 0 ? wireOut(p, f, b) : eswitchSend(p, f, b);
}

/** The same behind the switch that a port may have in its own NIC. */
export function wireOut(p: Port, f: Frame, b: Burst): i32 {
  const bridge = p.bridge;
  if (bridge != 0) return bridgeForward(changetype<Bridge>(bridge), p.slot, f, b);
  if (p.trunk != 0) return trunkSend(p, f, b);
  const peer = p.peer;
  return peer != 0 ? arrive(changetype<Port>(peer), f, b) : DROPPED;
}

/** A frame has come over the wire to port `p`. */
export function arrive(p: Port, f: Frame, b: Burst): i32 {
  const link = p.linkIn;
  if (link != 0) return linkOffer(changetype<Link>(link), f, b);
  return land(p, f, b);
}

/** A frame has come to port `p`, and through the link that may be before it. */
export function land(p: Port, f: Frame, b: Burst): i32 {
  return p.eswitch != 0 && p.func == ESWITCH_UPLINK ? eswitchReceive(p, f, b) : receive(p, f, b);
}

/** Ends a burst that no TX queue counts: what came out of a link, what a NIC's own switch or a trunk has taken. */
export function wireCommit(sender: Port, b: Burst): void {
  const p = sender.eswitch == 0 ? sender : eswitchPort(sender.eswitch);
  if ((b.forwarded | b.flooded) == 0) return;
  if (p.trunk != 0) wake();
  else if (p.bridge != 0) bridgeCommit(changetype<Bridge>(p.bridge), p.slot, b);
}

export function wireIsPlugged(p: Port): bool {
  return portIsPlugged(p);
}

/**
 * The port that takes a frame from `p` as it is, without a link or a change of tag between, or null. What was said of
 * one frame holds for the next with the same addresses: for all of this burst, and after one check in the next.
 */
export function wireReceiver(p: Port, f: Frame, b: Burst): Port | null {
  const head = usize(f.head);
  if (load<u64>(head) != b.addresses || load<u32>(head, 8) != b.addressesEnd || b.receiver == 0) return lookUp(p, f, b);
  if (b.knows != 0 || stillReceives(p, b)) return changetype<Port>(b.receiver);
  return lookUp(p, f, b);
}

function stillReceives(p: Port, b: Burst): bool {
  if (p.bridge != b.bridge || changetype<Port>(b.receiver).linkIn != 0) return false;
  if (b.bridge == 0) return p.peer == b.receiver;
  const still = bridgeStillSends(changetype<Bridge>(b.bridge), b);
  b.knows = u32(still);
  return still;
}

function lookUp(p: Port, f: Frame, b: Burst): Port | null {
  b.receiver = 0;
  const bridge = p.bridge;
  if (bridge != 0 && bridgeIsVlanAware(changetype<Bridge>(bridge))) return null;
  // A switch inside a NIC judges every frame.
  if (p.eswitch != 0) return null;
  const target = wireTarget(p, f, b);
  if (target === null || target.eswitch != 0) return null;
  b.receiver = u32(changetype<usize>(target));
  b.knows = 1;
  b.addresses = load<u64>(f.head);
  b.addressesEnd = load<u32>(f.head, 8);
  b.bridge = bridge;
  if (bridge != 0) bridgeRemember(changetype<Bridge>(bridge), f, b);
  return target;
}

/** The one port that takes a frame from `p` without a link between, or null when there is none or it is not known. */
export function wireTarget(p: Port, f: Frame, b: Burst): Port | null {
  let target: Port | null = null;
  if (p.linkOut != 0) return null;
  if (p.eswitch != 0) target = eswitchTarget(p, f);
  else if (p.bridge != 0) target = bridgeTarget(changetype<Bridge>(p.bridge), p.slot, f, b);
  else if (p.peer != 0) target = changetype<Port>(p.peer);
  if (target === null || target.linkIn != 0) return null;
  if (target.eswitch == 0 || target.func != ESWITCH_UPLINK) return target;
  const behind = eswitchTarget(target, f);
  return behind === null || behind.linkIn != 0 ? null : behind;
}
