// ICMP errors about our segments: hard while a connection is opening, soft afterwards (RFC 1122 4.2.3.9, RFC 5927),
// and path MTU discovery (RFC 1191). An error that quotes a sequence number out of flight is a forgery.

import {
  EPOLLERR,
  IPPROTO_TCP,
  IP_PMTUDISC_DONT,
  IP_PMTUDISC_PROBE,
  KIND_TCP,
  MIB_TCP_OUT_OF_WINDOW_ICMPS,
  MIB_TCP_PMTU_REDUCTIONS,
  SYN,
  SYSCTL_TCP_MIN_SND_MSS,
  TCP_CLOSED,
  TCP_LISTEN,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from "../layout";
import { flowFind } from "../flow";
import { icmpErrno } from "../net/icmp-errno";
import { PMTU_MIN, pmtuUpdate } from "../net/pmtu";
import { SF_RECVERR } from "../socket/socket";
import { socketNotify } from "../socket/notify";
import { count, sysctl } from "../stack";
import { group } from "../steer/group";
import { errorElsewhere } from "../steer/hand-over";
import { ICMP_PARAMETER_PROBLEM, ICMP_TIME_EXCEEDED, ICMP_UNREACHABLE } from "../wire/icmp";
import { get16, get32 } from "../wire/bytes";
import { tcpDone } from "./close";
import { fastopenPending } from "./fastopen";
import { mtuTold } from "./mtu-probe";
import { currentMss, sendSyn } from "./output";
import { markTooBig } from "./recovery";
import { seqGt, seqLt } from "./sequence";
import { flightOf } from "./scoreboard";
import { Flight, TF_SOLO, Tcb } from "./tcb";
import { retransmitLost } from "./transmit";

const CODE_FRAGMENTATION_NEEDED: u32 = 4;

/**
 * An ICMP error quotes a segment that we (`source`) sent to `destination`; `length` bytes of it are there (at least 8).
 * `mtu` is that of a "fragmentation needed".
 */
export function tcpIcmpError(
  type: u32,
  code: u32,
  source: u32,
  destination: u32,
  segment: usize,
  length: u32,
  mtu: u32,
  _from: u32,
): void {
  if (length < 8) return;
  const found = flowFind(source, destination, (get16(segment) << 16) | get16(segment + 2));
  if (found == 0) {
    if (group != 0) errorElsewhere(IPPROTO_TCP, source, destination, (get16(segment) << 16) | get16(segment + 2));
    return;
  }
  const t = changetype<Tcb>(found);
  if (t.kind != KIND_TCP) return;
  const state = i32(t.state);
  if (state == TCP_CLOSED || state == TCP_LISTEN) return;
  const seq = get32(segment + 4);
  const una = fastopenPending(t) ? t.iss : t.sndUna;
  if (seqLt(seq, una) || seqGt(seq, t.sndNxt)) {
    count(MIB_TCP_OUT_OF_WINDOW_ICMPS);
    return;
  }
  if (type == ICMP_UNREACHABLE && code == CODE_FRAGMENTATION_NEEDED) {
    if (heedsMtu(t)) pathMtu(t, mtu);
    return;
  }
  const error = icmpErrno(type, code);
  if (error == 0) return;
  if (state == TCP_SYN_SENT || (state == TCP_SYN_RECEIVED && dies(t, type, code))) {
    tcpDone(t, error);
  } else if (state != TCP_SYN_RECEIVED && t.flags & SF_RECVERR) {
    t.error = u16(error);
    socketNotify(t, EPOLLERR);
  } else {
    // Soft: it is told as the reason if the connection times out (as Linux; RFC 9293 3.9.1.8).
    const f = t.flight != 0 || t.tflags & TF_SOLO ? flightOf(t) : null;
    if (f !== null) f.softError = error;
  }
}

/** IP_PMTUDISC_DONT sends without DF, IP_PMTUDISC_INTERFACE and _OMIT believe nobody (Linux: ip_sk_accept_pmtu). */
function heedsMtu(t: Tcb): bool {
  const discover = i32(t.pmtuDiscover);
  return discover != IP_PMTUDISC_DONT && discover <= IP_PMTUDISC_PROBE;
}

/**
 * Does an error end a connection in SYN-RECEIVED? Any error ends a simultaneous open, and a connection that was opened
 * by its SYN alone and that nobody has accepted yet; an embryonic one is ended when the peer cannot be reached (Linux:
 * tcp_v4_err, tcp_req_err).
 */
function dies(t: Tcb, type: u32, code: u32): bool {
  if (fastopenPending(t)) return t.parent != 0;
  if (t.parent == 0) return true;
  return type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM || (type == ICMP_UNREACHABLE && code <= 1);
}

/** The path carries less than was thought: smaller segments from now on, what was too big goes again at once. */
export function pathMtu(t: Tcb, mtu: u32): void {
  // A router that tells less than Linux's min_pmtu lies, or the path is not worth it (RFC 8899 section 4.6.2)
  const mss = max(max(mtu, PMTU_MIN) - 40, sysctl(SYSCTL_TCP_MIN_SND_MSS));
  if (mtu >= 68 && t.flight != 0) mtuTold(t, changetype<Flight>(t.flight), mss + 40);
  if (mtu < 68) return;
  pmtuUpdate(t.remoteAddress, mtu);
  if (mss >= u32(t.mss)) return;
  t.mss = u16(mss);
  count(MIB_TCP_PMTU_REDUCTIONS);
  if (t.flight == 0 && !(t.tflags & TF_SOLO)) return;
  const f = flightOf(t);
  if (f === null || f.packetsOut == 0) return;
  if (t.state == TCP_SYN_SENT) {
    // Data went with the SYN, and was too much: the SYN goes again without (Linux: tcp_simple_retransmit)
    t.synRetries++;
    sendSyn(t, SYN);
    return;
  }
  markTooBig(t, f, currentMss(t));
  retransmitLost(t, f);
}
