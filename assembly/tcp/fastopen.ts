// TCP Fast Open, what both sides share: the state a connection keeps of it, cookies, the option on the wire.
// Read first: RFC 7413 sections 4.1 (cookies and the option) and 4.2; then fastopen-server.ts, fastopen-client.ts.

import { SYSCTL_TCP_FASTOPEN_KEY, SYSCTL_TCP_FASTOPEN_KEYS } from "../layout";
import { keyedHash, sipHash } from "../hash";
import { Socket, SocketExtra } from "../socket/socket";
import { setSysctl, sysctl } from "../stack";
import { FASTOPEN_MAGIC, OPT_EXPERIMENT, OPT_FASTOPEN } from "../wire/tcp";
import { segCookieAt, segCookieBytes } from "./segment";
import { TF_FASTOPEN, Tcb } from "./tcb";

/** Server: data may flow, but our SYN is not acknowledged yet. */
export const FO_PENDING: u32 = 1;
/** Data in the SYN was acknowledged (TCPI_OPT_SYN_DATA). */
export const FO_DATA_ACKED: u32 = 2;
/** Opened by a SYN alone (TCPI_OPT_TFO_CHILD). */
export const FO_CHILD: u32 = 4;
/** Client: our SYN carried the option. */
export const FO_ASKED: u32 = 8;
/** Client: our SYN carried data. */
export const FO_SYN_DATA: u32 = 16;
/** Client: the option was the experimental one. */
export const FO_EXP: u32 = 32;
/** Client: the first try after a time without Fast Open; data from the peer ends the suspicion. */
export const FO_CHECK: u32 = 64;
/** Client: connect() waits for the first data. */
export const FO_DEFERRED: u32 = 128;
/** TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_NO_COOKIE, and: TCP_FASTOPEN was set before listen(). */
export const FO_CONNECT: u32 = 256;
export const FO_NO_COOKIE: u32 = 512;
export const FO_LISTENER: u32 = 1024;
/** Client: a call that blocks waits for the connection with data to send. */
export const FO_WRITER: u32 = 2048;
/** Why the client's Fast Open failed (tcpi_fastopen_client_fail), two bits. */
export const FO_FAIL_SHIFT: u32 = 12;
export const FAIL_NO_COOKIE: u32 = 1;
export const FAIL_NOT_ACKED: u32 = 2;
export const FAIL_RETRANSMITTED: u32 = 3;
/** Socket options, which outlive a connection. */
export const FO_OPTIONS: u32 = FO_CONNECT | FO_NO_COOKIE;
/** Upper half of the word while FO_PENDING: the serial number of the listener that counts this connection. */
export const FO_SERIAL_SHIFT: u32 = 16;

/** Bytes of the cookies that this stack makes, and of the longest that it keeps for others. */
export const COOKIE_BYTES: i32 = 8;
export const COOKIE_BYTES_MAX: i32 = 16;
/** Bytes of a key, and of one with its backup. */
export const KEY_BYTES: u32 = 16;

/** FO_* of a connection. */
export function fastopenOf(t: Tcb): u32 {
  return t.tflags & TF_FASTOPEN ? t.synPrev : 0;
}

/** Sets and clears FO_* bits. */
export function fastopenMark(t: Tcb, set: u32, clear: u32): void {
  t.synPrev = (fastopenOf(t) & ~clear) | set;
  t.tflags |= TF_FASTOPEN;
}

/** True while a connection lives of its SYN alone (Linux: fastopen_rsk). */
export function fastopenPending(t: Tcb): bool {
  return (fastopenOf(t) & FO_PENDING) != 0;
}

/** The key of a stack that was given none: hard to guess, and the same for the same secret. */
export function fastopenDefaultKey(): void {
  for (let i = 0; i < 4; i++) setSysctl(SYSCTL_TCP_FASTOPEN_KEY + i, keyedHash(0x54464f, i, 0));
  setSysctl(SYSCTL_TCP_FASTOPEN_KEYS, 1);
}

/** Keys that count for a listener: its own (TCP_FASTOPEN_KEY) or the stack's. */
export function fastopenKeys(listener: Socket): u32 {
  const own = listener.extra != 0 ? changetype<SocketExtra>(listener.extra).fastopenKeys : 0;
  return own != 0 ? own : sysctl(SYSCTL_TCP_FASTOPEN_KEYS);
}

/** Word `i` (0 to 3, of the backup key 4 to 7) of a listener's key. */
export function fastopenKeyWord(listener: Socket, i: u32): u32 {
  const extra = listener.extra;
  if (extra == 0 || changetype<SocketExtra>(extra).fastopenKeys == 0) return sysctl(SYSCTL_TCP_FASTOPEN_KEY + i32(i));
  return load<u32>(usize(extra) + offsetof<SocketExtra>("fastopenKey0") + (usize(i) << 2));
}

/** TCP_FASTOPEN_KEY: `keys` (1 or 2) keys from `value` are this listener's own. */
export function fastopenSetKeys(extra: SocketExtra, value: usize, keys: u32): void {
  memory.copy(changetype<usize>(extra) + offsetof<SocketExtra>("fastopenKey0"), value, keys * KEY_BYTES);
  extra.fastopenKeys = keys;
}

/** The cookie of a client under key number `key`: SipHash of both addresses as they stand in its IP header. */
export function fastopenCookie(listener: Socket, key: u32, local: u32, remote: u32): u64 {
  const word = key << 2;
  const k0 = u64(fastopenKeyWord(listener, word)) | (u64(fastopenKeyWord(listener, word + 1)) << 32);
  const k1 = u64(fastopenKeyWord(listener, word + 2)) | (u64(fastopenKeyWord(listener, word + 3)) << 32);
  return sipHash(k0, k1, u64(bswap<u32>(remote)) | (u64(bswap<u32>(local)) << 32));
}

/** Which key made the cookie on the current SYN: 1, 2 (the backup key), or 0 for none. */
export function fastopenCheck(listener: Socket, local: u32, remote: u32): u32 {
  if (segCookieBytes != COOKIE_BYTES) return 0;
  const shown = load<u64>(segCookieAt);
  const keys = fastopenKeys(listener);
  for (let key: u32 = 0; key < keys; key++) {
    if (fastopenCookie(listener, key, local, remote) == shown) return key + 1;
  }
  return 0;
}

/** The option of the SYN that is sent next: bytes of the cookie, -1 for no option. */
let offeredBytes: i32 = -1;
let offeredExp: bool = false;
let offeredLow: u64 = 0;
let offeredHigh: u64 = 0;

/** Says that the next SYN carries the option with this cookie of `bytes` (0: a request, -1: no option). */
export function fastopenOffer(bytes: i32, exp: bool, low: u64, high: u64): void {
  offeredBytes = bytes;
  offeredExp = exp;
  offeredLow = low;
  offeredHigh = high;
}

/** Writes the option at `p` (16-byte room behind the cookie) and returns its bytes with padding; it is written once. */
export function fastopenOption(p: usize): u32 {
  if (offeredBytes < 0) return 0;
  const cookie = u32(offeredBytes);
  const head: u32 = offeredExp ? 4 : 2;
  const bytes = head + cookie;
  store<u8>(p, u8(offeredExp ? OPT_EXPERIMENT : OPT_FASTOPEN));
  store<u8>(p, u8(bytes), 1);
  if (offeredExp) store<u16>(p, bswap<u16>(u16(FASTOPEN_MAGIC)), 2);
  store<u64>(p + head, offeredLow);
  store<u64>(p + head, offeredHigh, 8);
  // NOPs fill the last word up
  const padded = (bytes + 3) & ~3;
  for (let i = bytes; i < padded; i++) store<u8>(p + i, 1);
  offeredBytes = -1;
  return padded;
}
