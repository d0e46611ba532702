// The business thread's side of a channel, run by an instance of its own: nothing here waits, takes a lock that a dying
// thread could leave locked for good, or touches the stack.
//
// Receiving is free of locks: read the position, copy, and move the position on if it is still the same. Whoever was
// overtaken meanwhile has copied in vain and starts anew, so that each byte goes to one reader.
// Sending takes turns: {position, whose turn} is one word. Whoever has the turn signals the stack, copies behind the
// position, then moves it on and gives the turn up in one exchange. A thread that dies leaves nothing half done, and
// its turn, which others take over; the stack has been signalled and looks until the turn is given up.

import {
  CHANNEL_ACCEPT_COUNT,
  CHANNEL_ASK,
  CHANNEL_CONSUMED,
  CHANNEL_DRAINED,
  CHANNEL_ENDED,
  CHANNEL_GENERATION,
  CHANNEL_KIND,
  CHANNEL_MAY_SEND,
  CHANNEL_PRODUCED,
  CHANNEL_RUNS,
  CHANNEL_RUN_COUNT,
  CHANNEL_SIGNALLED,
  CHANNEL_SIGNAL_AT,
  CHANNEL_STATE,
  CHANNEL_TX,
  CHANNEL_TX_BUFFER,
  CHANNEL_TX_MORE,
  CHANNEL_TX_SIZE,
  CHANNEL_WANT_SPACE,
  CLIENT_ASK,
  CLIENT_BUSY,
  CLIENT_NO_BUFFER,
  CLIENT_SCATTERED,
  EAGAIN,
  EBADF,
  EINVAL,
  EMSGSIZE,
  EOPNOTSUPP,
  EXCHANGE_ADDRESS,
  EXCHANGE_DESTINATION,
  EXCHANGE_NETIF,
  KIND_FREE,
  KIND_LISTENER,
  KIND_TCP,
  KIND_UDP,
  MSG_PEEK,
  MSG_TRUNC,
  PART_BELL,
  PART_CALLS,
  PART_CHANNELS,
  PART_INDEX,
  PART_SCAN,
  PART_SHARE,
  PART_SIGNALS,
  RUN_SCATTERED,
  SEAT_BYTES,
  SEAT_EXCHANGE,
  SEAT_PART,
  SEAT_STATUS,
  SEAT_WINDOW,
  SEND_LARGE_BYTES,
  SEND_SMALL_BYTES,
  SENT_HEADER,
  SENT_SKIP,
  SHARE_SEATS,
} from "../layout";
import { copyBytes } from "../memory/copy";
import { doorbellRing } from "../memory/doorbell";
import { poolAlloc, poolFree } from "../memory/pool";
import { mpscPush } from "../memory/ring";
import { DATAGRAM_HEADER, Datagram, recordBytes } from "../net/udp-socket";
import { channelReadable, channelWritable } from "./channel";
import { askedOf, largePool, smallPool } from "./part";

/** Longest payload of a datagram in IPv4. */
const PAYLOAD_MAX: u32 = 65507;

/** Another thread was faster: the call starts anew. */
const OVERTAKEN: i32 = -4099;

/** Has the stack look at a channel; `again` even when a signal is under way already. */
function signal(p: usize, c: usize, again: bool): void {
  if (atomic.xchg<u32>(c, 1, CHANNEL_SIGNALLED) != 0 && !again) return;
  const fd = (u32(c) - load<u32>(p, PART_CHANNELS)) >>> 8;
  if (!mpscPush(usize(load<u32>(p, PART_SIGNALS)), fd + 1)) atomic.store<u32>(p, 1, PART_SCAN);
  doorbellRing(load<u32>(p, PART_BELL));
}

/** Hands a call to the stack with part `p`: its seat has been filled in. False: too many callers. */
export function clientCall(p: usize, seat: usize, index: u32): bool {
  store<u32>(seat, u32(p), SEAT_PART);
  atomic.store<u32>(seat, askedOf(load<u32>(p, PART_INDEX)), SEAT_STATUS);
  if (!mpscPush(usize(load<u32>(p, PART_CALLS)), index + 1)) return false;
  doorbellRing(load<u32>(p, PART_BELL));
  return true;
}

/** The run {bias, end} that position `at` lies in. */
function runOf(c: usize, at: u32): u64 {
  let best: u64 = 0;
  let nearest: u32 = 0x7fffffff;
  for (let i: usize = 0; i < usize(CHANNEL_RUN_COUNT); i++) {
    const run = atomic.load<u64>(c + (i << 3), CHANNEL_RUNS);
    const left = u32(run >> 32) - at;
    // What lies behind the position is far away, modulo 2^32.
    if (left != 0 && left < nearest) {
      nearest = left;
      best = run;
    }
  }
  return best;
}

/** Where the bytes from a position on lie, and how many in one piece. */
export let pieceAt: u32 = 0;
export let pieceBytes: u32 = 0;

/** Looks `offset` bytes behind what is to be read next at position `from`: pieceAt, pieceBytes. */
export function clientPiece(c: usize, from: u32, offset: u32): u32 {
  const at = from + offset;
  const run = runOf(c, at);
  pieceAt = u32(run) + at;
  pieceBytes = min(u32(run >> 32) - at, atomic.load<u32>(c, CHANNEL_PRODUCED) - at);
  return pieceBytes;
}

/** The position of what is to be read next; clientTake() wants it. */
export function clientPosition(c: usize): u32 {
  return atomic.load<u32>(c, CHANNEL_CONSUMED);
}

/** Bytes of a stream that can be read from `from` on, or what recv(2) is to return when there are none. */
export function clientUnread(c: usize, from: u32): i32 {
  const kind = atomic.load<u32>(c, CHANNEL_KIND);
  if (kind == KIND_FREE) return -EBADF;
  if (kind == KIND_UDP) return -EOPNOTSUPP;
  if (kind == KIND_LISTENER) return CLIENT_ASK;
  const unread = atomic.load<u32>(c, CHANNEL_PRODUCED) - from;
  return unread != 0 ? i32(min<u32>(unread, 0x7fffffff)) : nothing(c, from);
}

/** Why nothing can be read at a position. The state is asked first: bytes that came before the end come first. */
function nothing(c: usize, from: u32): i32 {
  const state = atomic.load<u32>(c, CHANNEL_STATE);
  if (atomic.load<u32>(c, CHANNEL_PRODUCED) != from) return -EAGAIN;
  return state & CHANNEL_ASK ? CLIENT_ASK : state & CHANNEL_ENDED ? 0 : -EAGAIN;
}

/** Takes `bytes` that were read from position `from` on; false: somebody else has taken them, or there are fewer. */
export function clientTake(p: usize, c: usize, from: u32, bytes: u32): bool {
  if (bytes > atomic.load<u32>(c, CHANNEL_PRODUCED) - from) return false;
  if (atomic.cmpxchg<u32>(c, from, from + bytes, CHANNEL_CONSUMED) != from) return false;
  if (i32(from + bytes - load<u32>(c, CHANNEL_SIGNAL_AT)) >= 0) signal(p, c, false);
  return true;
}

/** recv(2) from what has been published, `length` bytes at `target`: as core.recv(), or CLIENT_*. */
export function clientRecv(p: usize, c: usize, seat: usize, target: usize, length: u32, flags: i32): i32 {
  const generation = atomic.load<u32>(c, CHANNEL_GENERATION);
  while (true) {
    const from = atomic.load<u32>(c, CHANNEL_CONSUMED);
    if (atomic.load<u32>(c, CHANNEL_KIND) == KIND_UDP) {
      const n = recvRecord(p, c, seat, from, target, length, flags);
      if (n != OVERTAKEN) return atomic.load<u32>(c, CHANNEL_GENERATION) == generation ? n : -EBADF;
      continue;
    }
    const unread = clientUnread(c, from);
    if (unread <= 0) return unread;
    const n = min(u32(unread), length);
    if (!(flags & MSG_TRUNC) && !copyOut(c, from, target, n)) continue;
    if (flags & MSG_PEEK) {
      if (atomic.load<u32>(c, CHANNEL_CONSUMED) != from) continue;
    } else if (!clientTake(p, c, from, n)) {
      continue;
    }
    return atomic.load<u32>(c, CHANNEL_GENERATION) == generation ? i32(n) : -EBADF;
  }
}

/** Copies published bytes; false when another reader has made them disappear meanwhile. */
function copyOut(c: usize, from: u32, target: usize, bytes: u32): bool {
  let done: u32 = 0;
  while (done < bytes) {
    const n = min(clientPiece(c, from, done), bytes - done);
    if (n == 0) return false;
    copyBytes(target + done, usize(pieceAt), n);
    done += n;
  }
  return true;
}

/** The oldest datagram. Its sender and the like go to the caller's exchange area, as udpReceive() leaves them. */
function recvRecord(p: usize, c: usize, seat: usize, from: u32, target: usize, length: u32, flags: i32): i32 {
  const state = atomic.load<u32>(c, CHANNEL_STATE);
  if (state & CHANNEL_ASK) return CLIENT_ASK;
  if (atomic.load<u32>(c, CHANNEL_PRODUCED) == from) return nothing(c, from);
  const run = runOf(c, from);
  if (u32(run) == RUN_SCATTERED) return CLIENT_SCATTERED;
  const d = changetype<Datagram>(usize(u32(run) + from));
  const full = d.length;
  // A record that was taken meanwhile may hold anything.
  if (full > PAYLOAD_MAX) return OVERTAKEN;
  const n = min(full, length);
  const exchange = seat + SEAT_EXCHANGE;
  store<u64>(exchange, u64(d.address) | (u64(d.port) << 32), EXCHANGE_ADDRESS);
  store<u64>(exchange, u64(n < full ? MSG_TRUNC : 0) | (u64(full) << 32), EXCHANGE_ADDRESS + 8);
  store<u64>(exchange, u64(d.destination) | (u64(d.netif + 1) << 32), EXCHANGE_DESTINATION);
  store<u64>(exchange, u64(d.ttl) | (u64(d.tos) << 32), EXCHANGE_NETIF + 4);
  copyBytes(target, usize(u32(run) + from) + DATAGRAM_HEADER, n);
  if (flags & MSG_PEEK) {
    if (atomic.load<u32>(c, CHANNEL_CONSUMED) != from) return OVERTAKEN;
  } else if (!clientTake(p, c, from, recordBytes(full))) {
    return OVERTAKEN;
  }
  return i32(flags & MSG_TRUNC ? full : n);
}

/** accept(2): a descriptor of the stack, -EAGAIN, -EBADF, -EINVAL, -EOPNOTSUPP. */
export function clientAccept(p: usize, c: usize): i32 {
  while (true) {
    const kind = atomic.load<u32>(c, CHANNEL_KIND);
    if (kind != KIND_LISTENER) return kind == KIND_FREE ? -EBADF : kind == KIND_UDP ? -EOPNOTSUPP : -EINVAL;
    const from = atomic.load<u32>(c, CHANNEL_CONSUMED);
    if (atomic.load<u32>(c, CHANNEL_PRODUCED) == from) return -EAGAIN;
    const fd = atomic.load<u32>(c + (usize(from & (CHANNEL_ACCEPT_COUNT - 1)) << 2), CHANNEL_RUNS);
    if (clientTake(p, c, from, 1)) return i32(fd);
  }
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
    // Closed in between, it has been looked through already: nothing may be left in it.
    if (!(atomic.load<u32>(c, CHANNEL_STATE) & CHANNEL_MAY_SEND)) {
      turnGive(c, turn, 0);
      continue;
    }
    signal(p, c, false);
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

/** Moves the position on by `bytes` and gives the turn up; false: it was taken away, and nothing was sent. */
function turnGive(c: usize, turn: u32, bytes: u32): bool {
  const tx = atomic.load<u64>(c, CHANNEL_TX);
  if (u32(tx >> 32) != turn) return false;
  return atomic.cmpxchg<u64>(c, tx, u64(u32(tx) + bytes), CHANNEL_TX) == tx;
}

/** send(2) on a stream: bytes taken, or -EAGAIN, -EBADF, CLIENT_*. */
export function clientSend(p: usize, c: usize, turn: u32, source: usize, length: u32, flags: i32): i32 {
  while (true) {
    const room = turnTake(p, c, turn, length);
    if (room < 0) return room;
    const n = min(length, u32(room));
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

/** For a stream's bytes from elsewhere: takes the turn for up to `want` bytes; pieceAt and pieceBytes say where to. */
export function clientReserve(p: usize, c: usize, turn: u32, want: u32): i32 {
  const room = turnTake(p, c, turn, want);
  if (room < 0) return room;
  const size = load<u32>(c, CHANNEL_TX_SIZE);
  const offset = u32(atomic.load<u64>(c, CHANNEL_TX)) & (size - 1);
  pieceAt = load<u32>(c, CHANNEL_TX_BUFFER) + offset;
  pieceBytes = min(size - offset, u32(room));
  return i32(min(want, u32(room)));
}

/** Sends what was written after clientReserve(): `bytes` of it. False: the turn was taken away, nothing was sent. */
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
  signal(p, c, true);
}

/** Spins until a call on the channel need not wait, `rounds` times at most. True when that is so. */
export function clientSpin(c: usize, generation: u32, sending: bool, rounds: u32): bool {
  for (let i: u32 = 0; i < rounds; i++) {
    if (sending ? channelWritable(c) : channelReadable(c)) return true;
    if (atomic.load<u32>(c, CHANNEL_GENERATION) != generation) return true;
  }
  return false;
}

/** Spins until a call is answered; false: not in so many rounds. */
export function clientSpinCall(seat: usize, answered: u32, rounds: u32): bool {
  for (let i: u32 = 0; i < rounds; i++) if (atomic.load<u32>(seat, SEAT_STATUS) == answered) return true;
  return false;
}

/** Where clientPiece() and clientReserve() have pointed. */
export function clientPieceAt(): u32 {
  return pieceAt;
}

export function clientPieceBytes(): u32 {
  return pieceBytes;
}

/** A kind that the calls of streams are for. */
export function clientIsStream(c: usize): bool {
  return atomic.load<u32>(c, CHANNEL_KIND) == KIND_TCP;
}

/** 1 when a call that receives or accepts on the channel need not wait. */
export function clientReadable(c: usize): bool {
  return channelReadable(c);
}

/** 1 when a call that sends need not wait. */
export function clientWritable(c: usize): bool {
  return channelWritable(c);
}

/** Where the send buffer begins: what did not fit before its end goes on there. */
export function clientBufferAt(c: usize): u32 {
  return load<u32>(c, CHANNEL_TX_BUFFER);
}
