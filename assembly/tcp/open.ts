// Opening: what a new TCB starts with, the options of both SYNs (RFC 7323, 2018, 9293 3.7.1), and connect().
// Read first: RFC 9293 3.10.1 (OPEN), RFC 6056 (choice of ports).

import {
  EADDRNOTAVAIL,
  EALREADY,
  ECONNABORTED,
  EINPROGRESS,
  EINVAL,
  EISCONN,
  ENETUNREACH,
  IPPROTO_TCP,
  KIND_TIME_WAIT,
  MIB_TCP_ACTIVE_OPENS,
  SYN,
  SYSCTL_IP_DEFAULT_TTL,
  SYSCTL_TCP_CONGESTION,
  SYSCTL_TCP_INIT_CWND,
  SYSCTL_TCP_INIT_RTO,
  SYSCTL_TCP_MIN_SND_MSS,
  SYSCTL_TCP_RMEM_DEFAULT,
  SYSCTL_TCP_RMEM_MAX,
  SYSCTL_TCP_SACK,
  SYSCTL_TCP_TIMESTAMPS,
  SYSCTL_TCP_WINDOW_SCALING,
  SYSCTL_TCP_WMEM_DEFAULT,
  SYSCTL_TCP_WORKAROUND_SIGNED_WINDOWS,
  TCP_CLOSED,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from "../layout";
import { flowAdd, flowFind } from "../flow";
import { keyedHash } from "../hash";
import { Netif, netifQueueOf, netifServes } from "../net/netif";
import { defaultPmtuDiscover, ipv4Mtu } from "../net/pmtu";
import { isBroadcast, routeLookup, routeNetif, routeSource, sourceError } from "../net/route";
import { bindPortTaken, portRangeHigh, portRangeLow } from "../socket/bind";
import { SF_BOUND_ADDRESS, SF_BOUND_PORT, SF_CONNECTING, SF_RCVBUF_LOCKED } from "../socket/socket";
import { count, nowCoarse, nowMicros, nowMillis, stack, sysctl } from "../stack";
import { flowAttract, flowClaim, flowForget } from "../steer/flows";
import { portTakenElsewhere } from "../steer/ports";
import { isMulticast } from "../wire/ipv4";
import { SSTHRESH_INFINITE } from "./congestion";
import { FO_CONNECT, FO_DEFERRED, FO_OPTIONS, fastopenMark, fastopenOf, fastopenPending } from "./fastopen";
import { forgetPeer } from "./disconnect";
import { fastopenDefers } from "./fastopen-client";
import { initialSequence, timestampOffset } from "./isn";
import { sendSyn, tcpRoute } from "./output";
import { segHasTs, segMss, segSackPermitted, segScale, segSeq, segTsVal, segWindow } from "./segment";
import { EV_ACTIVE_OPEN, setState } from "./state";
import {
  ARMED_RTO,
  TF_ACCEPTED,
  TF_ACTIVE,
  TF_FASTOPEN,
  TF_IN_FLOW,
  TF_SACK,
  TF_TIMESTAMPS,
  TF_WSCALE,
  Tcb,
} from "./tcb";
import { TimeWait, timeWaitFree, timeWaitReusable } from "./time-wait";
import { armTimer } from "./timers";
import { fullWindow, setSlowLimit, windowClamp } from "./window";

/** "If an MSS Option is not received at connection setup, ... 536" (RFC 9293 3.7.1 MUST-15). */
const MSS_DEFAULT: u32 = 536;
/** Most ports that one connect() tries. */
const PORT_TRIES_MAX: u32 = 65536;
/** Of them, ports whose hash is asked: with 64 queues, each 64th comes home. */
const HOME_TRIES_MAX: u32 = 4096;

/** Defaults of a new TCB. */
export function tcbDefaults(t: Tcb): void {
  t.ttl = u8(sysctl(SYSCTL_IP_DEFAULT_TTL));
  t.pmtuDiscover = u8(defaultPmtuDiscover());
  t.rcvBuf = sysctl(SYSCTL_TCP_RMEM_DEFAULT);
  t.sndBuf = sysctl(SYSCTL_TCP_WMEM_DEFAULT);
  t.congestion = u8(sysctl(SYSCTL_TCP_CONGESTION));
  t.rtoMillis = sysctl(SYSCTL_TCP_INIT_RTO);
  t.cwnd = sysctl(SYSCTL_TCP_INIT_CWND);
  t.ssthresh = SSTHRESH_INFINITE;
  t.mss = u16(MSS_DEFAULT);
  t.rcvMss = u16(MSS_DEFAULT);
  t.lastRcvMillis = nowMillis;
  t.lastSndMillis = nowMillis;
  t.sentMicros = nowMicros;
}

/** The options that this stack offers. */
export function initialFlags(): u32 {
  return (
    (sysctl(SYSCTL_TCP_SACK) ? TF_SACK : 0) |
    (sysctl(SYSCTL_TCP_TIMESTAMPS) ? TF_TIMESTAMPS : 0) |
    (sysctl(SYSCTL_TCP_WINDOW_SCALING) ? TF_WSCALE : 0)
  );
}

/** The MSS to announce: the route's, or the MTU less both headers, or what TCP_MAXSEG says if that is less. */
function announcedMss(t: Tcb): u32 {
  const nif = changetype<Netif>(t.netif);
  const mss = nif.advMss != 0 ? nif.advMss : nif.mtu - 40;
  return min(t.userMss != 0 ? min(mss, u32(t.userMss)) : mss, 65495);
}

/** Chooses the MSS, the window scale and the first window of this side. The route is known. */
export function advertise(t: Tcb): void {
  t.advMss = u16(announcedMss(t));
  if (t.tflags & TF_WSCALE) {
    // Room for the largest buffer that autotuning may reach (Linux: tcp_select_initial_window)
    let most = max(sysctl(SYSCTL_TCP_RMEM_MAX), t.rcvBuf);
    // A buffer or a window that the application has fixed will not grow.
    if (t.flags & SF_RCVBUF_LOCKED || windowClamp(t) != 0) most = min(most, max<u32>(fullWindow(t), 1));
    const log = 31 - i32(clz<u32>(most));
    t.rcvScale = u8(min(max(log - 15, 0), 14));
  } else {
    t.rcvScale = 0;
  }
  const mss = u32(t.advMss);
  let space = fullWindow(t);
  if (space > mss) space -= space % mss;
  // Some read the window as a signed number: tcp_workaround_signed_windows
  t.rcvWnd = min<u32>(space, sysctl(SYSCTL_TCP_WORKAROUND_SIGNED_WINDOWS) ? 32767 : 65535);
  setSlowLimit(t, t.rcvWnd);
  t.rcvWup = t.rcvNxt;
}

/** Takes the peer's SYN in: its sequence number and options. */
export function takePeerOptions(t: Tcb, irs: u32): void {
  t.irs = irs;
  t.rcvNxt = irs + 1;
  t.rcvWup = irs + 1;
  if (!segHasTs) t.tflags &= ~TF_TIMESTAMPS;
  if (!segSackPermitted) t.tflags &= ~TF_SACK;
  if (segScale < 0) t.tflags &= ~TF_WSCALE;
  t.sndScale = t.tflags & TF_WSCALE ? u8(segScale) : 0;
  if (t.tflags & TF_TIMESTAMPS) {
    t.tsRecent = segTsVal;
    t.tsRecentCoarse = nowCoarse;
  }
  t.sndWnd = segWindow;
  t.maxSndWnd = segWindow;
  t.sndWl1 = segSeq;
  setPeerMss(t, segMss != 0 ? segMss : MSS_DEFAULT);
}

/** The MSS to send with: the peer's, the path's and the user's limits (RFC 6691). */
export function setPeerMss(t: Tcb, peer: u32): void {
  const nif = changetype<Netif>(t.netif);
  let mss = min(peer, ipv4Mtu(nif, t.remoteAddress) - 40);
  if (t.userMss != 0) mss = min(mss, u32(t.userMss));
  t.mss = u16(max(mss, sysctl(SYSCTL_TCP_MIN_SND_MSS)));
  // Linux: tcp_initialize_rcv_mss
  t.rcvMss = u16(max<u32>(min(u32(t.mss), MSS_DEFAULT), 88));
}

/**
 * connect(2): -EINPROGRESS when the SYN is on its way; 0 when it waits for the first data (TCP_FASTOPEN_CONNECT), or
 * when an earlier call has meanwhile led to a connection, which is told once; from then on -EISCONN.
 */
export function tcpConnect(t: Tcb, address: u32, port: u32): i32 {
  const bits = fastopenOf(t);
  if (bits & FO_DEFERRED) return -EISCONN;
  if (isOpening(t)) return -EALREADY;
  if (t.flags & SF_CONNECTING) return connectEnded(t);
  const error = tcpPrepare(t, address, port);
  if (error < 0) return error;
  if (bits & FO_CONNECT && fastopenDefers(t)) return 0;
  tcpLaunch(t, 0);
  return -EINPROGRESS;
}

/** True while the handshake that connect() began goes on. */
export function isOpening(t: Tcb): bool {
  return t.state == TCP_SYN_SENT || (t.state == TCP_SYN_RECEIVED && !fastopenPending(t));
}

/**
 * How the handshake of an earlier call has ended, told once (Linux: __inet_stream_connect): 0, or -errno for a socket
 * that may try again, -ECONNABORTED when the errno has been told elsewhere.
 */
export function connectEnded(t: Tcb): i32 {
  t.flags &= ~u16(SF_CONNECTING);
  if (t.state != TCP_CLOSED) return 0;
  const error = i32(t.error);
  t.error = 0;
  forgetPeer(t);
  return -(error != 0 ? error : ECONNABORTED);
}

/** Leads a socket without a peer to SYN-SENT: its names, its place in the tables. Nothing is sent yet. 0 or -errno. */
export function tcpPrepare(t: Tcb, address: u32, port: u32): i32 {
  // What has had a connection keeps its peer until it is disconnected.
  if (t.state != TCP_CLOSED || t.remoteAddress != 0) return -EISCONN;
  t.error = 0;
  if (address >>> 28 >= 14 || isBroadcast(address)) return -ENETUNREACH;
  if (!routeLookup(address)) return -ENETUNREACH;
  const nif = routeNetif;
  const bound = t.flags & SF_BOUND_ADDRESS ? t.localAddress : 0;
  if (bound == 0 || isMulticast(bound) || isBroadcast(bound)) {
    // A group's address, which bind() takes too, is nobody's to send from.
    t.localAddress = routeSource;
  } else {
    const error = sourceError(nif, bound);
    if (error < 0) return error;
  }
  const chosen = choosePort(t, nif, address, port);
  if (chosen < 0) return chosen;
  if (open(t)) return 0;
  forgetPeer(t);
  return -ENETUNREACH;
}

/** Everything that an earlier, failed attempt may have left is set anew. */
function open(t: Tcb): bool {
  t.routeGeneration = stack.routeGeneration - 1;
  if (!tcpRoute(t)) {
    flowForget(t);
    return false;
  }
  t.shut = 0;
  t.tflags = (t.tflags & ~(TF_SACK | TF_TIMESTAMPS | TF_WSCALE)) | initialFlags() | TF_ACCEPTED | TF_ACTIVE;
  t.flags |= u16(SF_CONNECTING);
  if (t.tflags & TF_FASTOPEN) fastopenMark(t, 0, ~FO_OPTIONS);
  t.rcvNxt = 0;
  t.irs = t.rcvNxt - 1;
  t.synRetries = 0;
  t.backoff = 0;
  t.retransmits = 0;
  t.rtoMillis = sysctl(SYSCTL_TCP_INIT_RTO);
  t.cwnd = sysctl(SYSCTL_TCP_INIT_CWND);
  t.ssthresh = SSTHRESH_INFINITE;
  t.minRttMicros = 0;
  advertise(t);
  const ports = (u32(t.localPort) << 16) | u32(t.remotePort);
  if (t.iss == 0) t.iss = initialSequence(t.localAddress, t.remoteAddress, ports);
  t.tsOffset = timestampOffset(t.localAddress, t.remoteAddress);
  t.sndUna = t.iss;
  t.sndNxt = t.iss + 1;
  t.sndSml = t.sndNxt;
  if (!portIsHome) flowAttract(changetype<Netif>(t.netif), IPPROTO_TCP, t.localAddress, t.remoteAddress, ports);
  flowAdd(t);
  t.tflags |= TF_IN_FLOW;
  setState(t, EV_ACTIVE_OPEN);
  return true;
}

/** Sends the first SYN, with the first `payload` bytes of the send queue. */
export function tcpLaunch(t: Tcb, payload: u32): void {
  t.lastRcvMillis = nowMillis;
  t.sentMicros = nowMicros;
  count(MIB_TCP_ACTIVE_OPENS);
  sendSyn(t, SYN, payload);
  armTimer(t, ARMED_RTO, t.rtoMillis);
}

/**
 * True when the 4-tuple with this local port is free, and so this stack's from now on; a TIME-WAIT record that may be
 * reused makes way.
 */
function tupleIsFree(t: Tcb, address: u32, port: u32, localPort: u32): bool {
  const ports = (localPort << 16) | port;
  const found = flowFind(t.localAddress, address, ports);
  if (found == 0) return flowClaim(IPPROTO_TCP, t.localAddress, address, ports);
  const w = changetype<TimeWait>(found);
  if (w.kind != KIND_TIME_WAIT || !timeWaitReusable(w, (t.flags & SF_BOUND_PORT) != 0)) return false;
  // Sequence numbers and timestamps go on above those of the past (RFC 6191).
  t.iss = max<u32>(w.sndNxt + 65535 + 2, 1);
  if (!(t.flags & SF_BOUND_PORT)) t.tsRecent = w.tsRecent;
  timeWaitFree(w);
  return flowClaim(IPPROTO_TCP, t.localAddress, address, ports);
}

/** Would answers to this local port arrive at a queue of this stack? */
function comesHome(t: Tcb, nif: Netif, address: u32, port: u32, candidate: u32): bool {
  return netifServes(nif, netifQueueOf(nif, IPPROTO_TCP, address, t.localAddress, port, candidate));
}

/** The port that choosePort() has chosen brings answers here by itself. */
let portIsHome: bool = false;

function choosePort(t: Tcb, nif: Netif, address: u32, port: u32): i32 {
  t.iss = 0;
  t.tsRecent = 0;
  portIsHome = false;
  if (t.flags & SF_BOUND_PORT) {
    if (!tupleIsFree(t, address, port, t.localPort)) return -EADDRNOTAVAIL;
    t.remoteAddress = address;
    t.remotePort = u16(port);
    return 0;
  }
  const low = portRangeLow(t);
  const high = portRangeHigh(t);
  if (high < low) return -EINVAL;
  const range = high - low + 1;
  // RFC 6056 algorithm 3: an offset that only this host knows, and a counter
  const offset = keyedHash(t.localAddress, address, port) + stack.portHint;
  const tries = min(range, PORT_TRIES_MAX);
  for (let pass = 0; pass < 2; pass++) {
    for (let i: u32 = 0; i < tries; i++) {
      const candidate = low + ((offset + i) % range);
      // Answers should come back to the queue of this stack: first only ports whose hash says so.
      if (pass == 0 && (nif.queues == 0 || i >= HOME_TRIES_MAX)) break;
      if (pass == 0 && !comesHome(t, nif, address, port, candidate)) continue;
      if (bindPortTaken(IPPROTO_TCP, candidate) || portTakenElsewhere(IPPROTO_TCP, candidate)) continue;
      if (!tupleIsFree(t, address, port, candidate)) continue;
      portIsHome = pass == 0;
      t.localPort = u16(candidate);
      t.remoteAddress = address;
      t.remotePort = u16(port);
      stack.portHint += i + 1;
      return 0;
    }
  }
  return -EADDRNOTAVAIL;
}
