// A link: one direction of the wire between a port and what it is plugged into, with seeded impairments.
// Frames that do not pass at once wait in the link's own buffers until linkPoll() finds them due.

import {
  CACHE_SPREAD,
  LINK_BUFFER_DROPS,
  LINK_BYTES,
  LINK_CORRUPTED,
  LINK_COUNTER_COUNT,
  LINK_COUNTERS,
  LINK_DELIVERED,
  LINK_DUPLICATED,
  LINK_FRAMES,
  LINK_OFFERED,
  LINK_REORDERED,
  LINK_RULES,
  LINK_TO_HOST,
  LINK_TO_WIRE,
  MBUF_HEADER,
  MBUF_HEADROOM,
  RULES_BYTES,
  RXQ_DOORBELL,
} from "../../assembly/layout";
import { copyBytes } from "../../assembly/memory/copy";
import { doorbellRingAt } from "../../assembly/memory/doorbell";
import { extentPool, extentPut } from "../../assembly/memory/extent";
import { Mbuf, mbufAlloc, mbufFree } from "../../assembly/memory/mbuf";
import { Pool, POOL_BYTES, poolInit } from "../../assembly/memory/pool";
import { Burst, BURST_BYTES, burstClose, burstFrame, burstOpen, VIEW_LINK } from "./burst";
import { copyFrame, finishChecksums, frameNeedsSum } from "./copy";
import { ETHER_BYTES, Frame, frameOf, frameParse } from "./frame";
import { DUE_BYTES, dueFirst, duePop, duePush, holdAdd, holdOvertake, holdRemove, HOLDS_BYTES } from "./link-queue";
import { linkJudge, LinkRules, VERDICT_CORRUPT, VERDICT_DROP, VERDICT_DUPLICATE, VERDICT_HOLD } from "./link-rules";
import { Port, portAt, portHasFlowControl, rxQueueAt } from "./port";
import { randomBelow, randomSeed } from "./random";
import { BUSY, DROPPED, TAKEN } from "./receive";
import { spinLock, spinTryLock, spinUnlock } from "./spin";
import { land, wireCommit, wireSend } from "./wire";

const LINK_MAGIC: u32 = 0x4b4e494c; // "LINK"
/** Microseconds after which a frame that found no room is offered again. */
const RETRY_MICROS: f64 = 10;

@unmanaged
export class Link {
  magic: u32;
  lock: u32;
  port: u32;
  /** LINK_TO_WIRE or LINK_TO_HOST. */
  direction: u32;
  /** Longest frame that a buffer holds. */
  frameBytes: u32;
  /** Buffers. */
  capacity: u32;
  heap: u32;
  heapCount: u32;
  /** Number of the next frame to enter the heap. */
  order: u32;
  holds: u32;
  holding: u32;
  /** Set by linkJudge(): how many frames must overtake. */
  holdFor: u32;
  /** Ring of the times at which queued frames will have been sent; `leaving` to `departed` are in use. */
  departures: u32;
  departuresMask: u32;
  leaving: u32;
  departed: u32;
  /** Gilbert-Elliott: in the bad state. */
  isBad: u32;
  /** Not 0: the first frame was due, but its receiver has no room. */
  blocked: u32;
  dice0: u64;
  dice1: u64;
  /** Frames judged. */
  frames: u64;
  /** Set by linkJudge(): when the frame leaves. */
  due: f64;
  busyUntil: f64;
  lastDue: f64;
  /** When linkPoll() has something to do. */
  nextDue: f64;
}
const RULES: u32 = LINK_RULES + 160;
const POOL: u32 = LINK_COUNTERS + 128;
export const LINK_BURST: u32 = POOL + 128;
const HEADER: u32 = (LINK_BURST + BURST_BYTES + CACHE_SPREAD - 1) & ~(CACHE_SPREAD - 1);
if (<i32>offsetof<Link>() > LINK_RULES || RULES_BYTES > 160 || RULES + RULES_BYTES > <u32>LINK_COUNTERS)
  ERROR("Link layout");
if (offsetof<Link>("frames") != LINK_FRAMES) ERROR("Link layout");
if (LINK_COUNTER_COUNT * 8 > 128 || POOL_BYTES > 128) ERROR("Link layout");

/** Bytes of a link's region with `frames` buffers for frames of up to `frameBytes` bytes. */
export function linkBytes(frames: u32, frameBytes: u32): u32 {
  return HEADER + HOLDS_BYTES + frames * DUE_BYTES + departureSlots(frames) * 8 + frames * bufferBytes(frameBytes);
}

/** Lays out a zeroed region as a link of a port that lets everything pass. It takes effect with linkAttach(). */
export function linkInit(base: u32, handle: u32, direction: u32, frames: u32, frameBytes: u32): void {
  const l = changetype<Link>(base);
  assert(direction <= u32(LINK_TO_HOST) && frames >= 1);
  l.port = u32(changetype<usize>(portAt(handle)));
  l.direction = direction;
  l.frameBytes = frameBytes;
  l.capacity = frames;
  l.holds = base + HEADER;
  l.heap = l.holds + HOLDS_BYTES;
  l.departures = l.heap + frames * DUE_BYTES;
  l.departuresMask = departureSlots(frames) - 1;
  l.nextDue = Infinity;
  const buffers = l.departures + departureSlots(frames) * 8;
  poolInit(buffersOf(l), buffers, bufferBytes(frameBytes), frames, false);
  randomSeed(linkDice(l), 0);
  l.magic = LINK_MAGIC;
}

/** Seeds the link's dice. Two links of one network want different seeds. */
export function linkSeed(base: u32, seedLow: u32, seedHigh: u32): void {
  const l = linkAt(base);
  spinLock(lockOf(l));
  randomSeed(linkDice(l), u64(seedLow) | (u64(seedHigh) << 32));
  spinUnlock(lockOf(l));
}

/** Puts the rules that the host wrote at LINK_RULES in force; `restart`: counts frames from 0 again, for the lists. */
export function linkApply(base: u32, restart: bool): void {
  const l = linkAt(base);
  spinLock(lockOf(l));
  memory.copy(base + RULES, base + LINK_RULES, RULES_BYTES);
  if (restart) {
    l.frames = 0;
    l.isBad = 0;
  }
  spinUnlock(lockOf(l));
}

/** Puts the link between its port and the wire, in place of any other. */
export function linkAttach(base: u32): void {
  const l = linkAt(base);
  const p = changetype<Port>(l.port);
  if (l.direction == LINK_TO_WIRE) p.linkOut = base;
  else p.linkIn = base;
}

/** Takes the link out; frames under way in it are lost. Returns how many. */
export function linkDetach(base: u32): u32 {
  const l = linkAt(base);
  const p = changetype<Port>(l.port);
  if (p.linkOut == base) p.linkOut = 0;
  if (p.linkIn == base) p.linkIn = 0;
  spinLock(lockOf(l));
  const lost = l.heapCount;
  while (l.heapCount > 0) release(l);
  l.blocked = 0;
  l.nextDue = Infinity;
  spinUnlock(lockOf(l));
  return lost;
}

/** Moves the frames that are due at `now`; returns how many. Any thread may call it; one at a time does the work. */
export function linkPoll(base: u32, now: f64): u32 {
  const l = changetype<Link>(base);
  if (!(linkNextDue(base) <= now) || !spinTryLock(lockOf(l))) return 0;
  const b = changetype<Burst>(base + LINK_BURST);
  burstOpen(b, l.heapCount, now, false);
  const moved = drain(l, b, now);
  burstClose(b);
  if (l.direction == LINK_TO_WIRE) wireCommit(changetype<Port>(l.port), b);
  spinUnlock(lockOf(l));
  return moved;
}

/** When linkPoll() will have something to do, microseconds; Infinity = never. */
export function linkNextDue(base: u32): f64 {
  // A directory may still list a link that has been closed.
  if (changetype<Link>(base).magic != LINK_MAGIC) return Infinity;
  return reinterpret<f64>(atomic.load<u64>(base, offsetof<Link>("nextDue")));
}

/** Frames under way. */
export function linkInFlight(base: u32): u32 {
  return linkAt(base).heapCount;
}

/**
 * Gives a frame to the link at the burst's time. TAKEN; DROPPED by a rule; or BUSY when the frames before it wait
 * for room at their receiver.
 */
export function linkOffer(l: Link, f: Frame, b: Burst): i32 {
  spinLock(lockOf(l));
  let result = BUSY;
  if (b.mayBlock == 0 || l.blocked == 0) {
    linkCount(l, LINK_OFFERED, 1);
    const verdict = linkJudge(l, changetype<LinkRules>(changetype<usize>(l) + RULES), f.len, b.at);
    result = (verdict & VERDICT_DROP) != 0 ? DROPPED : execute(l, f, b, verdict);
  }
  spinUnlock(lockOf(l));
  return result;
}

export function linkAt(base: u32): Link {
  const l = changetype<Link>(base);
  assert(l.magic == LINK_MAGIC);
  return l;
}

/** Adds to a counter, LINK_*. The caller holds the lock. */
export function linkCount(l: Link, counter: u32, n: u64): void {
  const at = changetype<usize>(l) + LINK_COUNTERS + counter * 8;
  store<u64>(at, load<u64>(at) + n);
}

/** Where the state of the link's random generator lies. */
export function linkDice(l: Link): usize {
  return changetype<usize>(l) + offsetof<Link>("dice0");
}

/** The lock over all of the link's state. */
export function lockOf(l: Link): usize {
  return changetype<usize>(l) + offsetof<Link>("lock");
}

/** The pool of the link's buffers. */
export function buffersOf(l: Link): Pool {
  return changetype<Pool>(changetype<usize>(l) + POOL);
}

/** An mbuf whose data room holds the frame in one piece. */
function bufferBytes(frameBytes: u32): u32 {
  return (MBUF_HEADER + MBUF_HEADROOM + frameBytes + 63) & ~63;
}

function departureSlots(frames: u32): u32 {
  return frames < 2 ? 2 : 1 << (32 - clz(frames - 1));
}

/** Does what the verdict says with a frame that is not dropped. */
function execute(l: Link, f: Frame, b: Burst, verdict: u32): i32 {
  const at = b.at;
  const due = l.due;
  const waits = due > at || (l.heapCount > 0 && dueFirst(l).at <= at);
  if (verdict == 0 && !waits) {
    if (pass(l, f, b) == BUSY) keep(l, f, at, 0);
    else if (l.holding != 0) holdOvertake(l, at);
  } else if ((verdict & VERDICT_HOLD) != 0) {
    keep(l, f, due + changetype<LinkRules>(changetype<usize>(l) + RULES).hold, verdict);
  } else {
    keep(l, f, due, verdict);
    if (l.holding != 0) holdOvertake(l, due);
  }
  const before = l.nextDue;
  if (l.heapCount > 0) drain(l, b, at);
  // The receiver's thread may sleep until a time that is too late now.
  if (l.direction == LINK_TO_HOST && l.nextDue < before) {
    doorbellRingAt(changetype<usize>(rxQueueAt(changetype<Port>(l.port), 0)) + RXQ_DOORBELL);
  }
  return TAKEN;
}

/** Stores a frame, with its checksums done, until `due`. */
function keep(l: Link, f: Frame, due: f64, verdict: u32): void {
  const m = f.len <= l.frameBytes ? mbufAlloc(buffersOf(l)) : null;
  if (m === null) {
    linkCount(l, LINK_BUFFER_DROPS, 1);
    return;
  }
  const data = usize(m.data);
  if (f.flags != 0 && f.parsed == 0) frameParse(f);
  const sum = copyFrame(f, data, 0, f.len, frameNeedsSum(f, false));
  if (f.flags != 0) finishChecksums(f, data, sum);
  m.dataLen = f.len;
  m.pktLen = f.len;
  if ((verdict & VERDICT_CORRUPT) != 0) corrupt(l, data, f.len);
  const buffer = u32(changetype<usize>(m));
  if ((verdict & VERDICT_HOLD) != 0) {
    if (holdAdd(l, buffer, l.holdFor)) linkCount(l, LINK_REORDERED, 1);
    else due = l.due;
  }
  duePush(l, due, buffer);
  if ((verdict & VERDICT_DUPLICATE) != 0) duplicate(l, m, due);
}

function duplicate(l: Link, m: Mbuf, due: f64): void {
  linkCount(l, LINK_DUPLICATED, 1);
  const copy = mbufAlloc(buffersOf(l));
  if (copy === null) {
    linkCount(l, LINK_BUFFER_DROPS, 1);
    return;
  }
  copyBytes(copy.data, m.data, m.pktLen);
  copy.dataLen = m.pktLen;
  copy.pktLen = m.pktLen;
  duePush(l, due, u32(changetype<usize>(copy)));
}

/** Flips one bit behind the Ethernet header. */
function corrupt(l: Link, data: usize, length: u32): void {
  if (length <= ETHER_BYTES) return;
  const bit = randomBelow(linkDice(l), (length - ETHER_BYTES) * 8);
  const at = data + ETHER_BYTES + (bit >>> 3);
  store<u8>(at, load<u8>(at) ^ (u8(1) << u8(bit & 7)));
  linkCount(l, LINK_CORRUPTED, 1);
}

/** Hands on what is due; the caller holds the lock. Each frame arrives at its due time, however late it is noticed. */
function drain(l: Link, b: Burst, now: f64): u32 {
  const at = b.at;
  const mayBlock = b.mayBlock;
  b.mayBlock = u32(portHasFlowControl(changetype<Port>(l.port)));
  const f = burstFrame(b, VIEW_LINK + l.direction);
  let moved: u32 = 0;
  let blocked: u32 = 0;
  while (l.heapCount > 0 && dueFirst(l).at <= now) {
    const e = dueFirst(l);
    frameOf(f, changetype<Mbuf>(e.buffer));
    b.at = l.blocked != 0 ? now : e.at;
    if (pass(l, f, b) == BUSY) {
      blocked = 1;
      break;
    }
    l.blocked = 0;
    release(l);
    moved++;
  }
  l.blocked = blocked;
  b.at = at;
  b.mayBlock = mayBlock;
  const next = blocked != 0 ? now + RETRY_MICROS : l.heapCount > 0 ? dueFirst(l).at : Infinity;
  atomic.store<u64>(changetype<usize>(l), reinterpret<u64>(next), offsetof<Link>("nextDue"));
  return moved;
}

/** Takes the first frame out of the heap and gives its buffer back. */
function release(l: Link): void {
  const buffer = dueFirst(l).buffer;
  if (l.holding != 0) holdRemove(l, buffer);
  duePop(l);
  mbufFree(changetype<Mbuf>(buffer));
}

/** Appends to a list of extents (assembly/memory/extent.ts) what of the link holds state. */
export function linkPutExtents(base: u32, at: usize): usize {
  const l = linkAt(base);
  at = extentPut(at, base, l.heap - base);
  at = extentPut(at, l.heap, l.heapCount * DUE_BYTES);
  // Departures that are over are not looked at again.
  at = extentPut(at, l.departures, l.leaving == l.departed ? 0 : (l.departuresMask + 1) * 8);
  return extentPool(at, buffersOf(l));
}

/** The other end of the link. */
function pass(l: Link, f: Frame, b: Burst): i32 {
  const p = changetype<Port>(l.port);
  const length = f.len;
  const result = l.direction == LINK_TO_WIRE ? wireSend(p, f, b) : land(p, f, b);
  if (result == BUSY) return BUSY;
  linkCount(l, LINK_DELIVERED, 1);
  linkCount(l, LINK_BYTES, length);
  return result;
}
