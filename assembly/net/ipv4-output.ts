// IPv4 datagrams out: header, identification, then the neighbour or the loopback. A TCP segment passes here.
// Read first: RFC 791 section 3.1; RFC 6864 (identification); RFC 7739 for why its counters are per destination.

import { EINVAL, EMSGSIZE, MIB_IP_FRAG_FAILS, MIB_IP_OUT_DISCARDS, MIB_IP_OUT_REQUESTS, TX_TSO } from "../layout";
import { keyedHash } from "../hash";
import { Mbuf, mbufFree, mbufPrepend } from "../memory/mbuf";
import { count, stack } from "../stack";
import { ETHER_BYTES } from "../wire/ethernet";
import { FRAGMENT_DF_WIRE, IPV4_BYTES, IPV4_TOTAL_MAX } from "../wire/ipv4";
import { fragmentWord, isLoopback, lengthWord, putIpv4 } from "../wire/ipv4";
import { arpOutput } from "./arp";
import { ipv4Fragment } from "./fragment";
import { loopbackTransmit } from "./loopback";
import { Netif } from "./netif";
import { packetCopy } from "./packet";

/** Flag of ipv4Output(): do not fragment, here or on the way. */
export const IP_DF: u32 = FRAGMENT_DF_WIRE;

/** Counters of identifications, each serving the destinations with one hash. */
const IDENTS: u32 = 256;
export const IDENTS_BYTES: u32 = IDENTS * 4;

let idents: usize = 0;

/** Points this instance at the counters. */
export function identsAttach(at: usize): void {
  idents = at;
}

/** Starts the counters at values that the secret decides. */
export function identsInit(): void {
  for (let i: u32 = 0; i < IDENTS; i++) store<u32>(idents + (i << 2), keyedHash(i, 0x6970, 0x6964));
}

/** Takes `n` identifications for a destination; returns the first. */
export function takeIdents(destination: u32, n: u32): u32 {
  const at = idents + (usize(((destination ^ stack.secret2) * 0x9e3779b1) >>> 24) << 2);
  const id = load<u32>(at);
  store<u32>(at, id + n);
  return id;
}

/** Puts the header in front of a packet whose data begins with the transport's header. */
function putHeader(m: Mbuf, source: u32, destination: u32, tos: u32, ttlProtocol: u32, fragment: u32): void {
  const p = mbufPrepend(m, IPV4_BYTES);
  assert(m.pktLen <= IPV4_TOTAL_MAX);
  putIpv4(p, lengthWord(tos, m.pktLen), fragment, ttlProtocol, source, destination);
  m.l2Len = u8(ETHER_BYTES);
  m.l3Len = u8(IPV4_BYTES);
}

/** RFC 1122 3.2.1.3(g): "Addresses of this form MUST NOT appear outside a host." Whoever has chosen them. */
function isAstray(nif: Netif, source: u32, destination: u32): bool {
  return (isLoopback(source) || isLoopback(destination)) && !nif.loopback;
}

function refuse(m: Mbuf): i32 {
  count(MIB_IP_OUT_DISCARDS);
  mbufFree(m);
  return -EINVAL;
}

/**
 * Sends a datagram over `nif` to the neighbour `nextHop` (as routeLookup told). The packet's data begins with the
 * transport's header; it takes the mbuf in any case. Datagrams above the interface's MTU are fragmented, unless TSO
 * takes them or IP_DF forbids it. Addresses in host order.
 * @returns 0, -EMSGSIZE (too large with IP_DF), -EINVAL (127/8 on its way out), or -ENOBUFS (dropped on the way to the
 * NIC); drops are counted
 */
export function ipv4Output(
  m: Mbuf,
  nif: Netif,
  nextHop: u32,
  source: u32,
  destination: u32,
  protocol: u32,
  tos: u32,
  ttl: u32,
  flags: u32,
): i32 {
  if (isAstray(nif, source, destination)) return refuse(m);
  const bytes = m.pktLen + IPV4_BYTES;
  let segments: u32 = 1;
  if (bytes > nif.mtu) {
    if (!(m.olFlags & TX_TSO)) {
      return ipv4OutputSplit(m, nif, nextHop, source, destination, protocol, tos, ttl, flags, nif.mtu);
    }
    segments = bytes / max<u32>(m.tsoMss, 1) + 1; // the NIC counts on from the first
  }
  count(MIB_IP_OUT_REQUESTS);
  const fragment = fragmentWord(takeIdents(destination, segments), flags & IP_DF);
  putHeader(m, source, destination, tos, ttl | (protocol << 8), fragment);
  return nif.loopback ? loopbackTransmit(nif, m) : arpOutput(nif, nextHop, m);
}

/** As ipv4Output(), for a datagram that is cut to fragments of at most `mtu` bytes. */
export function ipv4OutputSplit(
  m: Mbuf,
  nif: Netif,
  nextHop: u32,
  source: u32,
  destination: u32,
  protocol: u32,
  tos: u32,
  ttl: u32,
  flags: u32,
  mtu: u32,
): i32 {
  if (isAstray(nif, source, destination)) return refuse(m);
  count(MIB_IP_OUT_REQUESTS);
  if (flags & IP_DF) {
    count(MIB_IP_FRAG_FAILS);
    mbufFree(m);
    return -EMSGSIZE;
  }
  putHeader(m, source, destination, tos, ttl | (protocol << 8), fragmentWord(takeIdents(destination, 1), 0));
  const result = ipv4Fragment(m, nif, nextHop, mtu);
  mbufFree(m);
  return result;
}

/**
 * Lets a copy of a group's datagram arrive on the interface that it leaves by (RFC 1112 6.1, RFC 919): the packet's
 * data begins with the transport's header. When mbufs are short there is no copy.
 */
export function ipv4LoopCopy(
  m: Mbuf,
  nif: Netif,
  source: u32,
  destination: u32,
  protocol: u32,
  tos: u32,
  ttl: u32,
): void {
  const copy = packetCopy(m, m.data, 0, m.pktLen, 0);
  if (copy === null) return;
  copy.olFlags = m.olFlags;
  putHeader(copy, source, destination, tos, ttl | (protocol << 8), fragmentWord(takeIdents(destination, 1), 0));
  loopbackTransmit(nif, copy);
}
