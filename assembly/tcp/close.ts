// The end of a connection: closing (RFC 9293 3.10.4), aborting (3.10.5), TIME-WAIT, and giving everything back.

import {
  ECONNRESET,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  IPPROTO_TCP,
  MIB_TCP_ABORT_ON_CLOSE,
  MIB_TCP_ABORT_ON_LINGER,
  MIB_TCP_ATTEMPT_FAILS,
  MIB_TCP_ESTAB_RESETS,
  SYSCTL_TCP_FIN_TIMEOUT,
  TCP_CLOSED,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT_1,
  TCP_FIN_WAIT_2,
  TCP_LISTEN,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from "../layout";
import { queueClear } from "../memory/chunk";
import { netifFlush } from "../net/netif";
import { flowRemove } from "../flow";
import { bindRelease } from "../socket/bind";
import { extraFree } from "../socket/extra";
import { socketNotify } from "../socket/notify";
import { LINGER2_NONE, SF_LINGER, SF_MEMORY_WAIT, SHUT_READ, SHUT_WRITE, SocketExtra } from "../socket/socket";
import { count, stack, sysctl } from "../stack";
import { timerCancel } from "../timer";
import { fastopenPending } from "./fastopen";
import { fastopenOver } from "./fastopen-client";
import { ackListDrop } from "./input";
import { acceptQueueHolds, listenerClose, listenerForget } from "./listen";
import { marksClear } from "./marks";
import { memoryWaitDrop } from "./memory-wait";
import { sendReset } from "./output";
import { flightDrop } from "./scoreboard";
import { EV_ABORT, EV_CLOSE, setState } from "./state";
import {
  ARMED_KEEP,
  TF_ACCEPTED,
  TF_ACK_NOW,
  TF_FASTOPEN,
  TF_FIN_QUEUED,
  TF_IN_FLOW,
  TF_ORPHAN,
  TF_SYN_SEEN,
  TF_TX_WAIT,
  Tcb,
  rcvQueue,
  sndQueue,
  tcbFree,
} from "./tcb";
import { armTimer } from "./timers";
import { enterTimeWait } from "./time-wait";
import { tcpOutput } from "./transmit";
import { txWaitDrop } from "./tx-wait";

const EVERYTHING: u32 = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP;

/** Takes a connection out of the 4-tuple table. A port that bind() named stays taken until close(). */
export function detach(t: Tcb): void {
  if (t.tflags & TF_IN_FLOW) {
    flowRemove(t);
    t.tflags &= ~TF_IN_FLOW;
  }
}

/** The connection is over: `error` is what the application is told, 0 for an orderly end. Frees what nobody holds. */
export function tcpDone(t: Tcb, error: u32): void {
  const state = i32(t.state);
  if (state == TCP_SYN_SENT || state == TCP_SYN_RECEIVED) count(MIB_TCP_ATTEMPT_FAILS);
  else if (error != 0 && (state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT)) count(MIB_TCP_ESTAB_RESETS);
  setState(t, EV_ABORT);
  detach(t);
  finish(t, error);
}

/** What follows when the tables have let go: buffers back, the application told, or the TCB freed. */
export function finish(t: Tcb, error: u32): void {
  timerCancel(t);
  t.armed = 0;
  if (t.tflags & TF_ACK_NOW) ackListDrop(t);
  if (t.tflags & TF_TX_WAIT) txWaitDrop(t);
  if (t.flags & SF_MEMORY_WAIT) memoryWaitDrop(t);
  if (t.tflags & TF_FASTOPEN) fastopenOver(t);
  if (t.netif != 0) netifFlush();
  flightDrop(t);
  queueClear(sndQueue(t));
  marksClear(t);
  const embryonic = t.parent != 0 && !acceptQueueHolds(t);
  if (t.parent != 0 && embryonic) listenerForget(t);
  if (t.tflags & TF_ORPHAN || embryonic) {
    release(t);
    return;
  }
  if (error != 0) t.error = u16(error);
  t.shut = u8(SHUT_READ | SHUT_WRITE);
  socketNotify(t, EVERYTHING);
}

/** Frees a TCB that no table, timer, queue or descriptor knows. */
export function release(t: Tcb): void {
  if (t.tflags & TF_ORPHAN && t.tflags & TF_ACCEPTED) stack.orphans--;
  if (t.tflags & TF_ACK_NOW) ackListDrop(t);
  if (t.tflags & TF_TX_WAIT) txWaitDrop(t);
  if (t.flags & SF_MEMORY_WAIT) memoryWaitDrop(t);
  flightDrop(t);
  bindRelease(t, IPPROTO_TCP);
  extraFree(t);
  tcbFree(t);
}

/** Sends a reset (unless the state knows no peer) and ends the connection: ABORT of RFC 9293 3.10.5. */
export function tcpAbort(t: Tcb, error: u32): void {
  const state = i32(t.state);
  if (state != TCP_CLOSED && state != TCP_SYN_SENT && state != TCP_LISTEN) sendReset(t);
  tcpDone(t, error);
}

/** No more data will come from the application: a FIN follows what is queued. */
export function closeSending(t: Tcb): void {
  t.shut |= u8(SHUT_WRITE);
  const state = i32(t.state);
  const early = state == TCP_SYN_RECEIVED && fastopenPending(t);
  if (state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT || (early && t.tflags & TF_ORPHAN)) {
    setState(t, EV_CLOSE);
    t.tflags |= TF_FIN_QUEUED;
    tcpOutput(t);
  } else if (state == TCP_SYN_RECEIVED && !early) {
    // The FIN waits for the handshake, whose timer goes on (RFC 9293 3.10.4: "queue for processing after entering
    // ESTABLISHED state").
    t.tflags |= TF_FIN_QUEUED;
  }
}

/** close(2): nobody will ask for this connection again. */
export function tcpClose(t: Tcb): void {
  t.fd = -1;
  if (t.state == TCP_LISTEN) {
    listenerClose(t);
    return;
  }
  t.tflags |= TF_ORPHAN;
  if (t.tflags & TF_ACCEPTED) stack.orphans++;
  const state = i32(t.state);
  const embryonic = state == TCP_SYN_RECEIVED && !(t.tflags & TF_SYN_SEEN) && !fastopenPending(t);
  if (state == TCP_CLOSED || state == TCP_SYN_SENT || embryonic) {
    if (state == TCP_CLOSED) {
      detach(t);
      queueClear(rcvQueue(t));
      release(t);
    } else {
      tcpDone(t, 0);
    }
    return;
  }
  const unread = t.rcvBytes > 0;
  queueClear(rcvQueue(t));
  const abrupt = t.flags & SF_LINGER && t.extra != 0 && changetype<SocketExtra>(t.extra).lingerMillis == 0;
  if (unread || abrupt) {
    // RFC 2525 2.17: unread data was lost, and the peer must know
    count(unread ? MIB_TCP_ABORT_ON_CLOSE : MIB_TCP_ABORT_ON_LINGER);
    tcpAbort(t, ECONNRESET);
    return;
  }
  if (skipsFinWait2(t)) {
    count(MIB_TCP_ABORT_ON_LINGER);
    tcpAbort(t, 0);
    return;
  }
  t.shut |= u8(SHUT_READ);
  closeSending(t);
  orphanTimer(t);
}

/** An orphan waits in FIN-WAIT-2 only for so long (Linux: tcp_fin_timeout, TCP_LINGER2). */
export function orphanTimer(t: Tcb): void {
  if (t.state != TCP_FIN_WAIT_2 || !(t.tflags & TF_ORPHAN)) return;
  const own = t.extra != 0 ? changetype<SocketExtra>(t.extra).linger2Millis : 0;
  const millis = own != 0 ? own : sysctl(SYSCTL_TCP_FIN_TIMEOUT);
  // Three and a half timeouts at least: the peer's FIN may have to be sent again (Linux: tcp_fin_time)
  armTimer(t, ARMED_KEEP, max(millis, (t.rtoMillis << 2) - (t.rtoMillis >>> 1)));
}

/** True for an orphan that is not to wait in FIN-WAIT-2 at all (TCP_LINGER2 below 0). */
export function skipsFinWait2(t: Tcb): bool {
  if (!(t.tflags & TF_ORPHAN) || t.state != TCP_FIN_WAIT_2 || t.extra == 0) return false;
  return changetype<SocketExtra>(t.extra).linger2Millis == LINGER2_NONE;
}

/** Both FINs are exchanged: a small record keeps the 4-tuple for 2 MSL, the TCB is done. */
export function toTimeWait(t: Tcb): void {
  enterTimeWait(t);
  setState(t, EV_ABORT);
  finish(t, 0);
}

/** True while the application may still get data or an end of file out of this state. */
export function hasPeer(state: i32): bool {
  return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT_1 || state == TCP_FIN_WAIT_2 || state == TCP_CLOSE_WAIT;
}
