// Packets that span several mbufs: sums, copies, trimming; and giving a packet bytes of its own.
// Read first: DPDK "Mbuf Library" (segmented buffers).

import { MBUF_BYTES, MBUF_DATA_ROOM, MIB_MBUF_ALLOC_FAILURES } from "../layout";
import { Mbuf, mbufAlloc, mbufFree, mbufIsExternal } from "../memory/mbuf";
import { Pool } from "../memory/pool";
import { txAlloc, txIsCalm, txTake } from "../memory/tx-pool";
import { count } from "../stack";
import { copySum, sumBytes, swapSum } from "../wire/checksum";
import { netifFlush, netifPending } from "./netif";

/** In the place of a pool. */
const OWN: Pool = changetype<Pool>(0);

/** Takes an empty mbuf for transmission, or null (counted). What waits for the NIC may give some back first. */
export function packetAlloc(): Mbuf | null {
  return txIsCalm() ? txTake() : allocShort(true);
}

function allocShort(mayFlush: bool): Mbuf | null {
  let m = txAlloc();
  if (m === null && mayFlush && netifPending() != 0) {
    netifFlush();
    m = txAlloc();
  }
  if (m === null) count(MIB_MBUF_ALLOC_FAILURES);
  return m;
}

/** Bytes that lie in one piece from `p` in segment `m`. */
export function contiguous(m: Mbuf, p: usize): u32 {
  return m.data + m.dataLen - u32(p);
}

/** Sum of `length` bytes from `p` in segment `m` on, not folded; the packet holds them. */
export function packetSum(m: Mbuf, p: usize, length: u32): u64 {
  let here = contiguous(m, p);
  if (length <= here) return sumBytes(p, length);
  let sum: u64 = 0;
  let done: u32 = 0;
  while (true) {
    const n = min(length - done, here);
    const part = sumBytes(p, n);
    sum += done & 1 ? swapSum(part) : part;
    done += n;
    if (done == length) return sum;
    assert(m.next != 0);
    m = changetype<Mbuf>(m.next);
    p = m.data;
    here = m.dataLen;
  }
}

/** Copies `length` bytes from `p` in segment `m` on to `target` and returns their sum. */
export function packetCopySum(m: Mbuf, p: usize, target: usize, length: u32): u64 {
  let here = contiguous(m, p);
  if (length <= here) return copySum(target, p, length);
  let sum: u64 = 0;
  let done: u32 = 0;
  while (true) {
    const n = min(length - done, here);
    const part = copySum(target + done, p, n);
    sum += done & 1 ? swapSum(part) : part;
    done += n;
    if (done == length) return sum;
    assert(m.next != 0);
    m = changetype<Mbuf>(m.next);
    p = m.data;
    here = m.dataLen;
  }
}

/** Copies `length` bytes that start `offset` bytes behind `p` in segment `m` to `target`; the packet holds them. */
export function packetCopyOut(m: Mbuf, p: usize, offset: u32, target: usize, length: u32): void {
  let here = contiguous(m, p);
  while (offset >= here && length > 0) {
    offset -= here;
    assert(m.next != 0);
    m = changetype<Mbuf>(m.next);
    p = m.data;
    here = m.dataLen;
  }
  p += offset;
  here -= offset;
  while (length > 0) {
    const n = min(length, here);
    memory.copy(target, p, n);
    target += n;
    length -= n;
    if (length == 0) return;
    assert(m.next != 0);
    m = changetype<Mbuf>(m.next);
    p = m.data;
    here = m.dataLen;
  }
}

/** Cuts a packet to `length` bytes, at most what it has. */
export function packetTrim(m: Mbuf, length: u32): void {
  m.pktLen = length;
  let left = length;
  let s = m;
  let segments: u32 = 1;
  while (left > s.dataLen) {
    left -= s.dataLen;
    assert(s.next != 0);
    s = changetype<Mbuf>(s.next);
    segments++;
  }
  s.dataLen = left;
  m.nbSegs = u16(segments);
  if (s.next != 0) {
    mbufFree(changetype<Mbuf>(s.next));
    s.next = 0;
  }
}

/**
 * A new packet with a copy of the `length` bytes that start `offset` bytes behind `p` in segment `m`. It keeps
 * `reserve` bytes free in front beside the usual headroom. Null when the pool has not enough mbufs.
 */
export function packetCopy(m: Mbuf, p: usize, offset: u32, length: u32, reserve: u32): Mbuf | null {
  return packetCopyFrom(OWN, m, p, offset, length, reserve);
}

/** The same with mbufs of another pool; OWN: those for transmission. */
export function packetCopyFrom(pool: Pool, m: Mbuf, p: usize, offset: u32, length: u32, reserve: u32): Mbuf | null {
  const first = allocFrom(pool);
  if (first === null) return null;
  first.data += reserve;
  let tail = first;
  let room = <u32>MBUF_DATA_ROOM - reserve;
  let segments: u32 = 1;
  let done: u32 = 0;
  while (true) {
    const n = min(length - done, room);
    packetCopyOut(m, p, offset + done, tail.data, n);
    tail.dataLen = n;
    done += n;
    if (done == length) break;
    const s = allocFrom(pool);
    if (s === null) {
      mbufFree(first);
      return null;
    }
    tail.next = u32(changetype<usize>(s));
    tail = s;
    segments++;
    room = MBUF_DATA_ROOM;
  }
  first.pktLen = length;
  first.nbSegs = u16(segments);
  return first;
}

function allocFrom(pool: Pool): Mbuf | null {
  if (pool !== OWN) return mbufAlloc(pool);
  // No flush here: this may be a part of one.
  return txIsCalm() ? txTake() : allocShort(false);
}

/**
 * Makes a packet independent of bytes that belong to somebody else (socket queues, user memory) by copying them.
 * The first segment is always an mbuf's own. False when the pool is empty: the packet is as it was.
 */
export function packetOwn(m: Mbuf): bool {
  let s = m.next;
  while (s != 0 && !mbufIsExternal(changetype<Mbuf>(s))) s = changetype<Mbuf>(s).next;
  if (s == 0) return true;
  const rest = changetype<Mbuf>(m.next);
  const bytes = m.pktLen - m.dataLen;
  const end = m.data + m.dataLen;
  if (end + bytes <= u32(changetype<usize>(m)) + MBUF_BYTES) {
    packetCopyOut(rest, rest.data, 0, end, bytes);
    m.dataLen += bytes;
    m.nbSegs = 1;
    m.next = 0;
  } else {
    const copy = packetCopy(rest, rest.data, 0, bytes, 0);
    if (copy === null) return false;
    m.next = u32(changetype<usize>(copy));
    m.nbSegs = copy.nbSegs + 1;
  }
  mbufFree(rest);
  return true;
}
