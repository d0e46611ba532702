// connect(AF_UNSPEC): a connection, or a listener, becomes a closed socket that can be used again.
// Read first: connect(2) "dissolve the association"; Linux net/ipv4/tcp.c, tcp_disconnect().

import {
  ECONNRESET,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  IPPROTO_TCP,
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
} from "../layout";
import { queueClear } from "../memory/chunk";
import { netifFlush } from "../net/netif";
import { bindRelease } from "../socket/bind";
import { socketNotify } from "../socket/notify";
import { SF_BOUND_ADDRESS, SF_BOUND_PORT, SF_CONNECTING, SF_NAMED_PORT } from "../socket/socket";
import { tcpDone } from "./close";
import { FO_OPTIONS, fastopenMark } from "./fastopen";
import { listenerStop } from "./listen";
import { sendReset } from "./output";
import { TF_CORK, TF_FASTOPEN, TF_NODELAY, Tcb, rcvQueue } from "./tcb";
import { unsentBytes } from "./transmit";

/** The peer must learn that nobody is here any more (Linux: tcp_need_reset, and data behind a FIN). */
function needsReset(t: Tcb): bool {
  switch (i32(t.state)) {
    case TCP_ESTABLISHED:
    case TCP_CLOSE_WAIT:
    case TCP_FIN_WAIT_1:
    case TCP_FIN_WAIT_2:
    case TCP_SYN_RECEIVED:
      return true;
    case TCP_CLOSING:
    case TCP_LAST_ACK:
      return unsentBytes(t) > 0;
    default:
      return false;
  }
}

/** Leads a socket back to CLOSED, without a peer and as if it had never had one. */
export function tcpDisconnect(t: Tcb): void {
  const state = i32(t.state);
  if (state == TCP_LISTEN) {
    listenerStop(t);
  } else if (state != TCP_CLOSED) {
    const told = needsReset(t);
    if (told) sendReset(t);
    tcpDone(t, told || state == TCP_SYN_SENT ? ECONNRESET : 0);
    netifFlush();
  }
  queueClear(rcvQueue(t));
  forgetPeer(t);
  socketNotify(t, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP);
}

/** Names that bind() did not give go, and all that was known of the path and the peer. */
export function forgetPeer(t: Tcb): void {
  t.flags &= ~u16(SF_CONNECTING);
  t.remoteAddress = 0;
  t.remotePort = 0;
  if (!(t.flags & SF_BOUND_ADDRESS)) t.localAddress = 0;
  // A port that the stack chose goes; the socket may be bound anew (Linux: SOCK_BINDPORT_LOCK).
  const ownAddress = t.flags & SF_BOUND_ADDRESS;
  if (!(t.flags & SF_NAMED_PORT)) bindRelease(t, IPPROTO_TCP);
  t.flags |= u16(ownAddress);
  if (!(t.flags & SF_BOUND_PORT)) t.localPort = 0;
  t.shut = 0;
  t.tflags &= TF_NODELAY | TF_CORK | TF_FASTOPEN;
  if (t.tflags & TF_FASTOPEN) fastopenMark(t, 0, ~FO_OPTIONS);
  t.srtt8 = 0;
  t.rttvar4 = 0;
  t.caState = 0;
  t.cwndCount = 0;
  t.rcvRatio = 0;
  t.probes = 0;
  t.keepProbes = 0;
  t.quickAcks = 0;
  t.atoMillis = 0;
  t.retransStampMillis = 0;
  t.tsRecent = 0;
}
