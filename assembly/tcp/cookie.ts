// SYN cookies (RFC 4987 3.6): the handshake's state in the sequence number, Linux's layout: 24 bits of hash, a
// count of minutes, an index of the MSS; window scale, SACK and ECN in the low bits of the timestamp.

import {
  ACK,
  ECE,
  MIB_TCP_SYN_COOKIES_FAILED,
  MIB_TCP_SYN_COOKIES_RECV,
  MIB_TCP_SYN_COOKIES_SENT,
  SYN,
  SYSCTL_TCP_ECN,
} from "../layout";
import { keyedHash } from "../hash";
import { count, nowCoarse, nowMillis, stack, sysctl } from "../stack";
import { childOf } from "./listen";
import { timestampOffset } from "./isn";
import { advertise, initialFlags, setPeerMss, takePeerOptions, tcbDefaults } from "./open";
import { sendSyn, tcpRoute } from "./output";
import {
  segAck,
  segFlags,
  segHasTs,
  segMss,
  segSackPermitted,
  segScale,
  segSeq,
  segTsEcr,
  segTsVal,
  segWindow,
} from "./segment";
import { TCB_BYTES, TF_COOKIE, TF_ECN, TF_SACK, TF_TIMESTAMPS, TF_WSCALE, Tcb } from "./tcb";

const COOKIE_BITS: u32 = 24;
const COOKIE_MASK: u32 = (1 << COOKIE_BITS) - 1;
/** A cookie is good for two minutes. */
const MINUTES_MAX: u32 = 2;
/** Low bits of the timestamp that carry options: window scale (15: none), SACK, ECN. */
const TS_BITS: u32 = 6;
const TS_MASK: u32 = (1 << TS_BITS) - 1;

/** The MSS values that a cookie can name. */
function mssOf(index: u32): u32 {
  switch (index) {
    case 0:
      return 536;
    case 1:
      return 1300;
    case 2:
      return 1440;
    default:
      return 1460;
  }
}

function minutes(): u32 {
  return u32(u64(stack.now) / 60000000);
}

/** What hides the minute; no minute is as large. */
const OUTER: u32 = 0xffffffff;

function hashOf(local: u32, remote: u32, ports: u32, minute: u32, seq: u32): u32 {
  return keyedHash(keyedHash(remote, local, ports), minute, seq);
}

function cookieOf(local: u32, remote: u32, ports: u32, seq: u32, index: u32): u32 {
  const minute = minutes();
  const hash = (hashOf(local, remote, ports, minute, seq) + index) & COOKIE_MASK;
  return hashOf(local, remote, ports, OUTER, 0) + seq + (minute << COOKIE_BITS) + hash;
}

/**
 * The MSS index that a cookie carries, or -1 when it is none of ours or too old. The peer's sequence number is part
 * of the hash: a later segment of the peer, which may come first, must not pass for the first one with another index.
 */
function cookieCheck(local: u32, remote: u32, ports: u32, cookie: u32, seq: u32): i32 {
  const inner = cookie - hashOf(local, remote, ports, OUTER, 0) - seq;
  const age = (minutes() - (inner >>> COOKIE_BITS)) & (u32.MAX_VALUE >>> COOKIE_BITS);
  if (age >= MINUTES_MAX) return -1;
  const index = (inner - hashOf(local, remote, ports, minutes() - age, seq)) & COOKIE_MASK;
  return index < 4 ? i32(index) : -1;
}

/** Answers the current SYN with a cookie; nothing is kept. */
export function cookieSend(listener: Tcb, local: u32, remote: u32, ports: u32): void {
  let index: u32 = 3;
  const mss = segMss != 0 ? segMss : 536;
  while (index > 0 && mssOf(index) > mss) index--;
  let ts: u32 = 0;
  if (segHasTs) {
    const options = (segScale >= 0 ? u32(segScale) : 15) | (segSackPermitted ? 16 : 0) | (wantsEcn() ? 32 : 0);
    const now = nowMillis + timestampOffset(local, remote);
    ts = (now & ~TS_MASK) | options;
    if (i32(ts - now) > 0) ts -= 1 << TS_BITS;
  }
  count(MIB_TCP_SYN_COOKIES_SENT);
  const t = changetype<Tcb>(stack.scratchTcb);
  memory.fill(changetype<usize>(t), 0, TCB_BYTES);
  tcbDefaults(t);
  t.localAddress = local;
  t.remoteAddress = remote;
  t.localPort = u16(ports >>> 16);
  t.remotePort = u16(ports);
  t.ttl = listener.ttl;
  t.tos = listener.tos;
  t.rcvBuf = listener.rcvBuf;
  t.userMss = listener.userMss;
  t.extra = listener.extra; // its options count for the window; nothing is freed with this TCB
  t.tflags = initialFlags();
  if (!tcpRoute(t)) return;
  takePeerOptions(t, segSeq);
  // Without timestamps there is no room to remember these
  if (!(t.tflags & TF_TIMESTAMPS)) t.tflags &= ~(TF_SACK | TF_WSCALE);
  if (segHasTs && wantsEcn()) t.tflags |= TF_ECN;
  advertise(t);
  t.iss = cookieOf(local, remote, ports, segSeq, index);
  t.tsOffset = ts - nowMillis;
  sendSyn(t, SYN | ACK);
}

function wantsEcn(): bool {
  return sysctl(SYSCTL_TCP_ECN) != 0 && (segFlags & ECE) != 0;
}

/** The current ACK for a listener: if it brings a cookie back, the connection it stands for; else null. */
export function cookieAccept(listener: Tcb, local: u32, remote: u32, ports: u32): Tcb | null {
  const iss = segAck - 1;
  const irs = segSeq - 1;
  const index = cookieCheck(local, remote, ports, iss, irs);
  if (index < 0) {
    count(MIB_TCP_SYN_COOKIES_FAILED);
    return null;
  }
  const t = childOf(listener, local, remote, ports);
  if (t === null) return null;
  count(MIB_TCP_SYN_COOKIES_RECV);
  t.tsOffset = timestampOffset(local, remote);
  t.iss = iss;
  t.irs = irs;
  t.rcvNxt = irs + 1;
  t.tflags = (t.tflags & ~(TF_SACK | TF_WSCALE | TF_ECN)) | TF_COOKIE;
  if (segHasTs) {
    t.tsRecent = segTsVal;
    t.tsRecentCoarse = nowCoarse;
    takeTimestampOptions(t, segTsEcr);
  } else {
    t.tflags &= ~TF_TIMESTAMPS;
  }
  const scaled = t.tflags & TF_WSCALE;
  advertise(t);
  if (!scaled) t.rcvScale = 0;
  t.sndUna = iss;
  t.sndNxt = iss + 1;
  t.sndWnd = segWindow << u32(t.sndScale);
  t.maxSndWnd = t.sndWnd;
  t.sndWl1 = segSeq;
  setPeerMss(t, mssOf(u32(index)));
  return t;
}

/** Options that the SYN-ACK's timestamp took along. */
function takeTimestampOptions(t: Tcb, echoed: u32): void {
  const options = echoed & TS_MASK;
  if (options & 16) t.tflags |= TF_SACK;
  if (options & 32 && sysctl(SYSCTL_TCP_ECN)) t.tflags |= TF_ECN;
  const scale = options & 15;
  if (scale != 15) {
    t.tflags |= TF_WSCALE;
    t.sndScale = u8(min<u32>(scale, 14));
  }
}
