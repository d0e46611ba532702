// ICMP errors about datagrams that UDP sockets sent.
// Read first: RFC 1122 section 4.1.3.3; Linux net/ipv4/udp.c, __udp4_lib_err(); ip(7) IP_RECVERR.

import {
  EPOLLERR,
  EPOLLIN,
  EPOLLOUT,
  IPPROTO_UDP,
  IP_PMTUDISC_DONT,
  IP_PMTUDISC_OMIT,
  KIND_UDP,
  SO_EE_ORIGIN_ICMP,
} from "../layout";
import { bindHead } from "../socket/bind";
import { socketNotify } from "../socket/notify";
import { SF_RECVERR, Socket } from "../socket/socket";
import { group } from "../steer/group";
import { errorElsewhere } from "../steer/hand-over";
import { get16 } from "../wire/bytes";
import { UDP_BYTES, UDP_DESTINATION_PORT, UDP_SOURCE_PORT } from "../wire/udp";
import { errorQueuePush } from "./error-queue";
import { icmpErrno, icmpFatal } from "./icmp-errno";
import { pmtuUpdate } from "./pmtu";

/**
 * An error about a datagram from our address `local` to `remote`: `length` bytes of it, at least the UDP header, stand
 * at `quoted`. `mtu` of "fragmentation needed", else 0; `from` told it. False when no socket can have sent it.
 */
export function udpIcmpError(
  type: u32,
  code: u32,
  local: u32,
  remote: u32,
  quoted: usize,
  length: u32,
  mtu: u32,
  from: u32,
): bool {
  const port = get16(quoted + UDP_SOURCE_PORT);
  const remotePort = get16(quoted + UDP_DESTINATION_PORT);
  const s = find(local, port, remote, remotePort);
  if (group != 0 && (s === null || s.remotePort == 0)) {
    if (errorElsewhere(IPPROTO_UDP, local, remote, (port << 16) | remotePort)) return true;
  }
  if (s === null) return false;
  if (mtu != 0) {
    pmtuUpdate(remote, mtu);
    if (s.pmtuDiscover == IP_PMTUDISC_DONT || s.pmtuDiscover == IP_PMTUDISC_OMIT) return true;
  }
  const errno = icmpErrno(type, code);
  if (s.flags & SF_RECVERR) {
    const payload = quoted + UDP_BYTES;
    errorQueuePush(s, errno, SO_EE_ORIGIN_ICMP, type, code, mtu, from, remote, remotePort, payload, length - UDP_BYTES);
  } else if (s.remotePort == 0 || (!icmpFatal(type, code) && mtu == 0)) {
    // An unconnected socket could not tell which of its peers is meant; a soft error may pass.
    return true;
  }
  s.error = u16(errno);
  socketNotify(s, EPOLLERR | EPOLLIN | EPOLLOUT);
  return true;
}

/** The socket that sent from this address and port to that one: connected ones first. */
function find(local: u32, port: u32, remote: u32, remotePort: u32): Socket | null {
  let found: usize = 0;
  for (let at = bindHead(IPPROTO_UDP, port); at != 0; at = changetype<Socket>(at).bindNext) {
    const s = changetype<Socket>(at);
    if (s.kind != KIND_UDP || u32(s.localPort) != port) continue;
    if (s.localAddress != 0 && s.localAddress != local) continue;
    if (s.remotePort != 0) {
      if (s.remoteAddress == remote && u32(s.remotePort) == remotePort) return s;
    } else if (found == 0 || s.localAddress != 0) {
      found = at;
    }
  }
  return found == 0 ? null : changetype<Socket>(found);
}
