// UDP sockets: opening, naming, receiving, readiness, closing; and the one door to the rest of UDP.
// Read first: udp(7); POSIX.1-2024 XSH 2.10.

import {
  EAGAIN,
  EINVAL,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  EXCHANGE_ADDRESS,
  EXCHANGE_DESTINATION,
  EXCHANGE_NETIF,
  IPPROTO_UDP,
  KIND_FREE,
  KIND_UDP,
  MSG_ERRQUEUE,
  MSG_PEEK,
  MSG_TRUNC,
  POOL_SOCKET,
  SYSCTL_UDP_RMEM,
  SYSCTL_UDP_WMEM,
} from "../layout";
import { poolAlloc, poolFree } from "../memory/pool";
import { bindRelease, bindSocket } from "../socket/bind";
import { extraFree } from "../socket/extra";
import { SF_BOUND_ADDRESS, SF_NAMED_PORT, SHUT_READ, SHUT_WRITE } from "../socket/socket";
import { poolAt, stack, sysctl } from "../stack";
import { udpClaim, udpUnclaim } from "../steer/flows";
import { errorQueueCount, errorQueueRead } from "./error-queue";
import { Netif } from "./netif";
import { defaultPmtuDiscover } from "./pmtu";
import { udpRoute, udpUncork } from "./udp-output";
import { UDP_SOCKET_BYTES, UdpSocket, recordDrop, recordFirst, recordRead } from "./udp-socket";
import { udpWritable } from "./udp-wait";

export { udpInput } from "./udp-input";
export { udpSend } from "./udp-output";
export { UDP_SOCKET_BYTES, UdpSocket } from "./udp-socket";

/** A new socket, not bound; 0 when the pool is empty. */
export function udpSocket(): usize {
  const at = poolAlloc(poolAt(POOL_SOCKET));
  if (at == 0) return 0;
  memory.fill(at, 0, UDP_SOCKET_BYTES);
  const s = changetype<UdpSocket>(at);
  s.fd = -1;
  s.kind = u8(KIND_UDP);
  s.pmtuDiscover = u8(defaultPmtuDiscover());
  s.rcvBuf = sysctl(SYSCTL_UDP_RMEM);
  s.sndBuf = sysctl(SYSCTL_UDP_WMEM);
  return at;
}

/** bind(2): 0, -EINVAL (bound already), -EADDRNOTAVAIL, -EADDRINUSE. */
export function udpBind(s: UdpSocket, address: u32, port: u32): i32 {
  if (s.localPort != 0) return -EINVAL;
  s.routeDestination = 0;
  return bindSocket(s, IPPROTO_UDP, address, port);
}

/**
 * connect(2): only the peer's datagrams are received from now on, errors about what was sent to it are reported.
 * Address and port 0 end that (AF_UNSPEC). Returns 0, -ENETUNREACH, -EACCES (a broadcast without SO_BROADCAST),
 * -EAGAIN (no port is left).
 */
export function udpConnect(s: UdpSocket, address: u32, port: u32): i32 {
  const local = s.localAddress;
  udpUnclaim(s);
  s.routeDestination = 0;
  if (!(s.flags & SF_BOUND_ADDRESS)) s.localAddress = 0;
  if (address == 0 && port == 0) {
    s.remoteAddress = 0;
    s.remotePort = 0;
    // A port that the stack chose goes with the peer (Linux: SOCK_BINDPORT_LOCK); an address of bind()'s stays.
    const ownAddress = s.flags & SF_BOUND_ADDRESS;
    if (!(s.flags & SF_NAMED_PORT)) {
      bindRelease(s, IPPROTO_UDP);
      s.localPort = 0;
      s.flags |= u16(ownAddress);
    }
    return 0;
  }
  const error = udpRoute(s, address);
  if (error < 0) {
    s.localAddress = local;
    return error;
  }
  s.remoteAddress = address;
  s.remotePort = u16(port);
  if (s.localAddress == 0) s.localAddress = s.source;
  udpClaim(s, changetype<Netif>(s.netif));
  return 0;
}

/**
 * recvmsg(2): the oldest datagram to `target`, what does not fit is lost. The sender is left at EXCHANGE_ADDRESS
 * {address, port, MSG_TRUNC when it was cut, its full length}, behind that EXCHANGE_DESTINATION, _NETIF, _TTL, _TOS.
 * @returns bytes copied (with MSG_TRUNC in `flags` the full length), the pending error, or -EAGAIN
 */
export function udpReceive(s: UdpSocket, target: usize, length: u32, flags: i32): i32 {
  if (flags & MSG_ERRQUEUE) return errorQueueRead(s, target, length, flags);
  if (s.error) {
    const error = -i32(s.error);
    s.error = 0;
    return error;
  }
  const d = recordFirst(s);
  if (d === null) return -EAGAIN;
  const full = d.length;
  const n = min(full, length);
  const exchange = usize(stack.exchange);
  store<u64>(exchange, u64(d.address) | (u64(d.port) << 32), EXCHANGE_ADDRESS);
  store<u64>(exchange, u64(n < full ? MSG_TRUNC : 0) | (u64(full) << 32), EXCHANGE_ADDRESS + 8);
  store<u64>(exchange, u64(d.destination) | (u64(d.netif + 1) << 32), EXCHANGE_DESTINATION);
  store<u64>(exchange, u64(d.ttl) | (u64(d.tos) << 32), EXCHANGE_NETIF + 4);
  recordRead(s, target, n);
  if (!(flags & MSG_PEEK)) recordDrop(s);
  return flags & MSG_TRUNC ? full : n;
}

/** Bytes of the datagram that waits longest (FIONREAD), 0 without one. */
export function udpPending(s: UdpSocket): u32 {
  const d = recordFirst(s);
  return d === null ? 0 : d.length;
}

/** Readiness, as Linux's datagram_poll(): EPOLL bits. */
export function udpEvents(s: UdpSocket): u32 {
  let events: u32 = s.shut & SHUT_WRITE || udpWritable(s) ? EPOLLOUT : 0;
  if (s.rcvHead != 0) events |= EPOLLIN;
  if (s.error != 0 || errorQueueCount(s) != 0) events |= EPOLLERR;
  if (s.shut & SHUT_READ) events |= EPOLLRDHUP | EPOLLIN;
  if ((s.shut & (SHUT_READ | SHUT_WRITE)) == (SHUT_READ | SHUT_WRITE)) events |= EPOLLHUP;
  return events;
}

/** Gives the socket back with everything that waits in it; its memberships have ended, nobody watches it. */
export function udpClose(s: UdpSocket): void {
  udpUnclaim(s);
  bindRelease(s, IPPROTO_UDP);
  udpUncork(s);
  while (s.rcvHead != 0) recordDrop(s);
  extraFree(s);
  s.kind = u8(KIND_FREE);
  poolFree(poolAt(POOL_SOCKET), changetype<usize>(s));
}
