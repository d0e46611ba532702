// Socket options of the TCP level, tcp(7), and TCP_INFO as Linux lays it out.

import {
  CC_CUBIC,
  CC_RENO,
  EINVAL,
  EXCHANGE_DATA,
  ENOENT,
  ENOPROTOOPT,
  TCP_CLOSED,
  TCP_CONGESTION,
  TCP_CORK,
  TCP_DEFER_ACCEPT,
  TCP_INFO,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_LINGER2,
  TCP_LISTEN,
  TCP_MAXSEG,
  TCP_NODELAY,
  TCP_QUICKACK,
  TCP_SYNCNT,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
  TCP_TIMESTAMP,
  TCP_USER_TIMEOUT,
  TCP_WINDOW_CLAMP,
  ENOBUFS,
  SYSCTL_TCP_FIN_TIMEOUT,
  SYSCTL_TCP_SYN_RETRIES,
} from "../layout";
import { netifFlush } from "../net/netif";
import { extraOf } from "../socket/extra";
import { SF_KEEPALIVE, SocketExtra } from "../socket/socket";
import { nowMillis, stack, sysctl } from "../stack";
import { enterQuickAck } from "./established";
import { sendAck } from "./output";
import {
  ARMED_KEEP,
  Flight,
  TF_ACK_PENDING,
  TF_CORK,
  TF_CORK_FLUSH,
  TF_NODELAY,
  TF_ECN,
  TF_FIN_RECEIVED,
  TF_FIN_SENT,
  TF_PINGPONG,
  TF_QUICKACK,
  TF_SACK,
  TF_SOLO,
  TF_TIMESTAMPS,
  TF_WSCALE,
  Tcb,
} from "./tcb";
import { disarmTimer, keepCount, keepIdle, keepInterval, startKeepalive } from "./timers";
import { TIMESTAMPS_BYTES } from "../wire/tcp";
import { tcpOutput, unsentBytes } from "./transmit";
import { readWantsAck } from "./window";

/** Bytes of TCP_INFO that are filled in (Linux's struct tcp_info up to tcpi_rcv_wnd). */
const INFO_BYTES: u32 = 236;
/** "cubic" and "reno" as words in memory order. */
const NAME_CUBI: u32 = 0x69627563;
const NAME_RENO: u32 = 0x6f6e6572;
/** Limits of tcp(7), seconds. */
const KEEP_SECONDS_MAX: u32 = 32767;

/** setsockopt(IPPROTO_TCP): 0, -EINVAL for a value out of range, -ENOPROTOOPT, -ENOENT (no such congestion control). */
export function tcpSetOption(t: Tcb, name: i32, value: usize, length: u32): i32 {
  if (name == TCP_CONGESTION) return setCongestion(t, value, length);
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
    case TCP_WINDOW_CLAMP:
      if (v < 0) return -EINVAL;
      t.windowClamp = u16(min<u32>((u32(v) + 63) >>> 6, 65535));
      return 0;
    case TCP_TIMESTAMP:
      t.tsOffset = u32(v) - nowMillis;
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
      extra.linger2Millis = v < 0 ? 1 : u32(min<u64>(u64(v) * 1000, sysctl(SYSCTL_TCP_FIN_TIMEOUT)));
      return 0;
    case TCP_DEFER_ACCEPT:
      extra.deferAcceptSeconds = u32(max(v, 0));
      return 0;
    default:
      return -ENOPROTOOPT;
  }
}

function setFlag(t: Tcb, flag: u32, on: bool): void {
  t.tflags = on ? t.tflags | flag : t.tflags & ~flag;
}

/** What an option has set free leaves at once. */
function push(t: Tcb): void {
  if (t.state == TCP_LISTEN || t.sndBytes == 0) return;
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
  setFlag(t, TF_QUICKACK, false);
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

/** getsockopt(IPPROTO_TCP): bytes written, or -EINVAL, -ENOPROTOOPT. */
export function tcpGetOption(t: Tcb, name: i32, value: usize, length: u32): i32 {
  if (name == TCP_INFO) return giveInfo(t, value, length);
  if (name == TCP_CONGESTION) {
    if (length < 6) return -EINVAL;
    store<u32>(value, t.congestion == CC_CUBIC ? NAME_CUBI : NAME_RENO);
    store<u16>(value, t.congestion == CC_CUBIC ? 0x63 : 0, 4);
    return t.congestion == CC_CUBIC ? 5 : 4;
  }
  if (length < 4) return -EINVAL;
  const v = valueOf(t, name);
  if (v < 0) return v;
  store<i32>(value, v);
  return 4;
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
      return i32(u32(t.windowClamp) << 6);
    case TCP_TIMESTAMP:
      return i32((nowMillis + t.tsOffset) & 0x7fffffff);
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
      return extra != 0 && changetype<SocketExtra>(extra).linger2Millis != 0
        ? i32(changetype<SocketExtra>(extra).linger2Millis / 1000)
        : i32(sysctl(SYSCTL_TCP_FIN_TIMEOUT) / 1000);
    case TCP_DEFER_ACCEPT:
      return extra != 0 ? i32(changetype<SocketExtra>(extra).deferAcceptSeconds) : 0;
    default:
      return -ENOPROTOOPT;
  }
}

/** TCP_INFO: as much of struct tcp_info as fits. Figures of a busy connection are 0 while it is idle. */
function giveInfo(t: Tcb, value: usize, length: u32): i32 {
  if (length < INFO_BYTES) {
    // Linux cuts what does not fit; the whole is made beside it.
    const scratch = usize(stack.exchange) + EXCHANGE_DATA;
    giveInfo(t, scratch, INFO_BYTES);
    memory.copy(value, scratch, length);
    return i32(length);
  }
  const n = INFO_BYTES;
  memory.fill(value, 0, n);
  const flags = t.tflags;
  store<u8>(value, t.state);
  store<u8>(value, t.caState, 1);
  store<u8>(value, t.retransmits, 2);
  store<u8>(value, t.probes, 3);
  store<u8>(value, t.backoff, 4);
  const options =
    (flags & TF_TIMESTAMPS ? 1 : 0) |
    (flags & TF_SACK ? 2 : 0) |
    (flags & TF_WSCALE ? 4 : 0) |
    (flags & TF_ECN ? 8 : 0);
  store<u8>(value, u8(options), 5);
  store<u8>(value, u8(u32(t.sndScale) | (u32(t.rcvScale) << 4)), 6);
  store<u32>(value, t.rtoMillis * 1000, 8);
  store<u32>(value, u32(t.atoMillis) * 1000, 12);
  store<u32>(value, u32(t.mss) - (flags & TF_TIMESTAMPS ? TIMESTAMPS_BYTES : 0), 16);
  store<u32>(value, t.rcvMss, 20);
  store<u32>(value, nowMillis - t.lastSndMillis, 44);
  store<u32>(value, nowMillis - t.lastRcvMillis, 52);
  store<u32>(value, u32(t.mss) + 40, 60);
  store<u32>(value, t.srtt8 >>> 3, 68);
  store<u32>(value, t.rttvar4 >>> 2, 72);
  store<u32>(value, t.ssthresh, 76);
  store<u32>(value, t.cwnd, 80);
  store<u32>(value, t.advMss, 84);
  if (t.state != TCP_LISTEN && t.state != TCP_CLOSED) store<u32>(value, unsentBytes(t), 144);
  store<u32>(value, t.minRttMicros, 148);
  if (t.state != TCP_LISTEN && t.state != TCP_CLOSED && t.state != TCP_SYN_SENT) {
    store<u64>(value, t.rcvNxt - t.irs - 1 - u32((t.tflags & TF_FIN_RECEIVED) != 0), 128);
    store<u64>(value, t.sndUna - t.iss - 1 - u32((t.tflags & TF_FIN_SENT) != 0 && t.sndUna == t.sndNxt), 120);
  }
  store<u32>(value, t.sndWnd, 228);
  store<u32>(value, t.rcvWnd, 232);
  if (t.state == TCP_LISTEN) return i32(n);
  if (t.flight != 0) flightInfo(changetype<Flight>(t.flight), value);
  else store<u32>(value, u32((flags & TF_SOLO) != 0), 24);
  return i32(n);
}

function flightInfo(f: Flight, value: usize): void {
  store<u32>(value, f.packetsOut, 24);
  store<u32>(value, f.sackedOut, 28);
  store<u32>(value, f.lostOut, 32);
  store<u32>(value, f.retransOut, 36);
  store<u32>(value, f.reordering, 88);
  store<u32>(value, f.rcvRttMicros, 92);
  store<u32>(value, f.tuneSpace, 96);
  store<u32>(value, f.totalRetrans, 100);
  store<u32>(value, f.delivered, 192);
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
