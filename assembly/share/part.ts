// A stack's part of its host's share: its channels, its own notes on them (slots), its rings, its send buffers.
// Read first: DESIGN.md section 4, the separate model; the layouts SHARE_, PART_ and CHANNEL_ in layout.ts.
//
// A channel is the shared half of a descriptor. Whatever business threads write in it is a wish: the stack takes
// positions only within what it has given out itself, and keeps its own state in the slot, which nobody else writes.

import {
  CALL_ASKED,
  CALL_STACK,
  CHANNEL_BYTES,
  PART_CALLS,
  PART_CAPACITY,
  PART_CHANNELS,
  PART_COUNTERS,
  PART_HEADER,
  PART_INDEX,
  PART_LARGE_BUFFERS,
  PART_LARGE_POOL,
  PART_SHARE,
  PART_SIGNALS,
  PART_SLOTS,
  PART_SMALL_BUFFERS,
  PART_SMALL_POOL,
  SEND_LARGE_BYTES,
  SEND_SMALL_BYTES,
  SHARE_SEAT_COUNT,
  SHARE_STACKS,
} from "../layout";
import { mpscBytes, mpscInit } from "../memory/ring";
import { POOL_BYTES, Pool, poolInit } from "../memory/pool";
import { stack } from "../stack";

/** Slot.flags */
export const SLOT_NOTED: u32 = 1; // in the list of those whose socket has something to tell
export const SLOT_HOT: u32 = 2; // in the list of those to be looked at in the next beat
export const SLOT_ACTIVE: u32 = 4; // in the list of those that hold memory
export const SLOT_CLOSING: u32 = 8; // closed, but a business thread is about to write to its send buffer
export const SLOT_ENDING: u32 = 16; // shut down for sending; what lies in the send buffer has to find memory first

/** What the stack knows of a channel. */
@unmanaged
export class Slot {
  flags: u32;
  /** Events that were noted since the last beat. */
  events: u32;
  notedNext: u32;
  hotNext: u32;
  activePrev: u32;
  activeNext: u32;
  fd: i32;
  /** Position behind what was published, and behind what the protocol knows to be read. */
  published: u32;
  applied: u32;
  /** Chunk of the last published byte and the end of what is published of it; valid while published != applied. */
  chunk: u32;
  chunkEnd: u32;
  /** The next run's place, and how many are live. */
  runHead: u32;
  runsLive: u32;
  /** Position behind what was taken to send. */
  drained: u32;
  /** What the housekeeping saw last of the position to send. */
  idleAt: u32;
  /** When the turn was first seen held by one and the same thread, milliseconds, and the word then. */
  heldSince: u32;
  heldTurn: u32;
}
export const SLOT_BYTES: u32 = 128;
if (offsetof<Slot>() > SLOT_BYTES) ERROR("Slot layout");

/** This instance's part; 0: the stack's calls are its own thread's. */
export let part: usize = 0;
/** The share, and how descriptors of the host are numbered: descriptor * stacks + index. */
export let share: usize = 0;
export let stacks: u32 = 1;
export let stackIndex: u32 = 0;
let channels: usize = 0;
let slots: usize = 0;
let capacity: u32 = 0;

/** Points this instance at its part. */
export function partAttach(): void {
  part = usize(stack.part);
  if (part == 0) return;
  share = usize(load<u32>(part, PART_SHARE));
  stacks = load<u32>(share, SHARE_STACKS);
  stackIndex = load<u32>(part, PART_INDEX);
  channels = usize(load<u32>(part, PART_CHANNELS));
  slots = usize(load<u32>(part, PART_SLOTS));
  capacity = load<u32>(part, PART_CAPACITY);
}

/** Slots of a ring that holds each of `count` values twice. */
function ringSlots(count: u32): u32 {
  return (<u32>1) << (32 - clz<u32>(max<u32>(count, 4) * 2 - 1));
}

/** Bytes of a part for `descriptors`, `seats` callers and so many send buffers; 0 when it does not fit 32 bits. */
export function partBytes(descriptors: u32, seats: u32, small: u32, large: u32): u32 {
  const rings = u64(mpscBytes(ringSlots(descriptors))) + mpscBytes(ringSlots(seats));
  const tables = u64(descriptors) * (CHANNEL_BYTES + SLOT_BYTES);
  const buffers = u64(small) * SEND_SMALL_BYTES + u64(large) * SEND_LARGE_BYTES;
  const total = u64(PART_HEADER) + rings + tables + buffers + 1024;
  return total > 0xf0000000 ? 0 : u32(total);
}

/** Lays out the zeroed part at `at` whose header the host has filled in (PART_SHARE to PART_CALLS_MAX). */
export function partInit(at: usize): void {
  const descriptors = load<u32>(at, PART_CAPACITY);
  const shareAt = usize(load<u32>(at, PART_SHARE));
  let cursor = u32(at) + PART_HEADER;
  store<u32>(at, cursor, PART_CHANNELS);
  cursor += descriptors * CHANNEL_BYTES;
  store<u32>(at, cursor, PART_SLOTS);
  cursor += descriptors * SLOT_BYTES;
  cursor = placeRing(at, PART_SIGNALS, cursor, ringSlots(descriptors));
  cursor = placeRing(at, PART_CALLS, cursor, ringSlots(load<u32>(shareAt, SHARE_SEAT_COUNT)));
  const small = load<u32>(at, PART_SMALL_BUFFERS);
  const large = load<u32>(at, PART_LARGE_BUFFERS);
  poolInit(smallPool(at), cursor, SEND_SMALL_BYTES, small, true);
  poolInit(largePool(at), cursor + small * SEND_SMALL_BYTES, SEND_LARGE_BYTES, large, true);
}

function placeRing(at: usize, word: usize, cursor: u32, size: u32): u32 {
  store<u32>(at + word, cursor);
  mpscInit(usize(cursor), size);
  return (cursor + mpscBytes(size) + 127) & ~127;
}
if (POOL_BYTES > 128) ERROR("Part layout");

/** The pools of send buffers of the part at `at`. */
export function smallPool(at: usize): Pool {
  return changetype<Pool>(at + PART_SMALL_POOL);
}

export function largePool(at: usize): Pool {
  return changetype<Pool>(at + PART_LARGE_POOL);
}

/** The pool that a send buffer of the part at `at` comes from, or null when there is no such buffer. */
export function poolOfBuffer(at: usize, buffer: u32): Pool | null {
  if (isElement(smallPool(at), buffer)) return smallPool(at);
  return isElement(largePool(at), buffer) ? largePool(at) : null;
}

function isElement(pool: Pool, at: u32): bool {
  const offset = at - pool.base;
  return offset < pool.capacity * pool.elementBytes && (offset & (pool.elementBytes - 1)) == 0;
}

/** Descriptors of this stack. */
export function slotCount(): u32 {
  return capacity;
}

/** The slot and the channel of a descriptor of this stack, which is in range. */
export function slotOf(fd: i32): Slot {
  return changetype<Slot>(slots + usize(u32(fd)) * SLOT_BYTES);
}

export function channelOf(fd: i32): usize {
  return channels + usize(u32(fd)) * CHANNEL_BYTES;
}

/** SEAT_STATUS of a call that stack `index` is asked for. */
export function askedOf(index: u32): u32 {
  return u32(CALL_ASKED) | ((index + 1) << CALL_STACK);
}

/** Adds one to a counter of this part (PART_COUNT_*). */
export function countPart(index: i32): void {
  const at = part + PART_COUNTERS + (usize(index) << 3);
  store<u64>(at, load<u64>(at) + 1);
}
