// Trains of segments out: what TSO does in hardware, done in software. The first segment of a run is built as usual;
// those behind it are copies of its headers with another sequence number, identification and checksum.

import {
  CAP_TX_L4_CSUM,
  CWR,
  FIN,
  MBUF_DATA_ROOM,
  MIB_IP_OUT_REQUESTS,
  MIB_TCP_MEM_ERRORS,
  MIB_TCP_OUT_SEGS,
  PSH,
} from "../layout";
import { Chunk, chunkCopySum, chunkData } from "../memory/chunk";
import { copyBytes } from "../memory/copy";
import { Mbuf } from "../memory/mbuf";
import { takeIdents } from "../net/ipv4-output";
import { Netif, netifTransmit } from "../net/netif";
import { packetAlloc } from "../net/packet";
import { count, countBy, stack } from "../stack";
import { checksum } from "../wire/checksum";
import { headerSum } from "../wire/ipv4";
import { put16, put32 } from "../wire/bytes";
import { TCP_FLAGS, TCP_HEADER_BYTES, TCP_SEQ, TIMESTAMPS_BYTES } from "../wire/tcp";
import { optionBytes, seal, sendSegment, sentHeader, sentHeaderBytes } from "./output";
import { TF_TIMESTAMPS, TF_URGENT, Tcb } from "./tcb";

/** Ethernet and IPv4 header. */
const LOWER_BYTES: u32 = 34;
/** Bytes that hold the headers of a train. */
export const TRAIN_BYTES: u32 = 128;
/** Ethertype of IPv4 in memory order. */
const TYPE_IPV4: u32 = 0x0008;

/** Where the train is in the send queue. */
let chunk: Chunk = changetype<Chunk>(0);
let offset: u32 = 0;

function moveOn(bytes: u32): void {
  offset += bytes;
  while (offset >= u32(chunk.length) && chunk.next != 0) {
    offset -= chunk.length;
    chunk = changetype<Chunk>(chunk.next);
  }
}

/**
 * Sends `length` bytes (more than `mss`) of the send queue from `start` bytes into `first` on, in segments of `mss`;
 * FIN and PSH in `flags` go with the last. What finds no mbuf is like a loss on the wire.
 */
export function sendTrain(t: Tcb, seq: u32, flags: u32, first: u32, start: u32, length: u32, mss: u32): void {
  const before = t.netif == 0 ? 0 : changetype<Netif>(t.netif).txCount;
  chunk = changetype<Chunk>(first);
  offset = start;
  const inner = flags & ~(PSH | FIN);
  if (!sendSegment(t, seq, inner, first, start, mss, mss)) return;
  moveOn(mss);
  if (isPattern(t, before, mss)) copies(t, seq + mss, flags, length - mss, mss);
  else onebyone(t, seq + mss, flags, length - mss, mss);
}

/** Did the first segment leave in the plain form that can be copied: resolved, not fragmented, no special option? */
function isPattern(t: Tcb, before: u32, mss: u32): bool {
  const nif = changetype<Netif>(t.netif);
  if (nif.loopback || nif.txCount == before || t.tflags & TF_URGENT) return false;
  const plain = t.tflags & TF_TIMESTAMPS ? TIMESTAMPS_BYTES : 0;
  if (sentHeaderBytes != TCP_HEADER_BYTES + plain || optionBytes(t) != plain) return false;
  // A jumbo segment is gathered from the send queue: its first mbuf holds the headers alone.
  if (sentHeaderBytes + mss > u32(MBUF_DATA_ROOM)) return false;
  const total = 20 + sentHeaderBytes + mss;
  const field = ((total & 0xff) << 8) | (total >>> 8);
  return u32(load<u16>(sentHeader - 22)) == TYPE_IPV4 && u32(load<u16>(sentHeader - 18)) == field;
}

/** Each segment on its own. */
function onebyone(t: Tcb, seq: u32, flags: u32, left: u32, mss: u32): void {
  while (left > 0) {
    const n = min(left, mss);
    const inner = n == left ? flags : flags & ~(PSH | FIN);
    if (!sendSegment(t, seq, inner, u32(changetype<usize>(chunk)), offset, n, mss)) return;
    moveOn(n);
    seq += n;
    left -= n;
  }
}

function copies(t: Tcb, seq: u32, flags: u32, left: u32, mss: u32): void {
  const nif = changetype<Netif>(t.netif);
  const bytes = sentHeaderBytes;
  const pattern = usize(stack.train);
  copyBytes(pattern, sentHeader - LOWER_BYTES, LOWER_BYTES + bytes);
  const inner = u32(load<u8>(pattern + LOWER_BYTES, TCP_FLAGS)) & ~u32(CWR);
  const segments = (left + mss - 1) / mss;
  let id = takeIdents(t.remoteAddress, segments);
  let sent: u32 = 0;
  while (left > 0) {
    const m = packetAlloc();
    if (m === null) {
      count(MIB_TCP_MEM_ERRORS);
      break;
    }
    const n = min(left, mss);
    const h = usize(m.data);
    copyBytes(h - LOWER_BYTES, pattern, LOWER_BYTES + bytes);
    put32(h + TCP_SEQ, seq);
    store<u8>(h, u8(n == left ? inner | (flags & (PSH | FIN)) : inner), TCP_FLAGS);
    store<u16>(h, 0, 16);
    putIp(h - 20, 20 + bytes + n, id++);
    finish(t, nif, m, h, bytes, n);
    seq += n;
    left -= n;
    sent++;
  }
  countBy(MIB_TCP_OUT_SEGS, sent);
  countBy(MIB_IP_OUT_REQUESTS, sent);
}

/** Length, identification and checksum of the IPv4 header. */
function putIp(ip: usize, total: u32, id: u32): void {
  put16(ip + 2, total);
  put16(ip + 4, id);
  store<u16>(ip, 0, 10);
  store<u16>(ip, u16(checksum(headerSum(ip))), 10);
}

/** Payload and checksum; the frame joins the queue of the NIC. */
function finish(t: Tcb, nif: Netif, m: Mbuf, h: usize, bytes: u32, n: u32): void {
  let sum: u64 = 0;
  if (nif.caps & CAP_TX_L4_CSUM && offset + n <= u32(chunk.length)) {
    copyBytes(h + bytes, chunkData(chunk) + offset, n);
  } else {
    sum = chunkCopySum(chunk, offset, h + bytes, n);
  }
  moveOn(n);
  m.l2Len = 14;
  m.l3Len = 20;
  seal(t, nif, m, h, bytes, n, sum);
  m.data = u32(h) - LOWER_BYTES;
  m.dataLen = LOWER_BYTES + bytes + n;
  m.pktLen = LOWER_BYTES + bytes + n;
  netifTransmit(nif, m);
}
