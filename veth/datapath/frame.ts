// A frame on its way, as a view: contiguous headers, then the rest in a chain of mbufs; and what the headers say.
// Every frame is hostile: frameParse() checks the bounds once, and only what it found is used afterwards.

import { IPPROTO_TCP, IPPROTO_UDP, TX_IP_CSUM, TX_L4_CSUM, TX_TSO, TX_VLAN_INSERT } from "../../assembly/layout";
import { Mbuf } from "../../assembly/memory/mbuf";

/** All work that a sender can leave to the NIC. */
export const TX_WORK: u32 = TX_L4_CSUM | TX_IP_CSUM | TX_TSO | TX_VLAN_INSERT;
/** Longest headers that are looked at: Ethernet, one tag, IPv4 and TCP with full options. */
export const HEADERS_MAX: u32 = 18 + 60 + 60;
/** Ethernet header without tags. */
export const ETHER_BYTES: u32 = 14;
/** Shortest frame with TCP over IPv4 without options. */
const PLAIN_TCP: u32 = ETHER_BYTES + 40;
/** 802.1Q and IPv4 ethertypes as they lie in memory. */
const TYPE_VLAN: u32 = 0x0081;
const TYPE_IPV4: u32 = 0x0008;

@unmanaged
export class Frame {
  /** Address of the first byte; at least the headers are contiguous (frameParse sees to it). */
  head: u32;
  headLen: u32;
  /** Mbuf that holds what follows, from byte `restOffset` of its data; 0 = nothing follows. */
  rest: u32;
  restOffset: u32;
  /** Bytes of the whole frame. */
  len: u32;
  /** TX_* work that is left to do. */
  flags: u32;
  /** Payload bytes of each segment, when `flags` has TX_TSO. */
  mss: u32;
  /** Mbuf whose data `head` points to, or 0 when it is the buffer behind this structure. */
  owner: u32;
  /** Not 0: the fields below are valid. */
  parsed: u32;
  /** Offset of the IPv4 header, 0 = not IPv4. */
  l3: u32;
  /** Offset of what follows the IPv4 header. */
  l4Start: u32;
  /** Offset of a TCP or UDP header that is there in full, 0 = none (a fragment, another protocol). */
  l4: u32;
  /** Offset of the first byte behind the datagram: padding may follow. */
  end: u32;
  protocol: u32;
  /** The RSS hash, and RX_RSS_HASH when there is one: see steer() in receive.ts. */
  rss: u32;
  rssFlags: u32;
}
const BUFFER: u32 = 64;
/** A view and its buffer for headers that had to be gathered or changed. */
export const FRAME_BYTES: u32 = BUFFER + 160;
if (offsetof<Frame>() > BUFFER || FRAME_BYTES - BUFFER < HEADERS_MAX + 4) ERROR("Frame layout");

/** Views a packet of the stack; frameIsWhole() says whether it may be used. */
export function frameOf(f: Frame, m: Mbuf): void {
  f.head = m.data;
  f.headLen = m.dataLen;
  f.rest = m.next;
  f.restOffset = 0;
  f.len = m.pktLen;
  f.flags = m.olFlags & TX_WORK;
  f.owner = u32(changetype<usize>(m));
  f.parsed = 0;
  f.l4 = 0;
}

/** False when the packet does not hold what its head says, or is no frame at all. */
export function frameIsWhole(f: Frame): bool {
  if (f.len < ETHER_BYTES) return false;
  return f.rest == 0 ? f.len <= f.headLen : chainIsWhole(f);
}

function chainIsWhole(f: Frame): bool {
  let bytes = f.headLen;
  for (let at = f.rest; at != 0 && bytes < f.len; at = changetype<Mbuf>(at).next) {
    bytes += changetype<Mbuf>(at).dataLen;
  }
  if (bytes < f.len) return false;
  if (f.headLen < ETHER_BYTES) frameGather(f);
  return true;
}

/** The view's own buffer. */
export function frameBuffer(f: Frame): usize {
  return changetype<usize>(f) + BUFFER;
}

/** Finds the headers. Once is enough: ask `parsed` first. */
export function frameParse(f: Frame): void {
  f.parsed = 1;
  const head = usize(f.head);
  // Most frames are TCP over IPv4 without tag, options and fragments: type, version, offset and protocol at once.
  if (min(f.headLen, f.len) >= PLAIN_TCP && (load<u32>(head, 12) & 0xffffff) == (TYPE_IPV4 | 0x450000)) {
    const end = ETHER_BYTES + bswap16(load<u16>(head, 16));
    if ((load<u32>(head, 20) & 0xff00ff3f) == (<u32>IPPROTO_TCP) << 24 && end >= PLAIN_TCP && end <= f.len) {
      f.l3 = ETHER_BYTES;
      f.l4Start = ETHER_BYTES + 20;
      f.l4 = ETHER_BYTES + 20;
      f.protocol = IPPROTO_TCP;
      f.end = end;
      return;
    }
  }
  parseAny(f);
}

function parseAny(f: Frame): void {
  while (!parse(f) && f.headLen < f.len && f.headLen < HEADERS_MAX) frameGather(f);
}

/** False when the headers may go on behind `headLen`. */
function parse(f: Frame): bool {
  f.l3 = 0;
  f.l4 = 0;
  const head = usize(f.head);
  const have = min(f.headLen, f.len);
  let ip: u32 = ETHER_BYTES;
  let type = u32(load<u16>(head, 12));
  if (type == TYPE_VLAN) {
    if (have < 18) return false;
    type = u32(load<u16>(head, 16));
    ip = 18;
  }
  if (type != TYPE_IPV4) return true;
  if (have < ip + 20) return false;
  const version = u32(load<u8>(head + ip));
  const l4 = ip + ((version & 15) << 2);
  if (version >>> 4 != 4 || l4 < ip + 20) return true;
  if (have < l4) return false;
  const protocol = u32(load<u8>(head + ip, 9));
  const end = ip + bswap16(load<u16>(head + ip, 2));
  f.l3 = ip;
  f.l4Start = l4;
  f.protocol = protocol;
  f.end = end;
  // A fragment (MF or an offset) has no whole L4 part; a datagram that claims more than the frame has none either.
  if ((load<u16>(head + ip, 6) & 0xff3f) != 0 || end > f.len) return true;
  const need: u32 = protocol == IPPROTO_TCP ? 20 : protocol == IPPROTO_UDP ? 8 : 0xffff;
  if (l4 + need > end) return true;
  if (have < l4 + need) return false;
  f.l4 = l4;
  return true;
}

function bswap16(v: u32): u32 {
  return (v >>> 8) | ((v & 0xff) << 8);
}

/** The tag's TCI, or -1 when the frame carries no 802.1Q tag. */
export function frameTci(f: Frame): i32 {
  if (load<u16>(f.head, 12) != TYPE_VLAN || f.len < 18) return -1;
  if (f.headLen < 18) frameGather(f);
  return i32(bswap16(load<u16>(f.head, 14)));
}

/** Copies the headers into the view's buffer, for a first segment that holds only a part of them. */
function frameGather(f: Frame): void {
  const wanted = min(f.len, HEADERS_MAX);
  const buffer = frameBuffer(f);
  let have = min(f.headLen, wanted);
  memory.copy(buffer, f.head, have);
  while (have < wanted) {
    const s = changetype<Mbuf>(f.rest);
    const n = min(s.dataLen - f.restOffset, wanted - have);
    memory.copy(buffer + have, s.data + f.restOffset, n);
    have += n;
    f.restOffset += n;
    if (f.restOffset == s.dataLen) {
      f.rest = s.next;
      f.restOffset = 0;
    }
  }
  f.head = u32(buffer);
  f.headLen = wanted;
  f.owner = 0;
}

/** Makes `to` a view of frame `f` with tag `tci` in place of its own; -1 = without a tag. */
export function frameRetag(to: Frame, f: Frame, tci: i32): void {
  const had: u32 = frameTci(f) < 0 ? 0 : 4;
  const has: u32 = tci < 0 ? 0 : 4;
  const buffer = frameBuffer(to);
  // Bytes that are in a view's buffer already are nowhere else.
  const taken = f.owner == 0 ? f.headLen : min(f.headLen, HEADERS_MAX);
  memory.copy(buffer, f.head, 12);
  if (has != 0) store<u32>(buffer, TYPE_VLAN | (bswap16(u32(tci)) << 16), 12);
  memory.copy(buffer + 12 + has, f.head + 12 + had, taken - 12 - had);
  to.head = u32(buffer);
  to.headLen = taken + has - had;
  to.len = f.len + has - had;
  to.rest = f.rest;
  to.restOffset = f.restOffset;
  if (taken < f.headLen) {
    to.rest = f.owner;
    to.restOffset = taken;
  }
  to.flags = f.flags & ~TX_VLAN_INSERT;
  to.mss = f.mss;
  to.owner = 0;
  to.parsed = 0;
  to.l4 = 0;
}
