// The wire of a NIC in a memory of its own: two rings of bytes, whose other ends an ltran copies from and to.
// Read first: ltran.ts; veth/carrier.ts, which does the copying; the trunk in assembly/layout.ts.

import {
  PAUSE_MICROS_MAX,
  TRUNK_IN_HEAD,
  TRUNK_IN_TAIL,
  TRUNK_OUT_DROPS,
  TRUNK_OUT_HEAD,
  TRUNK_OUT_TAIL,
  TRUNK_PORTS,
  TRUNK_PORTS_BYTES,
  TRUNK_RECORD,
  TRUNK_RINGS,
  TRUNK_SIZE,
  TRUNK_SKIP,
  TRUNK_VERSION,
  IPPROTO_UDP,
} from "../../assembly/layout";
import { Mbuf, mbufAttach } from "../../assembly/memory/mbuf";
import { Burst, BURST_BYTES, burstClose, burstFrame, burstOpen, VIEW_LINK } from "./burst";
import { copyFrame, finishChecksums, frameNeedsSum } from "./copy";
import { ETHER_BYTES, Frame, frameOf, frameParse } from "./frame";
import { Port, portAt } from "./port";
import { BUSY, DROPPED, TAKEN } from "./receive";
import { land } from "./wire";

// Behind the header and the bit sets: the rings, then the scratch of reception: a descriptor and a burst.
const MBUF_AT: u32 = 0;
const BURST_AT: u32 = 128;
const SCRATCH_BYTES: u32 = BURST_AT + BURST_BYTES;
const TRUNK_MAGIC: u32 = 0x4b4e5254; // "TRNK"

/** Bytes of a trunk with rings of `size` bytes, a power of two. */
export function trunkBytes(size: u32): u32 {
  return TRUNK_RINGS + 2 * size + SCRATCH_BYTES;
}

/** Lays out a trunk anew, with empty rings and no port served, and makes it the wire of a port. */
export function trunkInit(base: u32, size: u32, port: u32): void {
  assert(size >= 8 && (size & (size - 1)) == 0);
  const p = portAt(port);
  assert((p.bridge | p.peer | p.eswitch) == 0);
  memory.fill(base, 0, TRUNK_RINGS);
  memory.fill(base + TRUNK_RINGS + 2 * size, 0, SCRATCH_BYTES);
  store<u32>(base, size, TRUNK_SIZE);
  store<u32>(base, TRUNK_MAGIC);
  p.trunk = base;
}

/** Bytes of the record of a frame. */
export function recordBytes(length: u32): u32 {
  return (length + TRUNK_RECORD + 7) & ~7;
}

/** Notes that a local port is served, or no longer. */
export function trunkServe(base: u32, protocol: u32, port: u32, serves: bool): void {
  const at = base + TRUNK_PORTS + (protocol == IPPROTO_UDP ? <u32>TRUNK_PORTS_BYTES / 2 : 0) + (port >>> 5) * 4;
  const bit: u32 = 1 << (port & 31);
  if (serves) atomic.or<u32>(at, bit);
  else atomic.and<u32>(at, ~bit);
  atomic.add<u32>(base, 1, TRUNK_VERSION);
}

/** Takes a frame from the stack, checksums done. TAKEN; DROPPED (counted), or BUSY when there is no room. */
export function trunkSend(p: Port, f: Frame, b: Burst): i32 {
  const t = usize(p.trunk);
  const size = load<u32>(t, TRUNK_SIZE);
  const tail = atomic.load<u32>(t, TRUNK_OUT_TAIL);
  let head = load<u32>(t, TRUNK_OUT_HEAD);
  const need = recordBytes(f.len);
  let at = head & (size - 1);
  const skips = need > size - at ? size - at : 0;
  if (need + skips > size - (head - tail)) return full(p, b, tail);
  if (skips != 0) {
    store<u32>(t + TRUNK_RINGS + at, TRUNK_SKIP);
    head += skips;
    at = 0;
  }
  const record = t + TRUNK_RINGS + at;
  const data = record + TRUNK_RECORD;
  if (f.flags != 0 && f.parsed == 0) frameParse(f);
  const sum = copyFrame(f, data, 0, f.len, frameNeedsSum(f, false));
  if (f.flags != 0) finishChecksums(f, data, sum);
  store<u64>(record, u64(f.len));
  atomic.store<u32>(t, head + need, TRUNK_OUT_HEAD);
  b.forwarded++;
  return TAKEN;
}

/** As full() in receive.ts: a stack is not stopped for ever by an ltran that does nothing. */
function full(p: Port, b: Burst, tail: u32): i32 {
  if (b.mayBlock != 0) {
    if (b.stalled != p.trunk || b.stalledTaken != tail) {
      b.stalled = p.trunk;
      b.stalledTaken = tail;
      b.stalledSince = b.at;
    }
    if (b.at - b.stalledSince < f64(PAUSE_MICROS_MAX)) return BUSY;
  }
  const t = usize(p.trunk);
  store<u64>(t, load<u64>(t, TRUNK_OUT_DROPS) + 1, TRUNK_OUT_DROPS);
  return DROPPED;
}

/** Moves what has come from the ltran into the port's queues, as far as there is room. On the stack's thread. */
export function trunkPoll(p: Port, now: f64): void {
  const t = usize(p.trunk);
  let tail = load<u32>(t, TRUNK_IN_TAIL);
  const head = atomic.load<u32>(t, TRUNK_IN_HEAD);
  if (head == tail) return;
  const size = load<u32>(t, TRUNK_SIZE);
  const ring = t + TRUNK_RINGS + size;
  const scratch = ring + size;
  const b = changetype<Burst>(scratch + BURST_AT);
  burstOpen(b, (head - tail) / recordBytes(ETHER_BYTES), now, true);
  while (tail != head) {
    const at = tail & (size - 1);
    const length = load<u32>(ring + at);
    if (length == TRUNK_SKIP) {
      tail += size - at;
      continue;
    }
    assert(length >= ETHER_BYTES && recordBytes(length) <= min(size - at, head - tail));
    if (take(p, b, scratch, u32(ring + at) + TRUNK_RECORD, length) == BUSY) break;
    tail += recordBytes(length);
  }
  burstClose(b);
  atomic.store<u32>(t, tail, TRUNK_IN_TAIL);
}

function take(p: Port, b: Burst, scratch: usize, data: u32, length: u32): i32 {
  const m = changetype<Mbuf>(scratch + MBUF_AT);
  mbufAttach(m, data, length);
  const f = burstFrame(b, VIEW_LINK);
  frameOf(f, m);
  return land(p, f, b);
}

/** Not 0 when trunkPoll() would find something. */
export function trunkPending(base: u32): u32 {
  return u32(atomic.load<u32>(base, TRUNK_IN_HEAD) != load<u32>(base, TRUNK_IN_TAIL));
}
