// Packet buffers: a header of 64 bytes, headroom, data. A packet may be a chain; the first mbuf describes it.
// Read first: DPDK "Mbuf Library". The names are those of struct rte_mbuf.

import { MBUF_BYTES, MBUF_DATA_ROOM, MBUF_HEADER, MBUF_HEADROOM } from "../layout";
import { Pool, poolAlloc, poolFree } from "./pool";
import { rxCacheHas, rxCachePut } from "./rx-cache";

@unmanaged
export class Mbuf {
  /** Next segment of this packet, or 0. */
  next: u32;
  /** Word that the pool marks when the mbuf is free. */
  mark: u32;
  /** Address of the first byte of data in this segment. */
  data: u32;
  /** Bytes of data in this segment. */
  dataLen: u32;
  /** Bytes of the whole packet (first segment only). */
  pktLen: u32;
  nbSegs: u16;
  /** Index of the port it came in by. */
  port: u16;
  rssHash: u32;
  olFlags: u32;
  vlanTci: u16;
  l2Len: u8;
  l3Len: u8;
  l4Len: u8;
  queue: u8;
  /** Payload bytes of each segment that TSO makes, or that the packet was put together of: with TX_TSO and RX_LRO. */
  tsoMss: u16;
  /** Pool it returns to. */
  pool: u32;
  /** Free for the holder of the mbuf: packet type, list links, results of the parser. */
  user0: u32;
  user1: u32;
  user2: u32;
  user3: u32;
  user4: u32;
}
if (offsetof<Mbuf>() > usize(MBUF_HEADER)) ERROR("Mbuf layout");

/** Takes an empty mbuf with its headroom in front, or null when the pool is empty. */
export function mbufAlloc(pool: Pool): Mbuf | null {
  const element = poolAlloc(pool);
  if (element == 0) return null;
  const m = changetype<Mbuf>(element);
  m.next = 0;
  m.data = u32(element) + MBUF_HEADER + MBUF_HEADROOM;
  m.dataLen = 0;
  m.pktLen = 0;
  m.nbSegs = 1;
  m.olFlags = 0;
  m.pool = u32(changetype<usize>(pool));
  return m;
}

/** Gives back every segment of a packet. */
export function mbufFree(m: Mbuf): void {
  let segment = u32(changetype<usize>(m));
  while (segment != 0) {
    const s = changetype<Mbuf>(segment);
    const next = s.next;
    if (rxCacheHas(s.pool)) rxCachePut(s.pool, segment);
    else poolFree(changetype<Pool>(s.pool), segment);
    segment = next;
  }
}

/** Puts `bytes` in front of the data and returns their address (rte_pktmbuf_prepend). */
export function mbufPrepend(m: Mbuf, bytes: u32): usize {
  const data = m.data - bytes;
  assert(data >= u32(changetype<usize>(m)) + MBUF_HEADER);
  m.data = data;
  m.dataLen += bytes;
  m.pktLen += bytes;
  return data;
}

/** Makes segment `m` point at bytes that belong to somebody else (rte_pktmbuf_attach_extbuf, without a reference). */
export function mbufAttach(m: Mbuf, data: u32, bytes: u32): void {
  m.data = data;
  m.dataLen = bytes;
  m.pktLen = bytes;
}

/** True when the data of segment `m` lies outside its own element. */
export function mbufIsExternal(m: Mbuf): bool {
  const start = u32(changetype<usize>(m));
  return m.data - start >= <u32>MBUF_BYTES;
}

/** Bytes that one mbuf can take after the headroom. */
export function mbufRoom(): u32 {
  return MBUF_DATA_ROOM;
}
