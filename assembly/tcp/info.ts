// TCP_INFO: a connection in Linux's struct tcp_info. Read first: tcp(7); include/uapi/linux/tcp.h for the layout.
//
// What only the Flight knows counts from when the connection took it: a connection that was idle for long starts anew.
// Zero, since nothing here keeps them: segs_in and _out, data_segs_in and _out, delivery_rate, pacing_rate, rehash.

import {
  EXCHANGE_DATA,
  KIND_LISTENER,
  SYSCTL_TCP_REORDERING,
  TCP_CLOSED,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from "../layout";
import { Netif } from "../net/netif";
import { ipv4Mtu } from "../net/pmtu";
import { nowMicros, nowMillis, stack, sysctl } from "../stack";
import { TIMESTAMPS_BYTES } from "../wire/tcp";
import { CHRONO_BUFFER, CHRONO_BUSY, CHRONO_WINDOW, chronoMillis } from "./chronograph";
import { FO_CHILD, FO_DATA_ACKED, FO_FAIL_SHIFT, fastopenOf } from "./fastopen";
import { Listener } from "./listen";
import { Flight, TF_ACTIVE, TF_ECN, TF_FIN_SENT, TF_SACK, TF_SOLO, TF_TIMESTAMPS, TF_WSCALE, Tcb } from "./tcb";
import { unsentBytes } from "./transmit";
import { rcvSsthresh } from "./window";

/** Bytes of TCP_INFO that are filled in (Linux's struct tcp_info up to tcpi_total_rto_time). */
const INFO_BYTES: u32 = 248;
/** tcpi_options */
const OPT_TIMESTAMPS: u32 = 1;
const OPT_SACK: u32 = 2;
const OPT_WSCALE: u32 = 4;
const OPT_ECN: u32 = 8;
const OPT_SYN_DATA: u32 = 32;
const OPT_TFO_CHILD: u32 = 128;

/** getsockopt(TCP_INFO): as much of struct tcp_info as fits; the bytes written. */
export function tcpInfo(t: Tcb, value: usize, length: u32): i32 {
  if (length < INFO_BYTES) {
    // Linux cuts what does not fit; the whole is made beside it.
    const scratch = usize(stack.exchange) + EXCHANGE_DATA;
    tcpInfo(t, scratch, INFO_BYTES);
    memory.copy(value, scratch, length);
    return i32(length);
  }
  memory.fill(value, 0, INFO_BYTES);
  store<u8>(value, t.state);
  if (t.kind == KIND_LISTENER) {
    listenerInfo(changetype<Listener>(changetype<usize>(t)), value);
    return INFO_BYTES;
  }
  stateInfo(t, value);
  pathInfo(t, value);
  sequenceInfo(t, value);
  if (t.flight != 0) {
    const f = changetype<Flight>(t.flight);
    flightInfo(t, f, value);
    historyInfo(t, f, value);
  } else {
    store<u32>(value, u32(t.state == TCP_SYN_SENT || (t.tflags & TF_SOLO) != 0), 24);
    // Without a Flight the last ACK is that of a segment that was alone (solo.ts), or came with data.
    const acked = (nowMicros - t.sentMicros) / 1000;
    if (!(t.tflags & TF_SOLO) && t.state != TCP_SYN_SENT)
      store<u32>(value, min(acked, nowMillis - t.lastRcvMillis), 56);
    store<u32>(value, sysctl(SYSCTL_TCP_REORDERING), 88);
  }
  return INFO_BYTES;
}

/** Of a listener, Linux tells how many connections wait for accept(), and how many may. */
function listenerInfo(l: Listener, value: usize): void {
  store<u32>(value, sysctl(SYSCTL_TCP_REORDERING), 88);
  store<u32>(value, l.acceptCount, 24);
  store<u32>(value, l.backlog, 28);
}

function stateInfo(t: Tcb, value: usize): void {
  const flags = t.tflags;
  const fast = fastopenOf(t);
  const options =
    (flags & TF_TIMESTAMPS ? OPT_TIMESTAMPS : 0) |
    (flags & TF_SACK ? OPT_SACK : 0) |
    (flags & TF_WSCALE ? OPT_WSCALE : 0) |
    (flags & TF_ECN ? OPT_ECN : 0) |
    (fast & FO_DATA_ACKED ? OPT_SYN_DATA : 0) |
    (fast & FO_CHILD ? OPT_TFO_CHILD : 0);
  store<u8>(value, t.caState, 1);
  store<u8>(value, t.state == TCP_SYN_SENT || t.state == TCP_SYN_RECEIVED ? t.synRetries : t.retransmits, 2);
  store<u8>(value, t.probes, 3);
  store<u8>(value, t.backoff, 4);
  store<u8>(value, u8(options), 5);
  store<u8>(value, u8(u32(t.sndScale) | (u32(t.rcvScale) << 4)), 6);
  store<u8>(value, u8(((fast >>> FO_FAIL_SHIFT) & 3) << 1), 7);
}

/** Timers, sizes, times, windows. */
function pathInfo(t: Tcb, value: usize): void {
  const option = t.tflags & TF_TIMESTAMPS ? TIMESTAMPS_BYTES : 0;
  const pmtu = t.netif != 0 ? ipv4Mtu(changetype<Netif>(t.netif), t.remoteAddress) : 0;
  store<u32>(value, t.rtoMillis * 1000, 8);
  store<u32>(value, u32(t.atoMillis) * 1000, 12);
  store<u32>(value, u32(t.mss) - option, 16);
  store<u32>(value, t.rcvMss, 20);
  store<u32>(value, nowMillis - t.lastSndMillis, 44);
  store<u32>(value, nowMillis - t.lastRcvMillis, 52);
  store<u32>(value, nowMillis - t.lastRcvMillis, 56);
  store<u32>(value, pmtu, 60);
  store<u32>(value, rcvSsthresh(t), 64);
  store<u32>(value, t.srtt8 >>> 3, 68);
  store<u32>(value, t.rttvar4 >>> 2, 72);
  store<u32>(value, t.ssthresh, 76);
  store<u32>(value, t.cwnd, 80);
  // As Linux: the timestamps' room is taken off once the connection is established.
  const opening = t.state == TCP_SYN_SENT || t.state == TCP_SYN_RECEIVED || t.state == TCP_CLOSED;
  store<u32>(value, u32(t.advMss) - (opening ? 0 : option), 84);
  store<u64>(value, u64.MAX_VALUE, 112);
  store<u32>(value, t.minRttMicros, 148);
  store<u32>(value, t.sndWnd, 228);
  store<u32>(value, t.rcvWnd, 232);
}

/** What the sequence numbers tell, also of a connection that is over; without a Flight modulo 2^32. */
function sequenceInfo(t: Tcb, value: usize): void {
  if (t.state == TCP_SYN_SENT || (t.state == TCP_CLOSED && t.remotePort == 0)) return;
  const unsent = unsentBytes(t);
  const acked = t.sndUna - t.iss;
  const out = i32(t.sndNxt - t.sndUna) - i32((t.tflags & TF_FIN_SENT) != 0);
  store<u32>(value, i32(unsent) > 0 ? unsent : 0, 144);
  // As Linux: both FINs count, and the SYN of who has connected, but none of them as sent (RFC 4898's figures differ).
  store<u64>(value, acked == 0 ? 0 : u64(acked - u32(!(t.tflags & TF_ACTIVE))), 120);
  store<u64>(value, u64(t.rcvNxt - t.irs - 1), 128);
  store<u64>(value, u64(i64(acked) + out - 1), 200);
}

function flightInfo(t: Tcb, f: Flight, value: usize): void {
  store<u32>(value, f.packetsOut, 24);
  store<u32>(value, f.sackedOut, 28);
  store<u32>(value, f.lostOut, 32);
  store<u32>(value, f.retransOut, 36);
  store<u32>(value, f.reordering, 88);
  store<u32>(value, f.rcvRttMicros, 92);
  store<u32>(value, f.tuneSpace, 96);
  store<u32>(value, f.totalRetrans, 100);
  const busy = chronoMillis(f, CHRONO_BUSY);
  const window = chronoMillis(f, CHRONO_WINDOW);
  const buffer = chronoMillis(f, CHRONO_BUFFER);
  store<u64>(value, u64(busy + window + buffer) * 1000, 168);
  store<u64>(value, u64(window) * 1000, 176);
  store<u64>(value, u64(buffer) * 1000, 184);
  // The SYN counts as well, once it was acknowledged.
  const isOpen = t.state != TCP_SYN_SENT && t.state != TCP_SYN_RECEIVED;
  store<u32>(value, f.delivered + u32(isOpen), 192);
}

function historyInfo(t: Tcb, f: Flight, value: usize): void {
  const later = i32(f.ackMillis - t.lastRcvMillis) > 0;
  if (later) store<u32>(value, nowMillis - f.ackMillis, 56);
  store<u64>(value, load<u64>(value, 120) + (u64(f.bytesAckedHigh) << 32), 120);
  store<u64>(value, load<u64>(value, 128) + (u64(f.bytesReceivedHigh) << 32), 128);
  store<u64>(value, load<u64>(value, 200) + (u64(f.bytesAckedHigh) << 32) + f.bytesRetrans, 200);
  store<u32>(value, f.deliveredCe, 196);
  store<u64>(value, f.bytesRetrans, 208);
  store<u32>(value, f.dsackDups, 216);
  store<u32>(value, f.reordSeen, 220);
  store<u32>(value, f.rcvOutOfOrder, 224);
  store<u16>(value, u16(f.totalRto), 240);
  store<u16>(value, u16(f.rtoRecoveries), 242);
  store<u32>(value, f.rtoTimeMillis, 244);
}
