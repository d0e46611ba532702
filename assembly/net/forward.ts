// Forwarding: what a router does with a datagram that is for others. Redirects are not sent.
// A stack that forwards has no NIC that merges segments (CAP_RX_LRO; host/network-options.ts): they would leave as one.
// Read first: RFC 1812 section 5.2 (forwarding walk-through) and 5.3.1 (time to live); RFC 1624 (incremental checksum).

import {
  MIB_IP_FORW_DATAGRAMS,
  MIB_IP_FRAG_FAILS,
  MIB_IP_IN_HDR_ERRORS,
  MIB_IP_OUT_NO_ROUTES,
  TX_L4_CSUM,
} from "../layout";
import { Mbuf } from "../memory/mbuf";
import { count } from "../stack";
import { checksumAdjust } from "../wire/checksum";
import {
  EXCEEDED_TTL,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  UNREACHABLE_FRAGMENT,
  UNREACHABLE_NET,
} from "../wire/icmp";
import { FRAGMENT_DF_WIRE, IPV4_CHECKSUM, IPV4_FRAGMENT, IPV4_TTL } from "../wire/ipv4";
import { ETHER_BYTES } from "../wire/ethernet";
import { arpOutput } from "./arp";
import { ipv4Fragment } from "./fragment";
import { icmpError } from "./icmp-output";
import { routeLookup, routeNetif, routeNextHop } from "./route";

/** Sends a datagram on its way. True when it kept the mbuf. */
export function ipv4Forward(m: Mbuf, p: usize, headerBytes: u32, total: u32, destination: u32): bool {
  const payload = p + headerBytes;
  const held = min(total, m.dataLen) - headerBytes;
  const ttl = u32(load<u8>(p, IPV4_TTL));
  if (ttl <= 1) {
    count(MIB_IP_IN_HDR_ERRORS);
    icmpError(p, payload, held, ICMP_TIME_EXCEEDED, EXCEEDED_TTL, 0);
    return false;
  }
  if (!routeLookup(destination)) {
    count(MIB_IP_OUT_NO_ROUTES);
    icmpError(p, payload, held, ICMP_UNREACHABLE, UNREACHABLE_NET, 0);
    return false;
  }
  const out = routeNetif;
  const nextHop = routeNextHop;
  const tooLarge = total > out.mtu;
  if (tooLarge && load<u16>(p, IPV4_FRAGMENT) & u16(FRAGMENT_DF_WIRE)) {
    count(MIB_IP_FRAG_FAILS);
    icmpError(p, payload, held, ICMP_UNREACHABLE, UNREACHABLE_FRAGMENT, out.mtu);
    return false;
  }
  const before = u32(load<u16>(p, IPV4_TTL));
  store<u8>(p, u8(ttl - 1), IPV4_TTL);
  const sum = checksumAdjust(load<u16>(p, IPV4_CHECKSUM), before, load<u16>(p, IPV4_TTL));
  store<u16>(p, u16(sum), IPV4_CHECKSUM);
  count(MIB_IP_FORW_DATAGRAMS);
  if (tooLarge) {
    ipv4Fragment(m, out, nextHop, out.mtu);
    return false;
  }
  m.olFlags &= TX_L4_CSUM; // a checksum that the sender left to its NIC stays left to one
  m.l2Len = u8(ETHER_BYTES);
  m.l3Len = u8(headerBytes);
  arpOutput(out, nextHop, m);
  return true;
}
