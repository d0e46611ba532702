// The receive window: what to announce (RFC 9293 3.8.6.2.2, never shrunk), how it grows with the connection
// (Linux's receive buffer autotuning), and when a reader's progress is worth an ACK.

import {
  SYSCTL_TCP_MODERATE_RCVBUF,
  SYSCTL_TCP_RMEM_MAX,
  SYSCTL_TCP_SHRINK_WINDOW,
  SYSCTL_TCP_WORKAROUND_SIGNED_WINDOWS,
} from "../layout";
import { chunkSpace, chunksAbound } from "../memory/chunk";
import { SF_RCVBUF_LOCKED, SHUT_READ, SocketExtra } from "../socket/socket";
import { nowMicros, sysctl } from "../stack";
import { Flight, TF_ACK_PENDING, TF_NO_MEMORY, TF_PINGPONG, TF_WSCALE, Tcb } from "./tcb";

/** Share of the receive buffer that is announced as window before the peer's segments are known: half. */
const RATIO_DEFAULT: u32 = 128;

function ratioOf(t: Tcb): u32 {
  return t.rcvRatio != 0 ? u32(t.rcvRatio) : RATIO_DEFAULT;
}

/** Window that all of the receive buffer gives, bytes. */
export function windowSpace(t: Tcb): u32 {
  const ratio = ratioOf(t);
  return (t.rcvBuf >>> 8) * ratio + (((t.rcvBuf & 255) * ratio) >>> 8);
}

/** Receive buffer that a window of `bytes` needs. */
function spaceFor(t: Tcb, bytes: u32): u32 {
  return u32(min<u64>((u64(bytes) << 8) / ratioOf(t), 1 << 30));
}

/**
 * What a segment with `bytes` of payload occupies in Linux's receive buffer: its descriptor, and a power of two or
 * whole pages for headers, lists and bytes.
 */
function occupies(bytes: u32): u32 {
  const whole = bytes + HEADERS_BYTES + LISTS_BYTES;
  if (whole <= PAGE_BYTES) return STRUCT_BYTES + (1 << (32 - clz<u32>(whole - 1)));
  return STRUCT_BYTES + ((bytes + HEADERS_BYTES + LISTS_BYTES + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1));
}

/**
 * Segments of `unit` bytes come, now `bytes` at once: how much of a buffer is payload is reckoned anew when their size
 * changes (Linux: tcp_measure_rcv_mss, scaling_ratio).
 */
export function measureRcvMss(t: Tcb, unit: u32, bytes: u32): void {
  t.rcvMss = u16(unit);
  t.rcvRatio = u8(max(min<u32>((bytes << 8) / occupies(bytes), 255), 1));
}

/** What a connection is thought to read in its first round trip, segments (Linux: TCP_INIT_CWND). */
const TUNE_SEGMENTS: u32 = 10;
/** Window that is opened while memory is short, segments. */
const SHORT_SEGMENTS: u32 = 4;
/** Unit of Tcb.rcvSsthresh as a shift, and its value for "no limit". */
const SSTHRESH_SHIFT: u32 = 6;
const SSTHRESH_NONE: u32 = 65535;
/** Headers and their room, lists of pages, Linux's descriptor of a packet, and a page of memory, bytes. */
const HEADERS_BYTES: u32 = 106;
const LISTS_BYTES: u32 = 320;
const STRUCT_BYTES: u32 = 256;
const PAGE_BYTES: u32 = 4096;
/** Payload that lets the window grow (Linux: tcp_event_data_recv). */
const GROW_FROM_BYTES: u32 = 128;

/** TCP_WINDOW_CLAMP, bytes; 0 for none. */
export function windowClamp(t: Tcb): u32 {
  return t.extra != 0 ? changetype<SocketExtra>(t.extra).windowClamp : 0;
}

/** Window that an empty receive queue would give, bytes. */
export function fullWindow(t: Tcb): u32 {
  const space = windowSpace(t);
  const clamp = windowClamp(t);
  return clamp != 0 ? min(space, clamp) : space;
}

/**
 * The window opens slowly, as far as the connection has proved to carry segments worth their memory (Linux:
 * rcv_ssthresh, tcp_grow_window): by twice what has come since the last announcement. Bytes.
 */
function slowLimit(t: Tcb): u32 {
  const limit = u32(t.rcvSsthresh);
  if (limit == SSTHRESH_NONE) return u32.MAX_VALUE;
  const came = t.rcvNxt - t.rcvWup;
  return (limit << SSTHRESH_SHIFT) + (came >= GROW_FROM_BYTES ? 2 * max(min(came, 1 << 24), u32(t.advMss)) : 0);
}

/** A segment of `bytes` has come out of order: it counts for the window as well. */
export function growWindow(t: Tcb, bytes: u32): void {
  if (bytes < GROW_FROM_BYTES || t.rcvSsthresh == SSTHRESH_NONE) return;
  const limit = u32(t.rcvSsthresh) << SSTHRESH_SHIFT;
  setSlowLimit(t, max(limit, min(limit + 2 * max(bytes, u32(t.advMss)), freeWindow(t))));
}

/** tcpi_rcv_ssthresh: the limit, or the whole window where there is none. */
export function rcvSsthresh(t: Tcb): u32 {
  return min(slowLimit(t), fullWindow(t));
}

/** Starts from, or moves to, this limit in bytes. */
export function setSlowLimit(t: Tcb, bytes: u32): void {
  t.rcvSsthresh = u16(min((min(bytes, 1 << 28) + 63) >>> SSTHRESH_SHIFT, SSTHRESH_NONE));
}

/** TCP_WINDOW_CLAMP was set to `bytes`: an announced window is not taken back, but goes no further. */
export function windowClamped(t: Tcb, before: u32, bytes: u32): void {
  const known = min(t.rcvWnd, bytes);
  const limit = u32(t.rcvSsthresh) << SSTHRESH_SHIFT;
  setSlowLimit(t, before == 0 || bytes < before ? min(limit, known) : max(limit, known));
}

/** Bytes that still fit. */
export function freeWindow(t: Tcb): u32 {
  const full = fullWindow(t);
  const held = t.rcvBytes + (t.flight != 0 ? changetype<Flight>(t.flight).islandBytes : 0);
  return held >= full ? 0 : full - held;
}

/** What is left of the announced window. */
export function openWindow(t: Tcb): u32 {
  const left = i32(t.rcvWup + t.rcvWnd - t.rcvNxt);
  return left > 0 ? u32(left) : 0;
}

/** tcp_shrink_window: the window's right edge may go back, where scaling makes small steps impossible otherwise. */
function mayShrink(t: Tcb): bool {
  return sysctl(SYSCTL_TCP_SHRINK_WINDOW) != 0 && t.rcvScale != 0;
}

/** The window that could be announced now: zero rather than a silly one. */
export function newWindow(t: Tcb): u32 {
  const full = fullWindow(t);
  const mss = min<u32>(t.rcvMss, full);
  let free = freeWindow(t);
  if (mayShrink(t)) {
    // Linux, tcp_shrink_window: what memory forbids is not announced, whatever was announced before
    free &= ~((1 << u32(t.rcvScale)) - 1);
    if (free < full >>> 1 && (free < full >>> 4 || free < mss)) return 0;
  } else if (free < full >>> 1) {
    free &= ~((1 << u32(t.rcvScale)) - 1);
    if (free < full >>> 4 || free < mss) return 0;
  }
  free = min(free, slowLimit(t));
  if (!chunksAbound()) {
    // Linux, tcp_adjust_rcv_ssthresh: four segments while memory is short; and no more than there is of it
    free = min(free, min<u32>(SHORT_SEGMENTS * u32(t.advMss), chunkSpace(t.rcvBytes)));
    if (free < mss) return 0;
  }
  if (t.tflags & TF_WSCALE && t.rcvScale != 0) {
    const unit = (1 << u32(t.rcvScale)) - 1;
    return (free + unit) & ~unit;
  }
  // Without scaling: move only by whole segments (RFC 1122 4.2.3.3)
  const window = t.rcvWnd;
  if (window + mss <= free || window > free) return free - (free % max<u32>(mss, 1));
  return window;
}

/** Chooses the window, notes it as announced and returns the header's field. */
export function selectWindow(t: Tcb): u32 {
  const scale = u32(t.rcvScale);
  const open = openWindow(t);
  let window = newWindow(t);
  if (t.tflags & TF_NO_MEMORY) {
    // Linux, ICSK_ACK_NOMEM: what could not be stored is no longer promised
    if (window != 0) t.tflags &= ~TF_NO_MEMORY;
  } else if (window < open && !mayShrink(t)) {
    // "The receiver SHOULD NOT shrink the window" (RFC 9293 3.8.6.2.2)
    const unit = (1 << scale) - 1;
    window = (open + unit) & ~unit;
  }
  const field: u32 = scale == 0 && sysctl(SYSCTL_TCP_WORKAROUND_SIGNED_WINDOWS) ? 32767 : 65535;
  const most = field << scale;
  if (window > most) window = most;
  t.rcvWnd = window;
  if (t.rcvNxt != t.rcvWup) announced(t);
  t.rcvWup = t.rcvNxt;
  return window >>> scale;
}

/** New bytes are acknowledged: what they have earned is kept. */
function announced(t: Tcb): void {
  setSlowLimit(t, rcvSsthresh(t));
  const wrapped = t.rcvNxt - t.irs < t.rcvWup - t.irs;
  if (wrapped && t.flight != 0) changetype<Flight>(t.flight).bytesReceivedHigh++;
}

/** True when the application's reading of `copied` bytes calls for an ACK now. */
export function readWantsAck(t: Tcb, copied: u32): bool {
  if (t.tflags & TF_ACK_PENDING) {
    if (t.rcvNxt - t.rcvWup > u32(t.rcvMss)) return true;
    if (copied > 0 && !(t.tflags & TF_PINGPONG) && t.rcvBytes == 0) return true;
  }
  if (copied == 0 || t.shut & SHUT_READ) return false;
  const open = openWindow(t);
  // What the header's field cannot say is no news.
  const most = min(fullWindow(t), (<u32>65535) << u32(t.rcvScale));
  if (open << 1 > most) return false;
  const window = newWindow(t);
  return window != 0 && window >= open << 1;
}

/** Measures a round trip from the receiver's side: the time one window takes to arrive. */
export function measureRcvRtt(t: Tcb, f: Flight): void {
  if (f.rcvRttSeq != 0 && i32(t.rcvNxt - f.rcvRttSeq) < 0) return;
  if (f.rcvRttSeq != 0) {
    const sample = max<u32>(nowMicros - f.rcvRttStamp, 1);
    if (f.rcvRttMicros == 0 || sample < f.rcvRttMicros) f.rcvRttMicros = sample;
    else f.rcvRttMicros += (sample - f.rcvRttMicros) >>> 3;
  }
  f.rcvRttSeq = max<u32>(t.rcvNxt + t.rcvWnd, 1);
  f.rcvRttStamp = nowMicros;
}

/** Lets the buffer grow until it gives a window of `bytes`, at most to tcp_rmem's. */
function growRcvBuf(t: Tcb, bytes: u32): void {
  t.rcvBuf = max(t.rcvBuf, min(spaceFor(t, bytes), sysctl(SYSCTL_TCP_RMEM_MAX)));
}

/** What waits behind a hole, up to `end`, does not take the room of what is to fill it, once accept() was called. */
export function tuneOutOfOrder(t: Tcb, f: Flight, end: u32): void {
  if (t.flags & SF_RCVBUF_LOCKED || t.parent != 0 || !sysctl(SYSCTL_TCP_MODERATE_RCVBUF)) return;
  const space = f.tuneMicros != 0 ? f.tuneSpace : TUNE_SEGMENTS * u32(t.advMss);
  growRcvBuf(t, min<u32>((space << 1) + (end - t.rcvNxt), 1 << 29));
}

/** Called after the application has read: lets the buffer grow to twice what it reads in a round trip. */
export function tuneRcvBuf(t: Tcb, f: Flight): void {
  if (t.flags & SF_RCVBUF_LOCKED || !sysctl(SYSCTL_TCP_MODERATE_RCVBUF)) return;
  const read = t.rcvNxt - t.rcvBytes;
  if (f.tuneMicros == 0) {
    f.tuneMicros = max<u32>(nowMicros, 1);
    f.tuneSeq = read;
    f.tuneSpace = windowSpace(t) >>> 1;
    return;
  }
  if (f.rcvRttMicros == 0 || nowMicros - f.tuneMicros < f.rcvRttMicros) return;
  const copied = read - f.tuneSeq;
  if (i32(copied) > 0 && copied > f.tuneSpace) {
    growRcvBuf(t, min<u32>((copied << 1) + 16 * u32(t.advMss), 1 << 29));
    f.tuneSpace = copied;
  }
  f.tuneSeq = read;
  f.tuneMicros = max<u32>(nowMicros, 1);
}
