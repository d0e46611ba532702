// A socket seen as what its kind says it is.

import { UdpSocket } from "../net/udp-socket";
import { Tcb } from "../tcp/tcb";
import { Socket } from "./socket";

/** The TCB of a socket of KIND_TCP or KIND_LISTENER. */
export function tcbOf(s: Socket): Tcb {
  return changetype<Tcb>(changetype<usize>(s));
}

/** The UDP part of a socket of KIND_UDP. */
export function udpOf(s: Socket): UdpSocket {
  return changetype<UdpSocket>(changetype<usize>(s));
}
