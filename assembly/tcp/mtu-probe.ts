// Path MTU without ICMP (RFC 4821, RFC 8899's idea for TCP): smaller segments when a path swallows large ones
// (tcp_mtu_probing 1), and larger ones tried out with data of their own (2).
// Read first: RFC 4821 sections 7.2 to 7.7; Linux net/ipv4/tcp_output.c, tcp_mtu_probe(). Sizes are those of datagrams.

import {
  MIB_TCP_MTU_PROBES_FAILED,
  MIB_TCP_MTU_PROBES_GOOD,
  SYSCTL_TCP_BASE_MSS,
  SYSCTL_TCP_MIN_SND_MSS,
  SYSCTL_TCP_MTU_PROBE_FLOOR,
  SYSCTL_TCP_MTU_PROBING,
  SYSCTL_TCP_PROBE_INTERVAL,
  SYSCTL_TCP_PROBE_THRESHOLD,
} from "../layout";
import { count, nowMillis, sysctl } from "../stack";
import { TIMESTAMPS_BYTES } from "../wire/tcp";
import { currentSsthresh } from "./congestion";
import { recordLeft } from "./marks";
import { inFlight } from "./scoreboard";
import { seqGe } from "./sequence";
import { CA_OPEN, Flight, TF_TIMESTAMPS, Tcb } from "./tcb";
import { emitNew, unsentBytes } from "./transmit";
import { txAbounds } from "./tx-wait";

/** IPv4's and TCP's headers without options. */
const HEADERS: u32 = 40;
/** "The probe ... MUST NOT ... when the congestion window is small": Linux asks for eleven segments. */
const CWND_MIN: u32 = 11;

/** What mtuProbe() says. */
export const PROBE_NONE: i32 = -1;
export const PROBE_WAIT: i32 = 0;
export const PROBE_SENT: i32 = 1;

function optionBytes(t: Tcb): u32 {
  return t.tflags & TF_TIMESTAMPS ? TIMESTAMPS_BYTES : 0;
}

/** Begins: what the peer and the path were said to take is the upper end, tcp_base_mss the lower one. */
export function mtuBegin(t: Tcb, f: Flight): void {
  f.mtupClamp = u16(u32(t.mss) + HEADERS);
  f.mtupHigh = f.mtupClamp;
  f.mtupLow = u16(min(sysctl(SYSCTL_TCP_BASE_MSS) + optionBytes(t) + HEADERS, 65535));
  f.mtupSize = 0;
  f.mtupMillis = nowMillis;
  f.mtupEnabled = 1;
  follow(t, f);
}

/** Segments are as large as what is known to pass. */
function follow(t: Tcb, f: Flight): void {
  t.mss = u16(max(min(f.mtupLow, f.mtupHigh) - HEADERS, sysctl(SYSCTL_TCP_MIN_SND_MSS)));
}

/** Timeouts in a row: perhaps the path swallows large segments and nobody tells (RFC 4821 7.7). */
export function mtuBlackHole(t: Tcb, f: Flight): void {
  if (sysctl(SYSCTL_TCP_MTU_PROBING) == 0) return;
  if (!f.mtupEnabled) {
    mtuBegin(t, f);
    return;
  }
  const option = optionBytes(t);
  let mss = (u32(f.mtupLow) - HEADERS - option) >>> 1;
  mss = min(sysctl(SYSCTL_TCP_BASE_MSS), mss);
  mss = max(max(mss, sysctl(SYSCTL_TCP_MTU_PROBE_FLOOR)), sysctl(SYSCTL_TCP_MIN_SND_MSS));
  f.mtupLow = u16(mss + option + HEADERS);
  follow(t, f);
}

/** A router told what the path takes: nothing larger is tried. */
export function mtuTold(t: Tcb, f: Flight, mtu: u32): void {
  if (!f.mtupEnabled) return;
  f.mtupHigh = u16(min<u32>(f.mtupHigh, mtu));
  follow(t, f);
}

/** The range is searched; after a while it is searched again, for the path may have changed (7.4). */
function searchAgain(t: Tcb, f: Flight): void {
  if (nowMillis - f.mtupMillis < sysctl(SYSCTL_TCP_PROBE_INTERVAL) * 1000) return;
  f.mtupSize = 0;
  f.mtupHigh = f.mtupClamp;
  f.mtupLow = u16(u32(t.mss) + HEADERS);
  f.mtupMillis = nowMillis;
}

/** Sends a larger segment when one is due: PROBE_*. PROBE_WAIT: nothing may be sent before it can be. */
export function mtuProbe(t: Tcb, f: Flight, mss: u32, tso: bool): i32 {
  if (!f.mtupEnabled || f.mtupSize != 0 || t.caState != CA_OPEN || t.cwnd < CWND_MIN) return PROBE_NONE;
  // Options that come and go would blur what was tried.
  if (f.islandCount != 0 || f.dsackStart != f.dsackEnd) return PROBE_NONE;
  const size = (u32(f.mtupHigh) + u32(f.mtupLow)) >>> 1;
  if (f.mtupHigh < f.mtupLow || u32(f.mtupHigh - f.mtupLow) < sysctl(SYSCTL_TCP_PROBE_THRESHOLD)) {
    searchAgain(t, f);
    return PROBE_NONE;
  }
  const payload = size - HEADERS - optionBytes(t);
  // Segments behind it must tell its loss from a timeout.
  const needed = payload + (f.reordering + 1) * mss;
  if (unsentBytes(t) < needed || t.sndWnd < needed) return PROBE_NONE;
  if (i32(t.sndUna + t.sndWnd - t.sndNxt - needed) < 0) return PROBE_WAIT;
  if (inFlight(f) + 2 > t.cwnd) return inFlight(f) == 0 ? PROBE_NONE : PROBE_WAIT;
  if ((t.extra != 0 && recordLeft(t) < payload) || !txAbounds()) return PROBE_NONE;
  f.mtupSeq = t.sndNxt;
  if (emitNew(t, f, payload, payload, unsentBytes(t), false, tso) == 0) return PROBE_NONE;
  f.mtupSize = u16(size);
  t.cwnd--;
  return PROBE_SENT;
}

/** SND.UNA has moved while a probe is under way. */
export function mtuAcked(t: Tcb, f: Flight): void {
  const end = f.mtupSeq + u32(f.mtupSize) - HEADERS - optionBytes(t);
  if (!seqGe(t.sndUna, end)) return;
  // The window stays what it was in bytes (7.5).
  t.cwnd = max<u32>((t.cwnd * (u32(t.mss) + HEADERS)) / u32(f.mtupSize), 1);
  t.cwndCount = 0;
  t.ssthresh = currentSsthresh(t);
  f.mtupLow = f.mtupSize;
  f.mtupSize = 0;
  follow(t, f);
  count(MIB_TCP_MTU_PROBES_GOOD);
}

/** Something is lost: is it the probe alone? Then it says nothing of congestion (7.6.2). */
export function mtuProbeLost(t: Tcb, f: Flight): bool {
  if (f.mtupSize == 0 || t.sndUna != f.mtupSeq) return false;
  f.mtupHigh = f.mtupSize - 1;
  f.mtupSize = 0;
  t.cwnd++;
  count(MIB_TCP_MTU_PROBES_FAILED);
  return true;
}
