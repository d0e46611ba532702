// IPv4 datagrams in: the header is checked once, here; then reassembly, forwarding, or the transport.
// Each datagram that goes no further is counted once: InReceives = InHdrErrors + InTruncatedPkts + InAddrErrors +
// InDiscards + InUnknownProtos + InDelivers + fragments that wait + what forward.ts counts.
// Read first: RFC 1122 section 3.2.1; RFC 791 section 3.1.

import {
  IPPROTO_ICMP,
  IPPROTO_IGMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  MIB_IP_IN_ADDR_ERRORS,
  MIB_IP_IN_CSUM_ERRORS,
  MIB_IP_IN_DELIVERS,
  MIB_IP_IN_DISCARDS,
  MIB_IP_IN_HDR_ERRORS,
  MIB_IP_IN_RECEIVES,
  MIB_IP_IN_TRUNCATED,
  MIB_IP_IN_UNKNOWN_PROTOS,
  RX_IP_BAD,
  RX_IP_GOOD,
  RX_LINK_MULTICAST,
  RX_LOOPED,
  STACK_FORWARDING,
} from "../layout";
import { Mbuf } from "../memory/mbuf";
import { count, stack } from "../stack";
import { tcpInput } from "../tcp/input";
import { swap16 } from "../wire/bytes";
import { fold, sumBytes } from "../wire/checksum";
import { ICMP_PARAMETER_PROBLEM, ICMP_UNREACHABLE, UNREACHABLE_PROTOCOL } from "../wire/icmp";
import {
  FRAGMENT_WIRE,
  IPOPT_END,
  IPOPT_LSRR,
  IPOPT_NOP,
  IPOPT_SSRR,
  IPV4_BYTES,
  IPV4_DESTINATION,
  IPV4_FRAGMENT,
  IPV4_OPTIONS,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TTL,
  headerSum,
  isLoopback,
  isMulticast,
  isUnicast,
} from "../wire/ipv4";
import { ipv4Forward } from "./forward";
import { icmpInput } from "./icmp";
import { icmpError } from "./icmp-output";
import { igmpInput, multicastJoined } from "./igmp";
import { Netif } from "./netif";
import { contiguous, packetTrim } from "./packet";
import { reassemblyInput } from "./reassembly";
import { isBroadcast, isLocal } from "./route";
import { udpInput } from "./udp-input";

/** What a datagram's destination is to this host. */
export const TO_UNICAST: u32 = 0;
export const TO_BROADCAST: u32 = 1;
export const TO_MULTICAST: u32 = 2;
const TO_OTHERS: u32 = 3;
const TO_NOBODY: u32 = 4;

/** 224.0.0/24: groups that no router forwards. */
const LOCAL_GROUPS: u32 = 0xe00000;

/** IP header of the datagram that is being delivered, for errors that quote it. */
export let inputHeader: usize = 0;

/** Takes a received datagram (data at its IP header). True when it kept the mbuf, else the caller frees it. */
export function ipv4Input(nif: Netif, m: Mbuf): bool {
  count(MIB_IP_IN_RECEIVES);
  const p = usize(m.data);
  const held = m.dataLen;
  if (held < IPV4_BYTES) return drop(MIB_IP_IN_TRUNCATED);
  const word = load<u32>(p);
  const headerBytes = (word & 15) << 2;
  if ((word & 0xf0) != 0x40 || headerBytes < IPV4_BYTES) return drop(MIB_IP_IN_HDR_ERRORS);
  const total = swap16(word >>> 16);
  if (total < headerBytes) return drop(MIB_IP_IN_HDR_ERRORS);
  if (total > m.pktLen || headerBytes > held) return drop(MIB_IP_IN_TRUNCATED);
  const flags = m.olFlags;
  if (!(flags & RX_IP_GOOD)) {
    const sum = headerBytes == IPV4_BYTES ? headerSum(p) : sumBytes(p, headerBytes);
    if (fold(sum) != 0xffff || flags & RX_IP_BAD) {
      count(MIB_IP_IN_CSUM_ERRORS);
      return drop(MIB_IP_IN_HDR_ERRORS);
    }
  }
  // What Ethernet padded to 60 bytes
  if (total != m.pktLen) packetTrim(m, total);
  const source = bswap<u32>(load<u32>(p, IPV4_SOURCE));
  const destination = bswap<u32>(load<u32>(p, IPV4_DESTINATION));
  if (
    !isUnicast(source) ||
    source == nif.address ||
    source == nif.broadcast ||
    (stack.netifCount > 2 && isOurs(source))
  ) {
    if (!sourceAllowed(p, flags, source, destination)) return drop(MIB_IP_IN_ADDR_ERRORS);
  }
  if (headerBytes != IPV4_BYTES && !optionsAllowed(m, p, headerBytes, total)) return drop(MIB_IP_IN_HDR_ERRORS);
  let kind = TO_UNICAST;
  if (destination != nif.address || flags & RX_LINK_MULTICAST || destination == 0) {
    kind = kindOf(nif, destination, flags);
    if (kind >= TO_OTHERS) {
      const isAddressed = destination == nif.address && destination != 0;
      if (kind == TO_NOBODY) return drop(isAddressed ? MIB_IP_IN_DISCARDS : MIB_IP_IN_ADDR_ERRORS);
      return ipv4Forward(m, p, headerBytes, total, destination);
    }
  }
  const tos = (word >>> 8) & 0xff;
  if (load<u16>(p, IPV4_FRAGMENT) & u16(FRAGMENT_WIRE)) {
    reassemblyInput(nif, m, p, headerBytes, total, source, destination, tos, kind);
    return false;
  }
  const segment = p + headerBytes;
  const protocol = u32(load<u8>(p, IPV4_PROTOCOL));
  deliver(nif, m, p, segment, total - headerBytes, source, destination, protocol, tos, load<u8>(p, IPV4_TTL), kind);
  return false;
}

function drop(counter: i32): bool {
  count(counter);
  return false;
}

/**
 * Hands a whole datagram to its protocol: `segment` lies in mbuf `m`, `length` bytes from there on belong to it.
 * `header` is its IP header, which need not lie in front of it.
 */
export function deliver(
  nif: Netif,
  m: Mbuf,
  header: usize,
  segment: usize,
  length: u32,
  source: u32,
  destination: u32,
  protocol: u32,
  tos: u32,
  ttl: u32,
  kind: u32,
): void {
  inputHeader = header;
  if (protocol == IPPROTO_TCP && kind == TO_UNICAST) {
    count(MIB_IP_IN_DELIVERS);
    tcpInput(nif, m, source, destination, segment, length, tos, ttl);
    return;
  }
  switch (protocol) {
    case IPPROTO_UDP:
      count(MIB_IP_IN_DELIVERS);
      udpInput(nif, m, source, destination, segment, length, tos, ttl, kind);
      return;
    case IPPROTO_ICMP:
      count(MIB_IP_IN_DELIVERS);
      icmpInput(nif, m, source, destination, segment, length, tos, kind);
      return;
    case IPPROTO_IGMP:
      count(MIB_IP_IN_DELIVERS);
      igmpInput(nif, m, source, segment, length);
      return;
    case IPPROTO_TCP:
      // RFC 9293 3.9.2.3 (MUST-57): a SYN to a broadcast or multicast address is silently discarded
      count(MIB_IP_IN_DISCARDS);
      return;
    default:
      count(MIB_IP_IN_UNKNOWN_PROTOS);
      if (kind != TO_UNICAST) return;
      icmpError(header, segment, min(length, contiguous(m, segment)), ICMP_UNREACHABLE, UNREACHABLE_PROTOCOL, 0);
  }
}

/** An address of another interface than the one a datagram came by, or the broadcast address of one. */
function isOurs(source: u32): bool {
  return isLocal(source) || isBroadcast(source);
}

/**
 * Martians: sources that nobody else on the wire may have (RFC 1122 3.2.1.3, 3.3.6) are fine on the loopback. 0 is that
 * of a host which asks for an address, and of switches and routers without one that speak of groups (RFC 4541 2.1.1,
 * RFC 3376 4.2.13; Linux: ip_mc_validate_source).
 */
function sourceAllowed(p: usize, flags: u32, source: u32, destination: u32): bool {
  if (flags & RX_LOOPED) return !isMulticast(source) && source != 0xffffffff;
  if (source != 0) return false;
  if (destination == 0xffffffff || destination >>> 8 == LOCAL_GROUPS) return true;
  return isMulticast(destination) && load<u8>(p, IPV4_PROTOCOL) == u8(IPPROTO_IGMP);
}

/** What a destination is to this host that is not the unicast address of the interface it came by. */
function kindOf(nif: Netif, destination: u32, flags: u32): u32 {
  if (destination == 0xffffffff || destination == nif.broadcast) return TO_BROADCAST;
  if (isMulticast(destination)) return multicastJoined(nif, destination) ? TO_MULTICAST : TO_NOBODY;
  // RFC 1122 3.3.6: "SHOULD silently discard a datagram that is received via a link-layer broadcast ... but does not
  // specify an IP multicast or broadcast destination address"
  if (flags & RX_LINK_MULTICAST) return TO_NOBODY;
  if (isLoopback(destination)) return flags & RX_LOOPED ? TO_UNICAST : TO_NOBODY;
  if (isLocal(destination)) return TO_UNICAST;
  return stack.flags & STACK_FORWARDING && isUnicast(destination) ? TO_OTHERS : TO_NOBODY;
}

/**
 * Checks that each option lies inside the header (RFC 1122 3.2.1.8); what they ask for is skipped. Source routes are
 * refused, as Linux does by default: they serve spoofing.
 */
function optionsAllowed(m: Mbuf, p: usize, headerBytes: u32, total: u32): bool {
  let at = p + IPV4_OPTIONS;
  const end = p + headerBytes;
  while (at < end) {
    const type = u32(load<u8>(at));
    if (type == IPOPT_END) return true;
    if (type == IPOPT_NOP) {
      at++;
      continue;
    }
    const length = at + 1 < end ? u32(load<u8>(at, 1)) : 0;
    if (length < 2 || at + length > end) {
      const payload = min(total, m.dataLen) - headerBytes;
      if (!(m.olFlags & RX_LINK_MULTICAST)) {
        icmpError(p, end, payload, ICMP_PARAMETER_PROBLEM, 0, u32(at - p) << 24);
      }
      return false;
    }
    if (type == IPOPT_LSRR || type == IPOPT_SSRR) return false;
    at += length;
  }
  return true;
}
