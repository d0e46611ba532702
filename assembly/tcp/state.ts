// The state machine of RFC 9293 figure 5 as a table: (state, event) -> state. An event that the figure does not know
// in a state is a fault of the caller and traps.

import {
  TCP_CLOSED,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT_1,
  TCP_FIN_WAIT_2,
  TCP_LAST_ACK,
  TCP_LISTEN,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
  TCP_TIME_WAIT,
} from "../layout";
import { stack } from "../stack";
import { Tcb } from "./tcb";

export const EV_PASSIVE_OPEN: i32 = 0;
export const EV_ACTIVE_OPEN: i32 = 1;
export const EV_SYN: i32 = 2; // SYN received
export const EV_SYN_ACKED: i32 = 3; // our SYN was acknowledged (in SYN-SENT: by a SYN,ACK)
export const EV_CLOSE: i32 = 4; // the application closes its direction
export const EV_FIN: i32 = 5; // FIN received
export const EV_FIN_ACKED: i32 = 6;
export const EV_ABORT: i32 = 7; // reset, timeout, 2 MSL over, closed before anything was opened

/** The state that follows. */
export function nextState(state: i32, event: i32): i32 {
  if (event == EV_ABORT) return TCP_CLOSED;
  switch (state) {
    case TCP_CLOSED:
      if (event == EV_PASSIVE_OPEN) return TCP_LISTEN;
      if (event == EV_ACTIVE_OPEN) return TCP_SYN_SENT;
      if (event == EV_SYN) return TCP_SYN_RECEIVED; // a listener's child
      break;
    case TCP_SYN_SENT:
      if (event == EV_SYN) return TCP_SYN_RECEIVED;
      if (event == EV_SYN_ACKED) return TCP_ESTABLISHED;
      break;
    case TCP_SYN_RECEIVED:
      if (event == EV_SYN_ACKED) return TCP_ESTABLISHED;
      if (event == EV_CLOSE) return TCP_FIN_WAIT_1;
      break;
    case TCP_ESTABLISHED:
      if (event == EV_CLOSE) return TCP_FIN_WAIT_1;
      if (event == EV_FIN) return TCP_CLOSE_WAIT;
      break;
    case TCP_FIN_WAIT_1:
      if (event == EV_FIN_ACKED) return TCP_FIN_WAIT_2;
      if (event == EV_FIN) return TCP_CLOSING;
      break;
    case TCP_FIN_WAIT_2:
      if (event == EV_FIN) return TCP_TIME_WAIT;
      break;
    case TCP_CLOSE_WAIT:
      if (event == EV_CLOSE) return TCP_LAST_ACK;
      break;
    case TCP_CLOSING:
      if (event == EV_FIN_ACKED) return TCP_TIME_WAIT;
      break;
    case TCP_LAST_ACK:
      if (event == EV_FIN_ACKED) return TCP_CLOSED;
      break;
    default:
      break;
  }
  assert(false);
  return state;
}

function isCurrent(state: i32): bool {
  return state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT;
}

/** Moves a connection on and keeps tcpCurrEstab (RFC 4022). */
export function setState(t: Tcb, event: i32): void {
  const before = i32(t.state);
  const after = nextState(before, event);
  if (isCurrent(before) != isCurrent(after)) stack.currEstab += isCurrent(after) ? 1 : -1;
  t.state = u8(after);
}

export function mayReceive(state: i32): bool {
  return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT_1 || state == TCP_FIN_WAIT_2;
}
