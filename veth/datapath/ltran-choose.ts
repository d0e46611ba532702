// Which of its stacks an ltran gives a frame to: by address, and where stacks share one, by flow and by port.
// Read first: openEuler Gazelle, "ltran"; ltran.ts. Every frame is hostile: each length is checked before it is used.
//
//   group addresses (ARP requests, broadcast, multicast)    all stacks
//   one station's address                                   the stacks that have this MAC address, and of those the
//                                                           ones with the packet's IPv4 address, when there are any
//   several stacks share it: TCP, UDP                       whose flow it is; else who serves the port; else the first
//                            fragments                      where the first part went
//                            ICMP errors                    whose packet it quotes; else all
//                            ICMP echo requests             the first; other ICMP: all

import {
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  LTRAN_FRAGMENT_MISSES,
  TRUNK_PORTS_BYTES,
} from "../../assembly/layout";
import { ETHER_BYTES } from "./frame";
import { Ltran, ltranCount, Station, stationAt } from "./ltran";
import { flowFind, flowHash, flowLearn, fragmentFind, fragmentLearn } from "./ltran-flows";

const MAC_MASK: u64 = 0xffffffffffff;
/** EtherTypes as they lie in memory. */
const TYPE_IPV4: u32 = 0x0008;
const TYPE_ARP: u32 = 0x0608;
const ARP_BYTES: u32 = 28;
const ARP_REPLY: u32 = 0x0200;
/** Types of ICMP (RFC 792). */
const ICMP_DEST_UNREACH: u32 = 3;
const ICMP_ECHO: u32 = 8;
const ICMP_TIME_EXCEEDED: u32 = 11;
const ICMP_PARAMETERPROB: u32 = 12;
const SYN_ACK: u32 = 0x12;
const SYN: u32 = 0x02;

/** The stacks (a bit each) that a frame from the NIC is for; its first `length` bytes are at `data`. */
export function chooseReceived(l: Ltran, data: u32, length: u32): u64 {
  if (length < ETHER_BYTES) return 0;
  if ((load<u8>(data) & 1) != 0) return l.served;
  return narrow(l, owners(l, load<u64>(data) & MAC_MASK), data, length);
}

/** The other stacks here that a frame of stack `slot` is for. */
export function chooseForward(l: Ltran, slot: u32, data: u32, length: u32): u64 {
  if ((load<u8>(data) & 1) != 0) return l.served & ~(u64(1) << slot);
  const stacks = owners(l, load<u64>(data) & MAC_MASK);
  return stacks == 0 ? 0 : narrow(l, stacks, data, length);
}

/**
 * Does a stack speak for itself? Its frames must have its MAC address, and so must its ARP packets, with its IPv4
 * address or none.
 */
export function isTruthful(s: Station, data: u32, length: u32): bool {
  if ((load<u64>(data, 6) & MAC_MASK) != s.mac) return false;
  if (u32(load<u16>(data, 12)) != TYPE_ARP) return true;
  if (length < ETHER_BYTES + ARP_BYTES) return false;
  const arp = usize(data) + ETHER_BYTES;
  const sender = load<u32>(arp, 14);
  return (load<u64>(arp, 8) & MAC_MASK) == s.mac && (sender == 0 || sender == s.address);
}

/** Is this an ARP reply of one of several stacks with one address? The first of them answers for it. */
export function isSecondVoice(l: Ltran, slot: u32, data: u32, length: u32): bool {
  if (length < ETHER_BYTES + ARP_BYTES || u32(load<u16>(data, 12)) != TYPE_ARP) return false;
  if (u32(load<u16>(data, ETHER_BYTES + 6)) != ARP_REPLY) return false;
  return first(withAddress(l, stationAt(l, slot).address) & l.served) != u64(1) << slot;
}

/** Notes whose flow it is that a stack has sent a packet of, where others share its address. */
export function learnSent(l: Ltran, slot: u32, data: u32, length: u32, now: f64): void {
  const s = stationAt(l, slot);
  const ip = ipv4At(data, length);
  if (ip == 0 || load<u32>(ip, 12) != s.address || popcnt<u64>(withAddress(l, s.address)) < 2) return;
  const protocol = u32(load<u8>(ip, 9));
  const l4 = l4At(ip, data + length, protocol);
  if (l4 == 0 || isLaterFragment(ip)) return;
  const addresses = (u64(load<u32>(ip, 16)) << 32) | u64(load<u32>(ip, 12));
  // A connection that a stack opens is its own, whatever there was before; what it answers to may be another's.
  const takes = protocol == IPPROTO_UDP || (u32(load<u8>(l4, 13)) & SYN_ACK) == SYN;
  flowLearn(l, addresses, load<u32>(l4), protocol, slot, u32(i64(now * 0.001)), takes);
}

/** The stacks that have a MAC address. */
function owners(l: Ltran, mac: u64): u64 {
  let stacks: u64 = 0;
  for (let i: u32 = 0; i < l.slots; i++) if (stationAt(l, i).mac == mac) stacks |= u64(1) << i;
  return stacks;
}

function withAddress(l: Ltran, address: u32): u64 {
  let stacks: u64 = 0;
  for (let i: u32 = 0; i < l.slots; i++) {
    const s = stationAt(l, i);
    if (s.mac != 0 && s.address == address) stacks |= u64(1) << i;
  }
  return stacks;
}

/** Of stacks with one MAC address, those that a frame is for. One that does not run gets nothing while others do. */
function narrow(l: Ltran, mine: u64, data: u32, length: u32): u64 {
  if ((mine & (mine - 1)) == 0) return mine;
  const ip = ipv4At(data, length);
  if (ip == 0) return (mine & l.served) != 0 ? mine & l.served : first(mine);
  const having = mine & withAddress(l, load<u32>(ip, 16));
  const stacks = having != 0 ? having : mine;
  const running = stacks & l.served;
  if (running == 0) return first(stacks);
  if ((running & (running - 1)) == 0) return running;
  return share(l, running, ip, data + length);
}

/** Of several stacks that share an address, those that an IPv4 packet is for; it is there up to `end`. */
function share(l: Ltran, stacks: u64, ip: usize, end: u32): u64 {
  const protocol = u32(load<u8>(ip, 9));
  const pair = load<u64>(ip, 12);
  const key = (u32(1) << 31) | (protocol << 16) | u32(load<u16>(ip, 4));
  if (isLaterFragment(ip)) {
    const slot = fragmentFind(l, pair, key);
    if (slot >= 0 && ((stacks >> slot) & 1) != 0) return u64(1) << slot;
    ltranCount(l, LTRAN_FRAGMENT_MISSES);
    return first(stacks);
  }
  const l4 = l4At(ip, end, protocol);
  if (l4 == 0) return first(stacks);
  if (protocol == IPPROTO_ICMP) return shareIcmp(l, stacks, l4, end);
  const ports = load<u32>(l4);
  const chosen = byFlow(l, stacks, rotate(pair), (ports << 16) | (ports >>> 16), protocol);
  const slot = chosen != 0 ? chosen : first(stacks);
  if ((load<u16>(ip, 6) & 0x20) != 0) fragmentLearn(l, pair, key, u32(ctz<u64>(slot)));
  return slot;
}

/** The stack whose flow it is, or who serves the port; 0: nobody. Local address and port are the lower halves. */
function byFlow(l: Ltran, stacks: u64, addresses: u64, ports: u32, protocol: u32): u64 {
  const owner = flowFind(l, addresses, ports, protocol);
  if (owner >= 0 && ((stacks >> owner) & 1) != 0) return u64(1) << owner;
  const port = swap16(ports & 0xffff);
  let serving: u64 = 0;
  for (let left = stacks; left != 0; left &= left - 1) {
    const slot = u32(ctz<u64>(left));
    const bits = stationAt(l, slot).ports + (protocol == IPPROTO_UDP ? <u32>TRUNK_PORTS_BYTES / 2 : 0);
    if (((u32(load<u8>(bits + (port >>> 3))) >>> (port & 7)) & 1) != 0) serving |= u64(1) << slot;
  }
  if (serving == 0) return 0;
  let skip = flowHash(addresses, ports, protocol) % u32(popcnt<u64>(serving));
  while (skip-- != 0) serving &= serving - 1;
  return first(serving);
}

function shareIcmp(l: Ltran, stacks: u64, icmp: usize, end: u32): u64 {
  const type = u32(load<u8>(icmp));
  if (type == ICMP_ECHO) return first(stacks);
  const isError = type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
  const quoted = icmp + 8;
  if (!isError || quoted + 20 > usize(end)) return stacks;
  const protocol = u32(load<u8>(quoted, 9));
  const l4 = quoted + ((usize(load<u8>(quoted)) & 15) << 2);
  if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) || l4 + 4 > usize(end)) return stacks;
  // The quoted packet was sent from here: its source is the local side.
  const chosen = byFlow(l, stacks, load<u64>(quoted, 12), load<u32>(l4), protocol);
  return chosen != 0 ? chosen : stacks;
}

/** Where the IPv4 header of a frame is, or 0 when there is none that is whole. */
function ipv4At(data: u32, length: u32): usize {
  if (length < ETHER_BYTES + 20 || u32(load<u16>(data, 12)) != TYPE_IPV4) return 0;
  const ip = usize(data) + ETHER_BYTES;
  const version = u32(load<u8>(ip));
  return version >>> 4 == 4 && (version & 15) >= 5 ? ip : 0;
}

/** Where at least the first bytes of TCP (14), UDP or ICMP (8) are, or 0. */
function l4At(ip: usize, end: u32, protocol: u32): usize {
  const l4 = ip + ((usize(load<u8>(ip)) & 15) << 2);
  const need: u32 = protocol == IPPROTO_TCP ? 14 : protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP ? 8 : 0xffff;
  return l4 + need <= usize(end) ? l4 : 0;
}

/** A fragment that does not have the ports. */
function isLaterFragment(ip: usize): bool {
  return (load<u16>(ip, 6) & 0xff1f) != 0;
}

/** Source and destination as they lie in a packet, the other way round. */
function rotate(pair: u64): u64 {
  return (pair << 32) | (pair >> 32);
}

function swap16(v: u32): u32 {
  return (v >>> 8) | ((v & 0xff) << 8);
}

function first(stacks: u64): u64 {
  return stacks & (0 - stacks);
}
