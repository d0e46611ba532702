// From the stack to business threads: received bytes are not moved, their places are published as runs, and stay
// where they are until they are read. A listener publishes descriptors of connections that are ready.
//
//   applied        consumed              published            what the protocol holds
//   ---|--------------|---------------------|----------------------|---
//      read, not yet   to be read: the       waits for a free run,
//      given back      runs show where       or behind an urgent mark

import {
  CHANNEL_ACCEPT_COUNT,
  CHANNEL_CONSUMED,
  CHANNEL_PRODUCED,
  CHANNEL_RUN_COUNT,
  CHANNEL_RUNS,
  CHUNK_HEADER,
  KIND_LISTENER,
  KIND_TCP,
  KIND_UDP,
  PART_COUNT_VIOLATIONS,
  RUN_SCATTERED,
} from "../layout";
import { Chunk } from "../memory/chunk";
import { UdpSocket, Datagram, recordBytes, recordDrop, recordFirst } from "../net/udp-socket";
import { udpOf, tcbOf } from "../socket/kinds";
import { Socket } from "../socket/socket";
import { tcpConsume, tcpUnread } from "../tcp/api";
import { Slot, channelOf, countPart, part, slotOf } from "./part";
import { consumedAt } from "./withdraw";

/** Read bytes that the stack is told of at the latest, so that the window opens in time. */
const SIGNAL_BYTES: u32 = 4096;
/** A position that readers do not reach before the stack looks again by itself. */
const SIGNAL_FAR: u32 = 0x3fffffff;

/** Gives back what has been read. Returns true when something was. */
export function consumedApply(c: usize, slot: Slot, s: Socket): bool {
  const word = atomic.load<u64>(c, CHANNEL_CONSUMED);
  const consumed = u32(word);
  let bytes = consumed - slot.applied;
  if (bytes == 0) return false;
  if (bytes > slot.published - slot.applied) {
    // Nobody can have read what was not published: the word is put right.
    countPart(PART_COUNT_VIOLATIONS);
    atomic.store<u64>(c, consumedAt(word, slot.applied), CHANNEL_CONSUMED);
    return false;
  }
  if (s.kind == KIND_TCP) {
    slot.applied = consumed;
    tcpConsume(tcbOf(s), bytes);
    return true;
  }
  while (bytes != 0) {
    const record = recordBytes((recordFirst(udpOf(s)) as Datagram).length);
    if (record > bytes) {
      countPart(PART_COUNT_VIOLATIONS);
      atomic.store<u64>(c, consumedAt(word, slot.applied), CHANNEL_CONSUMED);
      return true;
    }
    recordDrop(udpOf(s));
    slot.applied += record;
    bytes -= record;
  }
  return true;
}

/** True when the last publish() left nothing behind for want of runs, or behind an urgent mark. */
export let publishedWhole: bool = true;

/** Publishes what has come; true when there is more than before. */
export function publish(c: usize, slot: Slot, s: Socket): bool {
  publishedWhole = true;
  if (s.kind == KIND_LISTENER) return false;
  const before = slot.published;
  runsRetire(c, slot);
  publishedWhole = s.kind == KIND_TCP ? publishBytes(c, slot, s) : publishRecords(c, slot, udpOf(s));
  const unread = slot.published - slot.applied;
  // Nobody reads what is not there: the mark moves along with the next bytes, unless readers have come to it already.
  if (unread == 0 && i32(signalAtOf(c) - slot.applied) > 0) return false;
  // With something left to publish, the first bytes that are read make place for it.
  const distance = !publishedWhole ? unread >>> 1 : s.kind == KIND_UDP ? SIGNAL_FAR : SIGNAL_BYTES;
  produce(c, slot, slot.applied + max<u32>(distance, 1));
  return slot.published != before;
}

/**
 * Shows what may be taken, and up to where taking it is told. One word, as readers take first and ask then whether to
 * tell, while the stack says first what it wants to be told of, and looks then how much was taken.
 */
function produce(c: usize, slot: Slot, signalAt: u32): void {
  const word = u64(slot.published) | (u64(signalAt) << 32);
  if (load<u64>(c, CHANNEL_PRODUCED) != word) atomic.store<u64>(c, word, CHANNEL_PRODUCED);
}

/** The position that the stack is told of, as it has said itself. */
export function signalAtOf(c: usize): u32 {
  return u32(load<u64>(c, CHANNEL_PRODUCED) >> 32);
}

/** A channel's new life: nothing is published. */
export function publishNothing(c: usize, slot: Slot): void {
  produce(c, slot, slot.applied + SIGNAL_FAR);
}

/** Runs that are read to their end make place for others. */
function runsRetire(c: usize, slot: Slot): void {
  while (slot.runsLive != 0) {
    const oldest = (slot.runHead - slot.runsLive) & (CHANNEL_RUN_COUNT - 1);
    if (i32(slot.applied - load<u32>(c + (usize(oldest) << 3), CHANNEL_RUNS + 4)) < 0) return;
    slot.runsLive--;
  }
}

/** Publishes `bytes` at `address` behind what is published; false: there is no run left. */
function runAdd(c: usize, slot: Slot, bias: u32, bytes: u32): bool {
  if (slot.runsLive == CHANNEL_RUN_COUNT) return false;
  runStore(c, slot.runHead & (CHANNEL_RUN_COUNT - 1), bias, slot.published + bytes);
  slot.runHead++;
  slot.runsLive++;
  slot.published += bytes;
  return true;
}

function runStore(c: usize, index: u32, bias: u32, end: u32): void {
  atomic.store<u64>(c + (usize(index) << 3), u64(bias) | (u64(end) << 32), CHANNEL_RUNS);
}

/** More bytes directly behind the last published ones: the last run gets longer. */
function runExtend(c: usize, slot: Slot, bytes: u32): void {
  const index = (slot.runHead - 1) & (CHANNEL_RUN_COUNT - 1);
  const bias = load<u32>(c + (usize(index) << 3), CHANNEL_RUNS);
  slot.published += bytes;
  runStore(c, index, bias, slot.published);
}

/** A stream: bytes, run by run; false when some could not be published. */
function publishBytes(c: usize, slot: Slot, s: Socket): bool {
  const unread = slot.published - slot.applied;
  // Whoever takes bytes out of the queue but through consumedApply() must take back first what was published.
  assert(unread <= s.rcvBytes);
  const readable = tcpUnread(tcbOf(s), unread == 0);
  if (readable <= unread) return readable == s.rcvBytes;
  let left = readable - unread;
  const isBehind = unread != 0;
  let chunk = changetype<Chunk>(isBehind ? slot.chunk : s.rcvHead);
  let from = isBehind ? slot.chunkEnd : u32(chunk.start);
  let extends_ = isBehind;
  while (left != 0) {
    const end = u32(chunk.start) + chunk.length;
    if (from == end) {
      chunk = changetype<Chunk>(chunk.next);
      from = chunk.start;
      extends_ = false;
      continue;
    }
    const n = min(left, end - from);
    if (extends_) runExtend(c, slot, n);
    else if (!runAdd(c, slot, u32(changetype<usize>(chunk)) + CHUNK_HEADER + from - slot.published, n)) return false;
    extends_ = true;
    from += n;
    left -= n;
    slot.chunk = u32(changetype<usize>(chunk));
    slot.chunkEnd = from;
  }
  return readable == s.rcvBytes;
}

/** Datagrams: whole records; one that lies in several chunks is published as scattered. */
function publishRecords(c: usize, slot: Slot, s: UdpSocket): bool {
  let isBehind = slot.published != slot.applied;
  let at = isBehind ? slot.chunk : s.rcvHead;
  let extends_ = isBehind;
  while (at != 0) {
    const chunk = changetype<Chunk>(at);
    const from = isBehind ? slot.chunkEnd : u32(chunk.start);
    const bytes = u32(chunk.start) + chunk.length - from;
    isBehind = false;
    if (bytes == 0) {
      at = chunk.next;
      extends_ = false;
      continue;
    }
    const first = changetype<usize>(at) + CHUNK_HEADER + from;
    const record = recordBytes(changetype<Datagram>(first).length);
    if (record > bytes) {
      if (!runAdd(c, slot, RUN_SCATTERED, record)) return false;
      at = lastOfRecord(chunk, record);
    } else if (extends_) {
      runExtend(c, slot, bytes);
    } else if (!runAdd(c, slot, u32(first) - slot.published, bytes)) {
      return false;
    }
    const last = changetype<Chunk>(at);
    slot.chunk = at;
    slot.chunkEnd = u32(last.start) + last.length;
    at = last.next;
    extends_ = false;
  }
  return true;
}

/** The chunk that the record ends in which begins with `chunk`. */
function lastOfRecord(chunk: Chunk, record: u32): u32 {
  let c = chunk;
  while (record > c.length) {
    record -= c.length;
    c = changetype<Chunk>(c.next);
  }
  return u32(changetype<usize>(c));
}

/** Connections that were handed out and not accepted: they count against the backlog. */
export function publishedAccepts(fd: i32): u32 {
  if (part == 0 || fd < 0) return 0;
  const waiting = slotOf(fd).published - u32(atomic.load<u64>(channelOf(fd), CHANNEL_CONSUMED));
  return min<u32>(waiting, CHANNEL_ACCEPT_COUNT);
}

/** Room for descriptors of connections; 0 also when the words cannot be. */
export function acceptRoom(c: usize, slot: Slot): u32 {
  const word = atomic.load<u64>(c, CHANNEL_CONSUMED);
  const consumed = u32(word);
  const waiting = slot.published - consumed;
  if (waiting <= u32(CHANNEL_ACCEPT_COUNT)) {
    slot.applied = consumed;
    return CHANNEL_ACCEPT_COUNT - waiting;
  }
  countPart(PART_COUNT_VIOLATIONS);
  atomic.store<u64>(c, consumedAt(word, slot.applied), CHANNEL_CONSUMED);
  return 0;
}

/** Hands out the descriptor of a connection; there is room. */
export function acceptAdd(c: usize, slot: Slot, fd: i32): void {
  const index = slot.published & (CHANNEL_ACCEPT_COUNT - 1);
  atomic.store<u32>(c + (usize(index) << 2), u32(fd), CHANNEL_RUNS);
  slot.published++;
  produce(c, slot, signalAtOf(c));
}

/** Whether accept() is to be told of: there are more connections than descriptors that were handed out. */
export function acceptSignal(c: usize, slot: Slot, hasMore: bool): void {
  produce(c, slot, slot.applied + (hasMore ? 1 : SIGNAL_FAR));
}
