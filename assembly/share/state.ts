// What the stack says of a socket in its channel: readiness, whether sending is possible, options that callers need.

import {
  CHANNEL_ASK,
  CHANNEL_BY_CALL,
  CHANNEL_CONNECTED,
  CHANNEL_ENDED,
  CHANNEL_HAS_ROOM,
  CHANNEL_KIND,
  CHANNEL_LOWAT,
  CHANNEL_MAY_SEND,
  CHANNEL_RCV_TIMEOUT,
  CHANNEL_REMOTE_ADDRESS,
  CHANNEL_REMOTE_PORT,
  CHANNEL_SND_TIMEOUT,
  CHANNEL_STATE,
  CHANNEL_TX_BUFFER,
  CHANNEL_WANTS,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
  IP_PMTUDISC_DO,
  KIND_LISTENER,
  KIND_TCP,
  TCP_CLOSED,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from "../layout";
import { udpEvents } from "../net/udp";
import { tcbOf, udpOf } from "../socket/kinds";
import { SF_RECVERR, SHUT_READ, SHUT_WRITE, Socket, SocketExtra } from "../socket/socket";
import { SLOT_ENDING, slotOf } from "./part";
import { readThreshold } from "../tcp/established";
import { tcpEvents } from "../tcp/api";

/**
 * Writes what has changed of a socket's state into its channel; `whole`: all that was received is published. The end of
 * a stream, or its error, is for those who have read everything before it.
 */
export function stateShow(c: usize, s: Socket, whole: bool): void {
  let state = s.kind == KIND_TCP ? tcpState(c, s) : s.kind == KIND_LISTENER ? 0 : udpState(c, s);
  if (!whole) state &= ~u32(s.kind == KIND_TCP ? CHANNEL_ENDED | CHANNEL_ASK : CHANNEL_ENDED);
  if (load<u32>(c, CHANNEL_STATE) != state) atomic.store<u32>(c, state, CHANNEL_STATE);
}

function tcpState(c: usize, s: Socket): u32 {
  const t = tcbOf(s);
  const now = i32(t.state);
  const shut = u32(t.shut) | (slotOf(s.fd).flags & SLOT_ENDING ? SHUT_WRITE : 0);
  const events = tcpEvents(t);
  let state = events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP | EPOLLPRI);
  if (shut & SHUT_READ) state |= EPOLLIN | CHANNEL_ENDED;
  if (now != TCP_SYN_SENT && now != TCP_SYN_RECEIVED) {
    if (shut & SHUT_WRITE) state |= EPOLLOUT;
    // Without a send buffer it is the stack that takes bytes, when it can.
    else if (events & EPOLLOUT || load<u32>(c, CHANNEL_TX_BUFFER) != 0) state |= CHANNEL_HAS_ROOM;
  }
  if (t.error != 0 || (now == TCP_CLOSED && !(shut & SHUT_READ))) state |= CHANNEL_ASK;
  if ((now == TCP_ESTABLISHED || now == TCP_CLOSE_WAIT) && t.error == 0 && !(shut & SHUT_WRITE)) {
    state |= CHANNEL_MAY_SEND | CHANNEL_CONNECTED;
  }
  return state;
}

function udpState(c: usize, s: Socket): u32 {
  const events = udpEvents(udpOf(s));
  let state = events & (EPOLLERR | EPOLLRDHUP | EPOLLHUP);
  const shut = u32(s.shut);
  if (shut & SHUT_READ) state |= EPOLLIN | CHANNEL_ENDED;
  if (shut & SHUT_WRITE) state |= EPOLLOUT;
  else if (events & EPOLLOUT || load<u32>(c, CHANNEL_TX_BUFFER) != 0) state |= CHANNEL_HAS_ROOM;
  if (s.error != 0) state |= CHANNEL_ASK;
  if (s.error == 0 && !(shut & SHUT_WRITE)) state |= CHANNEL_MAY_SEND;
  if (s.remotePort != 0) state |= CHANNEL_CONNECTED;
  if (i32(s.pmtuDiscover) == IP_PMTUDISC_DO || s.flags & SF_RECVERR) state |= CHANNEL_BY_CALL;
  if (s.extra != 0) state |= changetype<SocketExtra>(s.extra).control << CHANNEL_WANTS;
  return state;
}

/** Writes options and names, which only calls change, into a channel. */
export function optionsShow(c: usize, s: Socket): void {
  const extra = changetype<SocketExtra>(s.extra);
  atomic.store<u32>(c, s.kind == KIND_TCP ? min(readThreshold(tcbOf(s)), s.rcvBuf >>> 1) : 1, CHANNEL_LOWAT);
  store<f64>(c, s.extra == 0 ? 0 : extra.rcvTimeoutMicros, CHANNEL_RCV_TIMEOUT);
  store<f64>(c, s.extra == 0 ? 0 : extra.sndTimeoutMicros, CHANNEL_SND_TIMEOUT);
  store<u32>(c, s.remoteAddress, CHANNEL_REMOTE_ADDRESS);
  store<u32>(c, s.remotePort, CHANNEL_REMOTE_PORT);
  if (load<u32>(c, CHANNEL_KIND) != u32(s.kind)) atomic.store<u32>(c, s.kind, CHANNEL_KIND);
}
