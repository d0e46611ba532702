// From business threads to the stack: what lies in a send buffer goes into the socket's own queue, as far as that has
// room. A stream's bytes are taken as they come, datagrams whole.

import {
  CHANNEL_DRAINED,
  CHANNEL_TX,
  CHANNEL_TX_BUFFER,
  CHANNEL_TX_MORE,
  CHANNEL_TX_SIZE,
  CHANNEL_WANT_SPACE,
  EAGAIN,
  EIO,
  ENOBUFS,
  EPOLLERR,
  EPOLLIN,
  EPOLLOUT,
  KIND_TCP,
  KIND_UDP,
  MSG_MORE,
  PART_COUNT_VIOLATIONS,
  SENT_HEADER,
  SENT_SKIP,
  TURN_STACK,
} from "../layout";
import { poolFree } from "../memory/pool";
import { udpSend } from "../net/udp";
import { socketNotify } from "../socket/notify";
import { tcbOf, udpOf } from "../socket/kinds";
import { Socket } from "../socket/socket";
import { tcpAbort } from "../tcp/close";
import { tcpSend, tcpSendAll } from "../tcp/api";
import { channelIsRoomy } from "./channel";
import { Slot, countPart, part, poolOfBuffer } from "./part";

/** Longest payload of a datagram in IPv4. */
const PAYLOAD_MAX: u32 = 65507;

/** drainChannel(): nothing is left; a thread is about to add something; the socket takes no more now. */
export const DRAIN_DONE: i32 = 0;
export const DRAIN_HELD: i32 = 1;
export const DRAIN_BLOCKED: i32 = 2;

/** True when the last drain made room that somebody waits for. */
export let drainMadeRoom: bool = false;

/**
 * Takes what is in the send buffer. With `all`, what is over the socket's limit too: it is being closed or shut down.
 * Returns DRAIN_*.
 */
export function drainChannel(c: usize, slot: Slot, s: Socket, all: bool): i32 {
  drainMadeRoom = false;
  const tx = atomic.load<u64>(c, CHANNEL_TX);
  const produced = u32(tx);
  let result = DRAIN_DONE;
  if (produced != slot.drained) {
    const before = slot.drained;
    const buffer = load<u32>(c, CHANNEL_TX_BUFFER);
    const pool = poolOfBuffer(part, buffer);
    if (pool === null || produced - slot.drained > pool.elementBytes) {
      violated(slot, s, produced);
    } else {
      const size = pool.elementBytes;
      result =
        s.kind == KIND_TCP
          ? drainBytes(c, slot, s, buffer, size, produced, all)
          : drainRecords(slot, s, buffer, size, produced);
    }
    if (slot.drained != before) atomic.store<u32>(c, slot.drained, CHANNEL_DRAINED);
  }
  if (atomic.load<u32>(c, CHANNEL_WANT_SPACE) != 0 && channelIsRoomy(c)) {
    atomic.store<u32>(c, 0, CHANNEL_WANT_SPACE);
    drainMadeRoom = true;
  }
  return u32(tx >> 32) != 0 && result == DRAIN_DONE ? DRAIN_HELD : result;
}

/** A business thread has written what cannot be: its connection ends, nobody else is harmed. */
function violated(slot: Slot, s: Socket, produced: u32): void {
  countPart(PART_COUNT_VIOLATIONS);
  slot.drained = produced;
  if (s.kind == KIND_TCP) tcpAbort(tcbOf(s), EIO);
}

function drainBytes(c: usize, slot: Slot, s: Socket, buffer: u32, size: u32, produced: u32, all: bool): i32 {
  const t = tcbOf(s);
  const flags = load<u32>(c, CHANNEL_TX_MORE) & MSG_MORE;
  while (slot.drained != produced) {
    // After an error or a reset nobody takes it; the error is for the application's next call.
    if (t.error != 0) {
      slot.drained = produced;
      return DRAIN_DONE;
    }
    const offset = slot.drained & (size - 1);
    const left = produced - slot.drained;
    const n = min(left, size - offset);
    const more = n < left ? <i32>MSG_MORE : i32(flags);
    const taken = all ? tcpSendAll(t, usize(buffer + offset), n, more) : tcpSend(t, usize(buffer + offset), n, more);
    if (taken > 0) {
      slot.drained += u32(taken);
      if (u32(taken) < n && all) return DRAIN_BLOCKED;
    } else if (taken == -EAGAIN || taken == -ENOBUFS) {
      return DRAIN_BLOCKED;
    } else {
      slot.drained = produced;
    }
  }
  return DRAIN_DONE;
}

function drainRecords(slot: Slot, s: Socket, buffer: u32, size: u32, produced: u32): i32 {
  while (slot.drained != produced) {
    const offset = slot.drained & (size - 1);
    const at = usize(buffer + offset);
    const left = produced - slot.drained;
    const length = load<u32>(at);
    if (length == u32(SENT_SKIP)) {
      slot.drained += min(left, size - offset);
      continue;
    }
    const record = u32(SENT_HEADER) + ((length + 3) & ~3);
    if (length > PAYLOAD_MAX || record > left || offset + record > size) {
      violated(slot, s, produced);
      return DRAIN_DONE;
    }
    const sent = s.kind == KIND_UDP ? sendRecord(s, at, length) : 0;
    if (sent == -EAGAIN || sent == -ENOBUFS) return DRAIN_BLOCKED;
    slot.drained += record;
  }
  return DRAIN_DONE;
}

/** Sends a datagram; what goes wrong is the socket's error, which the application's next call reports. */
function sendRecord(s: Socket, at: usize, length: u32): i32 {
  const u = udpOf(s);
  const error = u.error;
  const ttlBefore = u.ttl;
  const tosBefore = u.tos;
  const ttl = load<i16>(at, 12);
  const tos = load<i16>(at, 14);
  u.error = 0;
  if (ttl >= 0) u.ttl = u8(ttl);
  if (tos >= 0) u.tos = u8(tos);
  const sent = udpSend(u, at + SENT_HEADER, length, i32(load<u16>(at, 10)), load<u32>(at, 4), load<u16>(at, 8));
  u.ttl = ttlBefore;
  u.tos = tosBefore;
  if (error != 0) u.error = error;
  if (sent >= 0 || sent == -EAGAIN || sent == -ENOBUFS) return sent;
  if (error == 0) u.error = u16(-sent);
  socketNotify(s, EPOLLERR | EPOLLIN | EPOLLOUT);
  return 0;
}

/** Gives the send buffer back unless CHANNEL_TX, on which that was decided, has changed; false: it has. */
export function bufferRelease(c: usize, tx: u64): bool {
  const mine = u64(u32(tx)) | (u64(u32(TURN_STACK)) << 32);
  if (atomic.cmpxchg<u64>(c, tx, mine, CHANNEL_TX) != tx) return false;
  // Only now: a thread may have had the turn meanwhile, put a larger buffer in the place of this one, and sent nothing.
  const buffer = load<u32>(c, CHANNEL_TX_BUFFER);
  const pool = poolOfBuffer(part, buffer);
  store<u32>(c, 0, CHANNEL_TX_BUFFER);
  store<u32>(c, 0, CHANNEL_TX_SIZE);
  if (pool !== null) {
    // The application's bytes may look like the pool's mark.
    store<u32>(buffer, 0, 4);
    poolFree(pool, buffer);
  }
  atomic.store<u64>(c, u64(u32(tx)), CHANNEL_TX);
  return true;
}
