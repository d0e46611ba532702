// A UDP socket and the datagrams that wait in it: records in chunks that are taken on demand.
// Small datagrams share a chunk; what a socket holds is counted in whole chunks against its receive buffer.

import { CHUNK_BYTES, CHUNK_HEADER, CHUNK_LARGE_BYTES } from "../layout";
import { Chunk, chunkAlloc, chunkData, chunkFree, chunkRoom } from "../memory/chunk";
import { Socket } from "../socket/socket";

@unmanaged
export class UdpSocket extends Socket {
  /** SO_SNDBUF, kept for getsockopt: a datagram leaves at once or not at all. */
  sndBuf: u32;
  /** Datagrams that wait. */
  datagrams: u32;
  /** The route to `routeDestination`, good while routeGeneration is the stack's. */
  routeDestination: u32;
  routeGeneration: u32;
  netif: u32;
  nextHop: u32;
  /** Own address that datagrams to it carry. */
  source: u32;
  /** What the destination is: TO_UNICAST, TO_BROADCAST, TO_MULTICAST. */
  routeKind: u32;
  /** Payload that MSG_MORE holds back (a ByteQueue), and for whom. */
  corkHead: u32;
  corkTail: u32;
  corkBytes: u32;
  corkAddress: u32;
  /** Port; 0 while nothing is held back. */
  corkPort: u32;
}

/** Bytes of an element of POOL_SOCKET that a UDP socket takes. */
export const UDP_SOCKET_BYTES: u32 = (offsetof<UdpSocket>() + 7) & ~7;

/** A datagram that waits: this header, then the payload, padded to four bytes. */
@unmanaged
export class Datagram {
  address: u32;
  port: u16;
  tos: u8;
  ttl: u8;
  length: u32;
  destination: u32;
  /** Index of the interface it came by. */
  netif: u32;
}
export const DATAGRAM_HEADER: u32 = 20;
if (offsetof<Datagram>() != DATAGRAM_HEADER) ERROR("Datagram layout");

/** What a chunk counts against the receive buffer. */
function weight(c: Chunk): u32 {
  return u32(c.capacity) == CHUNK_BYTES - CHUNK_HEADER ? CHUNK_BYTES : CHUNK_LARGE_BYTES;
}

/** Bytes of the record of a datagram with `length` bytes of payload. */
export function recordBytes(length: u32): u32 {
  return DATAGRAM_HEADER + ((length + 3) & ~3);
}

/** recordReserve(): the receive buffer is full; the pools are empty. */
export const RECORD_FULL: i32 = 1;
export const RECORD_MEMORY: i32 = 2;

/** Where recordReserve() made room: the address when it is in one piece, else 0 and the first of the new chunks. */
export let recordAt: usize = 0;
export let recordChunk: u32 = 0;

/**
 * Makes room for a record of `bytes` bytes at the end of the queue. Returns 0, RECORD_FULL or RECORD_MEMORY. The room
 * is the queue's when recordCommit() says so; recordCancel() gives it back.
 */
export function recordReserve(s: UdpSocket, bytes: u32): i32 {
  recordChunk = 0;
  if (s.rcvTail != 0) {
    const tail = changetype<Chunk>(s.rcvTail);
    if (chunkRoom(tail) >= bytes) {
      recordAt = chunkData(tail) + tail.length;
      return 0;
    }
  }
  // As Linux does, one datagram may go beyond the limit, or a small buffer would never take a large one.
  if (s.rcvBytes >= s.rcvBuf) return RECORD_FULL;
  const c = chunkAlloc(bytes, s.rcvBytes);
  if (c === null) return RECORD_MEMORY;
  recordChunk = u32(changetype<usize>(c));
  recordAt = 0;
  if (u32(c.capacity) >= bytes) {
    recordAt = chunkData(c);
    return 0;
  }
  let last = c;
  let room = u32(c.capacity);
  while (room < bytes) {
    const next = chunkAlloc(bytes - room, s.rcvBytes);
    if (next === null) {
      recordCancel();
      return RECORD_MEMORY;
    }
    last.next = u32(changetype<usize>(next));
    last = next;
    room += next.capacity;
  }
  return 0;
}

/** Gives back what recordReserve() took. */
export function recordCancel(): void {
  let at = recordChunk;
  while (at != 0) {
    const c = changetype<Chunk>(at);
    at = c.next;
    chunkFree(c);
  }
  recordChunk = 0;
}

/** Copies into reserved room that is in several chunks: `offset` counts from the record's start. */
export function recordWrite(offset: u32, source: usize, bytes: u32): void {
  let c = changetype<Chunk>(recordChunk);
  while (offset >= c.capacity) {
    offset -= c.capacity;
    c = changetype<Chunk>(c.next);
  }
  while (bytes > 0) {
    const n = min(bytes, u32(c.capacity) - offset);
    memory.copy(chunkData(c) + offset, source, n);
    source += n;
    bytes -= n;
    offset = 0;
    if (bytes > 0) c = changetype<Chunk>(c.next);
  }
}

/** Adds the reserved record, `bytes` long, to the queue. */
export function recordCommit(s: UdpSocket, bytes: u32): void {
  s.datagrams++;
  let at = recordChunk;
  if (at == 0) {
    const tail = changetype<Chunk>(s.rcvTail);
    tail.length += u16(bytes);
    return;
  }
  if (s.rcvTail != 0) changetype<Chunk>(s.rcvTail).next = at;
  else s.rcvHead = at;
  while (true) {
    const c = changetype<Chunk>(at);
    const n = min(bytes, u32(c.capacity));
    c.length = u16(n);
    bytes -= n;
    s.rcvBytes += weight(c);
    s.rcvTail = at;
    if (c.next == 0) break;
    at = c.next;
  }
  recordChunk = 0;
}

/** The oldest record, or null. Its header is in one piece. */
export function recordFirst(s: UdpSocket): Datagram | null {
  if (s.rcvHead == 0) return null;
  return changetype<Datagram>(chunkData(changetype<Chunk>(s.rcvHead)));
}

/** Copies the first `bytes` bytes of the oldest record's payload. */
export function recordRead(s: UdpSocket, target: usize, bytes: u32): void {
  let c = changetype<Chunk>(s.rcvHead);
  let offset = DATAGRAM_HEADER;
  while (bytes > 0) {
    const n = min(bytes, u32(c.length) - offset);
    memory.copy(target, chunkData(c) + offset, n);
    target += n;
    bytes -= n;
    offset = 0;
    if (bytes > 0) c = changetype<Chunk>(c.next);
  }
}

/** Drops the oldest record; emptied chunks go back. */
export function recordDrop(s: UdpSocket): void {
  let left = recordBytes(changetype<Datagram>(chunkData(changetype<Chunk>(s.rcvHead))).length);
  s.datagrams--;
  while (true) {
    const c = changetype<Chunk>(s.rcvHead);
    const n = min(left, u32(c.length));
    c.start += u16(n);
    c.length -= u16(n);
    left -= n;
    if (c.length != 0) return;
    s.rcvHead = c.next;
    if (c.next == 0) s.rcvTail = 0;
    s.rcvBytes -= weight(c);
    chunkFree(c);
    if (left == 0) return;
  }
}
