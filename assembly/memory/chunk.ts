// Byte queues of sockets: chains of chunks taken on demand, so that an idle socket owns no buffer.
// Small chunks serve requests, large ones bulk data; one chain may hold both kinds.
// Read first: tcp(7) tcp_mem, tcp_wmem, tcp_rmem; Linux net/core/sock.c, __sk_mem_raise_allocated().
//
//   small chunks   | for whoever comes | each queue up to its share | for queues that hold less than 4 KiB |
//                  0                limit               capacity - reserve()                       capacity

import { CHUNK_BYTES, CHUNK_HEADER, CHUNK_LARGE_BYTES } from "../layout";
import { copySum, fold, swapSum } from "../wire/checksum";
import { copyBytes } from "./copy";
import { Pool, poolAlloc, poolFree } from "./pool";

@unmanaged
export class Chunk {
  /** Next chunk of the chain, or 0. */
  next: u32;
  /** Word that the pool marks when the chunk is free. */
  mark: u32;
  /** First used byte, counted from the end of the header. */
  start: u16;
  /** Used bytes from `start`. */
  length: u16;
  /** Bytes the chunk can hold. */
  capacity: u16;
  reserved: u16;
}
if (offsetof<Chunk>() != CHUNK_HEADER) ERROR("Chunk layout");

/** A chain of chunks; lies inside the socket that owns it. */
@unmanaged
export class ByteQueue {
  head: u32;
  tail: u32;
  bytes: u32;
}

/** Queues that hold at least this much, or appends of this size, take large chunks. */
const LARGE_FROM: u32 = 8192;
/** What each queue may hold however short memory is, bytes (Linux: tcp_wmem[0], tcp_rmem[0], udp_rmem_min). */
export const QUEUE_MIN: u32 = 4096;
/** Memory is short when no large chunk is free, and half of the small ones are in use (Linux: tcp_mem[1]). */
const SHORT_SHIFT: u32 = 1;
/** The reserve is at least this part of the small chunks: an eighth. */
const RESERVE_SHIFT: u32 = 3;
/** Small chunks that QUEUE_MIN take. */
const CHUNKS_MIN: u32 = 3;

let small: Pool = changetype<Pool>(0);
let large: Pool = changetype<Pool>(0);
let tcbs: Pool = changetype<Pool>(0);

/** Tells this instance where its chunk pools are, and the pool whose elements have queues. */
export function chunkPools(smallPool: Pool, largePool: Pool, tcbPool: Pool): void {
  small = smallPool;
  large = largePool;
  tcbs = tcbPool;
  small.limit = small.capacity - (small.capacity >>> SHORT_SHIFT);
}

/** True while anybody gets a chunk. */
export function chunksAbound(): bool {
  return small.inUse < small.limit || large.inUse < large.capacity;
}

/**
 * May a queue that holds `held` bytes have one more chunk? When memory is short those that hold little come first, and
 * of the others each has its share: all memory by the number of connections.
 */
export function chunkMay(held: u32): bool {
  if (chunksAbound()) return true;
  const free = small.capacity - small.inUse;
  if (held < QUEUE_MIN) return free != 0;
  return free > reserve() && u64(held) * u64(tcbs.inUse) < chunkMemory();
}

/** Bytes that the small chunks still hold for a queue with `held` bytes, when memory is short. */
export function chunkSpace(held: u32): u32 {
  if (!chunkMay(held)) return 0;
  const free = small.capacity - small.inUse;
  const kept = held < QUEUE_MIN ? 0 : reserve();
  return (free - min(kept, free)) * (CHUNK_BYTES - CHUNK_HEADER);
}

/** Small chunks kept for queues that hold little: enough for each connection, half of all at most (tcp_mem[2]). */
function reserve(): u32 {
  return min(max(tcbs.inUse * CHUNKS_MIN, small.capacity >>> RESERVE_SHIFT), small.capacity >>> 1);
}

/** Bytes of both pools. */
function chunkMemory(): u64 {
  return u64(small.capacity) * CHUNK_BYTES + u64(large.capacity) * CHUNK_LARGE_BYTES;
}

/** Free chunks, small and large. */
export function smallChunksFree(): u32 {
  return small.capacity - small.inUse;
}

export function largeChunksFree(): u32 {
  return large.capacity - large.inUse;
}

/**
 * Takes an empty chunk fit for `bytes` more bytes of a queue that holds `held`, or null: memory is short, and others
 * come first.
 */
export function chunkAlloc(bytes: u32, held: u32): Chunk | null {
  let isLarge = bytes >= LARGE_FROM && large.inUse < large.capacity;
  if (!isLarge && small.inUse >= small.limit) {
    if (!chunkMay(held)) {
      small.failures++;
      return null;
    }
    isLarge = large.inUse < large.capacity && (held >= QUEUE_MIN || small.inUse == small.capacity);
  }
  const element = poolAlloc(isLarge ? large : small);
  if (element == 0) return null;
  const capacity = isLarge ? CHUNK_LARGE_BYTES - CHUNK_HEADER : CHUNK_BYTES - CHUNK_HEADER;
  const c = changetype<Chunk>(element);
  c.next = 0;
  c.start = 0;
  c.length = 0;
  c.capacity = u16(capacity);
  return c;
}

/** Gives one chunk back. */
export function chunkFree(c: Chunk): void {
  poolFree(u32(c.capacity) == CHUNK_BYTES - CHUNK_HEADER ? small : large, changetype<usize>(c));
}

/** Address of the first used byte. */
export function chunkData(c: Chunk): usize {
  return changetype<usize>(c) + CHUNK_HEADER + c.start;
}

/** Bytes that can be added behind the used ones. */
export function chunkRoom(c: Chunk): u32 {
  return u32(c.capacity) - u32(c.start) - u32(c.length);
}

/** A chunk at the tail with room for at least one byte; `bytes` tells how much is coming. Null: memory is short. */
export function queueTail(q: ByteQueue, bytes: u32): Chunk | null {
  return tailFor(q, bytes, q.bytes);
}

/** The same for a queue whose owner holds `held` bytes. */
function tailFor(q: ByteQueue, bytes: u32, held: u32): Chunk | null {
  if (queueHasRoom(q)) return changetype<Chunk>(q.tail);
  const c = chunkAlloc(q.bytes + bytes >= LARGE_FROM ? LARGE_FROM : bytes, held);
  if (c === null) return null;
  queueLink(q, c);
  return c;
}

/** True when the last chunk has room for at least one byte. */
export function queueHasRoom(q: ByteQueue): bool {
  return q.tail != 0 && chunkRoom(changetype<Chunk>(q.tail)) > 0;
}

/** Puts a chunk (with its bytes) at the end of the queue. */
export function queueLink(q: ByteQueue, c: Chunk): void {
  const at = u32(changetype<usize>(c));
  if (q.tail != 0) changetype<Chunk>(q.tail).next = at;
  else q.head = at;
  q.tail = at;
  q.bytes += c.length;
}

/** Says that `bytes` were written behind the tail's used bytes. */
export function queueCommit(q: ByteQueue, bytes: u32): void {
  const tail = changetype<Chunk>(q.tail);
  assert(bytes <= chunkRoom(tail));
  tail.length += u16(bytes);
  q.bytes += bytes;
}

/** Appends bytes; returns how many found room. */
export function queueAppend(q: ByteQueue, source: usize, bytes: u32): u32 {
  return append(q, source, bytes, true, 0);
}

/** The same with the memory that an owner may have which holds `held` bytes before. */
export function queueAppendFor(q: ByteQueue, source: usize, bytes: u32, held: u32): u32 {
  return append(q, source, bytes, false, held);
}

function append(q: ByteQueue, source: usize, bytes: u32, own: bool, held: u32): u32 {
  let left = bytes;
  while (left > 0) {
    const tail = tailFor(q, left, own ? q.bytes : held);
    if (tail === null) break;
    const n = min(left, chunkRoom(tail));
    copyBytes(chunkData(tail) + tail.length, source, n);
    queueCommit(q, n);
    source += n;
    left -= n;
  }
  return bytes - left;
}

/** Copies `bytes` from `offset` bytes behind the head to `target`; the queue holds them. */
export function queueCopyOut(q: ByteQueue, offset: u32, target: usize, bytes: u32): void {
  let c = changetype<Chunk>(q.head);
  while (offset >= c.length) {
    offset -= c.length;
    c = changetype<Chunk>(c.next);
  }
  while (bytes > 0) {
    const n = min(bytes, u32(c.length) - offset);
    copyBytes(target, chunkData(c) + offset, n);
    target += n;
    bytes -= n;
    offset = 0;
    c = changetype<Chunk>(c.next);
  }
}

/** Copies `bytes` that start `offset` bytes into chunk `c` and returns their checksum sum. */
export function chunkCopySum(c: Chunk, offset: u32, target: usize, bytes: u32): u64 {
  let sum: u64 = 0;
  let done: u32 = 0;
  while (true) {
    const n = min(bytes - done, u32(c.length) - offset);
    const part = copySum(target + done, chunkData(c) + offset, n);
    sum += done & 1 ? swapSum(part) : u64(fold(part));
    done += n;
    if (done == bytes) return sum;
    offset = 0;
    c = changetype<Chunk>(c.next);
  }
}

/** Drops `bytes` from the head; the queue holds them. Emptied chunks go back, the last one too. */
export function queueConsume(q: ByteQueue, bytes: u32): void {
  assert(bytes <= q.bytes);
  q.bytes -= bytes;
  while (q.head != 0) {
    const c = changetype<Chunk>(q.head);
    const length = u32(c.length);
    if (bytes < length) {
      c.start += u16(bytes);
      c.length = u16(length - bytes);
      return;
    }
    bytes -= length;
    q.head = c.next;
    if (q.head == 0) q.tail = 0;
    chunkFree(c);
  }
}

/** Drops `bytes` from the tail; the queue holds them. */
export function queueTrimTail(q: ByteQueue, bytes: u32): void {
  assert(bytes <= q.bytes);
  let keep = q.bytes - bytes;
  if (keep == 0) {
    queueClear(q);
    return;
  }
  q.bytes = keep;
  let c = changetype<Chunk>(q.head);
  while (keep > c.length) {
    keep -= c.length;
    c = changetype<Chunk>(c.next);
  }
  c.length = u16(keep);
  q.tail = u32(changetype<usize>(c));
  chainFree(c.next);
  c.next = 0;
}

/** Moves every chunk of `from` to the end of `to`. */
export function queueSplice(to: ByteQueue, from: ByteQueue): void {
  if (from.head != 0) {
    if (to.tail != 0) changetype<Chunk>(to.tail).next = from.head;
    else to.head = from.head;
    to.tail = from.tail;
    to.bytes += from.bytes;
  }
  from.head = 0;
  from.tail = 0;
  from.bytes = 0;
}

/** Gives every chunk back. */
export function queueClear(q: ByteQueue): void {
  chainFree(q.head);
  q.head = 0;
  q.tail = 0;
  q.bytes = 0;
}

function chainFree(at: u32): void {
  while (at != 0) {
    const c = changetype<Chunk>(at);
    at = c.next;
    chunkFree(c);
  }
}

/** Gives the tail back when it holds nothing: queueTail() may have linked it in vain. */
export function dropEmptyTail(q: ByteQueue): void {
  if (q.tail == 0) return;
  const tail = changetype<Chunk>(q.tail);
  if (tail.length != 0) return;
  if (q.head == q.tail) {
    q.head = 0;
    q.tail = 0;
  } else {
    let c = changetype<Chunk>(q.head);
    while (c.next != q.tail) c = changetype<Chunk>(c.next);
    c.next = 0;
    q.tail = u32(changetype<usize>(c));
  }
  chunkFree(tail);
}
