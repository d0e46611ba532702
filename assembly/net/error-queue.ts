// The error queue of IP_RECVERR: each error in a small chunk, with the datagram that it is about.
// Read first: ip(7), IP_RECVERR; struct sock_extended_err.

import {
  EAGAIN,
  ENOMSG,
  ERROR_CODE,
  ERROR_DATA,
  ERROR_ERRNO,
  ERROR_INFO,
  ERROR_MICROS,
  ERROR_OFFENDER,
  ERROR_ORIGIN,
  ERROR_TYPE,
  EXCHANGE_ADDRESS,
  EXCHANGE_ARGS,
  MSG_ERRQUEUE,
  MSG_PEEK,
  MSG_TRUNC,
  SO_EE_CODE_ZEROCOPY_COPIED,
  SO_EE_ORIGIN_ICMP,
  SO_EE_ORIGIN_TIMESTAMPING,
  SO_EE_ORIGIN_ZEROCOPY,
  SOF_TIMESTAMPING_OPT_ID,
  SOF_TIMESTAMPING_OPT_TSONLY,
  SOF_TIMESTAMPING_SOFTWARE,
} from "../layout";
import { Chunk, chunkAlloc, chunkData, chunkFree } from "../memory/chunk";
import { extraOf } from "../socket/extra";
import { Socket, SocketExtra } from "../socket/socket";
import { stack } from "../stack";

/** Errors that a socket holds at most; the oldest are the ones that count, so later ones are lost. */
const ERRORS_MAX: u32 = 32;
/** Payload kept of the datagram. */
const PAYLOAD_MAX: u32 = 1024;

/** One record: what is left at EXCHANGE_ARGS, the datagram's destination, its payload. */
const DESTINATION: usize = 36;
const PORT: usize = 40;
/** 1 when what the record is about had bytes that are not kept. */
const CUT: usize = 44;
const RECORD_HEADER: u32 = 48;

/**
 * Notes an error: positive `errno`, `origin` SO_EE_ORIGIN_*, `type` and `code` of the ICMP message, `info` the MTU,
 * `offender` who told, and the datagram it is about.
 */
export function errorQueuePush(
  s: Socket,
  errno: i32,
  origin: u32,
  type: u32,
  code: u32,
  info: u32,
  offender: u32,
  destination: u32,
  port: u32,
  payload: usize,
  length: u32,
): void {
  const extra = extraOf(s);
  if (extra === null || extra.errorCount >= ERRORS_MAX) return;
  const kept = min(length, PAYLOAD_MAX);
  const c = chunkAlloc(RECORD_HEADER + kept, 0);
  if (c === null) return;
  const p = chunkData(c);
  store<u32>(p, errno, ERROR_ERRNO);
  store<u32>(p, origin, ERROR_ORIGIN);
  store<u32>(p, type, ERROR_TYPE);
  store<u32>(p, code, ERROR_CODE);
  store<u32>(p, info, ERROR_INFO);
  store<u32>(p, offender, ERROR_OFFENDER);
  store<u32>(p, 0, ERROR_DATA);
  store<f64>(p, 0, ERROR_MICROS);
  store<u32>(p, destination, DESTINATION);
  store<u32>(p, port, PORT);
  store<u32>(p, u32(kept < length), CUT);
  memory.copy(p + RECORD_HEADER, payload, kept);
  c.length = u16(RECORD_HEADER + kept);
  const at = u32(changetype<usize>(c));
  if (extra.errorTail != 0) changetype<Chunk>(extra.errorTail).next = at;
  else extra.errorHead = at;
  extra.errorTail = at;
  extra.errorCount++;
}

/** Send number `id` with MSG_ZEROCOPY is over; what follows the range reported last extends it (Linux does so too). */
export function zerocopyNote(s: Socket, id: u32): void {
  const extra = changetype<SocketExtra>(s.extra);
  if (extra.errorTail != 0) {
    const p = chunkData(changetype<Chunk>(extra.errorTail));
    if (load<u32>(p, ERROR_ORIGIN) == SO_EE_ORIGIN_ZEROCOPY && load<u32>(p, ERROR_DATA) + 1 == id) {
      store<u32>(p, id, ERROR_DATA);
      return;
    }
  }
  // The bytes were copied: the application learns that MSG_ZEROCOPY does not pay here.
  const before = extra.errorTail;
  errorQueuePush(s, 0, SO_EE_ORIGIN_ZEROCOPY, 0, SO_EE_CODE_ZEROCOPY_COPIED, id, 0, 0, 0, 0, 0);
  if (extra.errorTail != before) store<u32>(chunkData(changetype<Chunk>(extra.errorTail)), id, ERROR_DATA);
}

/**
 * The last byte of a send, number `key` of its stream, has come to where `moment` (SCM_TSTAMP_*) says: the report of
 * SO_TIMESTAMPING. Linux shows the packet as well unless told not to; here its bytes always count as cut off.
 */
export function stampNote(s: Socket, moment: u32, key: u32): void {
  const extra = changetype<SocketExtra>(s.extra);
  const flags = extra.timestamping;
  const before = extra.errorTail;
  errorQueuePush(s, ENOMSG, SO_EE_ORIGIN_TIMESTAMPING, 0, 0, moment, 0, 0, 0, 0, 0);
  if (extra.errorTail == before) return;
  const p = chunkData(changetype<Chunk>(extra.errorTail));
  if (flags & SOF_TIMESTAMPING_OPT_ID) store<u32>(p, key, ERROR_DATA);
  if (flags & SOF_TIMESTAMPING_SOFTWARE) store<f64>(p, stack.now, ERROR_MICROS);
  store<u32>(p, u32((flags & SOF_TIMESTAMPING_OPT_TSONLY) == 0), CUT);
}

/** Errors that wait. */
export function errorQueueCount(s: Socket): u32 {
  return s.extra == 0 ? 0 : changetype<SocketExtra>(s.extra).errorCount;
}

/**
 * recvmsg(MSG_ERRQUEUE): the payload of the datagram to `target`, its destination to EXCHANGE_ADDRESS (with the flags
 * MSG_ERRQUEUE, and MSG_TRUNC when `length` was too short), the error to EXCHANGE_ARGS (ERROR_*).
 * Returns the bytes copied, or -EAGAIN when there is none.
 */
export function errorQueueRead(s: Socket, target: usize, length: u32, flags: u32): i32 {
  if (errorQueueCount(s) == 0) return -EAGAIN;
  const extra = changetype<SocketExtra>(s.extra);
  const c = changetype<Chunk>(extra.errorHead);
  const p = chunkData(c);
  const kept = u32(c.length) - RECORD_HEADER;
  const n = min(kept, length);
  const exchange = usize(stack.exchange);
  memory.copy(target, p + RECORD_HEADER, n);
  memory.copy(exchange + EXCHANGE_ARGS, p, DESTINATION);
  store<u32>(exchange, load<u32>(p, DESTINATION), EXCHANGE_ADDRESS);
  store<u32>(exchange, load<u32>(p, PORT), EXCHANGE_ADDRESS + 4);
  const isCut = n < kept || load<u32>(p, CUT) != 0;
  store<u32>(exchange, MSG_ERRQUEUE | (isCut ? MSG_TRUNC : 0), EXCHANGE_ADDRESS + 8);
  store<u32>(exchange, kept, EXCHANGE_ADDRESS + 12);
  if (flags & MSG_PEEK) return n;
  extra.errorHead = c.next;
  if (c.next == 0) extra.errorTail = 0;
  extra.errorCount--;
  nextError(s, extra, isIcmp(p));
  chunkFree(c);
  return n;
}

function isIcmp(record: usize): bool {
  return load<u32>(record, ERROR_ORIGIN) == SO_EE_ORIGIN_ICMP;
}

/** The pending error is that of the next record; with the last one it is gone (Linux: sock_dequeue_err_skb). */
function nextError(s: Socket, extra: SocketExtra, wasIcmp: bool): void {
  const next = extra.errorHead != 0 ? chunkData(changetype<Chunk>(extra.errorHead)) : 0;
  if (next != 0 && isIcmp(next)) s.error = u16(load<u32>(next, ERROR_ERRNO));
  else if (wasIcmp) s.error = 0;
}
