// Socket options of the TCP level. Read first: tcp(7); for TCP_INFO info.ts.

import {
  CC_CUBIC,
  CC_RENO,
  EINVAL,
  EPOLLOUT,
  ENOENT,
  ENOPROTOOPT,
  EOPNOTSUPP,
  SOCK_MIN_RCVBUF,
  TCP_CLOSED,
  TCP_CONGESTION,
  TCP_CORK,
  TCP_DEFER_ACCEPT,
  TCP_FASTOPEN,
  TCP_FASTOPEN_CONNECT,
  TCP_FASTOPEN_KEY,
  TCP_FASTOPEN_NO_COOKIE,
  TCP_INFO,
  TCP_INQ,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_LINGER2,
  TCP_LISTEN,
  TCP_MAXSEG,
  TCP_NODELAY,
  TCP_NOTSENT_LOWAT,
  TCP_QUICKACK,
  TCP_SYNCNT,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
  TCP_TIMESTAMP,
  TCP_USER_TIMEOUT,
  TCP_WINDOW_CLAMP,
  ENOBUFS,
  SYSCTL_TCP_FASTOPEN,
  SYSCTL_TCP_FIN_TIMEOUT,
  SYSCTL_TCP_INIT_RTO,
  TFO_CLIENT,
  SYSCTL_TCP_SYN_RETRIES,
} from "../layout";
import { netifFlush } from "../net/netif";
import { extraOf } from "../socket/extra";
import { socketNotify } from "../socket/notify";
import { CMSG_INQ, LINGER2_NONE, SF_KEEPALIVE, SF_RCVBUF_LOCKED, SocketExtra } from "../socket/socket";
import { nowMillis, sysctl } from "../stack";
import { TIMESTAMPS_BYTES } from "../wire/tcp";
import { enterQuickAck } from "./established";
import {
  FO_CONNECT,
  FO_NO_COOKIE,
  KEY_BYTES,
  fastopenKeyWord,
  fastopenKeys,
  fastopenMark,
  fastopenOf,
  fastopenSetKeys,
} from "./fastopen";
import { fastopenLimit, fastopenSetLimit } from "./fastopen-server";
import { sendAck } from "./output";
import { ARMED_KEEP, TF_ACK_PENDING, TF_CORK, TF_CORK_FLUSH, TF_NODELAY, TF_PINGPONG, TF_TIMESTAMPS, Tcb } from "./tcb";
import { disarmTimer, keepCount, keepIdle, keepInterval, startKeepalive } from "./timers";
import { tcpInfo } from "./info";
import { rtoMax } from "./rtt";
import { tcpOutput } from "./transmit";
import { readWantsAck, windowClamp, windowClamped, windowSpace } from "./window";

/** "cubic" and "reno" as words in memory order. */
const NAME_CUBI: u32 = 0x69627563;
const NAME_RENO: u32 = 0x6f6e6572;
/** Linux: TCP_CA_NAME_MAX. */
const NAME_BYTES: u32 = 16;
/** valueOf() knows no such option. */
const NO_OPTION: i32 = i32.MIN_VALUE;
/** Linux: TCP_FIN_TIMEOUT_MAX. */
const LINGER2_SECONDS_MAX: u32 = 120;
/** Timeouts that TCP_DEFER_ACCEPT counts at most. */
const TIMEOUTS_MAX: u32 = 255;
/** Limits of tcp(7), seconds. */
const KEEP_SECONDS_MAX: u32 = 32767;

/** setsockopt(IPPROTO_TCP): 0, -EINVAL for a value out of range, -ENOPROTOOPT, -ENOENT (no such congestion control). */
export function tcpSetOption(t: Tcb, name: i32, value: usize, length: u32): i32 {
  if (name == TCP_CONGESTION) return setCongestion(t, value, length);
  if (name == TCP_FASTOPEN_KEY) return setFastopenKey(t, value, length);
  if (length < 4) return -EINVAL;
  const v = load<i32>(value);
  switch (name) {
    case TCP_NODELAY:
      setFlag(t, TF_NODELAY, v != 0);
      if (v != 0) {
        // "Setting this option forces an explicit flush of pending output, even if TCP_CORK is currently set" (tcp(7))
        if (t.sndBytes > 0) t.tflags |= TF_CORK_FLUSH;
        push(t);
      }
      return 0;
    case TCP_CORK:
      setFlag(t, TF_CORK, v != 0);
      if (v == 0) push(t);
      return 0;
    case TCP_QUICKACK:
      return setQuickAck(t, v);
    case TCP_MAXSEG:
      if (v != 0 && (v < 88 || v > 32767)) return -EINVAL;
      t.userMss = u16(v);
      return 0;
    case TCP_USER_TIMEOUT:
      if (v < 0) return -EINVAL;
      t.userTimeoutMillis = u32(v);
      return 0;
    case TCP_TIMESTAMP:
      t.tsOffset = u32(v) - nowMillis;
      return 0;
    case TCP_FASTOPEN:
      if (v < 0 || !isResting(t)) return -EINVAL;
      fastopenSetLimit(t, u32(v));
      return 0;
    case TCP_FASTOPEN_CONNECT:
      return setFastopenConnect(t, v);
    case TCP_FASTOPEN_NO_COOKIE:
      if (v < 0 || v > 1 || !isResting(t)) return -EINVAL;
      fastopenMark(t, v != 0 ? FO_NO_COOKIE : 0, FO_NO_COOKIE);
      return 0;
    default:
      return setExtra(t, name, v);
  }
}

function setExtra(t: Tcb, name: i32, v: i32): i32 {
  const extra = extraOf(t);
  if (extra === null) return -ENOBUFS;
  switch (name) {
    case TCP_KEEPIDLE:
      if (v < 1 || u32(v) > KEEP_SECONDS_MAX) return -EINVAL;
      extra.keepIdleMillis = u32(v) * 1000;
      if (t.flags & SF_KEEPALIVE) startKeepalive(t);
      return 0;
    case TCP_KEEPINTVL:
      if (v < 1 || u32(v) > KEEP_SECONDS_MAX) return -EINVAL;
      extra.keepIntervalMillis = u32(v) * 1000;
      return 0;
    case TCP_KEEPCNT:
      if (v < 1 || v > 127) return -EINVAL;
      extra.keepCount = u32(v);
      return 0;
    case TCP_SYNCNT:
      if (v < 1 || v > 127) return -EINVAL;
      extra.synCount = u32(v);
      return 0;
    case TCP_LINGER2:
      extra.linger2Millis = v < 0 ? LINGER2_NONE : min<u32>(u32(v), LINGER2_SECONDS_MAX) * 1000;
      return 0;
    case TCP_NOTSENT_LOWAT:
      extra.notsentLowat = u32(v);
      socketNotify(t, EPOLLOUT);
      return 0;
    case TCP_INQ:
      if (v < 0 || v > 1) return -EINVAL;
      extra.control = v != 0 ? extra.control | CMSG_INQ : extra.control & ~CMSG_INQ;
      return 0;
    case TCP_WINDOW_CLAMP:
      if (v == 0 && t.state != TCP_CLOSED) return -EINVAL;
      return setWindowClamp(t, extra, v);
    case TCP_DEFER_ACCEPT:
      extra.deferAcceptTimeouts = timeoutsIn(v);
      return 0;
    default:
      return -ENOPROTOOPT;
  }
}

/** No connection yet: a closed socket or a listener. */
function isResting(t: Tcb): bool {
  return t.state == TCP_CLOSED || t.state == TCP_LISTEN;
}

function setFastopenConnect(t: Tcb, v: i32): i32 {
  if (v < 0 || v > 1) return -EINVAL;
  if (!(sysctl(SYSCTL_TCP_FASTOPEN) & TFO_CLIENT)) return -EOPNOTSUPP;
  if (t.state != TCP_CLOSED) return -EINVAL;
  fastopenMark(t, v != 0 ? FO_CONNECT : 0, FO_CONNECT);
  return 0;
}

/** TCP_FASTOPEN_KEY: 16 bytes, or 32 with the backup key. */
function setFastopenKey(t: Tcb, value: usize, length: u32): i32 {
  if (length != KEY_BYTES && length != 2 * KEY_BYTES) return -EINVAL;
  const extra = extraOf(t);
  if (extra === null) return -ENOBUFS;
  fastopenSetKeys(extra, value, length / KEY_BYTES);
  return 0;
}

/** The keys that count for this socket, cut to the buffer. */
function giveFastopenKey(t: Tcb, value: usize, length: u32): i32 {
  const bytes = min(length, fastopenKeys(t) * KEY_BYTES);
  for (let i: u32 = 0; i < bytes; i++) {
    store<u8>(value + i, u8(fastopenKeyWord(t, i >>> 2) >>> ((i & 3) << 3)));
  }
  return i32(bytes);
}

/**
 * TCP_WINDOW_CLAMP as Linux tells it: where none was set, what the buffer allows, less a segment as long as the size of
 * what comes is not known (tcp_init_buffer_space); before that, the largest window that a header can say.
 */
function clampInForce(t: Tcb): u32 {
  const own = windowClamp(t);
  if (own != 0 || t.state == TCP_CLOSED || t.state == TCP_LISTEN) return own;
  const most = (<u32>65535) << u32(t.rcvScale);
  const full = windowSpace(t);
  if (t.state == TCP_SYN_SENT || t.state == TCP_SYN_RECEIVED) return t.flags & SF_RCVBUF_LOCKED ? full : most;
  if (t.rcvRatio != 0) return full;
  const clamp = min(most, full);
  const segment = u32(t.advMss) - (t.tflags & TF_TIMESTAMPS ? TIMESTAMPS_BYTES : 0);
  if (clamp <= 2 * segment || clamp + segment <= full) return clamp;
  return max(2 * segment, i32(full - segment) > 0 ? full - segment : 0);
}

/** How many timeouts of a SYN,ACK, each twice the last, it takes to wait for so long (Linux: secs_to_retrans). */
function timeoutsIn(seconds: i32): u32 {
  let timeouts: u32 = 0;
  while (timeouts < TIMEOUTS_MAX && i32(secondsOf(timeouts)) < seconds) timeouts++;
  return timeouts;
}

/** Seconds that so many timeouts of a SYN,ACK take: 1, 3, 7, ... */
function secondsOf(timeouts: u32): u32 {
  const first = max<u32>(sysctl(SYSCTL_TCP_INIT_RTO) / 1000, 1);
  const longest = max(rtoMax() / 1000, first);
  let seconds: u32 = 0;
  let timeout = first;
  for (let i: u32 = 0; i < timeouts; i++) {
    seconds += timeout;
    timeout = min(timeout << 1, longest);
  }
  return seconds;
}

/** Bytes; 0 for none. No clamp is smaller than half of the smallest buffer (Linux). */
function setWindowClamp(t: Tcb, extra: SocketExtra, bytes: i32): i32 {
  const before = extra.windowClamp;
  extra.windowClamp = bytes == 0 ? 0 : u32(max(bytes, SOCK_MIN_RCVBUF >> 1));
  if (t.state != TCP_CLOSED && t.state != TCP_LISTEN) windowClamped(t, before, extra.windowClamp);
  return 0;
}

function setFlag(t: Tcb, flag: u32, on: bool): void {
  t.tflags = on ? t.tflags | flag : t.tflags & ~flag;
}

/** What an option has set free leaves at once. */
function push(t: Tcb): void {
  if (t.state == TCP_LISTEN || t.state == TCP_SYN_SENT || t.sndBytes == 0) return;
  tcpOutput(t);
  netifFlush();
}

function setQuickAck(t: Tcb, v: i32): i32 {
  if (v == 0) {
    t.tflags |= TF_PINGPONG;
    t.quickAcks = 0;
    return 0;
  }
  enterQuickAck(t);
  if (t.tflags & TF_ACK_PENDING && t.state != TCP_LISTEN) {
    sendAck(t);
    netifFlush();
  }
  return 0;
}

function setCongestion(t: Tcb, value: usize, length: u32): i32 {
  if (length < 4) return -EINVAL;
  const word = load<u32>(value);
  if (word == NAME_CUBI && length >= 5 && load<u8>(value, 4) == 0x63) t.congestion = u8(CC_CUBIC);
  else if (word == NAME_RENO) t.congestion = u8(CC_RENO);
  else return -ENOENT;
  return 0;
}

/** getsockopt(IPPROTO_TCP): bytes written, or -ENOPROTOOPT. */
export function tcpGetOption(t: Tcb, name: i32, value: usize, length: u32): i32 {
  if (name == TCP_INFO) return tcpInfo(t, value, length);
  if (name == TCP_CONGESTION) {
    return giveCongestion(t, value, length);
  }
  if (name == TCP_FASTOPEN_KEY) return giveFastopenKey(t, value, length);
  const v = valueOf(t, name);
  if (v == NO_OPTION) return -ENOPROTOOPT;
  // What is longer than the buffer is cut, as Linux does.
  const bytes = min<u32>(length, 4);
  for (let i: u32 = 0; i < bytes; i++) store<u8>(value + i, u8(v >>> (i << 3)));
  return i32(bytes);
}

/** The algorithm's name in a field of 16 bytes, cut to the buffer. */
function giveCongestion(t: Tcb, value: usize, length: u32): i32 {
  const name: u64 = t.congestion == CC_CUBIC ? u64(NAME_CUBI) | 0x6300000000 : u64(NAME_RENO);
  const bytes = min<u32>(length, NAME_BYTES);
  for (let i: u32 = 0; i < bytes; i++) store<u8>(value + i, i < 8 ? u8(name >> (i << 3)) : 0);
  return i32(bytes);
}

/** As it was set, -1 for no waiting, or the default. */
function linger2Seconds(t: Tcb): i32 {
  const own = t.extra != 0 ? changetype<SocketExtra>(t.extra).linger2Millis : 0;
  if (own == LINGER2_NONE) return -1;
  return i32((own != 0 ? own : sysctl(SYSCTL_TCP_FIN_TIMEOUT)) / 1000);
}

function valueOf(t: Tcb, name: i32): i32 {
  const extra = t.extra;
  switch (name) {
    case TCP_NODELAY:
      return i32((t.tflags & TF_NODELAY) != 0);
    case TCP_CORK:
      return i32((t.tflags & TF_CORK) != 0);
    case TCP_QUICKACK:
      return i32(!(t.tflags & TF_PINGPONG));
    case TCP_MAXSEG:
      if (t.userMss != 0 && (t.state == TCP_LISTEN || t.state == TCP_CLOSED)) return i32(t.userMss);
      return i32(u32(t.mss) - (t.tflags & TF_TIMESTAMPS ? TIMESTAMPS_BYTES : 0));
    case TCP_USER_TIMEOUT:
      return i32(t.userTimeoutMillis);
    case TCP_WINDOW_CLAMP:
      return i32(clampInForce(t));
    case TCP_TIMESTAMP:
      return i32((nowMillis + t.tsOffset) & 0x7fffffff);
    case TCP_FASTOPEN:
      return i32(fastopenLimit(t));
    case TCP_FASTOPEN_CONNECT:
      return i32((fastopenOf(t) & FO_CONNECT) != 0);
    case TCP_FASTOPEN_NO_COOKIE:
      return i32((fastopenOf(t) & FO_NO_COOKIE) != 0);
    case TCP_KEEPIDLE:
      return i32(keepIdle(t) / 1000);
    case TCP_KEEPINTVL:
      return i32(keepInterval(t) / 1000);
    case TCP_KEEPCNT:
      return i32(keepCount(t));
    case TCP_SYNCNT:
      return extra != 0 && changetype<SocketExtra>(extra).synCount != 0
        ? i32(changetype<SocketExtra>(extra).synCount)
        : i32(sysctl(SYSCTL_TCP_SYN_RETRIES));
    case TCP_LINGER2:
      return linger2Seconds(t);
    case TCP_NOTSENT_LOWAT:
      return extra != 0 ? i32(changetype<SocketExtra>(extra).notsentLowat) : 0;
    case TCP_INQ:
      return i32(extra != 0 && (changetype<SocketExtra>(extra).control & CMSG_INQ) != 0);
    case TCP_DEFER_ACCEPT:
      return extra != 0 ? i32(secondsOf(changetype<SocketExtra>(extra).deferAcceptTimeouts)) : 0;
    default:
      return NO_OPTION;
  }
}

/** SO_KEEPALIVE was set or cleared. */
export function tcpKeepaliveChanged(t: Tcb): void {
  if (t.state == TCP_LISTEN) return;
  if (t.flags & SF_KEEPALIVE) startKeepalive(t);
  else disarmTimer(t, ARMED_KEEP);
}

/** SO_RCVBUF was set: while the connection is not open yet, the first window follows it by itself. */
export function tcpBuffersChanged(t: Tcb): void {
  if (t.state == TCP_LISTEN || t.state == TCP_CLOSED) return;
  if (t.state == TCP_SYN_SENT || t.state == TCP_SYN_RECEIVED || !readWantsAck(t, 1)) return;
  sendAck(t);
  netifFlush();
}
