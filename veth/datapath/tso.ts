// TCP segmentation offload: a large packet crosses as one descriptor where the receiver takes that, and is cut into
// real segments everywhere else. Read first: DPDK "Generic Segmentation Offload Library", Linux tcp_gso_segment().

import {
  CAP_RX_LRO,
  CWR,
  FIN,
  IPPROTO_TCP,
  MBUF_DATA_ROOM,
  PSH,
  TX_IP_CSUM,
  TX_L4_CSUM,
  TX_TSO,
  TXQ_ERRORS,
  TXQ_OVERSIZE,
  TXQ_TSO_PACKETS,
  TXQ_TSO_SEGMENTS,
} from "../../assembly/layout";
import { Mbuf } from "../../assembly/memory/mbuf";
import { fold } from "../../assembly/wire/checksum";
import { Burst, burstFrame, VIEW_SEGMENT } from "./burst";
import { Frame, frameBuffer } from "./frame";
import { Port } from "./port";
import { BUSY, receiveHasRoom, TAKEN } from "./receive";
import { sendFrame, txCount, txDrop } from "./transmit";
import { wireTarget } from "./wire";

/** Sends packet `m` with TX_TSO; `f` views it, headers parsed. TAKEN, DROPPED, or BUSY with nothing sent. */
export function segment(p: Port, t: usize, queue: u32, b: Burst, m: Mbuf, f: Frame): i32 {
  const headers = f.protocol == IPPROTO_TCP ? tcpPayload(f) : 0;
  if (headers == 0 || f.mss == 0 || f.end != f.len) return txDrop(t, TXQ_ERRORS);
  const payload = f.len - headers;
  const segments = payload <= f.mss ? 1 : (payload + f.mss - 1) / f.mss;
  if (headers - f.l3 + min(payload, f.mss) > p.mtu) return txDrop(t, TXQ_OVERSIZE);
  if (segments == 1) {
    f.flags &= ~TX_TSO;
    return sendFrame(p, t, queue, b, f);
  }
  const target = wireTarget(p, f, b);
  if (target !== null && (target.caps & CAP_RX_LRO) != 0) {
    const result = sendFrame(p, t, queue, b, f);
    if (result != BUSY) txCount(t, TXQ_TSO_PACKETS, 1);
    return result;
  }
  if (target !== null && b.mayBlock != 0) {
    const mbufs = (headers + f.mss + MBUF_DATA_ROOM - 1) / MBUF_DATA_ROOM;
    if (!receiveHasRoom(target, f, b, segments, mbufs)) return BUSY;
  }
  return cut(p, t, queue, b, m, f, headers, segments);
}

/** Offset of the payload, 0 when the TCP header is not there in full. */
function tcpPayload(f: Frame): u32 {
  const offset = (u32(load<u8>(f.head + f.l4, 12)) >>> 4) << 2;
  const payload = f.l4 + offset;
  return offset >= 20 && payload <= min(f.headLen, f.end) ? payload : 0;
}

function cut(p: Port, t: usize, queue: u32, b: Burst, m: Mbuf, f: Frame, headers: u32, segments: u32): i32 {
  const mayBlock = b.mayBlock;
  const s = burstFrame(b, VIEW_SEGMENT);
  // Where the payload goes on: first behind the headers, which in the packet have a tag more or less than in the view.
  let rest = u32(changetype<usize>(m));
  let skip = headers - (f.len - m.pktLen);
  for (let i: u32 = 0; i < segments; i++) {
    const done = i * f.mss;
    const bytes = min(f.len - headers - done, f.mss);
    while (skip >= changetype<Mbuf>(rest).dataLen) {
      skip -= changetype<Mbuf>(rest).dataLen;
      rest = changetype<Mbuf>(rest).next;
    }
    view(s, f, headers, rest, skip, bytes);
    rewrite(s, i, done, i == segments - 1);
    // Only the first may stop the packet; there was room for the others.
    const result = sendFrame(p, t, queue, b, s);
    if (result == BUSY) return BUSY;
    b.mayBlock = 0;
    skip += bytes;
  }
  b.mayBlock = mayBlock;
  txCount(t, TXQ_TSO_PACKETS, 1);
  txCount(t, TXQ_TSO_SEGMENTS, segments);
  return TAKEN;
}

/** A view of one segment: its own copy of the headers, then `bytes` of the packet's payload. */
function view(s: Frame, f: Frame, headers: u32, rest: u32, skip: u32, bytes: u32): void {
  const buffer = frameBuffer(s);
  memory.copy(buffer, f.head, headers);
  s.head = u32(buffer);
  s.headLen = headers;
  s.rest = rest;
  s.restOffset = skip;
  s.len = headers + bytes;
  s.flags = TX_L4_CSUM | TX_IP_CSUM;
  s.mss = 0;
  s.owner = 0;
  s.parsed = 1;
  s.l3 = f.l3;
  s.l4Start = f.l4Start;
  s.l4 = f.l4;
  s.end = s.len;
  s.protocol = IPPROTO_TCP;
}

/** Makes the headers those of segment `index`, whose payload starts `done` bytes into the packet's. */
function rewrite(s: Frame, index: u32, done: u32, isLast: bool): void {
  const ip = usize(s.head) + s.l3;
  const tcp = usize(s.head) + s.l4;
  storeBig16(ip + 2, s.end - s.l3);
  storeBig16(ip + 4, bigEndian16(ip + 4) + index);
  store<u32>(tcp, bswap<u32>(bswap<u32>(load<u32>(tcp, 4)) + done), 4);
  let flags = u32(load<u8>(tcp, 13));
  // RFC 3168 6.1.2: CWR belongs to the first segment only. FIN and PSH belong to the last byte.
  if (index > 0) flags &= ~CWR;
  if (!isLast) flags &= ~(FIN | PSH);
  store<u8>(tcp, u8(flags), 13);
  const length = s.end - s.l4;
  const pseudo =
    u64(load<u32>(ip, 12)) +
    u64(load<u32>(ip, 16)) +
    u64((IPPROTO_TCP << 8) + ((length >>> 8) & 255) + ((length & 255) << 8));
  store<u16>(tcp, u16(fold(pseudo)), 16);
}

function bigEndian16(at: usize): u32 {
  return (u32(load<u8>(at)) << 8) | u32(load<u8>(at, 1));
}

function storeBig16(at: usize, value: u32): void {
  store<u8>(at, u8(value >>> 8));
  store<u8>(at, u8(value), 1);
}
