// Sending, run by a business thread's own instance, takes turns: {position, whose turn} is one word. Whoever has the
// turn signals the stack, copies behind the position, then moves it on and gives the turn up in one exchange. A thread
// that dies leaves nothing half done, and its turn, which others take over; the stack has been signalled and looks
// until the turn is given up. What is sent while the stack ends the connection (withdraw.ts) is sent by nobody: the
// exchange fails.
// Read first: client.ts; drain.ts, which takes what was sent.

import {
  CHANNEL_DRAINED,
  CHANNEL_KIND,
  CHANNEL_MAY_SEND,
  CHANNEL_STATE,
  CHANNEL_TX,
  CHANNEL_TX_BUFFER,
  CHANNEL_TX_MORE,
  CHANNEL_TX_SIZE,
  CHANNEL_WANT_SPACE,
  CLIENT_ASK,
  CLIENT_BUSY,
  CLIENT_NO_BUFFER,
  EAGAIN,
  EBADF,
  EMSGSIZE,
  EPIPE,
  KIND_FREE,
  PART_SHARE,
  SEAT_BYTES,
  SEAT_WINDOW,
  SEND_LARGE_BYTES,
  SEND_SMALL_BYTES,
  SENT_HEADER,
  SENT_SKIP,
  SHARE_SEATS,
} from "../layout";
import { copyBytes } from "../memory/copy";
import { poolAlloc, poolFree } from "../memory/pool";
import { clientEpochOf, clientSignal } from "./client";
import { largePool, smallPool } from "./part";

/** Longest payload of a datagram in IPv4. */
const PAYLOAD_MAX: u32 = 65507;

/** Where clientReserve() has found room, and how much in one piece. */
let roomAt: u32 = 0;
let roomBytes: u32 = 0;

export function clientRoomAt(): u32 {
  return roomAt;
}

export function clientRoomBytes(): u32 {
  return roomBytes;
}

/**
 * Takes the turn to send at least one byte (a datagram: `bytes`, all of them). Returns the room behind the position,
 * or -EAGAIN, -EBADF, CLIENT_*.
 */
function turnTake(p: usize, c: usize, turn: u32, bytes: u32): i32 {
  const mine = u64(turn) << 32;
  while (true) {
    const state = atomic.load<u32>(c, CHANNEL_STATE);
    if (!(state & CHANNEL_MAY_SEND)) return atomic.load<u32>(c, CHANNEL_KIND) == KIND_FREE ? -EBADF : CLIENT_ASK;
    const tx = atomic.load<u64>(c, CHANNEL_TX);
    if (tx >> 32 != 0) return CLIENT_BUSY;
    if (atomic.cmpxchg<u64>(c, tx, tx | mine, CHANNEL_TX) != tx) continue;
    taken = tx | mine;
    // Closed in between, it has been looked through already: nothing may be left in it.
    if (!(atomic.load<u32>(c, CHANNEL_STATE) & CHANNEL_MAY_SEND)) {
      turnGive(c, turn, 0);
      continue;
    }
    clientSignal(p, c, false);
    const used = u32(tx) - atomic.load<u32>(c, CHANNEL_DRAINED);
    const room = roomFor(p, c, turn, used, bytes);
    if (room > 0) return room;
    if (room == 0) {
      atomic.store<u32>(c, 1, CHANNEL_WANT_SPACE);
      const freed = u32(tx) - atomic.load<u32>(c, CHANNEL_DRAINED) != used;
      turnGive(c, turn, 0);
      if (freed) continue;
      return -EAGAIN;
    }
    turnGive(c, turn, 0);
    return room;
  }
}

/** Room in the send buffer of whoever has the turn; a larger buffer comes in the place of an empty small one. */
function roomFor(p: usize, c: usize, turn: u32, used: u32, bytes: u32): i32 {
  let size = load<u32>(c, CHANNEL_TX_SIZE);
  if (used == 0 && (size == 0 || (bytes > size && size < u32(SEND_LARGE_BYTES)))) {
    const window = usize(load<u32>(load<u32>(p, PART_SHARE), SHARE_SEATS)) + usize((turn & 0xffff) - 1) * SEAT_BYTES;
    atomic.add<u32>(window, 1, SEAT_WINDOW);
    size = bufferTake(p, c, size, bytes);
    atomic.add<u32>(window, 1, SEAT_WINDOW);
    if (size == 0) return CLIENT_NO_BUFFER;
  }
  return used < size ? i32(size - used) : 0;
}

/** Gives a channel whose buffer has `size` bytes (0: none) a better one. Returns what it has then. */
function bufferTake(p: usize, c: usize, size: u32, bytes: u32): u32 {
  const isLarge = bytes > u32(SEND_SMALL_BYTES);
  let buffer = isLarge ? poolAlloc(largePool(p)) : poolAlloc(smallPool(p));
  const got = buffer != 0 && isLarge ? <u32>SEND_LARGE_BYTES : <u32>SEND_SMALL_BYTES;
  if (buffer == 0 && size == 0 && isLarge) buffer = poolAlloc(smallPool(p));
  if (buffer == 0) return size;
  const before = load<u32>(c, CHANNEL_TX_BUFFER);
  store<u32>(c, u32(buffer), CHANNEL_TX_BUFFER);
  atomic.store<u32>(c, got, CHANNEL_TX_SIZE);
  if (before != 0) bufferFree(p, before);
  return got;
}

function bufferFree(p: usize, buffer: u32): void {
  store<u32>(buffer, 0, 4);
  poolFree(smallPool(p), buffer);
}

/** {position, turn} as turnTake() has made it. */
let taken: u64 = 0;

/**
 * Moves the position on by `bytes` and gives the turn up; false: it was taken away, or the stack has moved the position
 * as the connection is over. Nothing was sent then.
 */
function turnGive(c: usize, turn: u32, bytes: u32): bool {
  if (atomic.cmpxchg<u64>(c, taken, u64(u32(taken) + bytes), CHANNEL_TX) == taken) return true;
  const tx = atomic.load<u64>(c, CHANNEL_TX);
  if (u32(tx >> 32) == turn) atomic.cmpxchg<u64>(c, tx, u64(u32(tx)), CHANNEL_TX);
  return false;
}

/** Which epoch the last send that did not take all was in; from 1. */
let sentEpoch: u32 = 0;

export function clientSentEpoch(): u32 {
  return sentEpoch;
}

/**
 * In the turn: whether the connection is still that of `epoch`, unless that is 0, for a call of which some bytes are
 * sent, or will be left. What is committed in this turn is of the epoch that is read here: epochs change behind the
 * position to send, and behind the state that turnTake() has asked.
 */
function isSameStream(c: usize, turn: u32, epoch: u32): bool {
  sentEpoch = clientEpochOf(c);
  if (epoch == 0 || epoch == sentEpoch) return true;
  turnGive(c, turn, 0);
  return false;
}

/** send(2) on a stream: bytes taken, or -EAGAIN, -EBADF, -EPIPE (not `epoch` any more), CLIENT_*. */
export function clientSend(p: usize, c: usize, turn: u32, source: usize, length: u32, flags: i32, epoch: u32): i32 {
  while (true) {
    const room = turnTake(p, c, turn, length);
    if (room < 0) return room;
    const n = min(length, u32(room));
    if ((n < length || epoch != 0) && !isSameStream(c, turn, epoch)) return -EPIPE;
    const size = load<u32>(c, CHANNEL_TX_SIZE);
    const offset = u32(atomic.load<u64>(c, CHANNEL_TX)) & (size - 1);
    const buffer = usize(load<u32>(c, CHANNEL_TX_BUFFER));
    const first = min(n, size - offset);
    copyBytes(buffer + offset, source, first);
    if (n > first) copyBytes(buffer, source + first, n - first);
    // Followed at once by the rest of the same call, or not: that is the caller's to say with MSG_MORE.
    store<u32>(c, flags, CHANNEL_TX_MORE);
    if (turnGive(c, turn, n)) return i32(n);
  }
}

/**
 * For a stream's bytes from elsewhere: takes the turn for up to `want` bytes, which go where clientRoomAt() and
 * clientRoomBytes() say. Results as clientSend().
 */
export function clientReserve(p: usize, c: usize, turn: u32, want: u32, epoch: u32): i32 {
  const room = turnTake(p, c, turn, want);
  if (room < 0) return room;
  if (!isSameStream(c, turn, epoch)) return -EPIPE;
  const size = load<u32>(c, CHANNEL_TX_SIZE);
  const offset = u32(atomic.load<u64>(c, CHANNEL_TX)) & (size - 1);
  roomAt = load<u32>(c, CHANNEL_TX_BUFFER) + offset;
  roomBytes = min(size - offset, u32(room));
  return i32(min(want, u32(room)));
}

/** Sends what was written after clientReserve(): `bytes` of it. False: as turnGive(), nothing was sent. */
export function clientCommit(c: usize, turn: u32, bytes: u32, flags: i32): bool {
  store<u32>(c, flags, CHANNEL_TX_MORE);
  return turnGive(c, turn, bytes);
}

/** sendto(2) with a datagram: `length`, or -EAGAIN, -EMSGSIZE, -EBADF, CLIENT_*. Port 0: to the peer. */
export function clientSendTo(
  p: usize,
  c: usize,
  turn: u32,
  source: usize,
  length: u32,
  flags: i32,
  address: u32,
  port: u32,
  ttl: i32,
  tos: i32,
): i32 {
  if (length > PAYLOAD_MAX) return -EMSGSIZE;
  const record = u32(SENT_HEADER) + ((length + 3) & ~3);
  while (true) {
    const room = turnTake(p, c, turn, record);
    if (room < 0) return room;
    const size = load<u32>(c, CHANNEL_TX_SIZE);
    const buffer = usize(load<u32>(c, CHANNEL_TX_BUFFER));
    const offset = u32(atomic.load<u64>(c, CHANNEL_TX)) & (size - 1);
    const skip = offset + record > size ? size - offset : 0;
    if (record + skip > u32(room)) {
      // An empty buffer that is too small for it, however placed, leaves the way by a call.
      const isHopeless = record > size && u32(room) == size;
      atomic.store<u32>(c, 1, CHANNEL_WANT_SPACE);
      if (isHopeless || u32(room) < size) {
        turnGive(c, turn, 0);
        return isHopeless ? CLIENT_NO_BUFFER : -EAGAIN;
      }
      // Empty, but the position lies badly: the rest of the buffer is left out first.
      store<u32>(buffer + offset, u32(SENT_SKIP));
      if (!turnGive(c, turn, size - offset)) continue;
      return -EAGAIN;
    }
    if (skip != 0) store<u32>(buffer + offset, u32(SENT_SKIP));
    const at = skip != 0 ? buffer : buffer + offset;
    store<u32>(at, length);
    store<u32>(at, address, 4);
    store<u16>(at, u16(port), 8);
    store<u16>(at, u16(flags), 10);
    store<i16>(at, i16(ttl), 12);
    store<i16>(at, i16(tos), 14);
    copyBytes(at + SENT_HEADER, source, length);
    if (turnGive(c, turn, skip + record)) return i32(length);
  }
}

/** Whose turn it is; 0: nobody's. */
export function clientTurn(c: usize): u32 {
  return u32(atomic.load<u64>(c, CHANNEL_TX) >> 32);
}

/** Changes with every send. */
export function clientSent(c: usize): u32 {
  return u32(atomic.load<u64>(c, CHANNEL_TX));
}

/** Takes the turn of a dead thread away; `holder` and `sent` are what clientTurn() and clientSent() have said. */
export function clientFree(p: usize, c: usize, holder: u32, sent: u32): void {
  const tx = atomic.load<u64>(c, CHANNEL_TX);
  if (u32(tx >> 32) != holder || u32(tx) != sent || holder == 0) return;
  atomic.cmpxchg<u64>(c, tx, u64(u32(tx)), CHANNEL_TX);
  // It may have died before its signal.
  clientSignal(p, c, true);
}

/** Where the send buffer begins: what did not fit before its end goes on there. */
export function clientBufferAt(c: usize): u32 {
  return load<u32>(c, CHANNEL_TX_BUFFER);
}
