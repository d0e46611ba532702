// TCP_INFO: a connection in Linux's struct tcp_info. Read first: tcp(7); include/uapi/linux/tcp.h for the layout.

import { EXCHANGE_DATA, TCP_CLOSED, TCP_LISTEN } from "../layout";
import { nowMillis, stack } from "../stack";
import { FO_CHILD, FO_DATA_ACKED, FO_FAIL_SHIFT, fastopenOf } from "./fastopen";
import { Flight, TF_ECN, TF_SACK, TF_TIMESTAMPS, TF_WSCALE, Tcb } from "./tcb";
import { unsentBytes } from "./transmit";

/** Bytes of TCP_INFO that are filled in (Linux's struct tcp_info up to tcpi_rcv_wnd). */
const INFO_BYTES: u32 = 236;

/** TCP_INFO: as much of struct tcp_info as fits. Figures of a busy connection are 0 while it is idle. */
export function tcpInfo(t: Tcb, value: usize, length: u32): i32 {
  if (length < INFO_BYTES) {
    // Linux cuts what does not fit; the whole is made beside it.
    const scratch = usize(stack.exchange) + EXCHANGE_DATA;
    tcpInfo(t, scratch, INFO_BYTES);
    memory.copy(value, scratch, length);
    return i32(length);
  }
  const n = INFO_BYTES;
  memory.fill(value, 0, n);
  const flags = t.tflags;
  store<u8>(value, t.state);
  store<u8>(value, t.caState, 1);
  store<u8>(value, t.retransmits, 2);
  store<u8>(value, t.probes, 3);
  store<u8>(value, t.backoff, 4);
  const fast = fastopenOf(t);
  const options =
    (flags & TF_TIMESTAMPS ? 1 : 0) |
    (flags & TF_SACK ? 2 : 0) |
    (flags & TF_WSCALE ? 4 : 0) |
    (flags & TF_ECN ? 8 : 0) |
    (fast & FO_DATA_ACKED ? 32 : 0) |
    (fast & FO_CHILD ? 128 : 0);
  store<u8>(value, u8(options), 5);
  store<u8>(value, u8(u32(t.sndScale) | (u32(t.rcvScale) << 4)), 6);
  store<u8>(value, u8(((fast >>> FO_FAIL_SHIFT) & 3) << 1), 7);
  store<u32>(value, t.rtoMillis * 1000, 8);
  store<u32>(value, u32(t.atoMillis) * 1000, 12);
  store<u32>(value, t.mss, 16);
  store<u32>(value, t.rcvMss, 20);
  store<u32>(value, nowMillis - t.lastSndMillis, 44);
  store<u32>(value, nowMillis - t.lastRcvMillis, 52);
  store<u32>(value, u32(t.mss) + 40, 60);
  store<u32>(value, t.srtt8 >>> 3, 68);
  store<u32>(value, t.rttvar4 >>> 2, 72);
  store<u32>(value, t.ssthresh, 76);
  store<u32>(value, t.cwnd, 80);
  store<u32>(value, t.advMss, 84);
  if (t.state != TCP_LISTEN && t.state != TCP_CLOSED) store<u32>(value, unsentBytes(t), 144);
  store<u32>(value, t.sndWnd, 228);
  store<u32>(value, t.rcvWnd, 232);
  if (t.flight != 0 && t.state != TCP_LISTEN) flightInfo(changetype<Flight>(t.flight), value);
  return i32(n);
}

function flightInfo(f: Flight, value: usize): void {
  store<u32>(value, f.packetsOut, 24);
  store<u32>(value, f.sackedOut, 28);
  store<u32>(value, f.lostOut, 32);
  store<u32>(value, f.retransOut, 36);
  store<u32>(value, f.reordering, 88);
  store<u32>(value, f.rcvRttMicros, 92);
  store<u32>(value, f.tuneSpace, 96);
  store<u32>(value, f.totalRetrans, 100);
  store<u64>(value, f.bytesAckedLow, 120);
  store<u64>(value, f.bytesReceivedLow, 128);
  store<u32>(value, f.minRttMicros, 148);
  store<u32>(value, f.delivered, 192);
}
