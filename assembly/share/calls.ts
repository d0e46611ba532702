// Calls of business threads that only the stack can carry out: each caller has a seat with the call, its arguments, an
// exchange area and the word that it waits on. Whatever stands there is checked before it is used.

import {
  CALL_ANSWERED,
  CALL_BIND,
  CALL_CLOSE,
  CALL_CONNECT,
  CALL_DISCONNECT,
  CALL_FIN_PENDING,
  CALL_GETPEERNAME,
  CALL_GETSOCKNAME,
  CALL_GETSOCKOPT,
  CALL_IOCTL,
  CALL_LISTEN,
  CALL_RECV,
  CALL_RECVFROM,
  CALL_SEND,
  CALL_SENDTO,
  CALL_SETSOCKOPT,
  CALL_SHUTDOWN,
  CALL_SOCKET,
  CALL_TAKE_ERROR,
  CALL_UNDER_WAY,
  CHANNEL_ACCEPT_COUNT,
  CHANNEL_CONSUMED,
  CHANNEL_KIND,
  CHANNEL_RUNS,
  EAGAIN,
  EBADF,
  ECONNABORTED,
  EFAULT,
  EINVAL,
  ENOTCONN,
  EPIPE,
  EXCHANGE_ADDRESS,
  EXCHANGE_ARGS,
  EXCHANGE_BYTES,
  KIND_FREE,
  KIND_LISTENER,
  KIND_TCP,
  KIND_UDP,
  MSG_ERRQUEUE,
  MSG_PEEK,
  O_NONBLOCK,
  PART_COUNT_CALLS,
  PART_COUNT_CANCELLED,
  PART_COUNT_VIOLATIONS,
  SEAT_ARGUMENTS,
  SEAT_BYTES,
  SEAT_CALL,
  SEAT_EXCHANGE,
  SEAT_RESULT,
  SEAT_SLEEPING,
  SEAT_STATUS,
  SHARE_SEATS,
  SHARE_SEAT_COUNT,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SIOCOUTQ,
  SOCK_CLOEXEC,
  TCP_CLOSED,
} from "../layout";
import { recordBytes, recordFirst } from "../net/udp-socket";
import * as calls from "../socket/calls";
import { fdGet } from "../socket/descriptor";
import { tcbOf, udpOf } from "../socket/kinds";
import { SHUT_READ, Socket } from "../socket/socket";
import { stack } from "../stack";
import { tcpAbort } from "../tcp/close";
import { finishClose } from "./beat";
import { channelUnsent } from "./channel";
import { DRAIN_BLOCKED, DRAIN_DONE, drainChannel } from "./drain";
import { activate, retrySoon } from "./keep";
import { look, open, shut } from "./look";
import { SLOT_CLOSING, SLOT_ENDING, Slot, askedOf, channelOf, countPart, share, slotOf, stackIndex } from "./part";
import { consumedApply } from "./publish";
import { optionsShow } from "./state";
import { epochOf, received, runsForget, withdraw, withdrawReceived, withdrawState } from "./withdraw";

/** Bytes of the exchange area that results without a pointer lie in. */
const RESULT_BYTES: usize = 32;
const ERROR_BYTES: usize = 32;

/** Answers the caller on a seat, unless it has given up. */
export function answer(index: u32): void {
  if (index >= load<u32>(share, SHARE_SEAT_COUNT)) {
    countPart(PART_COUNT_VIOLATIONS);
    return;
  }
  const seat = usize(load<u32>(share, SHARE_SEATS)) + usize(index) * SEAT_BYTES;
  // A call that was given up leaves its seat in the ring: what the caller asks of another stack meanwhile is not ours.
  const asked = askedOf(stackIndex);
  if (atomic.cmpxchg<u32>(seat, asked, CALL_UNDER_WAY, SEAT_STATUS) != asked) {
    countPart(PART_COUNT_CANCELLED);
    return;
  }
  countPart(PART_COUNT_CALLS);
  store<i32>(seat, perform(seat, load<i32>(seat, SEAT_CALL)), SEAT_RESULT);
  memory.copy(seat + SEAT_EXCHANGE + EXCHANGE_ADDRESS, usize(stack.exchange) + EXCHANGE_ADDRESS, RESULT_BYTES);
  atomic.store<u32>(seat, CALL_ANSWERED, SEAT_STATUS);
  if (atomic.load<u32>(seat, SEAT_SLEEPING) != 0) atomic.notify(seat + SEAT_STATUS, 1);
}

function argument(seat: usize, index: i32): i32 {
  return load<i32>(seat + (usize(index) << 2), SEAT_ARGUMENTS);
}

function perform(seat: usize, call: i32): i32 {
  const a = argument(seat, 0);
  const b = argument(seat, 1);
  const c = argument(seat, 2);
  if (call == CALL_SOCKET) return newSocket(a, b, c);
  const s = fdGet(a);
  if (s === null || load<u32>(channelOf(a), CHANNEL_KIND) == KIND_FREE) return -EBADF;
  const slot = slotOf(a);
  if (call == CALL_CLOSE) return closeOrLinger(slot, s, b != 0);
  look(slot, 0);
  const result = performOn(seat, call, slot, s, a, b, c);
  look(slot, 0);
  return result;
}

function performOn(seat: usize, call: i32, slot: Slot, s: Socket, fd: i32, b: i32, c: i32): i32 {
  switch (call) {
    case CALL_BIND:
      return calls.bind(fd, b, c);
    case CALL_LISTEN:
      withdrawClosed(slot, s);
      return shown(slot, s, calls.listen(fd, b));
    case CALL_CONNECT:
      withdrawClosed(slot, s);
      return shown(slot, s, calls.connect(fd, b, c));
    case CALL_DISCONNECT:
      withdrawAll(slot, s);
      return shown(slot, s, calls.disconnect(fd));
    case CALL_SHUTDOWN:
      return shutDown(slot, s, fd, b);
    case CALL_GETSOCKNAME:
      return calls.getsockname(fd);
    case CALL_GETPEERNAME:
      return calls.getpeername(fd);
    case CALL_GETSOCKOPT:
    case CALL_SETSOCKOPT:
      return option(seat, call, slot, s, fd, b, c);
    case CALL_IOCTL:
      return b == SIOCOUTQ ? withUnsent(slot, calls.ioctl(fd, b, c)) : calls.ioctl(fd, b, c);
    case CALL_SEND:
    case CALL_SENDTO:
      return send(seat, call, slot, s, fd);
    case CALL_RECV:
    case CALL_RECVFROM:
      return receive(seat, slot, s, fd);
    case CALL_TAKE_ERROR:
      return b != 0 ? shown(slot, s, calls.connectResult(fd)) : takeError(s);
    case CALL_FIN_PENDING:
      return calls.finPending(fd);
    default:
      return -EINVAL;
  }
}

function newSocket(domain: i32, type: i32, protocol: i32): i32 {
  const fd = calls.socket(domain, type, protocol);
  if (fd >= 0) open(fd, type & (O_NONBLOCK | SOCK_CLOEXEC));
  return fd;
}

/** After a call that may have changed names, options or the kind. */
function shown(slot: Slot, s: Socket, result: i32): i32 {
  optionsShow(channelOf(slot.fd), s);
  return result;
}

function option(seat: usize, call: i32, slot: Slot, s: Socket, fd: i32, level: i32, name: i32): i32 {
  const value = argument(seat, 3);
  const length = argument(seat, 4);
  if (!isInExchange(seat, value, length)) return -EFAULT;
  if (call == CALL_GETSOCKOPT) return calls.getsockopt(fd, level, name, usize(u32(value)), length);
  return shown(slot, s, calls.setsockopt(fd, level, name, usize(u32(value)), length));
}

/** A pointer counts only when all of it lies in the caller's own exchange area. */
function isInExchange(seat: usize, at: i32, length: i32): bool {
  const offset = u64(u32(at)) - u64(seat + SEAT_EXCHANGE);
  return offset + u64(u32(length)) <= u64(EXCHANGE_BYTES) && offset <= u64(EXCHANGE_BYTES);
}

function withUnsent(slot: Slot, figure: i32): i32 {
  return figure < 0 ? figure : figure + i32(channelUnsent(channelOf(slot.fd)));
}

/** What is sent by a call goes behind what lies in the send buffer; a rest, only where its beginning has gone. */
function send(seat: usize, call: i32, slot: Slot, s: Socket, fd: i32): i32 {
  const data = argument(seat, 1);
  const length = argument(seat, 2);
  const flags = argument(seat, 3);
  if (!isInExchange(seat, data, length)) return -EFAULT;
  if (slot.flags & SLOT_ENDING) return -EPIPE;
  const epoch = call == CALL_SEND ? u32(argument(seat, 4)) : 0;
  if (epoch != 0 && epochOf(atomic.load<u64>(channelOf(fd), CHANNEL_CONSUMED)) != epoch) return -EPIPE;
  if (length != 0 && s.kind != KIND_LISTENER && drainChannel(channelOf(fd), slot, s, false) != DRAIN_DONE)
    return -EAGAIN;
  const at = usize(u32(data));
  if (call == CALL_SEND) return calls.send(fd, at, length, flags);
  const port = argument(seat, 5);
  return calls.sendtoWith(fd, at, length, flags, argument(seat, 4), port, argument(seat, 6), argument(seat, 7));
}

/** What business threads cannot take themselves: the error queue, urgent data, datagrams in several pieces. */
function receive(seat: usize, slot: Slot, s: Socket, fd: i32): i32 {
  const data = argument(seat, 1);
  const length = argument(seat, 2);
  const flags = argument(seat, 3);
  if (!isInExchange(seat, data, length)) return -EFAULT;
  const c = channelOf(fd);
  const at = usize(u32(data));
  if (s.kind != KIND_UDP || flags & MSG_ERRQUEUE) {
    const n = calls.recvfrom(fd, at, length, flags);
    memory.copy(seat + SEAT_EXCHANGE + EXCHANGE_ARGS, usize(stack.exchange) + EXCHANGE_ARGS, ERROR_BYTES);
    return n;
  }
  // Only while nobody else has taken it.
  const position = u32(argument(seat, 4));
  const first = recordFirst(udpOf(s));
  const word = atomic.load<u64>(c, CHANNEL_CONSUMED);
  if (first === null || slot.applied != position || u32(word) != position) return -EAGAIN;
  const record = recordBytes(first.length);
  const isShown = slot.published != slot.applied;
  // Before it is taken out: whoever is about to take it as well is too late then.
  if (isShown && s.error == 0 && !(flags & MSG_PEEK)) {
    if (atomic.cmpxchg<u64>(c, word, word + record, CHANNEL_CONSUMED) != word) return -EAGAIN;
    slot.applied += record;
  }
  return calls.recvfrom(fd, at, length, flags);
}

/** The pending error, negative; 0 when there is none (any more). */
function takeError(s: Socket): i32 {
  const error = i32(s.error);
  s.error = 0;
  if (error != 0) return -error;
  if (s.kind == KIND_LISTENER) return -ENOTCONN;
  return s.kind == KIND_TCP && s.state == TCP_CLOSED && !(s.shut & SHUT_READ) ? -ENOTCONN : 0;
}

/** A FIN comes behind all that was sent: the send buffer is emptied first. A listener may end with it (Linux). */
function shutDown(slot: Slot, s: Socket, fd: i32, how: i32): i32 {
  if (s.kind == KIND_LISTENER && (how == SHUT_RD || how == SHUT_RDWR)) {
    withdrawAll(slot, s);
    return shown(slot, s, calls.shutdown(fd, how));
  }
  if (slot.flags & SLOT_ENDING) return how == SHUT_WR ? 0 : calls.shutdown(fd, SHUT_RD);
  const sends = s.kind == KIND_TCP && how != SHUT_RD;
  if (!sends || drainChannel(channelOf(fd), slot, s, true) != DRAIN_BLOCKED) return calls.shutdown(fd, how);
  // While memory is short the FIN waits for what lies before it: look().
  slot.flags |= SLOT_ENDING;
  activate(slot);
  retrySoon(false);
  return how == SHUT_WR ? 0 : calls.shutdown(fd, SHUT_RD);
}

/** Before a socket loses its queue or its role: nothing that was published counts any more. */
function withdrawAll(slot: Slot, s: Socket): void {
  if (s.kind == KIND_UDP) return;
  const c = channelOf(slot.fd);
  if (s.kind == KIND_TCP) {
    withdraw(c, slot);
    return;
  }
  withdrawState(c);
  const taken = withdrawReceived(c, slot.published);
  resetUnaccepted(c, slot.published, taken);
  received(slot);
  runsForget(c, slot.published);
}

/** Before a closed socket begins anew: what a thread is about to send was for the connection that it had. */
function withdrawClosed(slot: Slot, s: Socket): void {
  if (s.kind == KIND_TCP && s.state == TCP_CLOSED && s.rcvBytes == 0) withdraw(channelOf(slot.fd), slot);
}

/** Milliseconds for which the caller lingers first (SO_LINGER), unless it has; else closes: 0. */
function closeOrLinger(slot: Slot, s: Socket, hasLingered: bool): i32 {
  look(slot, 0);
  const millis = hasLingered ? 0 : calls.lingerLimit(slot.fd);
  return millis > 0 ? millis : closeChannel(slot, s);
}

function closeChannel(slot: Slot, s: Socket): i32 {
  const c = channelOf(slot.fd);
  if (s.kind != KIND_LISTENER) {
    consumedApply(c, slot, s);
    // What finds no room now is taken as room comes: finishClose().
    drainChannel(c, slot, s, true);
  }
  const end = slot.published;
  const taken = shut(c, slot);
  if (s.kind == KIND_LISTENER) resetUnaccepted(c, end, taken);
  slot.flags |= SLOT_CLOSING;
  finishClose(slot);
  return 0;
}

/** Connections that were handed out and that nobody has accepted (as listenerClose() does with the others). */
function resetUnaccepted(c: usize, end: u32, taken: u32): void {
  for (let at = taken; at != end && end - at <= u32(CHANNEL_ACCEPT_COUNT); at++) {
    const fd = load<i32>(c + (usize(at & (CHANNEL_ACCEPT_COUNT - 1)) << 2), CHANNEL_RUNS);
    const child = fdGet(fd);
    if (child === null || child.kind != KIND_TCP) continue;
    tcpAbort(tcbOf(child), ECONNABORTED);
    closeChannel(slotOf(fd), child);
  }
}
