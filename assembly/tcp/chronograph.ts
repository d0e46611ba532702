// What a sender spends its busy time on: the peer's window, its own send buffer, or neither (TCP_INFO).
// Read first: Linux net/ipv4/tcp_output.c, tcp_chrono_start(); tcp(7) tcpi_busy_time.

import { SF_WANT_SPACE } from "../socket/socket";
import { nowMillis } from "../stack";
import { inFlight } from "./scoreboard";
import { Flight, Tcb } from "./tcb";
import { unsentBytes } from "./transmit";

/** Flight.chronoType */
export const CHRONO_NONE: u32 = 0;
export const CHRONO_BUSY: u32 = 1;
/** The peer's window holds data back that cwnd would let go. */
export const CHRONO_WINDOW: u32 = 2;
/** Everything is sent, and the application waits for room to write more. */
export const CHRONO_BUFFER: u32 = 3;

function typeOf(t: Tcb, f: Flight): u32 {
  if (t.sndBytes == 0 && f.packetsOut == 0) return CHRONO_NONE;
  if (inFlight(f) >= t.cwnd) return CHRONO_BUSY;
  const unsent = unsentBytes(t);
  if (unsent == 0) return t.flags & SF_WANT_SPACE ? CHRONO_BUFFER : CHRONO_BUSY;
  return i32(t.sndUna + t.sndWnd - t.sndNxt) < i32(min(unsent, u32(t.mss))) ? CHRONO_WINDOW : CHRONO_BUSY;
}

/** Something was written, sent or acknowledged: the time from here on may count for something else. */
export function chronoUpdate(t: Tcb, f: Flight): void {
  const type = typeOf(t, f);
  if (type == f.chronoType) return;
  const elapsed = nowMillis - f.chronoMillis;
  if (f.chronoType == CHRONO_BUSY) f.busyMillis += elapsed;
  else if (f.chronoType == CHRONO_WINDOW) f.windowMillis += elapsed;
  else if (f.chronoType == CHRONO_BUFFER) f.bufferMillis += elapsed;
  f.chronoType = type;
  f.chronoMillis = nowMillis;
}

/** Milliseconds spent on one of CHRONO_* so far. */
export function chronoMillis(f: Flight, type: u32): u32 {
  const past = type == CHRONO_BUSY ? f.busyMillis : type == CHRONO_WINDOW ? f.windowMillis : f.bufferMillis;
  return f.chronoType == type ? past + (nowMillis - f.chronoMillis) : past;
}
