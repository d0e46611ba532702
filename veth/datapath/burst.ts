// What one burst remembers while its frames are on the way: open lanes to RX queues, MAC look-ups, frame views.
// A lane gathers frames for one RX queue, so that ring, pool and doorbell are touched once for several frames.

import { BURST_MAX, PAUSE_MICROS_MAX, RXQ_DOORBELL } from "../../assembly/layout";
import { doorbellRingAt } from "../../assembly/memory/doorbell";
import { poolAlloc, poolIsEmpty } from "../../assembly/memory/pool";
import { burstRingPush, burstRingTaken, burstRingUsed } from "../../assembly/memory/ring";
import { Frame, FRAME_BYTES } from "./frame";
import { poolGiveChain, poolTakeChain } from "./pool-chain";
import { RxQueue, rxPool, rxPoolIsShort } from "./port";

/** Lanes of a burst, a power of two. Queues that share a lane close it for one another. */
const LANES: u32 = 8;
/** The frame views of a burst; a stage reads the view of the one before. */
export const VIEW_SENT: u32 = 0;
export const VIEW_TAGGED: u32 = 1; // with the tag that the sender wants inserted
export const VIEW_SEGMENT: u32 = 2; // one segment of a large packet
export const VIEW_EGRESS: u32 = 3; // with the tag of the bridge's port
export const VIEW_STRIPPED: u32 = 4; // without its tag
export const VIEW_CAPTURED: u32 = 5;
export const VIEW_LINK: u32 = 6; // out of a link's buffer: + LINK_TO_WIRE, LINK_TO_HOST
export const VIEW_VLAN: u32 = 8; // with the tag of a function's VLAN
export const VIEW_TAKEN_OUT: u32 = 9; // on its way into a function, without that tag
const VIEWS: u32 = 10;

@unmanaged
export class Burst {
  /** When the frame in hand reaches the next stage, microseconds. */
  at: f64;
  /** Not 0: a frame whose receiver has no room may stop the burst (BUSY); 0: it is dropped. */
  mayBlock: u32;
  /** One bit for each open lane. */
  touched: u32;
  /** Frames of the burst that are still to come, this one included. */
  remaining: u32;
  /** The port that took the last frame, 0 = not known; kept from burst to burst, see wireReceiver(). */
  receiver: u32;
  /** Not 0: that port takes a frame with the same addresses in this burst, too. */
  knows: u32;
  /** The addresses of that frame: its first eight bytes and the next four. */
  addresses: u64;
  addressesEnd: u32;
  /** The bridge it went through, the bridge's generation, the entries of both addresses. */
  bridge: u32;
  generation: u32;
  source: u32;
  target: u32;
  /** The port of the burst's last RSS hash (0 = none), the addresses that were hashed, and what they add to a hash. */
  rssPort: u32;
  rssAddresses: u64;
  rssPart: u32;
  forwarded: u32;
  flooded: u32;
  /** The RX queue that last stopped this sender, what it had taken by then, and since when that has not changed. */
  stalled: u32;
  stalledTaken: u32;
  stalledSince: f64;
}

@unmanaged
export class Lane {
  /** RX queue it leads to, 0 = closed. */
  queue: u32;
  /** Frames gathered. */
  count: u32;
  /** How many may be gathered before laneMakeRoom() must be asked. */
  limit: u32;
  /** Mbufs taken from the queue's shared pool and not used yet, linked by their first word. */
  stash: u32;
}

/** Most mbufs that a lane takes from a shared pool at once. */
const STASH_MAX: u32 = 16;
const LANES_OFFSET: u32 = 128;
const VALUES_OFFSET: u32 = u32(offsetof<Lane>());
const LANE_BYTES: u32 = VALUES_OFFSET + <u32>BURST_MAX * 4;
const FRAMES_OFFSET: u32 = LANES_OFFSET + LANES * LANE_BYTES;
export const BURST_BYTES: u32 = FRAMES_OFFSET + VIEWS * FRAME_BYTES;
if (u32(offsetof<Burst>()) > LANES_OFFSET) ERROR("Burst layout");

/** Starts a burst of up to `count` frames at `now`, microseconds. */
export function burstOpen(b: Burst, count: u32, now: f64, mayBlock: bool): void {
  // Lanes that are still open are those of a thread that died in the middle of a burst.
  if (b.touched != 0) burstClose(b);
  b.at = now;
  b.mayBlock = u32(mayBlock);
  b.remaining = count;
  b.knows = 0;
  b.rssPort = 0;
  b.forwarded = 0;
  b.flooded = 0;
}

/** Closes the lanes of a thread that died, and forgets what they held. */
export function burstForget(b: Burst): void {
  for (let i: u32 = 0; i < LANES; i++) {
    const lane = changetype<Lane>(changetype<usize>(b) + laneOffset(i));
    lane.queue = 0;
    lane.count = 0;
    lane.limit = 0;
    lane.stash = 0;
  }
  b.touched = 0;
  b.receiver = 0;
}

/** Hands over what the lanes hold. */
export function burstClose(b: Burst): void {
  let touched = b.touched;
  while (touched != 0) {
    laneClose(changetype<Lane>(changetype<usize>(b) + laneOffset(ctz(touched))));
    touched &= touched - 1;
  }
  b.touched = 0;
}

/** The burst's time in milliseconds, modulo 2^32, for the bridge's table. */
export function burstMillis(b: Burst): u32 {
  // Below 2^52 a sum with 2^52 holds the number, rounded, in its lowest bits: several times faster than a conversion.
  return u32(reinterpret<u64>(b.at * 0.001 + 4503599627370496));
}

/** One of the burst's frame views, VIEW_*. */
export function burstFrame(b: Burst, view: u32): Frame {
  return changetype<Frame>(changetype<usize>(b) + FRAMES_OFFSET + view * FRAME_BYTES);
}

/** The lane to an RX queue; laneIsOpen() tells whether it leads there now. */
export function laneTo(b: Burst, q: RxQueue): Lane {
  return changetype<Lane>(changetype<usize>(b) + q.lane);
}

export function laneIsOpen(lane: Lane, q: RxQueue): bool {
  return lane.queue == u32(changetype<usize>(q));
}

/** Makes the lane lead to queue `q`, in place of another. */
export function laneOpen(b: Burst, lane: Lane, q: RxQueue): void {
  if (lane.queue != 0) laneClose(lane);
  lane.queue = u32(changetype<usize>(q));
  lane.count = 0;
  lane.limit = 0;
  lane.stash = 0;
  b.touched |= 1 << ((q.lane - LANES_OFFSET) / LANE_BYTES);
}

/** Looks how many frames the queue takes now; true when it takes at least `frames` more. */
export function laneMakeRoom(lane: Lane, q: RxQueue, frames: u32): bool {
  if (lane.count == BURST_MAX) laneFlush(lane, q);
  const used = burstRingUsed(q.ring) + lane.count;
  const room = used < q.size ? q.size - used : 0;
  lane.limit = min<u32>(lane.count + room, BURST_MAX);
  return room >= frames;
}

/** An mbuf of the queue's pool with only its first two words set, or 0. `wanted`: how many may follow. */
export function laneTake(lane: Lane, q: RxQueue, wanted: u32): usize {
  const pool = rxPool(q);
  if (lane.stash == 0) {
    lane.stash = poolTakeChain(pool, min(wanted, STASH_MAX));
    if (poolIsEmpty(pool)) rxPoolIsShort(q);
  }
  const element = usize(lane.stash);
  if (element == 0) return poolAlloc(pool);
  lane.stash = load<u32>(element);
  store<u32>(element, 0, 4);
  return element;
}

/** Gathers a frame; the lane has room for it. */
export function lanePut(lane: Lane, m: u32): void {
  const count = lane.count;
  store<u32>(changetype<usize>(lane) + VALUES_OFFSET + count * 4, m);
  lane.count = count + 1;
}

/** True when queue `q`, which has no room, has taken nothing for PAUSE_MICROS_MAX, as far as this sender knows. */
export function queueIsStalled(b: Burst, q: RxQueue): bool {
  const taken = burstRingTaken(q.ring);
  if (b.stalled != u32(changetype<usize>(q)) || b.stalledTaken != taken) {
    b.stalled = u32(changetype<usize>(q));
    b.stalledTaken = taken;
    b.stalledSince = b.at;
  }
  return b.at - b.stalledSince >= f64(PAUSE_MICROS_MAX);
}

/** Where lane `index` lies in a burst. */
export function laneOffset(index: u32): u32 {
  return LANES_OFFSET + (index & (LANES - 1)) * LANE_BYTES;
}

function laneFlush(lane: Lane, q: RxQueue): void {
  burstRingPush(q.ring, changetype<usize>(lane) + VALUES_OFFSET, lane.count);
  lane.count = 0;
  doorbellRingAt(changetype<usize>(q) + RXQ_DOORBELL);
}

function laneClose(lane: Lane): void {
  const q = changetype<RxQueue>(lane.queue);
  if (lane.count > 0) laneFlush(lane, q);
  if (lane.stash != 0) poolGiveChain(rxPool(q), lane.stash);
  lane.queue = 0;
}
