// Receiving, run by a business thread's own instance: look at the position, copy, and move the position on if it is
// still the same. Whoever was overtaken meanwhile, by another reader or by the stack that takes all back (withdraw.ts),
// has copied in vain and looks again: each byte goes to one reader, and none to the reader of another stream.
// Read first: client.ts; publish.ts, which lays out the runs.

import {
  CHANNEL_ACCEPT_COUNT,
  CHANNEL_ASK,
  CHANNEL_BYTES,
  CHANNEL_CONSUMED,
  CHANNEL_ENDED,
  CHANNEL_KIND,
  CHANNEL_PRODUCED,
  CHANNEL_RUNS,
  CHANNEL_RUN_COUNT,
  CHANNEL_STATE,
  CLIENT_ASK,
  CLIENT_SCATTERED,
  EAGAIN,
  EBADF,
  EINVAL,
  ENOTCONN,
  EOPNOTSUPP,
  EPIPE,
  EXCHANGE_ADDRESS,
  EXCHANGE_DESTINATION,
  EXCHANGE_NETIF,
  KIND_FREE,
  KIND_LISTENER,
  KIND_TCP,
  KIND_UDP,
  MSG_PEEK,
  MSG_TRUNC,
  RUN_SCATTERED,
  SEAT_EXCHANGE,
  SEAT_VIEWS,
  SEAT_VIEW_BYTES,
  SEAT_VIEW_COUNT,
} from "../layout";
import { copyBytes } from "../memory/copy";
import { DATAGRAM_HEADER, Datagram, recordBytes } from "../net/udp-socket";
import { channelUnread } from "./channel";
import { clientIsStream, clientSignal } from "./client";
import { epochOf } from "./withdraw";

/** Longest payload of a datagram in IPv4. */
const PAYLOAD_MAX: u32 = 65507;

/** Another thread was faster: the call starts anew. */
const OVERTAKEN: i32 = -4099;

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

/** Where clientPiece() has found bytes, and how many in one piece. */
let pieceAt: u32 = 0;
let pieceBytes: u32 = 0;

export function clientPieceAt(): u32 {
  return pieceAt;
}

export function clientPieceBytes(): u32 {
  return pieceBytes;
}

/** CHANNEL_CONSUMED as the last look at a channel has found it: what was found counts only while it is still so. */
let seen: u64 = 0;

/** Looks at a stream: bytes that can be read, or what recv(2) is to return when there are none. */
export function clientLook(c: usize): i32 {
  seen = atomic.load<u64>(c, CHANNEL_CONSUMED);
  return unreadOf(c);
}

/**
 * What can be read as of the last look. The kind is asked last: whatever is published after the channel has become
 * another kind is published behind that, and what was before is of another epoch.
 */
function unreadOf(c: usize): i32 {
  const unread = u32(atomic.load<u64>(c, CHANNEL_PRODUCED)) - u32(seen);
  const kind = atomic.load<u32>(c, CHANNEL_KIND);
  if (kind == KIND_TCP) return unread != 0 ? i32(min<u32>(unread, 0x7fffffff)) : nothing(c);
  return kind == KIND_FREE ? -EBADF : kind == KIND_UDP ? -EOPNOTSUPP : CLIENT_ASK;
}

/** Why nothing can be read. The state is asked first: bytes that came before the end come first. */
function nothing(c: usize): i32 {
  const state = atomic.load<u32>(c, CHANNEL_STATE);
  if (u32(atomic.load<u64>(c, CHANNEL_PRODUCED)) != u32(seen)) return -EAGAIN;
  return state & CHANNEL_ASK ? CLIENT_ASK : state & CHANNEL_ENDED ? 0 : -EAGAIN;
}

/** Nothing was taken, and nothing taken back, since the last look: what was copied since then is right. */
export function clientStill(c: usize): bool {
  return atomic.load<u64>(c, CHANNEL_CONSUMED) == seen;
}

/** Which epoch the last look was in, for calls that go on with the same stream only; from 1. */
export function clientEpoch(): u32 {
  return epochOf(seen);
}

/** The bytes that lie `offset` behind the first unread one, in one piece: pieceAt, pieceBytes; 0: look again. */
export function clientPiece(c: usize, offset: u32): u32 {
  const at = u32(seen) + offset;
  const run = runOf(c, at);
  pieceAt = u32(run) + at;
  pieceBytes = min(u32(run >> 32) - at, u32(atomic.load<u64>(c, CHANNEL_PRODUCED)) - at);
  // A run that serves other bytes by now may lead anywhere; while the position stands, it does not.
  if (run == 0 || !clientStill(c)) pieceBytes = 0;
  return pieceBytes;
}

/** Takes `bytes` of what the last look has found; false: somebody else has taken some, or all was taken back. */
export function clientTake(p: usize, c: usize, bytes: u32): bool {
  if (atomic.cmpxchg<u64>(c, seen, seen + bytes, CHANNEL_CONSUMED) != seen) return false;
  const signalAt = u32(atomic.load<u64>(c, CHANNEL_PRODUCED) >> 32);
  if (i32(u32(seen) + bytes - signalAt) >= 0) clientSignal(p, c, false);
  return true;
}

/** Position of the last look, for the stack's calls. */
export function clientPosition(): u32 {
  return u32(seen);
}

/** Connections that can be accepted, as listeners count them. */
export function clientWaiting(c: usize): u32 {
  return channelUnread(c);
}

/** Where a seat remembers what recv_view() has shown of a channel. */
function viewOf(seat: usize, c: usize): usize {
  return seat + SEAT_VIEWS + ((c / usize(CHANNEL_BYTES)) & usize(SEAT_VIEW_COUNT - 1)) * usize(SEAT_VIEW_BYTES);
}

/** recv_view(): the first piece of what the last look has found, remembered for clientViewed(). 0: look again. */
export function clientView(c: usize, seat: usize): u32 {
  const view = viewOf(seat, c);
  store<u32>(view, u32(c));
  store<u64>(view, seen, 8);
  return clientPiece(c, 0);
}

/**
 * recv_done(): takes `bytes` of what this thread has viewed last, unless others have, or it was taken back; of what is
 * there now where it has viewed nothing. Returns the bytes that are left; -EINVAL when there are not so many, -EBADF,
 * -EOPNOTSUPP, -ENOTCONN (a listener).
 */
export function clientViewed(p: usize, c: usize, seat: usize, bytes: i32): i32 {
  const view = viewOf(seat, c);
  const unread = clientLook(c);
  if (unread == -EOPNOTSUPP || unread == -EBADF) return unread;
  if (!clientIsStream(c)) return -ENOTCONN;
  const left = max(unread, 0);
  if (bytes < 0 || bytes > left) return -EINVAL;
  if (bytes == 0 || (load<u32>(view) == u32(c) && load<u64>(view, 8) != seen)) return left;
  if (clientTake(p, c, bytes)) store<u64>(view, seen + bytes, 8);
  return max(clientLook(c), 0);
}

/** recv(2) from what has been published, `length` bytes at `target`, of epoch `epoch` only unless that is 0. */
export function clientRecv(p: usize, c: usize, seat: usize, target: usize, length: u32, flags: i32, epoch: u32): i32 {
  while (true) {
    seen = atomic.load<u64>(c, CHANNEL_CONSUMED);
    if (atomic.load<u32>(c, CHANNEL_KIND) == KIND_UDP) {
      const n = recvRecord(p, c, seat, target, length, flags);
      if (n != OVERTAKEN) return n;
      continue;
    }
    const unread = unreadOf(c);
    if (unread <= 0) return unread;
    if (epoch != 0 && epochOf(seen) != epoch) return -EPIPE;
    const n = min(u32(unread), length);
    if (!(flags & MSG_TRUNC) && !copyOut(c, target, n)) continue;
    if (flags & MSG_PEEK ? clientStill(c) : clientTake(p, c, n)) return i32(n);
  }
}

/** Copies published bytes; false when they have been taken meanwhile. */
function copyOut(c: usize, target: usize, bytes: u32): bool {
  let done: u32 = 0;
  while (done < bytes) {
    const n = min(clientPiece(c, done), bytes - done);
    if (n == 0) return false;
    copyBytes(target + done, usize(pieceAt), n);
    done += n;
  }
  return true;
}

/** The oldest datagram. Its sender and the like go to the caller's exchange area, as udpReceive() leaves them. */
function recvRecord(p: usize, c: usize, seat: usize, target: usize, length: u32, flags: i32): i32 {
  const state = atomic.load<u32>(c, CHANNEL_STATE);
  const from = u32(seen);
  if (state & CHANNEL_ASK) return CLIENT_ASK;
  if (u32(atomic.load<u64>(c, CHANNEL_PRODUCED)) == from) {
    const why = nothing(c);
    return atomic.load<u32>(c, CHANNEL_KIND) == KIND_FREE ? -EBADF : why;
  }
  const run = runOf(c, from);
  if (run == 0 || !clientStill(c)) return OVERTAKEN;
  if (u32(run) == RUN_SCATTERED) return CLIENT_SCATTERED;
  const d = changetype<Datagram>(usize(u32(run) + from));
  const full = d.length;
  // A record that was taken meanwhile may hold anything.
  if (full > PAYLOAD_MAX || recordBytes(full) > u32(run >> 32) - from) return OVERTAKEN;
  const n = min(full, length);
  const exchange = seat + SEAT_EXCHANGE;
  store<u64>(exchange, u64(d.address) | (u64(d.port) << 32), EXCHANGE_ADDRESS);
  store<u64>(exchange, u64(n < full ? MSG_TRUNC : 0) | (u64(full) << 32), EXCHANGE_ADDRESS + 8);
  store<u64>(exchange, u64(d.destination) | (u64(d.netif + 1) << 32), EXCHANGE_DESTINATION);
  store<u64>(exchange, u64(d.ttl) | (u64(d.tos) << 32), EXCHANGE_NETIF + 4);
  copyBytes(target, usize(u32(run) + from) + DATAGRAM_HEADER, n);
  if (!(flags & MSG_PEEK ? clientStill(c) : clientTake(p, c, recordBytes(full)))) return OVERTAKEN;
  return i32(flags & MSG_TRUNC ? full : n);
}

/** accept(2): a descriptor of the stack, -EAGAIN, -EBADF, -EINVAL, -EOPNOTSUPP. */
export function clientAccept(p: usize, c: usize): i32 {
  while (true) {
    seen = atomic.load<u64>(c, CHANNEL_CONSUMED);
    const from = u32(seen);
    const hasNone = u32(atomic.load<u64>(c, CHANNEL_PRODUCED)) == from;
    const fd = atomic.load<u32>(c + (usize(from & (CHANNEL_ACCEPT_COUNT - 1)) << 2), CHANNEL_RUNS);
    // Last, as in unreadOf().
    const kind = atomic.load<u32>(c, CHANNEL_KIND);
    if (kind != KIND_LISTENER) return kind == KIND_FREE ? -EBADF : kind == KIND_UDP ? -EOPNOTSUPP : -EINVAL;
    if (hasNone) return -EAGAIN;
    if (clientTake(p, c, 1)) return i32(fd);
  }
}
