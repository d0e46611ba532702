// CUBIC (RFC 9438) in Linux's integers: windows in segments, time in 1/1024 s, C = 0.4, beta = 717/1024.
// HyStart's delay rule (RFC 9406's ancestor) ends slow start before the queue overflows.

import { nowMicros, nowMillis } from "../stack";
import { additiveIncrease, inSlowStart } from "./congestion";
import { seqGt } from "./sequence";
import { Flight, Tcb } from "./tcb";

const BETA: u32 = 717; // of 1024
/** C * 1024 = 410: cwnd(t) = origin + 410 * (t - K)^3 / 2^40, t in 1/1024 s. */
const CUBE_RTT_SCALE: u64 = 410;
/** K = cubeRoot(2^40 / 410 * distance). */
const CUBE_FACTOR: u64 = ((<u64>1) << 40) / 410;
/** The Reno-friendly window grows one segment for every 15/8 * cwnd acknowledged: 3 (1 + beta) / (1 - beta). */
const FRIENDLY_SCALE: u32 = 15;
const HYSTART_LOW_WINDOW: u32 = 16;
const HYSTART_SAMPLES: u32 = 8;
const HYSTART_DELAY_MIN_MICROS: u32 = 4000;
const HYSTART_DELAY_MAX_MICROS: u32 = 16000;

/** Forgets the epoch (after a timeout). */
export function cubicReset(f: Flight): void {
  f.cubicEpoch = 0;
  f.cubicOrigin = 0;
  f.cubicK = 0;
  f.cubicLastMax = 0;
  f.cubicAckCount = 0;
  f.cubicTcpCwnd = 0;
  f.cubicCount = 0;
  f.cubicLastCwnd = 0;
  f.cubicLastMillis = 0;
  f.cubicDelayMinMicros = 0;
  f.hyFound = 0;
}

/** Multiplicative decrease with fast convergence (RFC 9438 4.6, 4.7). */
export function cubicSsthresh(t: Tcb, f: Flight): u32 {
  f.cubicEpoch = 0;
  f.cubicLastMax = t.cwnd < f.cubicLastMax ? (t.cwnd * (1024 + BETA)) >>> 11 : t.cwnd;
  return max<u32>((t.cwnd * BETA) >>> 10, 2);
}

/** Congestion avoidance for `acked` segments. */
export function cubicAvoid(t: Tcb, f: Flight, acked: u32): void {
  update(t, f, acked);
  additiveIncrease(t, f.cubicCount, acked);
}

function update(t: Tcb, f: Flight, acked: u32): void {
  const cwnd = t.cwnd;
  f.cubicAckCount += acked;
  if (f.cubicLastCwnd == cwnd && nowMillis - f.cubicLastMillis <= 31 && f.cubicCount != 0) return;
  if (f.cubicEpoch == 0 || nowMillis != f.cubicLastMillis) setTarget(f, cwnd, acked);
  // RFC 9438 4.3: at least as quick as Reno.
  const friendly = max<u32>((cwnd * FRIENDLY_SCALE) >>> 3, 1);
  while (f.cubicAckCount > friendly) {
    f.cubicAckCount -= friendly;
    f.cubicTcpCwnd++;
  }
  if (f.cubicTcpCwnd > cwnd) {
    const most = cwnd / (f.cubicTcpCwnd - cwnd);
    if (f.cubicCount > most) f.cubicCount = most;
  }
  f.cubicCount = max<u32>(f.cubicCount, 2);
}

function setTarget(f: Flight, cwnd: u32, acked: u32): void {
  f.cubicLastCwnd = cwnd;
  f.cubicLastMillis = nowMillis;
  if (f.cubicEpoch == 0) {
    f.cubicEpoch = max<u32>(nowMillis, 1);
    f.cubicAckCount = acked;
    f.cubicTcpCwnd = cwnd;
    if (f.cubicLastMax <= cwnd) {
      f.cubicK = 0;
      f.cubicOrigin = cwnd;
    } else {
      f.cubicK = cubeRoot(CUBE_FACTOR * u64(f.cubicLastMax - cwnd));
      f.cubicOrigin = f.cubicLastMax;
    }
  }
  const elapsed = u64(nowMillis - f.cubicEpoch) + u64(f.cubicDelayMinMicros / 1000);
  const time = (elapsed << 10) / 1000;
  const k = u64(f.cubicK);
  const offset = min<u64>(time < k ? k - time : time - k, 1 << 20);
  const delta = u32((CUBE_RTT_SCALE * offset * offset * offset) >> 40);
  const target = time < k ? (f.cubicOrigin > delta ? f.cubicOrigin - delta : 0) : f.cubicOrigin + delta;
  f.cubicCount = target > cwnd ? max<u32>(cwnd / (target - cwnd), 1) : 100 * cwnd;
  if (f.cubicLastMax == 0 && f.cubicCount > 20) f.cubicCount = 20;
}

/**
 * Something is sent though nothing was in flight: the time in which the application had nothing to send does not count
 * (RFC 9438 5.8, application-limited flows; Linux: CA_EVENT_TX_START).
 */
export function cubicIdle(t: Tcb, f: Flight): void {
  const idle = nowMillis - t.lastSndMillis;
  if (f.cubicEpoch == 0 || i32(idle) <= 0) return;
  const epoch = f.cubicEpoch + idle;
  f.cubicEpoch = max<u32>(i32(epoch - nowMillis) > 0 ? nowMillis : epoch, 1);
}

/** Integer cube root. */
function cubeRoot(a: u64): u32 {
  let root: u64 = 0;
  for (let bit = 21; bit >= 0; bit--) {
    const next = root | ((<u64>1) << u64(bit));
    if (next * next * next <= a) root = next;
  }
  return u32(root);
}

/** A round-trip sample: keeps the smallest and, in slow start, looks for a growing queue. */
export function cubicRtt(t: Tcb, f: Flight, micros: u32): void {
  if (f.cubicEpoch != 0 && nowMillis - f.cubicEpoch < 1000) return;
  const delay = max<u32>(micros, 1);
  if (f.cubicDelayMinMicros == 0 || delay < f.cubicDelayMinMicros) f.cubicDelayMinMicros = delay;
  if (f.hyFound || !inSlowStart(t) || t.cwnd < HYSTART_LOW_WINDOW) return;
  hystart(t, f, delay);
}

function hystart(t: Tcb, f: Flight, delay: u32): void {
  if (f.hyEndSeq == 0 || seqGt(t.sndUna, f.hyEndSeq)) {
    f.hyRoundStart = nowMicros;
    f.hyEndSeq = t.sndNxt;
    f.hyCurrRtt = u32.MAX_VALUE;
    f.hySamples = 0;
  }
  if (f.hyCurrRtt > delay) f.hyCurrRtt = delay;
  if (f.hySamples < HYSTART_SAMPLES) {
    f.hySamples++;
    return;
  }
  const threshold = min(max(f.cubicDelayMinMicros >>> 3, HYSTART_DELAY_MIN_MICROS), HYSTART_DELAY_MAX_MICROS);
  if (f.hyCurrRtt > f.cubicDelayMinMicros + threshold) {
    f.hyFound = 1;
    t.ssthresh = t.cwnd;
  }
}
