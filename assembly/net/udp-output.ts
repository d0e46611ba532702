// UDP datagrams out: route, source, MTU, then one copy into an mbuf with the checksum computed on the way.
// Read first: RFC 768; RFC 1122 section 4.1; ip(7) for IP_MTU_DISCOVER and the multicast options; udp(7) for MSG_MORE.

import {
  CAP_TX_L4_CSUM,
  EACCES,
  EAGAIN,
  EADDRINUSE,
  EDESTADDRREQ,
  EINVAL,
  EMSGSIZE,
  ENETUNREACH,
  ENOBUFS,
  ENODEV,
  EOPNOTSUPP,
  EPIPE,
  EPOLLERR,
  INADDR_LOOPBACK,
  IPPROTO_UDP,
  IP_PMTUDISC_DO,
  IP_PMTUDISC_OMIT,
  IP_PMTUDISC_PROBE,
  MBUF_DATA_ROOM,
  MIB_UDP_OUT_DATAGRAMS,
  MIB_UDP_SNDBUF_ERRORS,
  MSG_MORE,
  MSG_OOB,
  SO_EE_ORIGIN_LOCAL,
  SYSCTL_IP_DEFAULT_TTL,
  TX_L4_CSUM,
} from "../layout";
import { ByteQueue, Chunk, chunkData, queueAppend, queueClear, queueTrimTail } from "../memory/chunk";
import { Mbuf, mbufAttach, mbufFree } from "../memory/mbuf";
import { bindSocket } from "../socket/bind";
import { socketNotify } from "../socket/notify";
import { SF_BOUND_ADDRESS, SF_BROADCAST, SF_RECVERR, SHUT_WRITE, SocketExtra } from "../socket/socket";
import { count, stack, sysctl } from "../stack";
import { swap16 } from "../wire/bytes";
import { checksum, copySum, fold, pseudoSum } from "../wire/checksum";
import { IPV4_BYTES, isLoopback, isMulticast } from "../wire/ipv4";
import { UDP_BYTES, UDP_CHECKSUM, UDP_PAYLOAD_MAX } from "../wire/udp";
import { errorQueuePush } from "./error-queue";
import { TO_BROADCAST, TO_MULTICAST, TO_UNICAST } from "./ipv4-input";
import { IP_DF, ipv4LoopCopy, ipv4Output, ipv4OutputSplit } from "./ipv4-output";
import { multicastJoined } from "./igmp";
import { Netif, netifAt } from "./netif";
import { packetAlloc, packetOwn, packetSum } from "./packet";
import { ipv4Mtu, pmtuMayCut } from "./pmtu";
import { isBroadcast, routeLookup, routeNetif, routeNextHop, routeSource, sourceError } from "./route";
import { UdpSocket } from "./udp-socket";
import { udpWait } from "./udp-wait";

/**
 * Sends `length` bytes at `data` as one datagram, to `address` and `port` or (both 0) to the connected peer; with
 * MSG_MORE it is held back and what follows is added. Binds the socket when it is not bound yet.
 * @returns `length`, the pending error, or -EDESTADDRREQ, -EINVAL, -EMSGSIZE (above 65,507 bytes, or the MTU when the
 * socket forbids fragments), -EACCES (a broadcast without SO_BROADCAST), -ENETUNREACH, -EPIPE, -EAGAIN (no memory now,
 * or no port is left), -ENOBUFS (with IP_RECVERR: lost in a queue below)
 */
export function udpSend(s: UdpSocket, data: usize, length: u32, flags: i32, address: u32, port: u32): i32 {
  if (s.error) return takeError(s);
  if (length > UDP_PAYLOAD_MAX) return -EMSGSIZE;
  if (s.shut & SHUT_WRITE) return -EPIPE;
  if (flags & MSG_OOB) return -EOPNOTSUPP;
  if (s.corkPort != 0 || flags & MSG_MORE) return cork(s, data, length, flags, address, port);
  if (port == 0) {
    if (address != 0) return -EINVAL;
    if (s.remotePort == 0) return -EDESTADDRREQ;
    address = s.remoteAddress;
    port = s.remotePort;
  } else if (address == 0) {
    address = INADDR_LOOPBACK;
  }
  const error = udpRoute(s, address);
  if (error < 0) return error;
  const nif = changetype<Netif>(s.netif);
  const bytes = length + (IPV4_BYTES + UDP_BYTES);
  const mtu = mtuOf(s, nif, address);
  if (bytes > mtu || length + UDP_BYTES > <u32>MBUF_DATA_ROOM || s.routeKind != TO_UNICAST) {
    return sendAny(s, data, length, address, port, mtu);
  }
  const m = packetAlloc();
  if (m === null) return udpWait(s);
  const p = usize(m.data);
  const pseudo = pseudoSum(s.source, address, IPPROTO_UDP, UDP_BYTES + length);
  const ports = swap16(s.localPort) | (swap16(port) << 16);
  const size = swap16(UDP_BYTES + length);
  let sum: u32;
  if (nif.caps & CAP_TX_L4_CSUM) {
    memory.copy(p + UDP_BYTES, data, length);
    sum = fold(pseudo);
    m.olFlags = TX_L4_CSUM;
  } else {
    sum = nonZero(checksum(pseudo + u64(ports) + u64(size) + copySum(p + UDP_BYTES, data, length)));
  }
  store<u64>(p, u64(ports) | (u64(size | (sum << 16)) << 32));
  m.l4Len = u8(UDP_BYTES);
  m.dataLen = UDP_BYTES + length;
  m.pktLen = UDP_BYTES + length;
  return leave(s, m, nif, address, ttlOf(s), flagsOf(s, address, true), length);
}

/** "If the computed checksum is zero, it is transmitted as all ones" (RFC 768) */
function nonZero(sum: u32): u32 {
  return sum == 0 ? 0xffff : sum;
}

function takeError(s: UdpSocket): i32 {
  const error = -i32(s.error);
  s.error = 0;
  return error;
}

function ttlOf(s: UdpSocket): u32 {
  if (s.routeKind == TO_MULTICAST) return s.extra == 0 ? 1 : changetype<SocketExtra>(s.extra).multicastTtl;
  return s.ttl != 0 ? u32(s.ttl) : sysctl(SYSCTL_IP_DEFAULT_TTL);
}

/** Linux: __ip_make_skb(). */
function flagsOf(s: UdpSocket, address: u32, fits: bool): u32 {
  const discover = i32(s.pmtuDiscover);
  if (discover == IP_PMTUDISC_DO || discover == IP_PMTUDISC_PROBE) return IP_DF;
  return fits && !pmtuMayCut(discover, address) ? IP_DF : 0;
}

/** The path's MTU, or the interface's for groups and for who probes it himself. */
function mtuOf(s: UdpSocket, nif: Netif, address: u32): u32 {
  return s.routeKind == TO_UNICAST && i32(s.pmtuDiscover) < IP_PMTUDISC_PROBE ? ipv4Mtu(nif, address) : nif.mtu;
}

/**
 * Finds the way to `address` for a socket and keeps it in the socket; binds the socket when it is not bound.
 * Returns 0, -ENETUNREACH, -EACCES, -ENODEV, -EINVAL or -EAGAIN (no port is left).
 */
export function udpRoute(s: UdpSocket, address: u32): i32 {
  if (s.routeDestination == address && s.routeGeneration == stack.routeGeneration) {
    if (s.routeKind == TO_UNICAST) return 0;
    if (s.routeKind == TO_BROADCAST && s.flags & SF_BROADCAST) return 0;
  }
  if (s.localPort == 0) {
    // With an address that bind() has left when the last peer was given up.
    const bound = bindSocket(s, IPPROTO_UDP, s.flags & SF_BOUND_ADDRESS ? s.localAddress : 0, 0);
    if (bound < 0) return bound == -EADDRINUSE ? -EAGAIN : bound;
  }
  s.routeDestination = 0;
  const error = findWay(s, address);
  if (error < 0) return error;
  const nif = changetype<Netif>(s.netif);
  let kind = TO_UNICAST;
  if (isMulticast(address)) kind = TO_MULTICAST;
  else if (address == 0xffffffff || address == nif.broadcast) kind = TO_BROADCAST;
  if (kind == TO_BROADCAST && !(s.flags & SF_BROADCAST)) return -EACCES;
  const local = s.localAddress;
  if (local != 0 && !isMulticast(local) && !isBroadcast(local)) {
    const wrong = sourceError(nif, local);
    if (wrong < 0) return wrong;
    s.source = local;
  }
  s.routeKind = kind;
  s.routeDestination = address;
  s.routeGeneration = stack.routeGeneration;
  return 0;
}

/** Sets the interface, the next hop and the route's source. Groups go where IP_MULTICAST_IF or the address says. */
function findWay(s: UdpSocket, address: u32): i32 {
  const multicast = isMulticast(address);
  if (multicast || address == 0xffffffff) {
    let chosen: u32 = 0;
    if (multicast && s.extra != 0) chosen = changetype<SocketExtra>(s.extra).multicastIf;
    if (chosen > stack.netifCount) return -ENODEV;
    if (chosen == 0 && s.localAddress != 0) chosen = interfaceWith(s.localAddress);
    if (chosen != 0) {
      const nif = netifAt(chosen - 1);
      s.netif = u32(changetype<usize>(nif));
      s.nextHop = address;
      s.source = nif.address;
      return 0;
    }
  }
  if (!routeLookup(address)) return -ENETUNREACH;
  s.netif = u32(changetype<usize>(routeNetif));
  s.nextHop = routeNextHop;
  s.source = routeSource;
  return 0;
}

/** Number (from 1) of the interface with this address, or 0. */
function interfaceWith(address: u32): u32 {
  if (isLoopback(address)) return 1;
  for (let i: u32 = 0; i < stack.netifCount; i++) {
    if (netifAt(i).address == address) return i + 1;
  }
  return 0;
}

/** The way of datagrams that need several mbufs or fragments, and of those to groups. The route is known. */
function sendAny(s: UdpSocket, data: usize, length: u32, address: u32, port: u32, mtu: u32): i32 {
  const m = packetAlloc();
  if (m === null) return udpWait(s);
  m.dataLen = UDP_BYTES;
  m.pktLen = UDP_BYTES;
  if (length > 0) {
    const rest = packetAlloc();
    if (rest === null) {
      mbufFree(m);
      return udpWait(s);
    }
    mbufAttach(rest, u32(data), length);
    m.next = u32(changetype<usize>(rest));
    m.nbSegs = 2;
    m.pktLen = UDP_BYTES + length;
  }
  return sendPacket(s, m, length, address, port, mtu);
}

/** Sends a packet whose first mbuf has room for the UDP header, the others pointing at the payload. */
function sendPacket(s: UdpSocket, m: Mbuf, length: u32, address: u32, port: u32, mtu: u32): i32 {
  const nif = changetype<Netif>(s.netif);
  const p = usize(m.data);
  const size = UDP_BYTES + length;
  store<u32>(p, swap16(s.localPort) | (swap16(port) << 16));
  store<u32>(p, swap16(size), 4);
  const sum = pseudoSum(s.source, address, IPPROTO_UDP, size) + packetSum(m, p, size);
  store<u16>(p, u16(nonZero(checksum(sum))), UDP_CHECKSUM);
  const fits = size + IPV4_BYTES <= mtu;
  const discover = i32(s.pmtuDiscover);
  if (!fits && discover >= IP_PMTUDISC_DO && discover != IP_PMTUDISC_OMIT) {
    const error = tooLarge(s, m, mtu, address, port);
    mbufFree(m);
    return error;
  }
  if (fits && !packetOwn(m)) {
    mbufFree(m);
    return udpWait(s);
  }
  const ttl = ttlOf(s);
  if (s.routeKind != TO_UNICAST && loopsBack(s, nif, address)) {
    ipv4LoopCopy(m, nif, s.source, address, IPPROTO_UDP, s.tos, ttl);
  }
  // "If the TTL is 0 the datagram is not sent outside of the host" (RFC 1112 6.1)
  if (s.routeKind != TO_UNICAST && (nif.loopback || (s.routeKind == TO_MULTICAST && ttl == 0))) {
    mbufFree(m);
    count(MIB_UDP_OUT_DATAGRAMS);
    return length;
  }
  if (fits) return leave(s, m, nif, address, ttl, flagsOf(s, address, true), length);
  const flags = flagsOf(s, address, false);
  const sent = ipv4OutputSplit(m, nif, s.nextHop, s.source, address, IPPROTO_UDP, s.tos, ttl, flags, mtu);
  return sentOr(s, sent, length);
}

/** Broadcasts come back to this host, multicasts when IP_MULTICAST_LOOP is on and the group is joined. */
function loopsBack(s: UdpSocket, nif: Netif, address: u32): bool {
  if (s.routeKind == TO_BROADCAST) return true;
  if (s.extra != 0 && !changetype<SocketExtra>(s.extra).multicastLoop) return false;
  return multicastJoined(nif, address);
}

/** The socket forbids fragments: the MTU is told by the error queue too (ip(7), IP_MTU_DISCOVER). */
function tooLarge(s: UdpSocket, m: Mbuf, mtu: u32, address: u32, port: u32): i32 {
  if (s.flags & SF_RECVERR && m.next != 0) {
    const first = changetype<Mbuf>(m.next);
    errorQueuePush(s, EMSGSIZE, SO_EE_ORIGIN_LOCAL, 0, 0, mtu, 0, address, port, first.data, first.dataLen);
    socketNotify(s, EPOLLERR);
  }
  return -EMSGSIZE;
}

function leave(s: UdpSocket, m: Mbuf, nif: Netif, address: u32, ttl: u32, flags: u32, length: u32): i32 {
  const sent = ipv4Output(m, nif, s.nextHop, s.source, address, IPPROTO_UDP, s.tos, ttl, flags);
  return sentOr(s, sent, length);
}

/** Linux: a datagram that is lost in a queue below is lost on the way, unless the socket wants to know. */
function sentOr(s: UdpSocket, sent: i32, length: u32): i32 {
  if (sent == -ENOBUFS) {
    count(MIB_UDP_SNDBUF_ERRORS);
    return s.flags & SF_RECVERR ? -ENOBUFS : i32(length);
  }
  if (sent < 0) return sent;
  count(MIB_UDP_OUT_DATAGRAMS);
  return length;
}

function corkQueue(s: UdpSocket): ByteQueue {
  return changetype<ByteQueue>(changetype<usize>(s) + offsetof<UdpSocket>("corkHead"));
}

/** Drops what MSG_MORE held back. */
export function udpUncork(s: UdpSocket): void {
  queueClear(corkQueue(s));
  s.corkPort = 0;
}

/** Adds to the datagram that is held back, and sends it when no more follows (udp(7), UDP_CORK). */
function cork(s: UdpSocket, data: usize, length: u32, flags: i32, address: u32, port: u32): i32 {
  if (s.corkPort == 0) {
    if (port == 0 && address != 0) return -EINVAL;
    if (port == 0 && s.remotePort == 0) return -EDESTADDRREQ;
    s.corkAddress = port == 0 ? s.remoteAddress : address == 0 ? <u32>INADDR_LOOPBACK : address;
    s.corkPort = port == 0 ? u32(s.remotePort) : port;
  }
  let error = udpRoute(s, s.corkAddress);
  if (error == 0 && s.corkBytes + length > UDP_PAYLOAD_MAX) error = -EMSGSIZE;
  const before = s.corkBytes;
  if (error == 0 && queueAppend(corkQueue(s), data, length) < length) error = udpWait(s);
  if (error == 0 && !(flags & MSG_MORE)) error = sendCork(s);
  // For want of memory the call has done nothing: what came before waits for it to be repeated.
  if (error == -EAGAIN && before != 0) queueTrimTail(corkQueue(s), s.corkBytes - before);
  else if (error < 0) udpUncork(s);
  return error < 0 ? error : i32(length);
}

function sendCork(s: UdpSocket): i32 {
  const m = packetAlloc();
  if (m === null) return udpWait(s);
  m.dataLen = UDP_BYTES;
  m.pktLen = UDP_BYTES + s.corkBytes;
  let tail = m;
  for (let at = s.corkHead; at != 0; at = changetype<Chunk>(at).next) {
    const c = changetype<Chunk>(at);
    const segment = packetAlloc();
    if (segment === null) {
      mbufFree(m);
      return udpWait(s);
    }
    mbufAttach(segment, u32(chunkData(c)), c.length);
    tail.next = u32(changetype<usize>(segment));
    tail = segment;
    m.nbSegs++;
  }
  const mtu = mtuOf(s, changetype<Netif>(s.netif), s.corkAddress);
  const sent = sendPacket(s, m, s.corkBytes, s.corkAddress, s.corkPort, mtu);
  if (sent < 0) return sent;
  udpUncork(s);
  return 0;
}
