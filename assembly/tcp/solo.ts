// One segment in flight, and nothing special going on: a request, a response. It needs no Flight and no record on the
// scoreboard; the TCB's own fields tell all of it: [SND.UNA, SND.NXT), sent at sentMicros, with TF_SOLO set.
// Whatever asks for the Flight (flightOf) finds the segment on the scoreboard there, as if it had always been.

import { ACK, ECE, FIN, MBUF_DATA_ROOM, PSH, SYN } from "../layout";
import { nowMicros } from "../stack";
import { timerCancel } from "../timer";
import { cleanQueue } from "./ack";
import { sendSegment } from "./output";
import { probeTimeoutOf, usesTailProbe } from "./rack";
import { backedOffRto, rttSample } from "./rtt";
import { segFlags, segSackCount } from "./segment";
import {
  ARMED_RTO,
  CA_OPEN,
  TF_CORK,
  TF_CORK_FLUSH,
  TF_CWND_LIMITED,
  TF_FIN_SENT,
  TF_LOSS_PROBE,
  TF_MORE,
  TF_PROBING,
  TF_REO_TIMER,
  TF_SOLO,
  TF_TX_WAIT,
  TF_URGENT,
  Tcb,
} from "./tcb";
import { armTimer } from "./timers";
import { hasUnsent, noteSent, tcpOutput } from "./transmit";
import { txAbounds, txIsOpen } from "./tx-wait";

/** What one mbuf holds beside any header. */
const SMALL: u32 = MBUF_DATA_ROOM - 60;
/** What keeps a segment from going alone: it is held back, or more state hangs on it. */
const NOT_ALONE: u32 = TF_SOLO | TF_PROBING | TF_URGENT | TF_TX_WAIT | TF_CORK | TF_MORE | TF_CORK_FLUSH;

/**
 * Sends all that waits, `unsent` bytes and perhaps a FIN, as the only segment in flight of a connection without a
 * Flight. False: that cannot be, nothing has happened. The route is known.
 */
export function soloSend(t: Tcb, unsent: u32, mss: u32, finWaits: bool): bool {
  if (t.sndNxt != t.sndUna || unsent > mss || t.tflags & NOT_ALONE || t.caState != CA_OPEN) return false;
  // A window of one segment grows by what is acknowledged while it is full (RFC 5681 3.1): that needs the Flight.
  if (t.cwnd < 2 || t.sndWnd < unsent + u32(finWaits) || !txIsOpen(t) || (unsent > SMALL && !txAbounds())) return false;
  const flags = ACK | (unsent > 0 ? PSH : 0) | (finWaits ? FIN : 0);
  // Whether or not an mbuf was to be had: what did not leave is like a loss on the wire.
  sendSegment(t, t.sndNxt, flags, t.sndHead, 0, unsent, mss);
  t.sndNxt += unsent + u32(finWaits);
  t.tflags |= TF_SOLO | (finWaits ? TF_FIN_SENT : 0);
  t.sentMicros = nowMicros;
  noteSent(t, unsent, mss);
  const probe = usesTailProbe(t) ? probeTimeoutOf(t, 1) : 0;
  if (probe != 0) t.tflags |= TF_LOSS_PROBE;
  armTimer(t, ARMED_RTO, probe != 0 ? probe : backedOffRto(t));
  return true;
}

/** Does the current segment say of the one in flight only that it has arrived, or nothing at all? */
export function soloIsPlain(t: Tcb, ack: u32): bool {
  return (ack == t.sndNxt || ack == t.sndUna) && segSackCount == 0 && !(segFlags & (ECE | SYN));
}

/** The one segment was acknowledged (`ack` is SND.NXT), or nothing new (SND.UNA): see soloIsPlain(). */
export function soloAck(t: Tcb, ack: u32): void {
  if (ack == t.sndNxt) {
    const rtt = nowMicros - t.sentMicros;
    // No time at all: the clock has not been read since, and tells nothing.
    if (rtt != 0) {
      rttSample(t, rtt);
      if (t.minRttMicros == 0 || rtt < t.minRttMicros) t.minRttMicros = rtt;
    }
    t.backoff = 0;
    cleanQueue(t, ack);
    t.tflags &= ~(TF_SOLO | TF_LOSS_PROBE | TF_REO_TIMER | TF_CWND_LIMITED);
    t.armed &= ~u8(ARMED_RTO);
    // From now on the word tells when the ACK came (info.ts).
    t.sentMicros = nowMicros;
    // Of 100,000 connections each would be looked at once more, in vain and far from any cache.
    if (t.armed == 0) timerCancel(t);
  }
  if (hasUnsent(t)) tcpOutput(t);
}
