// The capture tap: copies of frames, as they are on the wire at a port, in a ring that the host drains.
// Read first: the pcapng draft, Enhanced Packet Block, for what a reader wants to know; ring.ts for the idea.

import {
  CACHE_SPREAD,
  CAPTURE_DROPPED,
  CAPTURE_IN,
  CAPTURE_RECEIVED,
  CAPTURE_SNAP,
  RECORD_DIRECTION,
  RECORD_HEADER,
  RECORD_LENGTH,
  RECORD_NANOS,
  RECORD_ORIGINAL,
  RECORD_PORT,
  RECORD_QUEUE,
  RX_VLAN_STRIPPED,
} from "../../assembly/layout";
import { Mbuf } from "../../assembly/memory/mbuf";
import { Burst, burstFrame, VIEW_CAPTURED, VIEW_STRIPPED } from "./burst";
import { copyFrame, finishChecksums, frameNeedsSum } from "./copy";
import { Frame, frameOf, frameParse, frameRetag } from "./frame";
import { Port, RxQueue } from "./port";

// Records lie one behind another, 8-byte aligned, never across the end. A record's first word is 0 until it is
// complete: the reader clears what it has read. Producers reserve with an exchange on the head.

@unmanaged
class Capture {
  magic: u32;
  mask: u32;
  snap: u32;
  reserved: u32;
  received: u64;
  dropped: u64;
}
if (offsetof<Capture>("snap") != CAPTURE_SNAP || offsetof<Capture>("received") != CAPTURE_RECEIVED) ERROR("Capture");
if (offsetof<Capture>("dropped") != CAPTURE_DROPPED) ERROR("Capture layout");

const CAPTURE_MAGIC: u32 = 0x54504143; // "CAPT"
const HEAD: usize = CACHE_SPREAD;
const TAIL: usize = 2 * CACHE_SPREAD;
const RECORDS: u32 = 3 * CACHE_SPREAD;
/** Kinds of records, in the low bits of the first word; the others are its length. */
const PACKET: u32 = 1;
const PAD: u32 = 2;

/** Bytes of a capture region with a ring of `size` bytes. */
export function captureBytes(size: u32): u32 {
  return RECORDS + size;
}

/** Prepares an empty ring of `size` bytes, a power of two, in a zeroed region; `snap`: bytes kept of each frame. */
export function captureInit(base: u32, size: u32, snap: u32): void {
  assert(size >= 4096 && (size & (size - 1)) == 0);
  const c = changetype<Capture>(base);
  c.mask = size - 1;
  c.snap = snap;
  c.received = 0;
  c.dropped = 0;
  store<u32>(base, 0, HEAD);
  store<u32>(base, 0, TAIL);
  c.magic = CAPTURE_MAGIC;
}

/** Address of the oldest record, or 0 when there is none that is complete. One reader. */
export function captureNext(base: u32): u32 {
  const c = changetype<Capture>(base);
  assert(c.magic == CAPTURE_MAGIC);
  while (true) {
    const record = base + RECORDS + (load<u32>(base, TAIL) & c.mask);
    const state = atomic.load<u32>(record);
    if (state == 0) return 0;
    if ((state & PACKET) != 0) return record;
    captureRelease(base);
  }
}

/** Gives back the oldest record. */
export function captureRelease(base: u32): void {
  const c = changetype<Capture>(base);
  const tail = load<u32>(base, TAIL);
  const record = base + RECORDS + (tail & c.mask);
  const bytes = atomic.load<u32>(record) & ~7;
  memory.fill(record, 0, bytes);
  atomic.store<u32>(base, tail + bytes, TAIL);
}

/**
 * Copies a frame that leaves a host into a record that is not complete yet; the NIC's work is done in the copy.
 * Returns the record, or 0 when the ring is full: captureEnd() wants to know.
 */
export function captureBegin(base: u32, f: Frame, port: u32, direction: u32, queue: u32, at: f64): u32 {
  const c = changetype<Capture>(base);
  const bytes = (<u32>RECORD_HEADER + f.len + 7) & ~7;
  const record = reserve(c, base, bytes);
  if (record == 0) return 0;
  if (f.parsed == 0) frameParse(f);
  const data = usize(record + RECORD_HEADER);
  const sum = copyFrame(f, data, 0, f.len, frameNeedsSum(f, false));
  if (f.flags != 0) finishChecksums(f, data, sum);
  store<u32>(record, min(f.len, c.snap), RECORD_LENGTH);
  store<u32>(record, f.len, RECORD_ORIGINAL);
  store<u16>(record, u16(port), RECORD_PORT);
  store<u8>(record, u8(direction), RECORD_DIRECTION);
  store<u8>(record, u8(queue), RECORD_QUEUE);
  store<u64>(record, nanos(at), RECORD_NANOS);
  return record;
}

/** Completes a record with `length` bytes of frame, or takes it back. */
export function captureEnd(base: u32, record: u32, length: u32, keep: bool): void {
  if (keep) atomic.add<u64>(base + (record == 0 ? CAPTURE_DROPPED : CAPTURE_RECEIVED), 1);
  if (record == 0) return;
  const bytes = (<u32>RECORD_HEADER + length + 7) & ~7;
  atomic.store<u32>(record, bytes | (keep ? PACKET : PAD));
}

/** Captures a frame that was put into the mbufs of an RX queue. */
export function captureDelivered(base: u32, p: Port, q: RxQueue, m: Mbuf, b: Burst): void {
  let f = burstFrame(b, VIEW_CAPTURED);
  frameOf(f, m);
  f.flags = 0;
  if ((m.olFlags & RX_VLAN_STRIPPED) != 0) {
    const stripped = f;
    f = burstFrame(b, VIEW_STRIPPED);
    frameRetag(f, stripped, i32(m.vlanTci));
  }
  const record = captureBegin(base, f, p.index, CAPTURE_IN, q.index, b.at);
  captureEnd(base, record, f.len, true);
}

/**
 * Gives up what a dead thread has reserved and not completed, and the records behind it, whose places are not known.
 * Nobody may be capturing. Returns the bytes.
 */
export function captureRepair(base: u32): u32 {
  const c = changetype<Capture>(base);
  const head = atomic.load<u32>(base, HEAD);
  for (let at = load<u32>(base, TAIL); at != head;) {
    const state = atomic.load<u32>(base + RECORDS + (at & c.mask));
    if (state != 0) {
      at += state & ~7;
      continue;
    }
    const toEnd = c.mask + 1 - (at & c.mask);
    const lost = head - at;
    if (lost > toEnd) atomic.store<u32>(base + RECORDS, (lost - toEnd) | PAD);
    atomic.store<u32>(base + RECORDS + (at & c.mask), min(lost, toEnd) | PAD);
    return lost;
  }
  return 0;
}

/** Reserves `bytes` in one piece; 0 = no room. */
function reserve(c: Capture, base: u32, bytes: u32): u32 {
  const size = c.mask + 1;
  let head = atomic.load<u32>(base, HEAD);
  while (true) {
    const toEnd = size - (head & c.mask);
    const pad = bytes > toEnd ? toEnd : 0;
    if (head + pad + bytes - atomic.load<u32>(base, TAIL) > size) return 0;
    const seen = atomic.cmpxchg<u32>(base, head, head + pad + bytes, HEAD);
    if (seen == head) {
      if (pad != 0) atomic.store<u32>(base + RECORDS + (head & c.mask), pad | PAD);
      return base + RECORDS + ((head + pad) & c.mask);
    }
    head = seen;
  }
}

/** Nanoseconds of a time in microseconds; exact as long as the f64 is. */
function nanos(micros: f64): u64 {
  const whole = Math.floor(micros);
  return u64(whole) * 1000 + u64((micros - whole) * 1000 + 0.5);
}
