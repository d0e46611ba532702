// What a NIC does with a frame that reaches it: address filter, queue choice, one copy into its own mbufs, checksums.
// It runs on the sender's thread. Read first: DPDK "Poll Mode Driver"; port.ts.

import {
  CAP_RX_CSUM,
  CAP_RX_LRO,
  CAP_VLAN,
  IPPROTO_TCP,
  IPPROTO_UDP,
  MBUF_DATA_ROOM,
  MBUF_HEADER,
  MBUF_HEADROOM,
  PACKET_BYTES_MAX,
  PORT_DROP_DOWN,
  PORT_DROP_FILTERED,
  PORT_DROP_MISSED,
  PORT_DROP_NOMBUF,
  PORT_DROP_OVERSIZE,
  PORT_IP_BAD,
  PORT_L4_BAD,
  PORT_PROMISCUOUS,
  PORT_RETA,
  RSS_IPV4,
  RSS_TCP_IPV4,
  RSS_UDP_IPV4,
  RX_IP_BAD,
  RX_IP_GOOD,
  RX_L4_BAD,
  RX_L4_GOOD,
  RX_LRO,
  RX_RSS_HASH,
  RX_VLAN_STRIPPED,
  RXQ_BYTES,
  TX_TSO,
} from "../../assembly/layout";
import { copyBytes } from "../../assembly/memory/copy";
import { Mbuf } from "../../assembly/memory/mbuf";
import { poolFree, poolFreeUpTo } from "../../assembly/memory/pool";
import { fold } from "../../assembly/wire/checksum";
import {
  Burst,
  burstFrame,
  Lane,
  laneIsOpen,
  laneMakeRoom,
  laneOpen,
  lanePut,
  laneTake,
  laneTo,
  queueIsStalled,
  VIEW_STRIPPED,
} from "./burst";
import { captureDelivered } from "./capture";
import { copyFrame, finishChecksums, frameNeedsSum, ipHeaderSum, l4IsGood } from "./copy";
import { directorCount, directorFind } from "./director";
import { Frame, frameParse, frameRetag, frameTci } from "./frame";
import { Port, portCount, portIsUp, RxQueue, rxPool } from "./port";
import { retaIndex, rssHashAddresses, rssHashPorts, rssHashTuple } from "./rss";

/** What became of a frame: the sender may forget it, or must keep it because its receiver has no room. */
export const TAKEN: i32 = 0;
export const DROPPED: i32 = 1;
export const BUSY: i32 = 2;

const MAC_MASK: u64 = 0xffffffffffff;

/** Takes a frame at the burst's time. TAKEN, DROPPED (counted), or BUSY when it may block. */
export function receive(p: Port, frame: Frame, b: Burst): i32 {
  let f = frame;
  const target = load<u64>(f.head) & MAC_MASK;
  if (target != p.mac && !accepts(p, target)) return drop(p, PORT_DROP_FILTERED);
  if (!portIsUp(p)) return drop(p, PORT_DROP_DOWN);
  if (f.len > p.frameMax && !acceptsLarge(p, f)) return drop(p, PORT_DROP_OVERSIZE);
  let tci: i32 = -1;
  if ((p.caps & CAP_VLAN) != 0) {
    tci = frameTci(f);
    if (tci >= 0) {
      f = burstFrame(b, VIEW_STRIPPED);
      frameRetag(f, frame, -1);
    }
  }
  const q = steer(p, f, b);
  const lane = laneTo(b, q);
  if (!laneIsOpen(lane, q)) laneOpen(b, lane, q);
  if (lane.count == lane.limit && !laneMakeRoom(lane, q, 1)) return full(p, q, PORT_DROP_MISSED, b);
  const m = takeMbufs(lane, q, f.len, b.remaining);
  if (m == 0) return full(p, q, PORT_DROP_NOMBUF, b);
  deliver(p, q, f, changetype<Mbuf>(m), tci);
  lanePut(lane, u32(m));
  const capture = p.capture;
  if (capture != 0) captureDelivered(capture, p, q, changetype<Mbuf>(m), b);
  return TAKEN;
}

/** True when `frames` frames like `f`, of `mbufs` mbufs each, find room now; for a packet that is sent as several. */
export function receiveHasRoom(p: Port, f: Frame, b: Burst, frames: u32, mbufs: u32): bool {
  const q = steer(p, f, b);
  // More than the port ever holds cannot wait for room.
  if (frames > q.size || frames * mbufs > p.mbufs) return true;
  const lane = laneTo(b, q);
  if (!laneIsOpen(lane, q)) laneOpen(b, lane, q);
  return laneMakeRoom(lane, q, frames) && poolFreeUpTo(rxPool(q), frames * mbufs) >= frames * mbufs;
}

/** The queue on which a packet with this tuple (host order; source = the peer) arrives. */
export function receiveQueue(
  p: Port,
  protocol: u32,
  sourceIp: u32,
  destinationIp: u32,
  sourcePort: u32,
  destinationPort: u32,
): u32 {
  if (p.queues == 1) return 0;
  const ports = (sourcePort << 16) | (destinationPort & 0xffff);
  if (directorCount(p.director) != 0) {
    const queue = directorFind(p.director, protocol, sourceIp, destinationIp, ports);
    if (queue >= 0) return u32(queue);
  }
  const type = protocol == IPPROTO_TCP ? RSS_TCP_IPV4 : protocol == IPPROTO_UDP ? RSS_UDP_IPV4 : 0;
  const withPorts = (p.rssTypes & type) != 0;
  if (!withPorts && (p.rssTypes & RSS_IPV4) == 0) return 0;
  const hash = rssHashTuple(p.rssTable, sourceIp, destinationIp, sourcePort, destinationPort & 0xffff, withPorts);
  return u32(load<u8>(changetype<usize>(p) + PORT_RETA + retaIndex(hash)));
}

/** Beside its own address: every group address, and in promiscuous mode everything. */
function accepts(p: Port, target: u64): bool {
  return (target & 1) != 0 || (p.flags & PORT_PROMISCUOUS) != 0;
}

/** A packet that TSO left whole is longer than the MTU allows. */
function acceptsLarge(p: Port, f: Frame): bool {
  return (f.flags & TX_TSO) != 0 && (p.caps & CAP_RX_LRO) != 0 && f.len <= <u32>PACKET_BYTES_MAX;
}

function drop(p: Port, reason: u32): i32 {
  portCount(p, reason);
  return DROPPED;
}

/** No room: stop the sender, unless the receiver has been asleep for too long (a PFC watchdog does the same). */
function full(p: Port, q: RxQueue, reason: u32, b: Burst): i32 {
  if (q.size == 0) return drop(p, PORT_DROP_DOWN);
  return b.mayBlock != 0 && !queueIsStalled(b, q) ? BUSY : drop(p, reason);
}

/** The RX queue for a frame: by the director, then by RSS; what neither knows goes to the first queue that is open. */
function steer(p: Port, f: Frame, b: Burst): RxQueue {
  let queue: u32 = 0;
  f.rss = 0;
  f.rssFlags = 0;
  if (p.parses != 0 && f.parsed == 0) frameParse(f);
  if (p.hashes != 0 && f.l3 != 0) {
    const type: u32 = f.l4 == 0 ? 0 : f.protocol == IPPROTO_TCP ? RSS_TCP_IPV4 : RSS_UDP_IPV4;
    if ((p.rssTypes & (type | RSS_IPV4)) != 0) {
      let hash = hashAddresses(p, usize(f.head) + f.l3 + 12, b);
      if ((p.rssTypes & type) != 0) hash ^= rssHashPorts(p.rssTable, usize(f.head) + f.l4);
      f.rss = hash;
      f.rssFlags = RX_RSS_HASH;
      queue = u32(load<u8>(changetype<usize>(p) + PORT_RETA + retaIndex(hash)));
    }
    if (f.l4 != 0 && directorCount(p.director) != 0) queue = direct(p, f, queue);
  }
  const q = changetype<RxQueue>(p.rxQueues + queue * RXQ_BYTES);
  return q.size != 0 || f.rssFlags != 0 ? q : firstOpen(p, q);
}

/** A host whose first stack is dead still answers ARP: `closed`, or the first queue that somebody serves. */
function firstOpen(p: Port, closed: RxQueue): RxQueue {
  for (let i: u32 = 0; i < p.queues; i++) {
    const q = changetype<RxQueue>(p.rxQueues + i * RXQ_BYTES);
    if (q.size != 0) return q;
  }
  return closed;
}

/** What the addresses at `at` add to the hash; frames of a burst often have the same. */
function hashAddresses(p: Port, at: usize, b: Burst): u32 {
  const addresses = load<u64>(at);
  const port = u32(changetype<usize>(p));
  if (b.rssPort != port || b.rssAddresses != addresses) {
    b.rssPort = port;
    b.rssAddresses = addresses;
    b.rssPart = rssHashAddresses(p.rssTable, at);
  }
  return b.rssPart;
}

function direct(p: Port, f: Frame, otherwise: u32): u32 {
  const ip = usize(f.head) + f.l3;
  const source = bswap<u32>(load<u32>(ip, 12));
  const destination = bswap<u32>(load<u32>(ip, 16));
  const ports = bswap<u32>(load<u32>(usize(f.head) + f.l4));
  const queue = directorFind(p.director, f.protocol, source, destination, ports);
  return queue >= 0 ? u32(queue) : otherwise;
}

/** A chain of mbufs for `length` bytes, linked, or 0. `frames`: how many such frames may follow. */
function takeMbufs(lane: Lane, q: RxQueue, length: u32, frames: u32): usize {
  let left = length <= <u32>MBUF_DATA_ROOM ? 1 : (length + MBUF_DATA_ROOM - 1) / MBUF_DATA_ROOM;
  let chain: usize = 0;
  do {
    const element = laneTake(lane, q, max(left, frames));
    if (element == 0) {
      giveChain(q, chain);
      return 0;
    }
    store<u32>(element, u32(chain));
    chain = element;
  } while (--left != 0);
  return chain;
}

function giveChain(q: RxQueue, chain: usize): void {
  while (chain != 0) {
    const next = load<u32>(chain);
    poolFree(rxPool(q), chain);
    chain = next;
  }
}

/** Copies the frame into its mbufs and writes the descriptor. */
function deliver(p: Port, q: RxQueue, f: Frame, m: Mbuf, tci: i32): void {
  const length = f.len;
  const data = changetype<usize>(m) + MBUF_HEADER + MBUF_HEADROOM;
  m.data = u32(data);
  m.dataLen = length;
  m.pktLen = length;
  m.pool = u32(changetype<usize>(rxPool(q)));
  m.rssHash = f.rss;
  m.nbSegs = 1;
  m.port = u16(p.index);
  // The small fields, word by word: vlanTci, l2Len, l3Len; l4Len, queue, tsoMss.
  store<u32>(changetype<usize>(m), tci < 0 ? 0 : u32(tci), offsetof<Mbuf>("vlanTci"));
  store<u32>(changetype<usize>(m), q.index << 8, offsetof<Mbuf>("l4Len"));
  let flags = f.rssFlags;
  if (tci >= 0) flags |= RX_VLAN_STRIPPED;
  if ((f.flags | (p.caps & CAP_RX_CSUM) | m.next) == 0) {
    if (f.rest == 0) copyBytes(data, f.head, length);
    else copyFrame(f, data, 0, length, false);
  } else {
    flags |= deliverSummed(p, q, f, m, data);
  }
  m.olFlags = flags;
}

/**
 * The copy for a frame that needs a chain, a checksum computed, or its checksums verified. Returns RX_*_GOOD, RX_*_BAD,
 * RX_LRO.
 */
function deliverSummed(p: Port, q: RxQueue, f: Frame, m: Mbuf, data: usize): u32 {
  if (m.next != 0) describeChain(q, m, f.len);
  if (f.parsed == 0) frameParse(f);
  const verifies = (p.caps & CAP_RX_CSUM) != 0;
  let sum = copyFrame(f, data, changetype<usize>(m), MBUF_DATA_ROOM, frameNeedsSum(f, verifies));
  let flags: u32 = 0;
  if (f.flags != 0) {
    sum = finishChecksums(f, data, sum);
    if ((f.flags & TX_TSO) != 0) {
      m.tsoMss = u16(f.mss);
      flags = RX_LRO;
    }
  }
  return verifies && f.l3 != 0 ? flags | verify(p, f, data, sum) : flags;
}
if (
  offsetof<Mbuf>("l2Len") != offsetof<Mbuf>("vlanTci") + 2 ||
  offsetof<Mbuf>("queue") != offsetof<Mbuf>("l4Len") + 1
) {
  ERROR("Mbuf layout");
}

/** Fills in the headers of a chain's segments. */
function describeChain(q: RxQueue, first: Mbuf, length: u32): void {
  let left = length;
  let segments: u16 = 0;
  for (let at = u32(changetype<usize>(first)); at != 0; at = changetype<Mbuf>(at).next) {
    const s = changetype<Mbuf>(at);
    const n = min<u32>(left, MBUF_DATA_ROOM);
    s.data = at + MBUF_HEADER + MBUF_HEADROOM;
    s.dataLen = n;
    s.nbSegs = 1;
    s.olFlags = 0;
    s.pool = u32(changetype<usize>(rxPool(q)));
    left -= n;
    segments++;
  }
  first.nbSegs = segments;
}

/** RX_IP_* and RX_L4_* for a delivered IPv4 frame whose L4 part has this sum. */
function verify(p: Port, f: Frame, data: usize, sum: u64): u32 {
  const ip = data + f.l3;
  let flags: u32 = RX_IP_GOOD;
  if (fold(ipHeaderSum(ip, f.l4Start - f.l3)) != 0xffff) {
    flags = RX_IP_BAD;
    portCount(p, PORT_IP_BAD);
  }
  if (f.l4 == 0) return flags;
  if (f.protocol == IPPROTO_UDP) {
    // No checksum (RFC 768), or a length that is not the datagram's: for the stack to judge.
    if (load<u16>(data + f.l4, 6) == 0) return flags;
    const length = u32(load<u16>(data + f.l4, 4));
    if (((length >>> 8) | ((length & 255) << 8)) != f.end - f.l4) return flags;
  }
  if (l4IsGood(ip, f.protocol, f.end - f.l4, sum)) return flags | RX_L4_GOOD;
  portCount(p, PORT_L4_BAD);
  return flags | RX_L4_BAD;
}
