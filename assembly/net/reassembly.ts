// Reassembly: fragments are gathered in a large chunk each, within limits, and delivered as one packet.
// Limits: contexts (CFG_REASSEMBLIES; the oldest makes room), a quarter of the large chunks, RANGES_MAX gaps, 64 KiB,
// SYSCTL_IPFRAG_TIME. An overlap ends the whole datagram (RFC 5722 for IPv6; Linux does the same for IPv4).
// Read first: RFC 791 section 3.2 ("An Example Reassembly Procedure"); RFC 815; RFC 1858 and 3128 (tiny fragments).

import {
  CFG_REASSEMBLIES,
  IPPROTO_TCP,
  KIND_TIMER_REASSEMBLY,
  MIB_IP_REASM_FAILS,
  MIB_IP_REASM_OKS,
  MIB_IP_REASM_REQDS,
  MIB_IP_REASM_TIMEOUT,
  POOL_CHUNK_LARGE,
  POOL_REASSEMBLY,
  SYSCTL_IPFRAG_TIME,
} from "../layout";
import { flowHash } from "../hash";
import { Mbuf } from "../memory/mbuf";
import { Pool, poolAlloc, poolFree } from "../memory/pool";
import { count, nowMillis, poolAt, stack, sysctl } from "../stack";
import { Timer, timerArm, timerCancel } from "../timer";
import { checksum } from "../wire/checksum";
import { get16, put16 } from "../wire/bytes";
import { EXCEEDED_REASSEMBLY, ICMP_TIME_EXCEEDED } from "../wire/icmp";
import {
  FRAGMENT_MF,
  FRAGMENT_OFFSET,
  IPV4_BYTES,
  IPV4_CHECKSUM,
  IPV4_FRAGMENT,
  IPV4_ID,
  IPV4_PROTOCOL,
  IPV4_TOTAL,
  IPV4_TOTAL_MAX,
  IPV4_TTL,
  headerSum,
} from "../wire/ipv4";
import { icmpError } from "./icmp-output";
import { deliver } from "./ipv4-input";
import { Netif, netifAt } from "./netif";
import { packetCopyOut } from "./packet";
import { group } from "../steer/group";
import { handOverWhole, steerEnd, steerKeep } from "../steer/hand-over";

/** Separate runs of bytes that one datagram may have: what the worst order of fragments of 576 bytes makes. */
const RANGES_MAX: u32 = 64;
/** Payload stands behind the words of the pool in its chunk. */
const PAYLOAD_AT: usize = 16;
/** RFC 1858 section 4.2: a TCP fragment that begins before this byte, but not at 0, hides the header's flags. */
const TCP_TINY_BYTES: u32 = 16;

@unmanaged
class Reassembly extends Timer {
  source: u32;
  destination: u32;
  /** Next context of the bucket. */
  hashNext: u32;
  /** Contexts in order of age. */
  older: u32;
  newer: u32;
  /** The large chunk with the payload. */
  chunk: u32;
  /** Bytes of payload of the whole datagram, 0 until the last fragment is there. */
  total: u32;
  /** End of the furthest fragment so far. */
  reach: u32;
  /** Runs of received bytes. */
  rangeCount: u32;
  id: u16;
  protocol: u8;
  tos: u8;
  /** ECN codepoints seen, a bit for each (RFC 3168 5.3). */
  ecn: u8;
  ttl: u8;
  netif: u8;
  /** What the destination is (TO_*). */
  destinationKind: u8;
  /** Header of the first fragment (20 bytes, without options), version 0 until it is there. */
  header: u32;
}

const HEADER_AT: u32 = offsetof<Reassembly>("header");
const RANGES_AT: u32 = HEADER_AT + IPV4_BYTES;
/** Bytes of an element of POOL_REASSEMBLY; ranges are two 32-bit words {start, end}. */
export const REASSEMBLY_BYTES: u32 = (RANGES_AT + RANGES_MAX * 8 + 7) & ~7;

/** Offsets in the memory of this part. */
const BUCKETS: u32 = 256;
const COUNT: usize = 0;
const OLDEST: usize = 4;
const NEWEST: usize = 8;
const PACKET_AT: u32 = 64; // the mbuf that delivers a datagram
const BUCKETS_AT: u32 = 128;

let base: usize = 0;
let chunks: Pool = changetype<Pool>(0);
let contexts: Pool = changetype<Pool>(0);

/** Bytes of the table of contexts; the contexts themselves are a pool (REASSEMBLY_BYTES each). */
export function reassemblyBytes(_cfg: usize): u32 {
  return BUCKETS_AT + BUCKETS * 4;
}

/** Elements of POOL_REASSEMBLY that a configuration asks for. */
export function reassemblyCapacity(cfg: usize): u32 {
  return max<u32>(load<u32>(cfg + CFG_REASSEMBLIES * 4), 1);
}

/** Prepares an empty table at `at`. */
export function reassemblyInit(at: usize, cfg: usize): void {
  memory.fill(at, 0, reassemblyBytes(cfg));
  stack.reassembly = u32(at);
  reassemblyAttach(at);
}

/** Points this instance at its table. */
export function reassemblyAttach(at: usize): void {
  base = at;
  chunks = poolAt(POOL_CHUNK_LARGE);
  contexts = poolAt(POOL_REASSEMBLY);
}

/** Datagrams that wait for fragments. */
export function reassemblyCount(): u32 {
  return load<u32>(base, COUNT);
}

/** Takes a fragment (header at `p`, checked); delivers the datagram when it is whole. The caller frees `m`. */
export function reassemblyInput(
  nif: Netif,
  m: Mbuf,
  p: usize,
  headerBytes: u32,
  total: u32,
  source: u32,
  destination: u32,
  tos: u32,
  kind: u32,
): void {
  count(MIB_IP_REASM_REQDS);
  const field = get16(p + IPV4_FRAGMENT);
  const start = (field & FRAGMENT_OFFSET) << 3;
  const length = total - headerBytes;
  const end = start + length;
  const more = (field & FRAGMENT_MF) != 0;
  const protocol = u32(load<u8>(p, IPV4_PROTOCOL));
  // Lengths that lie: nothing, no multiple of 8 before the end, beyond the largest datagram ("ping of death").
  const bad = length == 0 || (more && (length & 7) != 0) || end > IPV4_TOTAL_MAX - IPV4_BYTES;
  if (bad || (protocol == IPPROTO_TCP && start > 0 && start < TCP_TINY_BYTES)) {
    count(MIB_IP_REASM_FAILS);
    return;
  }
  const id = u32(load<u16>(p, IPV4_ID));
  let r = find(source, destination, id, protocol);
  if (r === null) r = create(nif, source, destination, id, protocol, kind);
  if (r === null) {
    count(MIB_IP_REASM_FAILS);
    return;
  }
  if (!fits(r, start, end, more)) {
    abandon(r);
    return;
  }
  if (rangeCovers(r, start, end)) return; // a duplicate
  if (!rangeAdd(r, start, end)) {
    abandon(r);
    return;
  }
  packetCopyOut(m, p, headerBytes, usize(r.chunk) + PAYLOAD_AT + start, length);
  r.ecn |= u8((<u32>1) << (tos & 3));
  if (!more) r.total = end;
  if (end > r.reach) r.reach = end;
  if (start == 0) {
    memory.copy(changetype<usize>(r) + HEADER_AT, p, IPV4_BYTES);
    r.tos = u8(tos);
    r.ttl = load<u8>(p, IPV4_TTL);
  }
  if (r.total != 0 && r.rangeCount == 1 && rangeEnd(r, 0) == r.total && rangeStart(r, 0) == 0) complete(r);
}

/** Does the fragment agree with what is known of the length of its datagram? */
function fits(r: Reassembly, start: u32, end: u32, more: bool): bool {
  if (!more) return r.total == 0 ? end >= r.reach : end == r.total;
  return r.total == 0 || end <= r.total;
}

function rangeStart(r: Reassembly, i: u32): u32 {
  return load<u32>(changetype<usize>(r) + RANGES_AT + (i << 3));
}

function rangeEnd(r: Reassembly, i: u32): u32 {
  return load<u32>(changetype<usize>(r) + RANGES_AT + (i << 3), 4);
}

function rangeSet(r: Reassembly, i: u32, start: u32, end: u32): void {
  const at = changetype<usize>(r) + RANGES_AT + (i << 3);
  store<u32>(at, start);
  store<u32>(at, end, 4);
}

/** Are all these bytes there already? */
function rangeCovers(r: Reassembly, start: u32, end: u32): bool {
  for (let i: u32 = 0; i < r.rangeCount; i++) {
    if (start >= rangeStart(r, i) && end <= rangeEnd(r, i)) return true;
  }
  return false;
}

/** Adds a run to the sorted ones, joined with its neighbours; false: it overlaps one, or there are too many. */
function rangeAdd(r: Reassembly, start: u32, end: u32): bool {
  const n = r.rangeCount;
  let i: u32 = 0;
  while (i < n && rangeEnd(r, i) < start) i++;
  // Range i is the first that does not end before the new one begins.
  if (i < n && rangeEnd(r, i) == start) {
    if (i + 1 < n && rangeStart(r, i + 1) < end) return false;
    const joins = i + 1 < n && rangeStart(r, i + 1) == end;
    rangeSet(r, i, rangeStart(r, i), joins ? rangeEnd(r, i + 1) : end);
    if (joins) rangeRemove(r, i + 1);
    return true;
  }
  if (i < n && rangeStart(r, i) < end) return false;
  if (i < n && rangeStart(r, i) == end) {
    rangeSet(r, i, start, rangeEnd(r, i));
    return true;
  }
  if (n == RANGES_MAX) return false;
  const at = changetype<usize>(r) + RANGES_AT + (i << 3);
  memory.copy(at + 8, at, (n - i) << 3);
  rangeSet(r, i, start, end);
  r.rangeCount = n + 1;
  return true;
}

function rangeRemove(r: Reassembly, i: u32): void {
  const at = changetype<usize>(r) + RANGES_AT + (i << 3);
  memory.copy(at, at + 8, (r.rangeCount - i - 1) << 3);
  r.rangeCount--;
}

function bucketOf(source: u32, destination: u32, id: u32, protocol: u32): usize {
  return base + BUCKETS_AT + ((flowHash(source, destination, id | (protocol << 16)) & (BUCKETS - 1)) << 2);
}

function find(source: u32, destination: u32, id: u32, protocol: u32): Reassembly | null {
  let at = load<u32>(bucketOf(source, destination, id, protocol));
  while (at != 0) {
    const r = changetype<Reassembly>(at);
    if (u32(r.id) == id && r.source == source && r.destination == destination && u32(r.protocol) == protocol) return r;
    at = r.hashNext;
  }
  return null;
}

/** A new context with its chunk; the oldest makes room when a limit is reached. */
function create(nif: Netif, source: u32, destination: u32, id: u32, protocol: u32, kind: u32): Reassembly | null {
  const most = min(contexts.capacity, max<u32>(chunks.capacity >>> 2, 1));
  while (load<u32>(base, COUNT) >= most && load<u32>(base, OLDEST) != 0) {
    abandon(changetype<Reassembly>(load<u32>(base, OLDEST)));
  }
  const chunk = poolAlloc(chunks);
  if (chunk == 0) return null;
  const at = poolAlloc(contexts);
  if (at == 0) {
    poolFree(chunks, chunk);
    return null;
  }
  memory.fill(at, 0, RANGES_AT);
  const r = changetype<Reassembly>(at);
  r.fd = -1;
  r.kind = u8(KIND_TIMER_REASSEMBLY);
  r.source = source;
  r.destination = destination;
  r.id = u16(id);
  r.protocol = u8(protocol);
  r.chunk = u32(chunk);
  r.netif = u8(nif.index);
  r.destinationKind = u8(kind);
  const bucket = bucketOf(source, destination, id, protocol);
  r.hashNext = load<u32>(bucket);
  store<u32>(bucket, u32(at));
  const newest = load<u32>(base, NEWEST);
  r.older = newest;
  if (newest != 0) changetype<Reassembly>(newest).newer = u32(at);
  else store<u32>(base, u32(at), OLDEST);
  store<u32>(base, u32(at), NEWEST);
  store<u32>(base, load<u32>(base, COUNT) + 1, COUNT);
  timerArm(r, nowMillis + sysctl(SYSCTL_IPFRAG_TIME));
  return r;
}

/** Takes a context out of the table and gives its memory back. */
function remove(r: Reassembly): void {
  timerCancel(r);
  const self = u32(changetype<usize>(r));
  let link = bucketOf(r.source, r.destination, r.id, r.protocol);
  while (load<u32>(link) != self) link = usize(load<u32>(link)) + offsetof<Reassembly>("hashNext");
  store<u32>(link, r.hashNext);
  if (r.older != 0) changetype<Reassembly>(r.older).newer = r.newer;
  else store<u32>(base, r.newer, OLDEST);
  if (r.newer != 0) changetype<Reassembly>(r.newer).older = r.older;
  else store<u32>(base, r.older, NEWEST);
  store<u32>(base, load<u32>(base, COUNT) - 1, COUNT);
  poolFree(chunks, r.chunk);
  poolFree(contexts, self);
}

function abandon(r: Reassembly): void {
  count(MIB_IP_REASM_FAILS);
  remove(r);
}

/** Delivers a datagram that is whole: one packet over the chunk. */
function complete(r: Reassembly): void {
  const congestion = r.ecn >>> 3 != 0;
  // RFC 3168 5.3: not-ECT beside CE is a forgery; CE in any fragment marks the datagram.
  if (congestion && r.ecn & 1) {
    abandon(r);
    return;
  }
  const tos = u32(r.tos) | (congestion ? 3 : 0);
  const header = changetype<usize>(r) + HEADER_AT;
  store<u8>(header, 0x45);
  put16(header + IPV4_TOTAL, IPV4_BYTES + r.total);
  store<u16>(header, 0, IPV4_FRAGMENT);
  store<u16>(header, 0, IPV4_CHECKSUM);
  store<u16>(header, u16(checksum(headerSum(header))), IPV4_CHECKSUM);
  const payload = u32(r.chunk) + u32(PAYLOAD_AT);
  const m = changetype<Mbuf>(base + PACKET_AT);
  m.next = 0;
  m.data = payload;
  m.dataLen = r.total;
  m.pktLen = r.total;
  m.nbSegs = 1;
  m.olFlags = 0;
  count(MIB_IP_REASM_OKS);
  deliver(
    netifAt(r.netif),
    m,
    header,
    payload,
    r.total,
    r.source,
    r.destination,
    r.protocol,
    tos,
    r.ttl,
    r.destinationKind,
  );
  if (group != 0 && steerEnd()) {
    handOverWhole(r.netif, header, m);
    steerKeep();
  }
  remove(r);
}

/** The time is up (RFC 1122 3.3.2): the sender is told, when there is a first fragment to quote. */
export function reassemblyTimer(t: Timer): void {
  const r = changetype<Reassembly>(changetype<usize>(t));
  count(MIB_IP_REASM_TIMEOUT);
  const header = changetype<usize>(r) + HEADER_AT;
  if (load<u8>(header) != 0) {
    store<u8>(header, 0x45);
    const held = rangeEnd(r, 0);
    put16(header + IPV4_TOTAL, IPV4_BYTES + held);
    icmpError(header, usize(r.chunk) + PAYLOAD_AT, held, ICMP_TIME_EXCEEDED, EXCEEDED_REASSEMBLY, 0);
  }
  abandon(r);
}
