// TIME-WAIT in a small record (RFC 9293 3.10.7.4, RFC 6191): it keeps the 4-tuple, answers late segments, and makes
// room for a new connection as soon as timestamps or sequence numbers prove that it is new.

import {
  ACK,
  FIN,
  KIND_FREE,
  KIND_TIME_WAIT,
  MIB_TCP_CHALLENGE_LIMITED,
  MIB_TCP_PAWS_REJECTED,
  MIB_TCP_TIME_WAITS,
  MIB_TCP_TIME_WAIT_KILLED,
  MIB_TCP_TIME_WAIT_OVERFLOW,
  MIB_TCP_TIME_WAIT_REUSED,
  POOL_TIME_WAIT,
  RST,
  SYN,
  SYSCTL_TCP_INVALID_RATELIMIT,
  SYSCTL_TCP_RFC1337,
  SYSCTL_TCP_TIME_WAIT,
  SYSCTL_TCP_TW_REUSE,
  SYSCTL_TCP_TW_REUSE_DELAY,
  TCP_TIME_WAIT,
} from "../layout";
import { flowRemove, flowReplace, portsOf } from "../flow";
import { Pool, poolAlloc, poolFree } from "../memory/pool";
import { Socket } from "../socket/socket";
import { count, nowCoarse, nowMillis, poolAt, stack, sysctl } from "../stack";
import { Timer, timerArm, timerCancel } from "../timer";
import { sendBare } from "./output";
import { segFlags, segHasTs, segLength, segSeq, segTsVal } from "./segment";
import { seqGt } from "./sequence";
import { TF_IN_FLOW, TF_TIMESTAMPS, Tcb } from "./tcb";

@unmanaged
export class TimeWait extends Socket {
  sndNxt: u32;
  rcvNxt: u32;
  /** Last announced window as it stood in the header. */
  rcvWnd: u32;
  tsRecent: u32;
  tsRecentCoarse: u32;
  tsOffset: u32;
  hasTs: u32;
  /** When an ACK was last sent in answer to one that could not be, ms, 0 = never. */
  answeredMillis: u32;
  /** When the connection ended, ms. */
  enteredMillis: u32;
}
export const TIME_WAIT_BYTES: u32 = 104;
if (offsetof<TimeWait>() > TIME_WAIT_BYTES) ERROR("TimeWait layout");

/** PAWS' memory of a timestamp ends after 24 days (RFC 7323 5.5), in units of nowCoarse. */
export const PAWS_DAYS_COARSE: u32 = (24 * 24 * 3600 * 1000) >>> 6;

let pool: Pool = changetype<Pool>(0);

export function timeWaitAttach(): void {
  pool = poolAt(POOL_TIME_WAIT);
}

/** Puts a record in the connection's place; without memory the 4-tuple is simply free at once (counted, as Linux). */
export function enterTimeWait(t: Tcb): void {
  const at = poolAlloc(pool);
  if (at == 0) {
    count(MIB_TCP_TIME_WAIT_OVERFLOW);
    flowRemove(t);
    t.tflags &= ~TF_IN_FLOW;
    return;
  }
  memory.fill(at, 0, TIME_WAIT_BYTES);
  const w = changetype<TimeWait>(at);
  w.fd = -1;
  w.kind = u8(KIND_TIME_WAIT);
  w.state = u8(TCP_TIME_WAIT);
  w.flags = t.flags;
  w.localAddress = t.localAddress;
  w.remoteAddress = t.remoteAddress;
  w.localPort = t.localPort;
  w.remotePort = t.remotePort;
  w.sndNxt = t.sndNxt;
  w.rcvNxt = t.rcvNxt;
  w.rcvWnd = min<u32>(t.rcvWnd >>> u32(t.rcvScale), 65535);
  w.hasTs = t.tflags & TF_TIMESTAMPS;
  w.tsRecent = t.tsRecent;
  w.tsRecentCoarse = t.tsRecentCoarse;
  w.tsOffset = t.tsOffset;
  w.enteredMillis = nowMillis;
  flowReplace(t, w);
  t.tflags &= ~TF_IN_FLOW;
  timerArm(w, nowMillis + sysctl(SYSCTL_TCP_TIME_WAIT));
  stack.timeWaits++;
  count(MIB_TCP_TIME_WAITS);
}

/** 2 MSL are over. */
export function timeWaitTimer(timer: Timer): void {
  timeWaitFree(changetype<TimeWait>(timer));
}

/** Frees the record and its 4-tuple. */
export function timeWaitFree(w: TimeWait): void {
  timerCancel(w);
  flowRemove(w);
  w.kind = u8(KIND_FREE);
  stack.timeWaits--;
  poolFree(pool, changetype<usize>(w));
}

/** Acknowledges what is known. ACKs without data get one answer in a while: see challenge.ts. */
function answer(w: TimeWait): void {
  if (segLength() == 0) {
    if (w.answeredMillis != 0 && nowMillis - w.answeredMillis < sysctl(SYSCTL_TCP_INVALID_RATELIMIT)) {
      count(MIB_TCP_CHALLENGE_LIMITED);
      return;
    }
    w.answeredMillis = max<u32>(nowMillis, 1);
  }
  const ts = w.hasTs ? (u64(nowMillis + w.tsOffset) << 32) | u64(w.tsRecent) : 0;
  sendBare(w.localAddress, w.remoteAddress, portsOf(w), w.sndNxt, w.rcvNxt, ACK, w.rcvWnd, ts);
}

function restart(w: TimeWait): void {
  timerArm(w, nowMillis + sysctl(SYSCTL_TCP_TIME_WAIT));
}

/** The record made way; the SYN goes to the listener with this ISN: sequence numbers above those of the past. */
export let timeWaitIsn: u32 = 0;

/** The current segment met a TIME-WAIT record. True: it is a new SYN, the record is gone, go on as in LISTEN. */
export function timeWaitInput(w: TimeWait): bool {
  let old = false;
  if (segHasTs && w.hasTs) {
    old = i32(segTsVal - w.tsRecent) < 0 && nowCoarse - w.tsRecentCoarse < PAWS_DAYS_COARSE;
  }
  const length = segLength();
  if (!old && segSeq == w.rcvNxt && (length == 0 || segFlags & RST)) {
    if (segFlags & RST) {
      // An exact reset ends the wait, unless one guards against that (RFC 1337)
      if (sysctl(SYSCTL_TCP_RFC1337)) return false;
      count(MIB_TCP_TIME_WAIT_KILLED);
      timeWaitFree(w);
      return false;
    }
    if (segHasTs) noteTs(w);
    restart(w);
    return false;
  }
  if ((segFlags & (SYN | RST | ACK)) == SYN && !old) {
    // "...if the sequence number is larger, or the timestamp is" (RFC 6191 section 2)
    if (seqGt(segSeq, w.rcvNxt) || (segHasTs && w.hasTs && i32(segTsVal - w.tsRecent) > 0)) {
      timeWaitIsn = max<u32>(w.sndNxt + 65535 + 2, 1);
      count(MIB_TCP_TIME_WAIT_REUSED);
      timeWaitFree(w);
      return true;
    }
  }
  if (old) count(MIB_TCP_PAWS_REJECTED);
  if (!(segFlags & RST)) {
    if (old || segFlags & ACK || segFlags & FIN) restart(w);
    answer(w);
  }
  return false;
}

function noteTs(w: TimeWait): void {
  w.tsRecent = segTsVal;
  w.tsRecentCoarse = nowCoarse;
}

/**
 * May connect() take over the 4-tuple of this record? Timestamps tell old from new: at once when the application has
 * chosen the port itself, else with tcp_tw_reuse once the connection has been over for longer than tcp_tw_reuse_delay.
 */
export function timeWaitReusable(w: TimeWait, isBound: bool): bool {
  if (w.hasTs == 0) return false;
  if (isBound) return true;
  return sysctl(SYSCTL_TCP_TW_REUSE) == 1 && nowMillis - w.enteredMillis > sysctl(SYSCTL_TCP_TW_REUSE_DELAY);
}
