// The NICs' datapath as a Wasm module: what the stack imports as "nic", and what the host configures it with.
// Read first: DESIGN.md section 3. State lies in the regions, none in this module: every thread has its own instance.

import {
  EBUSY,
  ENOENT,
  MBUF_HEADER,
  MBUF_NB_SEGS,
  MBUF_OL_FLAGS,
  MBUF_PORT,
  MBUF_QUEUE,
  MBUF_RSS_HASH,
  MBUF_TSO_MSS,
  MBUF_VLAN_TCI,
  PORT_RSS_KEY,
  RXQ_DOORBELL,
} from "../../assembly/layout";
import { Mbuf, mbufAttach, mbufFree } from "../../assembly/memory/mbuf";
import { burstRingUsed } from "../../assembly/memory/ring";
import {
  directorAdd,
  directorCount,
  directorListen,
  directorOfQueue,
  directorRecover,
  directorRemove,
  directorUnlisten,
} from "./director";
import { portAt, portForgetReceivers, portIsPlugged, rxQueueAt } from "./port";
import { receiveQueue } from "./receive";
import { rssHashTuple, rssTableInit } from "./rss";
import { rxBurst } from "./rx";
import { txOne } from "./transmit";
import { trunkPending, trunkServe } from "./trunk";

export { txBurst } from "./transmit";
export { rxBurst } from "./rx";
export { portBytes, portInit, rxMbufsInUse } from "./port";
export { bridgeAttach, bridgeBytes, bridgeDetach, bridgeFlush, bridgeInit, bridgeSetVlan } from "./bridge";
export {
  linkApply,
  linkAttach,
  linkBytes,
  linkDetach,
  linkInFlight,
  linkInit,
  linkNextDue,
  linkPoll,
  linkSeed,
} from "./link";
export {
  directoryAdd,
  directoryBytes,
  directoryInit,
  directoryRemove,
  portNextDue,
  vethNextDeadline,
  vethPoll,
} from "./directory";
export {
  bridgeExtents,
  linkExtents,
  portExtents,
  snapshotBytes,
  snapshotEqual,
  snapshotRestore,
  snapshotTake,
} from "./snapshot";
export { eswitchBytes, eswitchExtents, eswitchInit } from "./eswitch";
export { ltranBytes, ltranInit, ltranReceive, ltranServe, ltranTransmit } from "./ltran";
export { trunkBytes, trunkInit } from "./trunk";
export { captureBytes, captureInit, captureNext, captureRelease, captureRepair } from "./capture";
export { linkRecover } from "./link-repair";
export {
  bridgeRepair,
  poolSweep,
  rxCachesForget,
  rxQueueDrain,
  rxQueueGaps,
  rxQueueHolder,
  rxQueueIsOpen,
  rxQueueOpen,
  rxQueueRepair,
  softDrain,
  txQueueForget,
} from "./reclaim";
export { identify } from "./spin";

if (offsetof<Mbuf>("nbSegs") != MBUF_NB_SEGS || offsetof<Mbuf>("port") != MBUF_PORT) ERROR("Mbuf layout");
if (offsetof<Mbuf>("rssHash") != MBUF_RSS_HASH || offsetof<Mbuf>("olFlags") != MBUF_OL_FLAGS) ERROR("Mbuf layout");
if (offsetof<Mbuf>("vlanTci") != MBUF_VLAN_TCI || offsetof<Mbuf>("queue") != MBUF_QUEUE) ERROR("Mbuf layout");
if (offsetof<Mbuf>("tsoMss") != MBUF_TSO_MSS) ERROR("Mbuf layout");

/** The RX queue of a packet with this tuple, host order; the source is the peer. Director first, then RSS. */
export function queueOf(
  port: u32,
  protocol: u32,
  sourceIp: u32,
  destinationIp: u32,
  sourcePort: u32,
  destinationPort: u32,
): u32 {
  return receiveQueue(portAt(port), protocol, sourceIp, destinationIp, sourcePort, destinationPort);
}

/** Packets that wait in an RX queue. */
export function rxPending(port: u32, queue: u32): u32 {
  const p = portAt(port);
  const waiting = burstRingUsed(rxQueueAt(p, queue).ring);
  return p.trunk == 0 ? waiting : waiting + trunkPending(p.trunk);
}

/** Has a doorbell (DOORBELL_*) rung when packets come to an RX queue; 0 = none. The RX interrupt of a NIC. */
export function rxInterrupt(port: u32, queue: u32, doorbell: u32): void {
  atomic.store<u32>(changetype<usize>(rxQueueAt(portAt(port), queue)), doorbell, RXQ_DOORBELL);
}

/** Connects two ports back to back. 0, or -EBUSY when one is plugged in already. */
export function cableConnect(a: u32, b: u32): i32 {
  const p = portAt(a);
  const q = portAt(b);
  if (a == b || portIsPlugged(p) || portIsPlugged(q)) return -EBUSY;
  portForgetReceivers(p);
  portForgetReceivers(q);
  p.peer = b;
  q.peer = a;
  return 0;
}

/** Pulls a cable out at both ends. 0 or -ENOENT. */
export function cableDisconnect(port: u32): i32 {
  const p = portAt(port);
  if (p.peer == 0) return -ENOENT;
  portAt(p.peer).peer = 0;
  p.peer = 0;
  return 0;
}

/** Computes the RSS tables anew after the host has written a key. Frames that come meanwhile may go astray. */
export function portSetRssKey(port: u32): void {
  rssTableInit(portAt(port).rssTable, port + PORT_RSS_KEY);
}

/** The Toeplitz hash of a tuple (host order) under a port's key. */
export function rssHash(
  port: u32,
  sourceIp: u32,
  destinationIp: u32,
  sourcePort: u32,
  destinationPort: u32,
  withPorts: bool,
): u32 {
  return rssHashTuple(portAt(port).rssTable, sourceIp, destinationIp, sourcePort, destinationPort, withPorts);
}

/** Sends a flow (host order; the source is the peer) to one queue. 0, -EEXIST, -ENOSPC or -EINVAL. */
export function ruleAdd(
  port: u32,
  protocol: u32,
  sourceIp: u32,
  destinationIp: u32,
  sourcePort: u32,
  destinationPort: u32,
  queue: u32,
): i32 {
  const p = portAt(port);
  const ports = (sourcePort << 16) | (destinationPort & 0xffff);
  return directorAdd(p.director, protocol, sourceIp, destinationIp, ports, queue, p.queues);
}

/** Removes the rule of a flow. 0 or -ENOENT. */
export function ruleRemove(
  port: u32,
  protocol: u32,
  sourceIp: u32,
  destinationIp: u32,
  sourcePort: u32,
  destinationPort: u32,
): i32 {
  const ports = (sourcePort << 16) | (destinationPort & 0xffff);
  return directorRemove(portAt(port).director, protocol, sourceIp, destinationIp, ports);
}

/** Sends what comes to a local port to one queue, unless a flow's rule says otherwise. Results as ruleAdd(). */
export function ruleListen(port: u32, protocol: u32, localPort: u32, queue: u32): i32 {
  const p = portAt(port);
  if (p.trunk != 0) {
    trunkServe(p.trunk, protocol, localPort, true);
    return 0;
  }
  return directorListen(p.director, protocol, localPort, queue, p.queues);
}

/** Removes the rule of a local port. 0 or -ENOENT. */
export function ruleUnlisten(port: u32, protocol: u32, localPort: u32): i32 {
  const p = portAt(port);
  if (p.trunk != 0) {
    trunkServe(p.trunk, protocol, localPort, false);
    return 0;
  }
  return directorUnlisten(p.director, protocol, localPort);
}

/** Recovers the lock of a port's flow director from thread `dead`. 1 when it held it, else 0. */
export function ruleRecover(port: u32, dead: u32): u32 {
  return u32(directorRecover(portAt(port).director, dead));
}

/** Removes every rule that leads to a queue; returns how many there were. */
export function rulesOfQueue(port: u32, queue: u32, removes: bool): u32 {
  return directorOfQueue(portAt(port).director, queue, removes);
}

/** Rules in the flow director. */
export function ruleCount(port: u32): u32 {
  return directorCount(portAt(port).director);
}

/**
 * Sends `length` bytes at `data` as one frame, for devices that are not stacks. `flags`: TX_*; `mss` with TX_TSO.
 * `data` lies behind MBUF_HEADER bytes that belong to this call. 1, or 0 when there is no room.
 */
export function frameSend(
  port: u32,
  queue: u32,
  data: u32,
  length: u32,
  flags: u32,
  mss: u32,
  vlanTci: u32,
  now: f64,
): u32 {
  const m = changetype<Mbuf>(data - MBUF_HEADER);
  const list = changetype<usize>(m) + MBUF_HEADER - 4;
  store<u32>(list, u32(changetype<usize>(m)));
  m.next = 0;
  mbufAttach(m, data, length);
  m.nbSegs = 1;
  m.olFlags = flags;
  m.tsoMss = u16(mss);
  m.vlanTci = u16(vlanTci);
  return txOne(port, queue, list, now);
}

/**
 * Takes one packet from an RX queue and copies up to `max` bytes of it to `target`, for devices that are not stacks.
 * `target` lies behind MBUF_HEADER bytes, in which the packet's descriptor is left. Its length, or 0 when none came.
 */
export function frameReceive(port: u32, queue: u32, target: u32, max: u32, now: f64): u32 {
  const head = target - MBUF_HEADER;
  if (rxBurst(port, queue, head, 1, now) == 0) return 0;
  const first = changetype<Mbuf>(load<u32>(head));
  memory.copy(head, changetype<usize>(first), MBUF_HEADER);
  let done: u32 = 0;
  for (let at = u32(changetype<usize>(first)); at != 0 && done < max; at = changetype<Mbuf>(at).next) {
    const n = min(changetype<Mbuf>(at).dataLen, max - done);
    memory.copy(target + done, changetype<Mbuf>(at).data, n);
    done += n;
  }
  const length = first.pktLen;
  mbufFree(first);
  return length;
}
