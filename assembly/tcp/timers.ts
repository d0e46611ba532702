// TCP's timers: one place on the wheel for each connection, several deadlines behind it. A deadline that moves back
// does not touch the wheel: whoever runs looks at the deadlines and arms the earliest again.
// Read first: RFC 6298 section 5 (RTO), RFC 8985 7 (TLP), RFC 9293 3.8.6.1 (persist), 3.8.4 (keepalive), RFC 5482.

import {
  KIND_LISTENER,
  MIB_TCP_DELAYED_ACKS,
  MIB_TCP_KEEPALIVE_PROBES,
  MIB_TCP_PERSIST_PROBES,
  MIB_TCP_TIMEOUTS,
  POOL_FLIGHT,
  SYSCTL_TCP_KEEPALIVE_INTVL,
  SYSCTL_TCP_KEEPALIVE_PROBES,
  SYSCTL_TCP_KEEPALIVE_TIME,
  SYSCTL_TCP_ORPHAN_RETRIES,
  SYSCTL_TCP_RETRIES1,
  SYSCTL_TCP_RETRIES2,
  SYSCTL_TCP_THIN_LINEAR_TIMEOUTS,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT_2,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from "../layout";
import { SF_KEEPALIVE, SocketExtra } from "../socket/socket";
import { count, nowMillis, poolAt, sysctl } from "../stack";
import { Timer, timerNotLater } from "../timer";
import { tcpDone } from "./close";
import { fastopenPending } from "./fastopen";
import { fastopenTimeout } from "./fastopen-client";
import { dataTimeout, giveUp, isTimedOut, silentMillis, untilUserTimeout } from "./give-up";
import { listenerTimer } from "./listen";
import { mtuBlackHole } from "./mtu-probe";
import { currentMss, sendAck, sendProbe, sendReset, tcpRoute } from "./output";
import { countProbe, probeTimeout, rackDetectLoss } from "./rack";
import { enterLoss, enterRecovery } from "./recovery";
import { backedOffRto } from "./rtt";
import { flightDrop, flightOf, inFlight, scoreboardSplit } from "./scoreboard";
import {
  ARMED_ACK,
  ARMED_IDLE,
  ARMED_KEEP,
  ARMED_RTO,
  CA_LOSS,
  CA_OPEN,
  CA_RECOVERY,
  Flight,
  TF_ACK_PENDING,
  TF_CORK_FLUSH,
  TF_FASTOPEN,
  TF_FIN_QUEUED,
  TF_FIN_SENT,
  TF_LOSS_PROBE,
  TF_MORE,
  TF_ORPHAN,
  TF_PINGPONG,
  TF_PROBING,
  TF_REO_TIMER,
  TF_SOLO,
  TF_URGENT,
  TS_FIN,
  TS_LOST,
  TS_SACKED,
  Tcb,
  TxSeg,
} from "./tcb";
import { synTimer } from "./syn-timer";
import { corkHolds, retransmit, retransmitLost, sendPart, tcpOutput, unsentBytes } from "./transmit";

/** Least delayed-ACK time, Linux's TCP_ATO_MIN, ms. */
export const ATO_MIN_MILLIS: u32 = 40;
/** Linux: tcp_stream_is_thin, TCP_THIN_LINEAR_RETRIES. */
const THIN_SEGMENTS: u32 = 4;
const THIN_RETRIES: u32 = 6;
/** Idle time after which a connection gives its Flight back, ms; a second when the pool runs low. */
const FLIGHT_IDLE_MILLIS: u32 = 30000;
const FLIGHT_IDLE_SHORT_MILLIS: u32 = 1000;
/** What Linux adds to short timeouts, ms (TCP_TIMEOUT_MIN_US). */
const TIMEOUT_MIN_MILLIS: u32 = 2;
/** When to try again what memory was missing for, ms (Linux: TCP_RESOURCE_PROBE_INTERVAL). */
const RESOURCE_PROBE_MILLIS: u32 = 500;

/** Arms one of the connection's deadlines in `delayMillis` (at least 1). */
export function armTimer(t: Tcb, which: u32, delayMillis: u32): void {
  const at = nowMillis + max<u32>(delayMillis, 1);
  switch (which) {
    case ARMED_RTO:
      t.rtoAt = at;
      break;
    case ARMED_ACK:
      t.ackAt = at;
      break;
    case ARMED_KEEP:
      t.keepAt = at;
      break;
    default:
      changetype<Flight>(t.flight).idleAt = at;
      break;
  }
  t.armed |= u8(which);
  timerNotLater(t, at);
}

/** Lets a deadline go. */
export function disarmTimer(t: Tcb, which: u32): void {
  t.armed &= ~u8(which);
}

/** New data was acknowledged: the RTO starts anew, or a tail loss probe takes its place (RFC 6298 5.3). */
export function rearmRto(t: Tcb, f: Flight): void {
  t.tflags &= ~(TF_LOSS_PROBE | TF_REO_TIMER | TF_PROBING);
  if (!scheduleLossProbe(t, f)) armTimer(t, ARMED_RTO, backedOffRto(t));
}

/** Arms a tail loss probe in the place of the RTO; false when none is due. */
export function scheduleLossProbe(t: Tcb, f: Flight): bool {
  const timeout = probeTimeout(t, f);
  if (timeout == 0) return false;
  t.tflags |= TF_LOSS_PROBE;
  armTimer(t, ARMED_RTO, timeout);
  return true;
}

/** RACK waits `micros` for reordered segments before it calls them lost. */
export function armReorderingTimer(t: Tcb, micros: u32): void {
  t.tflags = (t.tflags & ~TF_LOSS_PROBE) | TF_REO_TIMER;
  armTimer(t, ARMED_RTO, min((micros + 999) / 1000 + TIMEOUT_MIN_MILLIS, backedOffRto(t)));
}

function isDue(t: Tcb, which: u32, at: u32): bool {
  return (t.armed & which) != 0 && i32(nowMillis - at) >= 0;
}

/** The wheel has come to this connection: runs what is due, arms the earliest of the rest. */
export function tcpTimer(timer: Timer): void {
  const t = changetype<Tcb>(timer);
  if (t.kind == KIND_LISTENER) {
    listenerTimer(t);
    return;
  }
  if (isDue(t, ARMED_ACK, t.ackAt)) {
    disarmTimer(t, ARMED_ACK);
    delayedAck(t);
  }
  if (isDue(t, ARMED_RTO, t.rtoAt)) {
    disarmTimer(t, ARMED_RTO);
    if (!retransmissionTimer(t)) return;
  }
  if (isDue(t, ARMED_KEEP, t.keepAt)) {
    disarmTimer(t, ARMED_KEEP);
    if (!keepTimer(t)) return;
  }
  if (t.armed & ARMED_IDLE && isDue(t, ARMED_IDLE, changetype<Flight>(t.flight).idleAt)) {
    disarmTimer(t, ARMED_IDLE);
    idleTimer(t);
  }
  rearmWheel(t);
}

function rearmWheel(t: Tcb): void {
  const armed = u32(t.armed);
  if (armed & ARMED_RTO) timerNotLater(t, t.rtoAt);
  if (armed & ARMED_ACK) timerNotLater(t, t.ackAt);
  if (armed & ARMED_KEEP) timerNotLater(t, t.keepAt);
  if (armed & ARMED_IDLE) timerNotLater(t, changetype<Flight>(t.flight).idleAt);
}

function delayedAck(t: Tcb): void {
  if (!(t.tflags & TF_ACK_PENDING)) return;
  if (!(t.tflags & TF_PINGPONG)) {
    t.atoMillis = u16(min<u32>(u32(t.atoMillis) << 1, min<u32>(t.rtoMillis, 1000)));
  } else {
    // The hope for a reply to ride on was in vain.
    t.tflags &= ~TF_PINGPONG;
    t.atoMillis = u16(ATO_MIN_MILLIS);
  }
  count(MIB_TCP_DELAYED_ACKS);
  sendAck(t);
}

/** The Flight goes when nothing has used it for a while. */
function idleTimer(t: Tcb): void {
  const f = changetype<Flight>(t.flight);
  const pool = poolAt(POOL_FLIGHT);
  const short = pool.inUse > pool.capacity >>> 1;
  const limit = short ? FLIGHT_IDLE_SHORT_MILLIS : FLIGHT_IDLE_MILLIS;
  const used = nowMillis - (i32(t.lastSndMillis - t.lastRcvMillis) > 0 ? t.lastSndMillis : t.lastRcvMillis);
  const quiet = f.packetsOut == 0 && !f.mtupEnabled && f.islandCount == 0 && t.sndBytes == 0 && !(t.tflags & TF_URGENT);
  if (!quiet || used < limit) {
    armTimer(t, ARMED_IDLE, FLIGHT_IDLE_SHORT_MILLIS);
    return;
  }
  // A recovery that waited for one more ACK to end has nothing left to recover.
  t.caState = u8(CA_OPEN);
  flightDrop(t);
}

/** RTO, persist, tail loss probe and reordering timer share one deadline. False when the connection is gone. */
function retransmissionTimer(t: Tcb): bool {
  if (t.state == TCP_SYN_SENT || t.state == TCP_SYN_RECEIVED || fastopenPending(t)) return synTimer(t);
  const flags = t.tflags;
  t.tflags &= ~(TF_LOSS_PROBE | TF_REO_TIMER);
  if (flags & TF_PROBING) return persistTimer(t);
  if (t.flight == 0 && !(flags & TF_SOLO)) {
    tcpOutput(t);
    return true;
  }
  const f = flightOf(t);
  if (f === null) {
    // No memory to say what is in flight: later.
    t.tflags |= flags & TF_LOSS_PROBE;
    armTimer(t, ARMED_RTO, RESOURCE_PROBE_MILLIS);
    return true;
  }
  if (f.packetsOut == 0) {
    tcpOutput(t);
    return true;
  }
  if (flags & TF_REO_TIMER) reorderingTimer(t, f);
  else if (flags & TF_LOSS_PROBE) lossProbe(t, f);
  else return retransmissionTimeout(t, f);
  return true;
}

function retransmissionTimeout(t: Tcb, f: Flight): bool {
  const expired = isTimedOut(t);
  if (t.tflags & TF_FASTOPEN) fastopenTimeout(t, t.retransmits, expired);
  if (expired) {
    giveUp(t);
    return false;
  }
  const silent = silentMillis(t);
  if (silent != 0 && silent >= dataTimeout(sysctl(SYSCTL_TCP_RETRIES1))) mtuBlackHole(t, f);
  count(MIB_TCP_TIMEOUTS);
  enterLoss(t, f);
  if (t.retransmits == 0) {
    f.rtoRecoveries++;
    f.rtoStampMillis = max<u32>(nowMillis, 1);
  }
  f.totalRto++;
  if (t.retransmits < 255) t.retransmits++;
  const head = changetype<TxSeg>(f.segHead);
  if (retransmit(t, f, head, 1) == 0) {
    // No memory or no route now: not a backed-off RTO, but silence all the same (Linux: the first attempt is stamped).
    if (t.retransStampMillis == 0) t.retransStampMillis = max<u32>(nowMillis, 1);
    armTimer(t, ARMED_RTO, untilUserTimeout(t, RESOURCE_PROBE_MILLIS));
    return true;
  }
  if (f.undoMarker != 0) f.undoRetrans = f.undoRetrans == u32.MAX_VALUE ? 1 : f.undoRetrans + 1;
  if (isThin(t, f)) t.backoff = 0;
  else if (t.backoff < 16) t.backoff++;
  armTimer(t, ARMED_RTO, untilUserTimeout(t, backedOffRto(t)));
  return true;
}

/** Too few segments for a fast retransmit: with tcp_thin_linear_timeouts the first timeouts stay short. */
function isThin(t: Tcb, f: Flight): bool {
  if (!sysctl(SYSCTL_TCP_THIN_LINEAR_TIMEOUTS) || t.state != TCP_ESTABLISHED) return false;
  return f.packetsOut < THIN_SEGMENTS && u32(t.retransmits) <= THIN_RETRIES;
}

/** RACK's reordering timer: what is still missing is lost (RFC 8985 6.3). */
function reorderingTimer(t: Tcb, f: Flight): void {
  if (f.segHead != 0 && changetype<TxSeg>(f.segHead).flags & TS_SACKED) {
    // The receiver went back on its SACKs; only the timeout's rules help (RFC 2018 section 8).
    enterLoss(t, f);
    retransmitLost(t, f);
    armTimer(t, ARMED_RTO, backedOffRto(t));
    return;
  }
  const before = inFlight(f);
  const micros = rackDetectLoss(t, f);
  if (before != inFlight(f)) {
    if (t.caState < CA_RECOVERY) {
      enterRecovery(t, f, false);
      if (t.caState != CA_LOSS) t.cwnd = inFlight(f) + 1;
    }
    retransmitLost(t, f);
    tcpOutput(t);
  }
  if (micros > 0) armReorderingTimer(t, micros);
  else if (f.packetsOut > 0) armTimer(t, ARMED_RTO, backedOffRto(t));
}

/** A tail loss probe: new data if there is any, else the last segment again (RFC 8985 7.3). */
function lossProbe(t: Tcb, f: Flight): void {
  if (f.tlpHighSeq == 0) {
    const unsent = unsentBytes(t);
    if (unsent > 0 && i32(t.sndUna + t.sndWnd - t.sndNxt) >= i32(min(unsent, currentMss(t)))) {
      const cwnd = t.cwnd;
      const before = t.sndNxt;
      t.cwnd = inFlight(f) + 1;
      tcpOutput(t);
      t.cwnd = cwnd;
      if (t.sndNxt != before) probeSent(t, f, false);
    } else {
      probeLast(t, f);
    }
  }
  t.tflags &= ~TF_LOSS_PROBE;
  armTimer(t, ARMED_RTO, backedOffRto(t));
}

function probeLast(t: Tcb, f: Flight): void {
  let s = changetype<TxSeg>(f.segTail);
  const mss = currentMss(t);
  const bytes = s.endSeq - s.seq - (s.flags & TS_FIN ? 1 : 0);
  if (bytes > mss && scoreboardSplit(f, s, s.seq + ((bytes - 1) / mss) * mss, mss)) s = changetype<TxSeg>(f.segTail);
  if (s.flags & (TS_LOST | TS_SACKED)) return;
  if (retransmit(t, f, s, 1) > 0) probeSent(t, f, true);
}

function probeSent(t: Tcb, f: Flight, again: bool): void {
  f.tlpHighSeq = t.sndNxt;
  f.tlpRetrans = u32(again);
  countProbe();
}

/** The window is shut, or memory was missing: ask, or try again (RFC 9293 3.8.6.1; RFC 1122 4.2.2.17). */
function persistTimer(t: Tcb): bool {
  const finWaits = (t.tflags & (TF_FIN_QUEUED | TF_FIN_SENT)) == TF_FIN_QUEUED;
  const f = t.flight;
  const out = f != 0 ? changetype<Flight>(f).packetsOut : 0;
  t.tflags &= ~TF_PROBING;
  if (out > 0 || (unsentBytes(t) == 0 && !finWaits)) {
    t.probes = 0;
    if (out > 0) armTimer(t, ARMED_RTO, backedOffRto(t));
    return true;
  }
  if (corkHolds(t)) {
    t.tflags = (t.tflags & ~TF_MORE) | TF_CORK_FLUSH;
    tcpOutput(t);
    return true;
  }
  if (tcpOutput(t) > 0) return true;
  return probeWindow(t);
}

function probeWindow(t: Tcb): bool {
  const orphan = (t.tflags & TF_ORPHAN) != 0;
  if (t.probes == 0) t.retransStampMillis = max<u32>(nowMillis, 1);
  const silent = nowMillis - t.retransStampMillis;
  const byUser = t.userTimeoutMillis != 0 && t.probes > 0 && silent >= t.userTimeoutMillis;
  const most = sysctl(orphan ? SYSCTL_TCP_ORPHAN_RETRIES : SYSCTL_TCP_RETRIES2);
  if (byUser || (t.probes >= most && nowMillis - t.lastRcvMillis >= backedOffRto(t))) {
    giveUp(t);
    return false;
  }
  const isHere = tcpRoute(t);
  if (isHere) sendWindowProbe(t);
  if (t.probes < 255) t.probes++;
  if (isHere && t.backoff < 16) t.backoff++;
  t.tflags |= TF_PROBING;
  // What could not even leave this host says nothing of the network: it is tried again at even distances (Linux too).
  armTimer(t, ARMED_RTO, untilUserTimeout(t, isHere ? backedOffRto(t) : RESOURCE_PROBE_MILLIS));
  return true;
}

function sendWindowProbe(t: Tcb): void {
  count(MIB_TCP_PERSIST_PROBES);
  const room = i32(t.sndUna + t.sndWnd - t.sndNxt);
  const unsent = unsentBytes(t);
  if (room > 0 && unsent > 0) sendPartial(t, min(u32(room), unsent));
  else sendProbe(t);
}

/** The window is open by less than a segment: after the wait it is used (RFC 9293 3.8.6.2.1, override timeout). */
function sendPartial(t: Tcb, bytes: u32): void {
  const f = t.flight;
  if (f == 0) return;
  const mss = currentMss(t);
  sendPart(t, changetype<Flight>(f), min(bytes, mss), mss);
}

/** Keepalive (RFC 9293 3.8.4), and FIN-WAIT-2's limit for connections that nobody holds any more. */
function keepTimer(t: Tcb): bool {
  if (t.tflags & TF_ORPHAN) {
    if (t.state == TCP_FIN_WAIT_2) {
      tcpDone(t, 0);
      return false;
    }
    return true;
  }
  if (!(t.flags & SF_KEEPALIVE) || t.state == TCP_SYN_SENT) return true;
  const idle = keepIdle(t);
  const busy = t.sndBytes > 0;
  // ACKs put this timer off themselves, data does not.
  const elapsed = nowMillis - t.lastRcvMillis;
  if (busy || elapsed < idle) {
    armTimer(t, ARMED_KEEP, busy ? idle : idle - elapsed);
    return true;
  }
  const silent = idle + u32(t.keepProbes) * keepInterval(t);
  const byUser = t.userTimeoutMillis != 0 && silent >= t.userTimeoutMillis && t.keepProbes > 0;
  if (byUser || (t.userTimeoutMillis == 0 && t.keepProbes >= keepCount(t))) {
    sendReset(t);
    giveUp(t);
    return false;
  }
  count(MIB_TCP_KEEPALIVE_PROBES);
  sendProbe(t);
  t.keepProbes++;
  armTimer(t, ARMED_KEEP, keepInterval(t));
  return true;
}

/** The peer has said something: it lives, and the idle time begins anew. */
export function keepAnswered(t: Tcb): void {
  t.keepProbes = 0;
  if (!(t.tflags & TF_ORPHAN)) armTimer(t, ARMED_KEEP, keepIdle(t));
}

/** SO_KEEPALIVE was set, or the connection came up with it. */
export function startKeepalive(t: Tcb): void {
  if (t.flags & SF_KEEPALIVE && i32(t.state) >= TCP_ESTABLISHED) armTimer(t, ARMED_KEEP, keepIdle(t));
}

/** TCP_KEEPIDLE or the default, ms. */
export function keepIdle(t: Tcb): u32 {
  const own = t.extra != 0 ? changetype<SocketExtra>(t.extra).keepIdleMillis : 0;
  return own != 0 ? own : sysctl(SYSCTL_TCP_KEEPALIVE_TIME);
}

/** TCP_KEEPINTVL or the default, ms. */
export function keepInterval(t: Tcb): u32 {
  const own = t.extra != 0 ? changetype<SocketExtra>(t.extra).keepIntervalMillis : 0;
  return own != 0 ? own : sysctl(SYSCTL_TCP_KEEPALIVE_INTVL);
}

/** TCP_KEEPCNT or the default. */
export function keepCount(t: Tcb): u32 {
  const own = t.extra != 0 ? changetype<SocketExtra>(t.extra).keepCount : 0;
  return own != 0 ? own : sysctl(SYSCTL_TCP_KEEPALIVE_PROBES);
}
