// Listening: SYNs become embryonic connections, embryonic ones become connections that wait for accept().
// Read first: RFC 9293 3.10.7.2 (LISTEN), RFC 4987 (SYN floods), tcp(7) for the backlog.

import {
  ACK,
  CWR,
  ECE,
  EAGAIN,
  ECONNABORTED,
  EPOLLIN,
  EXCHANGE_ADDRESS,
  IPPROTO_TCP,
  KIND_LISTENER,
  KIND_TCP,
  MIB_TCP_LISTEN_DROPS,
  MIB_TCP_LISTEN_OVERFLOWS,
  MIB_TCP_PASSIVE_OPENS,
  SYN,
  SYSCTL_TCP_ABORT_ON_OVERFLOW,
  SYSCTL_TCP_ECN,
  SYSCTL_TCP_INIT_RTO,
  SYSCTL_TCP_MAX_SYN_BACKLOG,
  SYSCTL_TCP_SYNCOOKIES,
  TCP_CLOSED,
  TCP_LISTEN,
} from "../layout";
import { flowAdd, flowHashOf } from "../flow";
import { queueClear } from "../memory/chunk";
import { Netif } from "../net/netif";
import { bindHead, bindRelease } from "../socket/bind";
import { extraCopy, extraFree } from "../socket/extra";
import { socketNotify } from "../socket/notify";
import { SF_BOUND_ADDRESS, SF_BOUND_PORT, SF_CONNECTING, SF_NONBLOCK, SF_REUSEPORT } from "../socket/socket";
import { Socket, SocketExtra } from "../socket/socket";
import { publishedAccepts } from "../share/publish";
import { count, nowMillis, stack, sysctl } from "../stack";
import { cookieNote, cookiesNoted } from "../steer/cookies";
import { flowAttract, flowClaim } from "../steer/flows";
import { steerBrought } from "../steer/hand-over";
import { portClose, portOpen } from "../steer/ports";
import { Timer } from "../timer";
import { release, tcpAbort, tcpDone } from "./close";
import { cookieSend } from "./cookie";
import { fastopenAccepted, fastopenListen, fastopenTry } from "./fastopen-server";
import { initialSequence, timestampOffset } from "./isn";
import { sendSyn, tcpRoute } from "./output";
import { segFlags, segSeq } from "./segment";
import { EV_PASSIVE_OPEN, EV_SYN, setState } from "./state";
import {
  ARMED_RTO,
  TF_ACCEPTED,
  TF_CORK,
  TF_ECN,
  TF_IN_FLOW,
  TF_NODELAY,
  TF_ORPHAN,
  Tcb,
  sndQueue,
  tcbAlloc,
} from "./tcb";
import { armTimer } from "./timers";
import { advertise, initialFlags, takePeerOptions, tcbDefaults } from "./open";

/**
 * A listener is a TCB in LISTEN; these words of it have another meaning then. What its children inherit
 * (flags, buffers, options) stays where it is.
 */
@unmanaged
export class Listener extends Socket {
  /** Last and first connection that waits for accept(). */
  acceptTail: u32;
  acceptHead: u32;
  tflags: u32;
  netif: u32;
  /** First embryonic connection. */
  synHead: u32;
  routeGeneration: u32;
  acceptCount: u32;
  synCount: u32;
  backlog: u32;
  /** When the last cookie was sent, ms: only for a while after that are cookies believed. */
  cookieMillis: u32;
  cookiesSent: u32;
  /** Connections opened by a SYN alone (fastopen-server.ts): most, and now, that have not ended their handshake. */
  fastopenMax: u16;
  fastopenCount: u16;
  /** Tells this listener from those that had its place before. */
  serial: u32;
}
if (offsetof<Listener>() > offsetof<Tcb>("sndHead")) ERROR("Listener layout");

function listenerOf(t: Tcb): Listener {
  return changetype<Listener>(changetype<usize>(t));
}

/** listen(2) on a bound TCB, or a new backlog for a listener. */
export function tcpListen(t: Tcb, backlog: i32): i32 {
  const l = listenerOf(t);
  if (t.state != TCP_LISTEN) {
    setState(t, EV_PASSIVE_OPEN);
    t.kind = u8(KIND_LISTENER);
    l.acceptHead = 0;
    l.acceptTail = 0;
    l.synHead = 0;
    l.acceptCount = 0;
    l.synCount = 0;
    l.cookiesSent = 0;
    portOpen(IPPROTO_TCP, t.localAddress, t.localPort);
    fastopenListen(t, u32(max(backlog, 0)));
  }
  l.backlog = u32(max(backlog, 0));
  return 0;
}

/** The listener for a destination, or null: the most specific address wins, SO_REUSEPORT shares by hash. */
export function listenerFind(local: u32, port: u32, remote: u32, remotePort: u32): Tcb | null {
  let best: u32 = 0;
  let bestScore = 0;
  let same: u32 = 0;
  for (let at = bindHead(IPPROTO_TCP, port); at != 0; at = changetype<Socket>(at).bindNext) {
    const s = changetype<Socket>(at);
    if (s.kind != KIND_LISTENER || u32(s.localPort) != port) continue;
    let score = 1;
    if (s.localAddress != 0) {
      if (s.localAddress != local) continue;
      score = 2;
    }
    if (score > bestScore) {
      best = at;
      bestScore = score;
      same = 1;
    } else if (score == bestScore && s.flags & SF_REUSEPORT) {
      same++;
      // Reservoir of one, chosen by the flow's hash: the same flow always finds the same listener.
      if (flowHashOf(local, remote, (port << 16) | remotePort) % same == 0) best = at;
    }
  }
  return best == 0 ? null : changetype<Tcb>(best);
}

/** True when accept() has fallen behind by more than the backlog. */
export function acceptQueueIsFull(t: Tcb): bool {
  const l = listenerOf(t);
  return l.acceptCount + publishedAccepts(t.fd) > l.backlog;
}

/** A SYN (without ACK, without RST) for a listener; `isn` is 0, or one that TIME-WAIT has chosen. */
export function listenSyn(t: Tcb, local: u32, remote: u32, ports: u32, isn: u32): void {
  const l = listenerOf(t);
  const cookies = sysctl(SYSCTL_TCP_SYNCOOKIES);
  const crowded = l.synCount >= min(max<u32>(l.backlog, 1), sysctl(SYSCTL_TCP_MAX_SYN_BACKLOG));
  if (acceptQueueIsFull(t)) {
    count(MIB_TCP_LISTEN_OVERFLOWS);
    count(MIB_TCP_LISTEN_DROPS);
    return;
  }
  if (cookies == 2 || (crowded && isn == 0)) {
    if (cookies == 0) count(MIB_TCP_LISTEN_DROPS);
    else sendCookie(t, local, remote, ports);
    return;
  }
  const child = childOf(t, local, remote, ports);
  if (child === null) {
    if (cookies != 0) sendCookie(t, local, remote, ports);
    else count(MIB_TCP_LISTEN_DROPS);
    return;
  }
  child.iss = isn != 0 ? isn : initialSequence(local, remote, ports);
  child.tsOffset = timestampOffset(local, remote);
  takePeerOptions(child, segSeq);
  advertise(child);
  child.sndUna = child.iss;
  child.sndNxt = child.iss + 1;
  setState(child, EV_SYN);
  const opens = fastopenTry(t, child);
  if (!opens) embryonicLink(l, child);
  sendSyn(child, SYN | ACK);
  armTimer(child, ARMED_RTO, sysctl(SYSCTL_TCP_INIT_RTO));
  if (opens) listenerAnnounce(child);
}

function sendCookie(t: Tcb, local: u32, remote: u32, ports: u32): void {
  const l = listenerOf(t);
  l.cookieMillis = nowMillis;
  l.cookiesSent = 1;
  cookieNote(nowMillis);
  cookieSend(t, local, remote, ports);
}

/** True when cookies were sent in the last two minutes: only then may an ACK bring one back. */
export function cookiesAreOut(t: Tcb): bool {
  const l = listenerOf(t);
  return (l.cookiesSent != 0 && nowMillis - l.cookieMillis < 120000) || cookiesNoted(nowMillis, 120000);
}

/** A new TCB with the listener's options, in the 4-tuple table; null when memory or routes are missing. */
export function childOf(t: Tcb, local: u32, remote: u32, ports: u32): Tcb | null {
  const at = tcbAlloc();
  if (at == 0) return null;
  const child = changetype<Tcb>(at);
  tcbDefaults(child);
  child.localAddress = local;
  child.remoteAddress = remote;
  child.localPort = u16(ports >>> 16);
  child.remotePort = u16(ports);
  child.flags = u16(u32(t.flags) & ~(SF_NONBLOCK | SF_BOUND_PORT | SF_BOUND_ADDRESS | SF_CONNECTING));
  child.ttl = t.ttl;
  child.tos = t.tos;
  child.pmtuDiscover = t.pmtuDiscover;
  child.rcvBuf = t.rcvBuf;
  child.sndBuf = t.sndBuf;
  child.userMss = t.userMss;
  child.congestion = t.congestion;
  child.userTimeoutMillis = t.userTimeoutMillis;
  child.tflags = (t.tflags & (TF_NODELAY | TF_CORK)) | initialFlags();
  child.parent = u32(changetype<usize>(t));
  const ready = tcpRoute(child) && (t.extra == 0 || extraCopy(t, child));
  if (!ready || !flowClaim(IPPROTO_TCP, local, remote, ports)) {
    release(child);
    return null;
  }
  if (!steerBrought()) flowAttract(changetype<Netif>(child.netif), IPPROTO_TCP, local, remote, ports);
  flowAdd(child);
  child.tflags |= TF_IN_FLOW;
  if (sysctl(SYSCTL_TCP_ECN) != 0 && (segFlags & (ECE | CWR)) == (ECE | CWR)) child.tflags |= TF_ECN;
  return child;
}

function embryonicLink(l: Listener, child: Tcb): void {
  child.acceptNext = l.synHead;
  child.synPrev = 0;
  if (l.synHead != 0) changetype<Tcb>(l.synHead).synPrev = u32(changetype<usize>(child));
  l.synHead = u32(changetype<usize>(child));
  l.synCount++;
}

function embryonicUnlink(l: Listener, child: Tcb): void {
  if (child.acceptNext != 0) changetype<Tcb>(child.acceptNext).synPrev = child.synPrev;
  if (child.synPrev != 0) changetype<Tcb>(child.synPrev).acceptNext = child.acceptNext;
  else l.synHead = child.acceptNext;
  child.acceptNext = 0;
  child.synPrev = 0;
  l.synCount--;
}

/** True for a connection that waits for accept(), false for an embryonic one; `t.parent` is not 0. */
export function acceptQueueHolds(t: Tcb): bool {
  return (t.tflags & TF_ACCEPTED) != 0;
}

/** An embryonic connection has failed. */
export function listenerForget(t: Tcb): void {
  embryonicUnlink(changetype<Listener>(t.parent), t);
  t.parent = 0;
}

/**
 * The handshake of an embryonic connection is complete: it waits for accept() now. False when the accept queue is
 * full: the ACK is then as if it had been lost (or the connection is reset, tcp_abort_on_overflow).
 */
export function listenerPromote(t: Tcb, linked: bool): bool {
  const l = changetype<Listener>(t.parent);
  if (acceptQueueIsFull(changetype<Tcb>(t.parent))) {
    count(MIB_TCP_LISTEN_OVERFLOWS);
    count(MIB_TCP_LISTEN_DROPS);
    return false;
  }
  if (linked) embryonicUnlink(l, t);
  t.acceptNext = 0;
  const at = u32(changetype<usize>(t));
  if (l.acceptTail != 0) changetype<Tcb>(l.acceptTail).acceptNext = at;
  else l.acceptHead = at;
  l.acceptTail = at;
  l.acceptCount++;
  t.tflags |= TF_ACCEPTED;
  count(MIB_TCP_PASSIVE_OPENS);
  return true;
}

/** Tells those who watch the listener that accept() will find something. */
export function listenerAnnounce(t: Tcb): void {
  socketNotify(changetype<Socket>(t.parent), EPOLLIN);
}

/** accept(2): the address of a TCB, or a negative errno; the peer's address lies in the exchange area. */
export function tcpAccept(t: Tcb): i32 {
  const l = listenerOf(t);
  if (l.acceptHead == 0) return -EAGAIN;
  const child = changetype<Tcb>(l.acceptHead);
  l.acceptHead = child.acceptNext;
  if (l.acceptHead == 0) l.acceptTail = 0;
  l.acceptCount--;
  child.acceptNext = 0;
  child.parent = 0;
  fastopenAccepted(child, t);
  const at = usize(stack.exchange) + EXCHANGE_ADDRESS;
  store<u32>(at, child.remoteAddress);
  store<u32>(at, u32(child.remotePort), 4);
  return i32(changetype<usize>(child));
}

/** Connections that wait for accept(). */
export function listenerPending(t: Tcb): u32 {
  return listenerOf(t).acceptCount;
}

/** EPOLLIN when accept() would find a connection. */
export function listenerEvents(t: Tcb): u32 {
  return listenerOf(t).acceptHead != 0 ? EPOLLIN : 0;
}

/** The listener is closed. */
export function listenerClose(t: Tcb): void {
  listenerStop(t);
  bindRelease(t, IPPROTO_TCP);
  extraFree(t);
  release(t);
}

/** Listens no more: connections that nobody has accepted are reset (RFC 9293 3.10.4 LISTEN; Linux). */
export function listenerStop(t: Tcb): void {
  const l = listenerOf(t);
  while (l.synHead != 0) {
    // Nothing was promised to these: an ACK that still comes finds no listener and is answered by a reset (Linux).
    tcpDone(changetype<Tcb>(l.synHead), 0);
  }
  while (l.acceptHead != 0) {
    const child = changetype<Tcb>(l.acceptHead);
    l.acceptHead = child.acceptNext;
    child.parent = 0;
    child.acceptNext = 0;
    child.tflags |= TF_ORPHAN;
    stack.orphans++;
    if (child.state == TCP_CLOSED) release(child);
    else tcpAbort(child, ECONNABORTED);
  }
  l.acceptTail = 0;
  l.acceptCount = 0;
  t.kind = u8(KIND_TCP);
  t.state = u8(TCP_CLOSED);
  portClose(IPPROTO_TCP, t.localPort);
  const options = t.tflags & (TF_NODELAY | TF_CORK);
  t.flight = 0;
  queueClear(sndQueue(t));
  clearOverlay(t);
  t.tflags = options;
}

/** The words that the listener used for its queues hold no TCB state; options that come behind them are kept. */
function clearOverlay(t: Tcb): void {
  const from = changetype<usize>(t) + offsetof<Tcb>("parent");
  memory.fill(from, 0, offsetof<Tcb>("sndBuf") - offsetof<Tcb>("parent"));
}

/** Listeners arm no timer of their own. */
export function listenerTimer(timer: Timer): void {
  assert(timer.kind == KIND_LISTENER);
}

/** TCP_DEFER_ACCEPT: timeouts of the SYN,ACK for which the first data, not the handshake, makes a connection ready. */
export function defersAccept(t: Tcb): u32 {
  const extra = changetype<Socket>(t.parent).extra;
  return extra == 0 ? 0 : changetype<SocketExtra>(extra).deferAcceptTimeouts;
}

/** True when an overfull accept queue answers with a reset. */
export function abortsOnOverflow(): bool {
  return sysctl(SYSCTL_TCP_ABORT_ON_OVERFLOW) != 0;
}
