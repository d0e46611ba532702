// Software forwarding, after reception: a packet that is for another stack of the host is handed over by reference,
// through that stack's software queue. Nobody copies it, no thread stands between.
// Read first: group.ts; netif.ts, whose bursts call this; DESIGN.md section 4 "Balancing".
//
// On its way up a packet may turn out to be another stack's: then steerTo() notes whose, everything returns, and the
// burst hands the packet over in place of freeing it. It goes its way again there from the Ethernet header on, and may
// be handed on (its flow may have just moved), HOPS_MAX times at most. Its mbuf returns to the pool that it names,
// which is a shared one, whoever frees it. What every stack must see (ARP, IGMP, group datagrams) is copied.

import {
  IPPROTO_TCP,
  IPPROTO_UDP,
  MEMBER_DOORBELL,
  MIB_STEER_COPIES,
  MIB_STEER_DROPS,
  MIB_STEER_IN,
  MIB_STEER_OUT,
  RST,
  RX_COPY,
  RX_HOP,
  RX_LINK_MULTICAST,
  RX_LOOPED,
} from "../layout";
import { flowHash } from "../hash";
import { doorbellRingAt } from "../memory/doorbell";
import { Mbuf, mbufFree, mbufPrepend } from "../memory/mbuf";
import { Pool } from "../memory/pool";
import { mpscIsEmpty, mpscPop, mpscPush } from "../memory/ring";
import { packetCopyFrom } from "../net/packet";
import { count } from "../stack";
import { ETHER_BYTES } from "../wire/ethernet";
import { IPV4_BYTES } from "../wire/ipv4";
import { aliveMask, Group, group, groupOf, memberAt, self, selfBit, softAt, softOwn } from "./group";
import { pick, portMask } from "./ports";
import { tableOwner } from "./table";

const HOPS_MAX: u32 = 3;
const HOPS: u32 = HOPS_MAX * RX_HOP;
const NOBODY: i32 = -1;

/** Index of the stack that the packet in hand is for, or NOBODY: this one. */
let target: i32 = NOBODY;
/** What may be said of the packet in hand: 0 while there is none, or it must stay. */
let mayLeave: bool = false;
/** Hops of the packet in hand. */
let hops: u32 = 0;
/** Stacks that were given something and not told yet, one bit each. */
let touched: u64 = 0;

/** A packet's way up begins. */
export function steerBegin(m: Mbuf): void {
  const flags = m.olFlags;
  hops = (flags / RX_HOP) & HOPS_MAX;
  mayLeave = hops < HOPS_MAX && (flags & RX_COPY) == 0;
  target = NOBODY;
}

/** The NIC itself has brought the packet in hand to this stack: what its flow still sends will come here, too. */
export function steerBrought(): bool {
  return group == 0 || hops == 0;
}

/** Its way is over; true when it goes to another stack: handOver() it. */
export function steerEnd(): bool {
  mayLeave = false;
  return target != NOBODY;
}

/** The packet in hand has been dealt with in another way: it stays. */
export function steerKeep(): void {
  target = NOBODY;
}

function steerTo(index: i32): bool {
  if (index < 0 || u32(index) == self || (aliveMask() & (u64(1) << index)) == 0) return false;
  target = index;
  return true;
}

/** A segment for which this stack has no connection: true when it is another stack's. */
export function tcpElsewhere(local: u32, remote: u32, ports: u32, flags: u32): bool {
  if (!mayLeave) return false;
  const owner = tableOwner(IPPROTO_TCP, local, remote, ports);
  if (owner >= 0) return steerTo(owner);
  return !(flags & RST) && portElsewhere(IPPROTO_TCP, local, remote, ports);
}

/** A UDP datagram: `connected`: a socket here has this very peer. True when it is another stack's. */
export function udpElsewhere(local: u32, remote: u32, ports: u32, connected: bool): bool {
  if (!mayLeave || connected) return false;
  if (atomic.load<u32>(group, offsetof<Group>("udpFlows")) != 0) {
    const owner = tableOwner(IPPROTO_UDP, local, remote, ports);
    if (owner >= 0) return steerTo(owner);
  }
  return portElsewhere(IPPROTO_UDP, local, remote, ports);
}

/**
 * What no flow claims goes to a stack that serves the port: to this one if it does, since the NIC has shared it out.
 * Stacks that the NIC does not know get their share by the flow's hash, and so do all if none but others serve it.
 */
export function portElsewhere(protocol: u32, local: u32, remote: u32, ports: u32): bool {
  if (!mayLeave) return false;
  const mask = portMask(protocol, ports >>> 16);
  if (mask == 0) return false;
  if ((mask & selfBit) != 0 && (hops != 0 || (mask & groupOf().queueless) == 0)) return false;
  return steerTo(pick(mask, flowHash(local, remote, ports)));
}

/** An ICMP error quotes a flow that is not this stack's: true when it is another one's, which is to be told. */
export function errorElsewhere(protocol: u32, local: u32, remote: u32, ports: u32): bool {
  if (!mayLeave) return false;
  const owner = tableOwner(protocol, local, remote, ports);
  if (owner >= 0) return steerTo(owner);
  return protocol == IPPROTO_UDP && portElsewhere(protocol, local, remote, ports);
}

/** Hands the packet in hand (data at its IP header) to the stack it is for. Takes the mbuf in any case. */
export function handOver(netif: u32, m: Mbuf): void {
  let packet: Mbuf | null = m;
  if (m.olFlags & RX_LOOPED) {
    // It lies in an mbuf of this stack's own pool, which no other thread may touch.
    packet = copyOf(m, m.data, m.pktLen, 0);
    mbufFree(m);
  } else {
    m.data -= ETHER_BYTES;
    m.dataLen += ETHER_BYTES;
    m.pktLen += ETHER_BYTES;
  }
  if (packet === null) return;
  packet.olFlags = (packet.olFlags & ~(RX_LINK_MULTICAST | HOPS)) | ((hops + 1) * RX_HOP);
  give(u32(target), netif, packet);
}

/** Hands a datagram that was put together here to its stack: `m` is what follows the IP header at `header`. */
export function handOverWhole(netif: u32, header: usize, m: Mbuf): void {
  const packet = copyOf(m, m.data, m.pktLen, IPV4_BYTES);
  if (packet === null) return;
  memory.copy(mbufPrepend(packet, IPV4_BYTES), header, IPV4_BYTES);
  // It has no Ethernet header any more, as packets of the loopback have none.
  packet.olFlags = RX_LOOPED | ((hops + 1) * RX_HOP);
  give(u32(target), netif, packet);
}

/** Gives every other stack of the host a copy of a frame, `bytes` from `from` in segment `m` on. */
export function copyToOthers(netif: u32, m: Mbuf, from: usize, bytes: u32): void {
  if (m.olFlags & RX_COPY) return;
  for (let left = aliveMask() & ~selfBit; left != 0; left &= left - 1) {
    const copy = copyOf(m, from, bytes, 0);
    if (copy === null) continue;
    copy.olFlags |= RX_COPY;
    count(MIB_STEER_COPIES);
    give(u32(ctz<u64>(left)), netif, copy);
  }
}

/** A copy in mbufs that any thread may free, with `reserve` bytes free in front; null (counted) without them. */
function copyOf(m: Mbuf, from: usize, bytes: u32, reserve: u32): Mbuf | null {
  const copy = packetCopyFrom(changetype<Pool>(memberAt(self).pool), m, from, 0, bytes, reserve);
  if (copy === null) {
    count(MIB_STEER_DROPS);
    return null;
  }
  copy.olFlags = m.olFlags;
  copy.tsoMss = m.tsoMss;
  copy.port = m.port;
  return copy;
}

function give(to: u32, netif: u32, m: Mbuf): void {
  m.user3 = netif;
  if (mpscPush(softAt(to), u32(changetype<usize>(m)))) {
    count(MIB_STEER_OUT);
    touched |= u64(1) << to;
    return;
  }
  count(MIB_STEER_DROPS);
  mbufFree(m);
}

/** Wakes the threads of the stacks that were given something: once for a burst. */
export function handOverEnd(): void {
  while (touched != 0) {
    doorbellRingAt(changetype<usize>(memberAt(u32(ctz<u64>(touched)))) + MEMBER_DOORBELL);
    touched &= touched - 1;
  }
}

/** The oldest packet that others have handed to this stack, or null; user3 is the interface it came by. */
export function softTake(): Mbuf | null {
  const at = mpscPop(softOwn);
  if (at == 0) return null;
  count(MIB_STEER_IN);
  return changetype<Mbuf>(at);
}

/** Do packets wait that others have handed over? */
export function softPending(): bool {
  return group != 0 && !mpscIsEmpty(softOwn);
}
