// UDP datagrams in: the checks, the socket they are for, its queue.
// Read first: RFC 768; RFC 1122 section 4.1; Linux net/ipv4/udp.c, compute_score(), for who gets a datagram.

import {
  EPOLLIN,
  IPPROTO_UDP,
  KIND_UDP,
  MIB_UDP_IN_CSUM_ERRORS,
  MIB_UDP_IN_DATAGRAMS,
  MIB_UDP_IN_ERRORS,
  MIB_UDP_MEM_ERRORS,
  MIB_UDP_NO_PORTS,
  MIB_UDP_RCVBUF_ERRORS,
  RX_L4_BAD,
  RX_L4_GOOD,
} from "../layout";
import { flowHash } from "../hash";
import { group } from "../steer/group";
import { udpElsewhere } from "../steer/hand-over";
import { Chunk, chunkData } from "../memory/chunk";
import { Mbuf } from "../memory/mbuf";
import { bindHead } from "../socket/bind";
import { socketNotify } from "../socket/notify";
import { SF_REUSEPORT, Socket } from "../socket/socket";
import { count } from "../stack";
import { swap16 } from "../wire/bytes";
import { fold, pseudoSum, sumBytes } from "../wire/checksum";
import { ICMP_UNREACHABLE, UNREACHABLE_PORT } from "../wire/icmp";
import { UDP_BYTES } from "../wire/udp";
import { icmpError } from "./icmp-output";
import { TO_UNICAST, inputHeader } from "./ipv4-input";
import { Netif } from "./netif";
import { contiguous, packetCopyOut, packetCopySum, packetSum } from "./packet";
import {
  DATAGRAM_HEADER,
  Datagram,
  RECORD_FULL,
  UdpSocket,
  recordAt,
  recordBytes,
  recordCancel,
  recordChunk,
  recordCommit,
  recordReserve,
  recordWrite,
} from "./udp-socket";

/** The datagram that is being delivered: what every queue that takes it notes. */
let nifIndex: u32 = 0;
let packet: Mbuf = changetype<Mbuf>(0);
let payload: usize = 0;
let payloadBytes: u32 = 0;
let peerAddress: u32 = 0;
let peerPort: u32 = 0;
let ownAddress: u32 = 0;
let tosTtl: u32 = 0;

/** Takes a UDP datagram of `length` bytes at `segment` in mbuf `m`. */
export function udpInput(
  nif: Netif,
  m: Mbuf,
  source: u32,
  destination: u32,
  segment: usize,
  length: u32,
  tos: u32,
  ttl: u32,
  kind: u32,
): void {
  if (length < UDP_BYTES || contiguous(m, segment) < UDP_BYTES) {
    count(MIB_UDP_IN_ERRORS);
    return;
  }
  const header = load<u64>(segment);
  const bytes = swap16(u32(header >> 32) & 0xffff);
  if (bytes < UDP_BYTES || bytes > length) {
    count(MIB_UDP_IN_ERRORS);
    return;
  }
  const flags = m.olFlags;
  // A checksum of zero: the sender computed none (RFC 768).
  const verify = header >> 48 != 0 && !(flags & RX_L4_GOOD);
  const sourcePort = swap16(u32(header) & 0xffff);
  const port = swap16(u32(header) >>> 16);
  nifIndex = nif.index;
  packet = m;
  payload = segment + UDP_BYTES;
  payloadBytes = bytes - UDP_BYTES;
  peerAddress = source;
  peerPort = sourcePort;
  ownAddress = destination;
  tosTtl = tos | (ttl << 8);
  if (flags & RX_L4_BAD && header >> 48 != 0) {
    badChecksum();
    return;
  }
  // Of everything but the payload, which is summed while it is copied.
  const sum = verify ? pseudoSum(source, destination, IPPROTO_UDP, bytes) + sumBytes(segment, UDP_BYTES) : 0;
  if (kind != TO_UNICAST) {
    toEverybody(port, verify, sum);
    return;
  }
  const s = find(port);
  if (group != 0) {
    const connected = s !== null && s.remotePort != 0;
    if (udpElsewhere(destination, source, (port << 16) | sourcePort, connected)) return;
  }
  if (s !== null) {
    if (enqueue(s, verify, sum)) socketNotify(s, EPOLLIN);
    return;
  }
  if (verify && fold(sum + packetSum(m, payload, payloadBytes)) != 0xffff) {
    badChecksum();
    return;
  }
  count(MIB_UDP_NO_PORTS);
  icmpError(inputHeader, segment, min(length, contiguous(m, segment)), ICMP_UNREACHABLE, UNREACHABLE_PORT, 0);
}

function badChecksum(): void {
  count(MIB_UDP_IN_CSUM_ERRORS);
  count(MIB_UDP_IN_ERRORS);
}

/** How well a socket fits the datagram: -1 not at all; connected to the sender beats bound to the address. */
function score(s: Socket, port: u32): i32 {
  if (s.kind != KIND_UDP || u32(s.localPort) != port) return -1;
  let points = 0;
  const local = s.localAddress;
  if (local != 0) {
    if (local != ownAddress) return -1;
    points = 4;
  }
  if (s.remotePort != 0) {
    if (s.remoteAddress != peerAddress || u32(s.remotePort) != peerPort) return -1;
    points += 8;
  }
  return points;
}

/** The socket that gets a unicast datagram, or null. Sockets that share a port by SO_REUSEPORT share the peers. */
function find(port: u32): UdpSocket | null {
  let best: usize = 0;
  let points = -1;
  let rivals: u32 = 0;
  let hash: u32 = 0;
  for (let at = bindHead(IPPROTO_UDP, port); at != 0; at = changetype<Socket>(at).bindNext) {
    const s = changetype<Socket>(at);
    const mine = score(s, port);
    if (mine < points || mine < 0) continue;
    if (mine > points) {
      points = mine;
      best = at;
      rivals = 1;
      continue;
    }
    // The first in the chain was bound last; without SO_REUSEPORT it wins, as in Linux.
    if (!(s.flags & SF_REUSEPORT) || !(changetype<Socket>(best).flags & SF_REUSEPORT)) continue;
    if (rivals == 1) hash = flowHash(ownAddress, peerAddress, peerPort | (port << 16));
    rivals++;
    hash = hash * 1664525 + 1013904223;
    if (u32((u64(hash) * u64(rivals)) >> 32) == 0) best = at;
  }
  return best == 0 ? null : changetype<UdpSocket>(best);
}

/** Broadcasts and multicasts go to every socket that fits. */
function toEverybody(port: u32, verify: bool, sum: u64): void {
  if (verify && fold(sum + packetSum(packet, payload, payloadBytes)) != 0xffff) {
    badChecksum();
    return;
  }
  let takers: u32 = 0;
  let at = bindHead(IPPROTO_UDP, port);
  while (at != 0) {
    const s = changetype<UdpSocket>(at);
    at = s.bindNext;
    if (score(s, port) < 0) continue;
    takers++;
    if (enqueue(s, false, 0)) socketNotify(s, EPOLLIN);
  }
  if (takers == 0) count(MIB_UDP_NO_PORTS);
}

/** Puts the datagram into a socket's queue; false when it was dropped (counted). */
function enqueue(s: UdpSocket, verify: bool, sum: u64): bool {
  const bytes = recordBytes(payloadBytes);
  const failed = recordReserve(s, bytes);
  if (failed) {
    count(failed == RECORD_FULL ? MIB_UDP_RCVBUF_ERRORS : MIB_UDP_MEM_ERRORS);
    count(MIB_UDP_IN_ERRORS);
    return false;
  }
  const whole = recordAt != 0;
  const d = changetype<Datagram>(whole ? recordAt : chunkData(changetype<Chunk>(recordChunk)));
  if (whole && verify) {
    sum += packetCopySum(packet, payload, recordAt + DATAGRAM_HEADER, payloadBytes);
  } else if (whole) {
    packetCopyOut(packet, payload, 0, recordAt + DATAGRAM_HEADER, payloadBytes);
  } else {
    if (verify) sum += packetSum(packet, payload, payloadBytes);
    copyToChunks();
  }
  if (verify && fold(sum) != 0xffff) {
    recordCancel();
    badChecksum();
    return false;
  }
  d.address = peerAddress;
  d.port = u16(peerPort);
  d.tos = u8(tosTtl);
  d.ttl = u8(tosTtl >>> 8);
  d.length = payloadBytes;
  d.destination = ownAddress;
  d.netif = nifIndex;
  recordCommit(s, bytes);
  count(MIB_UDP_IN_DATAGRAMS);
  return true;
}

/** A large datagram without a large chunk: mbuf by mbuf into the small ones. */
function copyToChunks(): void {
  let m = packet;
  let p = payload;
  let done: u32 = 0;
  while (done < payloadBytes) {
    const n = min(payloadBytes - done, contiguous(m, p));
    recordWrite(DATAGRAM_HEADER + done, p, n);
    done += n;
    if (done == payloadBytes) return;
    m = changetype<Mbuf>(m.next);
    p = m.data;
  }
}
