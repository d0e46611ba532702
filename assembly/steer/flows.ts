// Flows as the stacks of a host share them out: claimed before a connection begins, released when it is forgotten.
// Read first: table.ts. Where a host has one stack there is nothing to share, and nothing is done.

import { IPPROTO_TCP, IPPROTO_UDP, MIB_STEER_CLASHES, MIB_STEER_NO_ENTRY } from "../layout";
import { portsOf } from "../flow";
import { Netif } from "../net/netif";
import { SF_CLAIMED, Socket } from "../socket/socket";
import { count } from "../stack";
import { Group, group } from "./group";
import { ruleDrop, ruleFor } from "./rules";
import { CLAIM_DONE, CLAIM_TAKEN, tableClaim, tableRelease } from "./table";

/** Makes a flow (host order; `ports` is local << 16 | remote) this stack's; false when it cannot be (counted). */
export function flowClaim(protocol: u32, local: u32, remote: u32, ports: u32): bool {
  if (group == 0) return true;
  const result = tableClaim(protocol, local, remote, ports);
  if (result == CLAIM_DONE) return true;
  count(result == CLAIM_TAKEN ? MIB_STEER_CLASHES : MIB_STEER_NO_ENTRY);
  return false;
}

/** A flow that this stack has claimed comes to it from now on, with the NIC's help where RSS does not bring it. */
export function flowAttract(nif: Netif, protocol: u32, local: u32, remote: u32, ports: u32): void {
  if (group != 0) ruleFor(nif, protocol, local, remote, ports);
}

/** The flow is forgotten. */
export function flowRelease(protocol: u32, local: u32, remote: u32, ports: u32): void {
  if (group == 0) return;
  if (tableRelease(protocol, local, remote, ports) == 1) ruleDrop(protocol, local, remote, ports);
}

/** The same for a connection or a TIME-WAIT record. */
export function flowForget(s: Socket): void {
  if (group != 0) flowRelease(IPPROTO_TCP, s.localAddress, s.remoteAddress, portsOf(s));
}

/** A UDP socket has a peer and a port now: what the peer sends is for it, wherever it arrives. */
export function udpClaim(s: Socket, nif: Netif): void {
  if (group == 0 || nif.loopback || s.localPort == 0 || s.flags & SF_CLAIMED) return;
  // Two sockets of one stack may share port and peer; the second needs no entry of its own.
  if (tableClaim(IPPROTO_UDP, s.localAddress, s.remoteAddress, portsOf(s)) != CLAIM_DONE) return;
  // A thread that dies in between leaves the number too high, which costs look-ups, but never too low.
  atomic.add<u32>(group, 1, offsetof<Group>("udpFlows"));
  s.flags |= u16(SF_CLAIMED);
  ruleFor(nif, IPPROTO_UDP, s.localAddress, s.remoteAddress, portsOf(s));
}

/** The socket loses its peer. */
export function udpUnclaim(s: Socket): void {
  if (!(s.flags & SF_CLAIMED)) return;
  s.flags &= ~u16(SF_CLAIMED);
  atomic.sub<u32>(group, 1, offsetof<Group>("udpFlows"));
  flowRelease(IPPROTO_UDP, s.localAddress, s.remoteAddress, portsOf(s));
}
