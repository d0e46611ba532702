// TCP Fast Open at the client: data in the SYN when a cookie of the server is known, else a request for one.
// Read first: RFC 7413 sections 4.2.1 (client), 4.1.3 and 7; Linux net/ipv4/tcp_output.c, tcp_send_syn_data().

import {
  EALREADY,
  EINPROGRESS,
  EINVAL,
  EOPNOTSUPP,
  EXCHANGE_ARGS,
  MBUF_DATA_ROOM,
  MIB_TCP_FASTOPEN_ACTIVE,
  MIB_TCP_FASTOPEN_ACTIVE_FAIL,
  MSG_DONTWAIT,
  MSG_EOR,
  SYSCTL_TCP_FASTOPEN,
  TCP_CLOSED,
  TCP_ESTABLISHED,
  TFO_CLIENT,
  TFO_CLIENT_NO_COOKIE,
} from "../layout";
import { queueAppend } from "../memory/chunk";
import { Netif, netifFlush } from "../net/netif";
import { SF_CONNECTING, SF_NONBLOCK } from "../socket/socket";
import { count, nowMillis, stack, sysctl } from "../stack";
import { cleanFlight } from "./ack";
import {
  FAIL_NOT_ACKED,
  FAIL_NO_COOKIE,
  FAIL_RETRANSMITTED,
  FO_ASKED,
  FO_CHECK,
  FO_DATA_ACKED,
  FO_DEFERRED,
  FO_EXP,
  FO_FAIL_SHIFT,
  FO_NO_COOKIE,
  FO_PENDING,
  FO_SYN_DATA,
  FO_WRITER,
  fastopenMark,
  fastopenOf,
  fastopenOffer,
} from "./fastopen";
import {
  Server,
  fastopenClearPauses,
  fastopenIsPaused,
  fastopenPause,
  fastopenPauses,
  fastopenServer,
  fastopenServerMake,
} from "./fastopen-cache";
import { fastopenEnd } from "./fastopen-server";
import { markSent } from "./marks";
import { connectEnded, isOpening, setPeerMss, tcpLaunch, tcpPrepare } from "./open";
import { markTooBig } from "./recovery";
import { flightOf, scoreboardAdd } from "./scoreboard";
import { segAck, segCookieAt, segCookieBytes, segCookieExp, segMss } from "./segment";
import { Flight, Island, TF_FIN_RECEIVED, TS_PUSH, Tcb, sndQueue } from "./tcb";
import { rearmRto } from "./timers";
import { retransmitLost } from "./transmit";

/** Options that a middlebox may add find room beside the data (RFC 7413 4.2.1; Linux: MAX_TCP_OPTION_SPACE). */
const OPTIONS_BYTES_MAX: u32 = 40;

/** The cookie that cookieCheck() found: -1: no option, 0: a request. */
let cookieBytes: i32 = -1;
let cookieExp: bool = false;
let cookieLow: u64 = 0;
let cookieHigh: u64 = 0;

/** True when data may go with the SYN: a cookie is known, or none is needed. */
function cookieCheck(t: Tcb): bool {
  cookieBytes = 0;
  cookieExp = false;
  const server = fastopenServer(t.localAddress, t.remoteAddress);
  if (server !== null) {
    if (server.mss != 0) setPeerMss(t, server.mss);
    cookieBytes = server.bytes;
    cookieExp = server.bytes != 0 ? server.exp != 0 : server.tryExp == 1;
    cookieLow = server.low;
    cookieHigh = server.high;
  }
  if (fastopenIsPaused()) {
    cookieBytes = -1;
    return false;
  }
  if (fastopenPauses() != 0) fastopenMark(t, FO_CHECK, 0);
  if (sysctl(SYSCTL_TCP_FASTOPEN) & TFO_CLIENT_NO_COOKIE || fastopenOf(t) & FO_NO_COOKIE) {
    cookieBytes = -1;
    return true;
  }
  if (cookieBytes > 0) return true;
  fastopenMark(t, FAIL_NO_COOKIE << FO_FAIL_SHIFT, 0);
  return false;
}

/** The next SYN carries what cookieCheck() found. */
function offer(t: Tcb): void {
  fastopenOffer(cookieBytes, cookieExp, cookieLow, cookieHigh);
  if (cookieBytes >= 0) fastopenMark(t, FO_ASKED | (cookieExp ? FO_EXP : 0), 0);
}

/** connect() with TCP_FASTOPEN_CONNECT: true when the SYN waits for the first data, false when it goes now. */
export function fastopenDefers(t: Tcb): bool {
  if (cookieCheck(t)) {
    fastopenMark(t, FO_DEFERRED, 0);
    return true;
  }
  offer(t);
  return false;
}

/**
 * sendto(MSG_FASTOPEN), or the first send() after a connect() that waited for it. Bytes that went with the SYN, or
 * -EINPROGRESS: the SYN is out, without data or on a socket that blocks; EXCHANGE_ARGS has the bytes that went with it.
 */
export function fastopenSend(t: Tcb, data: usize, length: u32, flags: i32, address: u32, port: u32): i32 {
  if (!(sysctl(SYSCTL_TCP_FASTOPEN) & TFO_CLIENT)) return -EOPNOTSUPP;
  const waits = mayWait(t, flags);
  if (!(fastopenOf(t) & FO_DEFERRED)) {
    if (isOpening(t)) {
      if (!waits) return -EALREADY;
      fastopenMark(t, FO_WRITER, 0);
      store<u32>(usize(stack.exchange) + EXCHANGE_ARGS, 0);
      return -EINPROGRESS;
    }
    if (t.flags & SF_CONNECTING) return connectEnded(t);
    if (t.state == TCP_CLOSED && t.remotePort == 0 && address == 0 && port == 0) return -EINVAL;
    const error = tcpPrepare(t, address, port);
    if (error < 0) return error;
  }
  fastopenMark(t, 0, FO_DEFERRED);
  const taken = launch(t, data, length, flags);
  netifFlush();
  store<u32>(usize(stack.exchange) + EXCHANGE_ARGS, taken);
  if (waits && taken < length) fastopenMark(t, FO_WRITER, 0);
  return waits || taken == 0 ? -EINPROGRESS : i32(taken);
}

/** True for a call that waits where it cannot go on at once. */
export function mayWait(t: Tcb, flags: i32): bool {
  return !(t.flags & SF_NONBLOCK) && !(flags & MSG_DONTWAIT);
}

/** True once a connection that was being opened stands, and then false: MSG_FASTOPEN is an ordinary send that once. */
export function fastopenIsOver(t: Tcb): bool {
  if (!(t.flags & SF_CONNECTING) || isOpening(t) || t.state == TCP_CLOSED) return false;
  return (sysctl(SYSCTL_TCP_FASTOPEN) & TFO_CLIENT) != 0 && connectEnded(t) == 0;
}

/** Sends the SYN with as much data as fits it; returns the bytes. */
function launch(t: Tcb, data: usize, length: u32, flags: i32): u32 {
  setPeerMss(t, t.advMss);
  const early = cookieCheck(t);
  const taken = early ? queueSynData(t, data, length) : 0;
  if (early && taken == 0 && length > 0 && cookieBytes > 0) cookieBytes = 0; // no memory: an ordinary opening
  offer(t);
  if (taken > 0) fastopenMark(t, FO_SYN_DATA, 0);
  if (taken > 0 && (t.extra != 0 || flags & MSG_EOR)) markSent(t, flags, t.sndNxt, taken == length);
  tcpLaunch(t, taken);
  return taken;
}

/** Queues the first bytes as one segment that has left with the SYN. */
function queueSynData(t: Tcb, data: usize, length: u32): u32 {
  const room = min(u32(t.mss), u32(MBUF_DATA_ROOM) - 20);
  const most = min(length, room > OPTIONS_BYTES_MAX ? room - OPTIONS_BYTES_MAX : 0);
  if (most == 0) return 0;
  const f = flightOf(t);
  if (f === null) return 0;
  const taken = queueAppend(sndQueue(t), data, most);
  if (taken == 0) return 0;
  const first = t.iss + 1;
  scoreboardAdd(f, first, first + taken, 1, TS_PUSH);
  t.sndNxt = first + taken;
  t.lastSndMillis = nowMillis;
  return taken;
}

/**
 * The SYN,ACK of a connection with Fast Open has come, `retries` SYNs were sent again; SND.UNA is behind our SYN.
 * Learns the cookie. True when the SYN's data was not acknowledged: it has just been sent again, with the ACK.
 */
export function fastopenSynAck(t: Tcb, retries: u32): bool {
  const f = changetype<Flight>(t.flight);
  const hadData = (fastopenOf(t) & FO_SYN_DATA) != 0;
  if (hadData) dataAcked(t, f);
  const missing = hadData && f.packetsOut > 0;
  learn(t, retries, missing);
  if (missing) {
    const why = retries > 0 ? FAIL_RETRANSMITTED : FAIL_NOT_ACKED;
    fastopenMark(t, why << FO_FAIL_SHIFT, 3 << FO_FAIL_SHIFT);
    count(MIB_TCP_FASTOPEN_ACTIVE_FAIL);
    markTooBig(t, f, 0);
    retransmitLost(t, f);
    return true;
  }
  if (hadData) {
    // A SYN counts as one segment, with data and without.
    f.delivered--;
    fastopenMark(t, FO_DATA_ACKED, 0);
    count(MIB_TCP_FASTOPEN_ACTIVE);
  }
  return false;
}

/**
 * A connection whose SYN had data has come up through crossing SYNs; SND.UNA is behind our SYN. The current segment may
 * acknowledge data as well; the rest has left as any other segment, and has a timer from now on.
 */
export function fastopenCrossed(t: Tcb): void {
  const f = changetype<Flight>(t.flight);
  dataAcked(t, f);
  if (f.packetsOut > 0) rearmRto(t, f);
}

/** Takes what the current segment acknowledges of the SYN's data. */
function dataAcked(t: Tcb, f: Flight): void {
  if (segAck != t.sndUna) cleanFlight(t, f, segAck, t.sndUna);
  f.ackMillis = nowMillis;
  f.progressMillis = nowMillis;
}

/** Notes what the SYN,ACK tells of the server (Linux: tcp_rcv_fastopen_synack). */
function learn(t: Tcb, retries: u32, missing: bool): void {
  const bits = fastopenOf(t);
  // A cookie that nobody asked for is not believed.
  const bytes = bits & FO_ASKED ? segCookieBytes : -1;
  const s = fastopenServerMake(t.localAddress, t.remoteAddress);
  if (segMss != 0) s.mss = u16(segMss);
  if (bytes > 0) {
    s.bytes = u8(bytes);
    s.exp = u8(segCookieExp);
    s.low = 0;
    s.high = 0;
    memory.copy(changetype<usize>(s) + offsetof<Server>("low"), segCookieAt, bytes);
  } else if (bits & FO_ASKED && bytes < 0 && retries == 0 && !(bits & FO_SYN_DATA) && s.bytes == 0) {
    // Asked in vain: the next time by the experimental option, and if that is in vain too, by this one again
    s.tryExp = u8(max<u32>(s.tryExp, bits & FO_EXP ? 2 : 1));
  }
  if (bits & FO_ASKED && retries > 0 && bytes < 0 && missing) {
    if (s.losses < 255) s.losses++;
    s.lastLossMillis = nowMillis;
  } else {
    s.losses = 0;
  }
}

/**
 * A timeout, number `timeouts` from 0 on, of a connection with Fast Open; `expired` when it is the last. The third in a
 * row, or the end before it, makes a middlebox suspect.
 */
export function fastopenTimeout(t: Tcb, timeouts: u32, expired: bool): void {
  if (!(fastopenOf(t) & (FO_ASKED | FO_SYN_DATA | FO_DATA_ACKED))) return;
  if (timeouts != 2 && !(timeouts < 2 && expired)) return;
  fastopenPause();
  count(MIB_TCP_FASTOPEN_ACTIVE_FAIL);
}

/** No byte has come from the peer, in or out of order. */
function nothingReceived(t: Tcb): bool {
  if (t.flight != 0 && changetype<Flight>(t.flight).islandBytes != 0) return false;
  return t.rcvNxt - u32((t.tflags & TF_FIN_RECEIVED) != 0) == t.irs + 1;
}

/** A reset that was not in place: before any data, a middlebox may have sent it. */
export function fastopenStrayReset(t: Tcb): void {
  if (t.state == TCP_ESTABLISHED && fastopenOf(t) & FO_ASKED && nothingReceived(t)) fastopenPause();
}

/** A FIN behind missing data has come to a connection that the application has closed. */
export function fastopenStrayFin(t: Tcb): void {
  if (fastopenOf(t) & FO_ASKED) fastopenPause();
}

/** A connection with Fast Open ends: what it has taught about the path. */
export function fastopenOver(t: Tcb): void {
  const bits = fastopenOf(t);
  if (bits & FO_PENDING) fastopenEnd(t, false);
  if (!(bits & FO_ASKED)) return;
  if (nothingReceived(t)) {
    if (t.flight == 0) return;
    const f = changetype<Flight>(t.flight);
    if (f.islandCount == 1 && changetype<Island>(f.islandHead).fin != 0) fastopenPause();
  } else if (bits & FO_CHECK && t.netif != 0 && !changetype<Netif>(t.netif).loopback) {
    fastopenClearPauses();
  }
}
