// getsockopt and setsockopt at SOL_SOCKET, in Linux's ABI: little-endian ints, struct linger, struct timeval (two i64).
// Read first: socket(7); Linux net/core/sock.c.
//
// SO_RCVBUF and SO_SNDBUF: as Linux, the value is bounded by the maximum (here SYSCTL_TCP_RMEM_MAX and
// SYSCTL_TCP_WMEM_MAX for every protocol), doubled for bookkeeping, kept at least SOCK_MIN_*BUF, and read back doubled.

import {
  AF_INET,
  EDOM,
  EINVAL,
  ENOBUFS,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPOLLIN,
  EPOLLOUT,
  IPPROTO_IP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  KIND_LISTENER,
  KIND_UDP,
  SO_ACCEPTCONN,
  SO_BROADCAST,
  SO_DOMAIN,
  SO_ERROR,
  SO_INCOMING_CPU,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_MARK,
  SO_OOBINLINE,
  SO_PRIORITY,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVLOWAT,
  SO_RCVTIMEO,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDLOWAT,
  SO_SNDTIMEO,
  SO_TYPE,
  SO_ZEROCOPY,
  SOCK_DGRAM,
  SOCK_MIN_RCVBUF,
  SOCK_MIN_SNDBUF,
  SOCK_STREAM,
  SOL_SOCKET,
  SYSCTL_TCP_RMEM_MAX,
  SYSCTL_TCP_WMEM_MAX,
  SO_TIMESTAMPING,
  SOF_TIMESTAMPING_TX_SOFTWARE,
  SOF_TIMESTAMPING_SOFTWARE,
  SOF_TIMESTAMPING_OPT_ID,
  SOF_TIMESTAMPING_TX_SCHED,
  SOF_TIMESTAMPING_TX_ACK,
  SOF_TIMESTAMPING_OPT_TSONLY,
  TCP_CLOSED,
  TCP_LISTEN,
} from "../layout";
import { netifAt } from "../net/netif";
import { UdpSocket } from "../net/udp-socket";
import { stack, sysctl } from "../stack";
import { tcpBuffersChanged, tcpGetOption, tcpKeepaliveChanged, tcpSetOption } from "../tcp/options-api";
import { Tcb } from "../tcp/tcb";
import { extraOf } from "./extra";
import { tcbOf } from "./kinds";
import { socketNotify } from "./notify";
import { ipGetOption, ipSetOption } from "./options-ip";
import {
  SF_BROADCAST,
  SF_KEEPALIVE,
  SF_LINGER,
  SF_OOBINLINE,
  SF_RCVBUF_LOCKED,
  SF_REUSEADDR,
  SF_REUSEPORT,
  SF_SNDBUF_LOCKED,
  Socket,
  SocketExtra,
} from "./socket";

/** Flags of SO_TIMESTAMPING that are known; those of hardware clocks (1, 4, 32, 64) ask for what no NIC has. */
const TIMESTAMPING_KNOWN: u32 =
  SOF_TIMESTAMPING_TX_SOFTWARE |
  SOF_TIMESTAMPING_SOFTWARE |
  SOF_TIMESTAMPING_OPT_ID |
  SOF_TIMESTAMPING_TX_SCHED |
  SOF_TIMESTAMPING_TX_ACK |
  SOF_TIMESTAMPING_OPT_TSONLY |
  (1 | 4 | 32 | 64);
/** Bytes of struct linger and of struct timeval on 64-bit Linux. */
const LINGER_BYTES: u32 = 8;
const TIMEVAL_BYTES: u32 = 16;
const TIMESTAMPING_BYTES: u32 = 8;
/** Timeouts from here on are none at all, as on Linux (MAX_SCHEDULE_TIMEOUT); below, microseconds fit 63 bits. */
const TIMEOUT_SECONDS_MAX: i64 = 9_000_000_000_000;

/** Sets an option from `length` bytes at `value`: 0, or -EINVAL, -ENOPROTOOPT, -EDOM, -ENOBUFS and the levels' own. */
export function socketSetOption(s: Socket, level: i32, name: i32, value: usize, length: u32): i32 {
  switch (level) {
    case SOL_SOCKET:
      return setSocketLevel(s, name, value, length);
    case IPPROTO_IP:
      return ipSetOption(s, name, value, length);
    case IPPROTO_TCP:
      if (s.kind == KIND_UDP) return -ENOPROTOOPT;
      return tcpSetOption(tcbOf(s), name, value, length);
    default:
      return -ENOPROTOOPT;
  }
}

/** Reads an option into at most `length` bytes at `value`: the bytes written, or a negative errno. */
export function socketGetOption(s: Socket, level: i32, name: i32, value: usize, length: u32): i32 {
  switch (level) {
    case SOL_SOCKET:
      return getSocketLevel(s, name, value, length);
    case IPPROTO_IP:
      return ipGetOption(s, name, value, length);
    case IPPROTO_TCP:
      if (s.kind == KIND_UDP) return -ENOPROTOOPT;
      return tcpGetOption(tcbOf(s), name, value, length);
    default:
      return -ENOPROTOOPT;
  }
}

/** Writes an int, cut to the buffer as Linux does; returns its bytes. */
export function giveInt(value: usize, length: u32, v: i32): i32 {
  const bytes = min<u32>(length, 4);
  for (let i: u32 = 0; i < bytes; i++) store<u8>(value + i, u8(v >>> (i << 3)));
  return i32(bytes);
}

/** Writes one word of a structure, as much of it as lies within the buffer. */
function giveWord(value: usize, length: u32, offset: u32, v: u32): void {
  if (length > offset) giveInt(value + offset, length - offset, i32(v));
}

function setSocketLevel(s: Socket, name: i32, value: usize, length: u32): i32 {
  if (length < 4) return -EINVAL;
  const v = load<i32>(value);
  switch (name) {
    case SO_REUSEADDR:
      return setFlag(s, SF_REUSEADDR, v != 0);
    case SO_REUSEPORT:
      return setFlag(s, SF_REUSEPORT, v != 0);
    case SO_BROADCAST:
      return setFlag(s, SF_BROADCAST, v != 0);
    case SO_OOBINLINE:
      return setFlag(s, SF_OOBINLINE, v != 0);
    case SO_KEEPALIVE:
      setFlag(s, SF_KEEPALIVE, v != 0);
      if (s.kind != KIND_UDP) tcpKeepaliveChanged(tcbOf(s));
      return 0;
    case SO_RCVBUF:
      return setReceiveBuffer(s, u32(v));
    case SO_SNDBUF:
      return setSendBuffer(s, u32(v));
    case SO_LINGER:
      return setLinger(s, value, length);
    case SO_RCVTIMEO:
    case SO_SNDTIMEO:
      return setTimeout(s, name, value, length);
    case SO_RCVLOWAT:
      return setLowWater(s, v);
    case SO_PRIORITY: {
      if (v < 0) return -EINVAL;
      const extra = extraOf(s);
      if (extra === null) return -ENOBUFS;
      extra.priority = u32(v);
      return 0;
    }
    case SO_MARK: {
      const extra = extraOf(s);
      if (extra === null) return -ENOBUFS;
      extra.socketMark = u32(v);
      return 0;
    }
    case SO_ZEROCOPY:
      return setZerocopy(s, v);
    case SO_TIMESTAMPING:
      return setTimestamping(s, u32(v));
    default:
      return -ENOPROTOOPT;
  }
}

function getSocketLevel(s: Socket, name: i32, value: usize, length: u32): i32 {
  const extra = s.extra;
  switch (name) {
    case SO_REUSEADDR:
      return giveFlag(s, SF_REUSEADDR, value, length);
    case SO_REUSEPORT:
      return giveFlag(s, SF_REUSEPORT, value, length);
    case SO_BROADCAST:
      return giveFlag(s, SF_BROADCAST, value, length);
    case SO_OOBINLINE:
      return giveFlag(s, SF_OOBINLINE, value, length);
    case SO_KEEPALIVE:
      return giveFlag(s, SF_KEEPALIVE, value, length);
    case SO_RCVBUF:
      return giveInt(value, length, i32(s.rcvBuf));
    case SO_SNDBUF:
      return giveInt(value, length, i32(load<u32>(sendBufferAt(s))));
    case SO_LINGER:
      return giveLinger(s, value, length);
    case SO_RCVTIMEO:
    case SO_SNDTIMEO:
      return giveTimeout(s, name, value, length);
    case SO_RCVLOWAT:
      return giveInt(value, length, extra != 0 ? i32(changetype<SocketExtra>(extra).rcvLowat) : 1);
    case SO_SNDLOWAT:
      return giveInt(value, length, 1);
    case SO_PRIORITY:
      return giveInt(value, length, extra != 0 ? i32(changetype<SocketExtra>(extra).priority) : 0);
    case SO_MARK:
      return giveInt(value, length, extra != 0 ? i32(changetype<SocketExtra>(extra).socketMark) : 0);
    case SO_ZEROCOPY:
      return giveInt(value, length, extra != 0 ? i32(changetype<SocketExtra>(extra).zerocopy) : 0);
    case SO_TIMESTAMPING:
      // struct so_timestamping: the flags, and a clock to bind to (there is none)
      giveWord(value, length, 0, extra != 0 ? changetype<SocketExtra>(extra).timestamping : 0);
      giveWord(value, length, 4, 0);
      return i32(min(length, TIMESTAMPING_BYTES));
    case SO_ERROR: {
      const error = s.error;
      s.error = 0;
      return giveInt(value, length, error);
    }
    case SO_TYPE:
      return giveInt(value, length, s.kind == KIND_UDP ? SOCK_DGRAM : SOCK_STREAM);
    case SO_DOMAIN:
      return giveInt(value, length, AF_INET);
    case SO_PROTOCOL:
      return giveInt(value, length, s.kind == KIND_UDP ? IPPROTO_UDP : IPPROTO_TCP);
    case SO_ACCEPTCONN:
      return giveInt(value, length, i32(s.kind == KIND_LISTENER));
    case SO_INCOMING_CPU:
      // The nearest thing here to a CPU: the NIC queue that this stack polls.
      return giveInt(value, length, stack.netifCount > 1 ? i32(netifAt(1).queue) : 0);
    default:
      return -ENOPROTOOPT;
  }
}

function setFlag(s: Socket, flag: u32, on: bool): i32 {
  if (on) s.flags |= u16(flag);
  else s.flags &= ~u16(flag);
  return 0;
}

function giveFlag(s: Socket, flag: u32, value: usize, length: u32): i32 {
  return giveInt(value, length, i32((s.flags & flag) != 0));
}

function setReceiveBuffer(s: Socket, v: u32): i32 {
  s.rcvBuf = max(min(v, sysctl(SYSCTL_TCP_RMEM_MAX)) * 2, <u32>SOCK_MIN_RCVBUF);
  s.flags |= u16(SF_RCVBUF_LOCKED);
  if (s.kind != KIND_UDP) tcpBuffersChanged(tcbOf(s));
  return 0;
}

function setSendBuffer(s: Socket, v: u32): i32 {
  store<u32>(sendBufferAt(s), max(min(v, sysctl(SYSCTL_TCP_WMEM_MAX)) * 2, <u32>SOCK_MIN_SNDBUF));
  s.flags |= u16(SF_SNDBUF_LOCKED);
  // More room may have come up.
  socketNotify(s, EPOLLOUT);
  return 0;
}

/** Where the limit of a socket's send queue lies: each protocol has its own. */
function sendBufferAt(s: Socket): usize {
  return changetype<usize>(s) + (s.kind == KIND_UDP ? offsetof<UdpSocket>("sndBuf") : offsetof<Tcb>("sndBuf"));
}

function setLinger(s: Socket, value: usize, length: u32): i32 {
  if (length < LINGER_BYTES) return -EINVAL;
  if (load<i32>(value) == 0) return setFlag(s, SF_LINGER, false);
  // Linux keeps it in jiffies and cuts what is too long.
  const seconds = min(load<u32>(value, 4), 2147483);
  const extra = extraOf(s);
  if (extra === null) return -ENOBUFS;
  extra.lingerMillis = seconds * 1000;
  return setFlag(s, SF_LINGER, true);
}

function giveLinger(s: Socket, value: usize, length: u32): i32 {
  const millis = s.extra != 0 ? changetype<SocketExtra>(s.extra).lingerMillis : 0;
  giveWord(value, length, 0, u32((s.flags & SF_LINGER) != 0));
  giveWord(value, length, 4, millis / 1000);
  return i32(min(length, LINGER_BYTES));
}

/** Timeouts are kept in microseconds: 0 is none, -1 one that has passed (a negative tv_sec). */
function setTimeout(s: Socket, name: i32, value: usize, length: u32): i32 {
  if (length < TIMEVAL_BYTES) return -EINVAL;
  const seconds = load<i64>(value);
  const micros = load<i64>(value, 8);
  if (micros < 0 || micros >= 1000000) return -EDOM;
  if (seconds == 0 && micros == 0 && s.extra == 0) return 0;
  const extra = extraOf(s);
  if (extra === null) return -ENOBUFS;
  const isEndless = seconds >= TIMEOUT_SECONDS_MAX;
  const timeout = seconds < 0 ? -1 : isEndless ? 0 : f64(seconds) * 1000000 + f64(micros);
  if (name == SO_RCVTIMEO) extra.rcvTimeoutMicros = timeout;
  else extra.sndTimeoutMicros = timeout;
  return 0;
}

function giveTimeout(s: Socket, name: i32, value: usize, length: u32): i32 {
  let timeout: f64 = 0;
  if (s.extra != 0) {
    const extra = changetype<SocketExtra>(s.extra);
    timeout = max(name == SO_RCVTIMEO ? extra.rcvTimeoutMicros : extra.sndTimeoutMicros, 0);
  }
  const whole = u64(timeout);
  giveWord(value, length, 0, u32(whole / 1000000));
  giveWord(value, length, 4, 0);
  giveWord(value, length, 8, u32(whole % 1000000));
  giveWord(value, length, 12, 0);
  return i32(min(length, TIMEVAL_BYTES));
}

/** MSG_ZEROCOPY may be used; for connections only (Linux knows it for some more). */
function setZerocopy(s: Socket, v: i32): i32 {
  if (s.kind == KIND_UDP) return -EOPNOTSUPP;
  if (v < 0 || v > 1) return -EINVAL;
  const extra = extraOf(s);
  if (extra === null) return -ENOBUFS;
  extra.zerocopy = u32(v);
  return 0;
}

/** Which moments of sends are reported, for connections only; with OPT_ID their bytes count from here. */
function setTimestamping(s: Socket, flags: u32): i32 {
  if (s.kind == KIND_UDP) return -EOPNOTSUPP;
  if (flags & ~TIMESTAMPING_KNOWN) return -EINVAL;
  const isNumbered = s.extra != 0 && changetype<SocketExtra>(s.extra).timestamping & SOF_TIMESTAMPING_OPT_ID;
  const t = tcbOf(s);
  const numbers = (flags & SOF_TIMESTAMPING_OPT_ID) != 0 && !isNumbered;
  if (numbers && (t.state == TCP_CLOSED || t.state == TCP_LISTEN)) return -EINVAL;
  const extra = extraOf(s);
  if (extra === null) return -ENOBUFS;
  if (numbers) extra.stampBase = t.sndUna;
  extra.timestamping = flags;
  return 0;
}

function setLowWater(s: Socket, v: i32): i32 {
  // Linux: a negative value is the largest, 0 is 1; TCP cannot wait for more than half of its largest buffer.
  let low = v < 0 ? <u32>i32.MAX_VALUE : u32(v);
  if (s.kind != KIND_UDP) low = min(low, sysctl(SYSCTL_TCP_RMEM_MAX) >>> 1);
  const extra = extraOf(s);
  if (extra === null) return -ENOBUFS;
  extra.rcvLowat = max(low, 1);
  // The window must let so much in (Linux: tcp_set_rcvlowat).
  if (s.kind != KIND_UDP && !(s.flags & SF_RCVBUF_LOCKED)) s.rcvBuf = max(s.rcvBuf, low << 1);
  socketNotify(s, EPOLLIN);
  return 0;
}
