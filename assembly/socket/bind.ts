// Local addresses and ports: who has bound what, who may bind it besides, which port is free.
// Read first: socket(7) and ip(7); Linux net/ipv4/inet_connection_sock.c and udp.c, whose rules these are; RFC 6056.
//
// Two sockets conflict when they share protocol and port, their addresses overlap (equal, or one is the wildcard), and
//   TCP: neither  both have SO_REUSEADDR and the other does not listen  nor  both have SO_REUSEPORT;
//   UDP: neither  both have SO_REUSEADDR                                nor  both have SO_REUSEPORT.
// Sockets bound by bind(), listen() or UDP's first send are chained in the table. Connections that connect() or
// accept() made are not (a listener may have a million); a bind() to a fixed port looks for them in their pool.

import {
  CFG_CONNECTIONS,
  CFG_SOCKETS,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EXCHANGE_DATA,
  INADDR_ANY,
  IPPROTO_TCP,
  IPPROTO_UDP,
  KIND_LISTENER,
  KIND_TCP,
  KIND_TIME_WAIT,
  KIND_UDP,
  POOL_TCB,
  POOL_TIME_WAIT,
  SYSCTL_PORT_RANGE_HIGH,
  SYSCTL_PORT_RANGE_LOW,
  TCP_CLOSED,
} from "../layout";
import { keyedHash } from "../hash";
import { isBroadcast, isLocal } from "../net/route";
import { poolAt, stack, sysctl } from "../stack";
import { portClose, portOpen, portReserve, portTakenElsewhere } from "../steer/ports";
import { TimeWait } from "../tcp/time-wait";
import { isMulticast } from "../wire/ipv4";
import {
  SF_BOUND_ADDRESS,
  SF_BOUND_PORT,
  SF_NAMED_PORT,
  SF_REUSEADDR,
  SF_REUSEPORT,
  Socket,
  SocketExtra,
} from "./socket";

/** Bytes of a set of ports. */
const PORT_BITS_BYTES: usize = 65536 / 8;
/** Offset of the buckets in the table; before them their number less one. */
const BUCKETS_AT: usize = 8;

let buckets: usize = 0;
let mask: u32 = 0;

function bucketCount(cfg: usize): u32 {
  const wanted = load<u32>(cfg + CFG_SOCKETS * 4) + (load<u32>(cfg + CFG_CONNECTIONS * 4) >>> 2);
  return (<u32>1) << (32 - clz<u32>(min(max(wanted, 64), 16384) - 1));
}

/** Bytes of the bind table. */
export function bindBytes(cfg: usize): u32 {
  return u32(BUCKETS_AT) + bucketCount(cfg) * 4;
}

/** Prepares an empty bind table at `at` (zeroed) and uses it. */
export function bindInit(at: usize, cfg: usize): void {
  store<u32>(at, bucketCount(cfg) - 1);
  bindAttach(at);
}

/** Points this instance at its bind table. */
export function bindAttach(at: usize): void {
  mask = load<u32>(at);
  buckets = at + BUCKETS_AT;
}

function bucketOf(protocol: u32, port: u32): usize {
  return buckets + (((port ^ (protocol << 4)) & mask) << 2);
}

/**
 * First socket of the chain that holds the sockets bound to a port, or 0. Follow Socket.bindNext; the chain holds
 * others too: compare kind and localPort. The socket that was bound last comes first.
 */
export function bindHead(protocol: u32, port: u32): u32 {
  return load<u32>(bucketOf(protocol, port));
}

/** True when a socket is bound to the port of this protocol, whatever its address. */
export function bindPortTaken(protocol: u32, port: u32): bool {
  for (let at = bindHead(protocol, port); at != 0; at = changetype<Socket>(at).bindNext) {
    const s = changetype<Socket>(at);
    if (u32(s.localPort) == port && protocolOf(s) == protocol) return true;
  }
  return false;
}

/**
 * Binds a socket to an address (0: any) and a port (0: one of the ephemeral range).
 * @returns 0, -EADDRNOTAVAIL when the address is not this host's, -EADDRINUSE
 */
export function bindSocket(s: Socket, protocol: u32, address: u32, port: u32): i32 {
  assert((s.flags & SF_BOUND_PORT) == 0);
  if (!bindableAddress(s, address)) return -EADDRNOTAVAIL;
  if (port == 0 && s.extra != 0 && changetype<SocketExtra>(s.extra).bindNoPort != 0) {
    // connect() will choose the port, knowing the other end.
    s.localAddress = address;
    if (address != INADDR_ANY) s.flags |= u16(SF_BOUND_ADDRESS);
    return 0;
  }
  const named = port != 0;
  if (!named) {
    port = ephemeralPort(s, protocol, address);
    if (port == 0) return -EADDRINUSE;
  } else {
    if (chainConflict(s, protocol, address, port)) return -EADDRINUSE;
    if (protocol == IPPROTO_TCP && connectionConflict(s, address, port)) return -EADDRINUSE;
  }
  s.localAddress = address;
  s.localPort = u16(port);
  s.flags &= ~u16(SF_BOUND_ADDRESS);
  s.flags |= u16(SF_BOUND_PORT | (named ? SF_NAMED_PORT : 0) | (address != INADDR_ANY ? SF_BOUND_ADDRESS : 0));
  const bucket = bucketOf(protocol, port);
  s.bindNext = load<u32>(bucket);
  store<u32>(bucket, u32(changetype<usize>(s)));
  if (protocol == IPPROTO_UDP) portOpen(protocol, address, port);
  return 0;
}

/** Takes a socket out of the bind table; does nothing when it is not in it. Keeps its address and port. */
export function bindRelease(s: Socket, protocol: u32): void {
  if ((s.flags & SF_BOUND_PORT) == 0) return;
  let link = bucketOf(protocol, s.localPort);
  const self = u32(changetype<usize>(s));
  while (load<u32>(link) != self) {
    link = usize(load<u32>(link));
    assert(link != 0);
    link += offsetof<Socket>("bindNext");
  }
  store<u32>(link, s.bindNext);
  s.bindNext = 0;
  s.flags &= ~u16(SF_BOUND_PORT | SF_NAMED_PORT | SF_BOUND_ADDRESS);
  if (protocol == IPPROTO_UDP) portClose(protocol, s.localPort);
}

/** Whether a bound TCP socket may begin to listen: another may have begun since both were bound (SO_REUSEADDR). */
export function bindMayListen(s: Socket): bool {
  return !chainConflict(s, IPPROTO_TCP, s.localAddress, s.localPort);
}

/** Linux lets a socket bind to any local, multicast or broadcast address; with IP_FREEBIND to every one. */
function bindableAddress(s: Socket, address: u32): bool {
  if (s.extra != 0 && changetype<SocketExtra>(s.extra).freeBind != 0) return true;
  return address == INADDR_ANY || isLocal(address) || isMulticast(address) || isBroadcast(address);
}

function protocolOf(s: Socket): u32 {
  return s.kind == KIND_UDP ? <u32>IPPROTO_UDP : <u32>IPPROTO_TCP;
}

function overlap(a: u32, b: u32): bool {
  return a == b || a == INADDR_ANY || b == INADDR_ANY;
}

/** Whether options let two sockets share a port whose addresses overlap. */
function mayShare(mine: u32, theirs: u32, theyListen: bool): bool {
  const both = mine & theirs;
  return ((both & SF_REUSEADDR) != 0 && !theyListen) || (both & SF_REUSEPORT) != 0;
}

function chainConflict(s: Socket, protocol: u32, address: u32, port: u32): bool {
  for (let at = bindHead(protocol, port); at != 0; at = changetype<Socket>(at).bindNext) {
    const other = changetype<Socket>(at);
    if (at == u32(changetype<usize>(s)) || u32(other.localPort) != port || protocolOf(other) != protocol) continue;
    if (!overlap(address, other.localAddress)) continue;
    if (!mayShare(s.flags, other.flags, other.kind == KIND_LISTENER)) return true;
  }
  return false;
}

/**
 * Connections, and what is left of them in TIME-WAIT, hold their local port as bound sockets do. `port` 0 asks about no
 * port in particular: every one that they hold is marked in `taken`, one bit for each port.
 */
function connectionConflict(s: Socket, address: u32, port: u32, taken: usize = 0): bool {
  const tcbs = poolAt(POOL_TCB);
  let left = tcbs.inUse;
  for (let at = tcbs.base; left != 0; at += tcbs.elementBytes) {
    const other = changetype<Socket>(at);
    if (other.kind != KIND_TCP && other.kind != KIND_LISTENER) continue;
    left--;
    if (other.kind == KIND_LISTENER || other.state == TCP_CLOSED) continue;
    if (port != 0 && u32(other.localPort) != port) continue;
    if (!overlap(address, other.localAddress) || mayShare(s.flags, other.flags, false)) continue;
    if (port != 0) return true;
    markPort(taken, other.localPort);
  }
  const waits = poolAt(POOL_TIME_WAIT);
  left = waits.inUse;
  for (let at = waits.base; left != 0; at += waits.elementBytes) {
    const other = changetype<TimeWait>(at);
    if (other.kind != KIND_TIME_WAIT) continue;
    left--;
    if (port != 0 && u32(other.localPort) != port) continue;
    if (!overlap(address, other.localAddress) || mayShare(s.flags, other.flags, false)) continue;
    if (port != 0) return true;
    markPort(taken, other.localPort);
  }
  return false;
}

function markPort(taken: usize, port: u32): void {
  const at = taken + ((port >>> 5) << 2);
  store<u32>(at, load<u32>(at) | ((<u32>1) << (port & 31)));
}

function isMarked(taken: usize, port: u32): bool {
  return (load<u32>(taken + ((port >>> 5) << 2)) & ((<u32>1) << (port & 31))) != 0;
}

/** Lowest port that the stack chooses for a socket: IP_LOCAL_PORT_RANGE counts where it lies in ip_local_port_range. */
export function portRangeLow(s: Socket): u32 {
  const low = sysctl(SYSCTL_PORT_RANGE_LOW);
  const own = s.extra != 0 ? changetype<SocketExtra>(s.extra).portRange & 0xffff : 0;
  return own >= low && own <= sysctl(SYSCTL_PORT_RANGE_HIGH) ? own : low;
}

/** Highest port that the stack chooses for a socket. */
export function portRangeHigh(s: Socket): u32 {
  const high = sysctl(SYSCTL_PORT_RANGE_HIGH);
  const own = s.extra != 0 ? changetype<SocketExtra>(s.extra).portRange >>> 16 : 0;
  return own != 0 && own >= portRangeLow(s) && own <= high ? own : high;
}

/** A port of the ephemeral range that nobody holds with an overlapping address, or 0. */
function ephemeralPort(s: Socket, protocol: u32, address: u32): u32 {
  const low = portRangeLow(s);
  const range = portRangeHigh(s) - low + 1;
  // RFC 6056 section 3.3.1: random start, then the next ones in turn.
  const start = keyedHash(address, protocol, stack.portHint++) % range;
  // One walk over the connections tells which ports they hold; no call that binds has anything in the data area.
  const taken: usize = protocol == IPPROTO_TCP ? usize(stack.exchange) + EXCHANGE_DATA : 0;
  if (taken != 0) {
    memory.fill(taken, 0, PORT_BITS_BYTES);
    connectionConflict(s, address, 0, taken);
  }
  for (let i: u32 = 0; i < range; i++) {
    const port = low + ((start + i) % range);
    if (taken != 0 && isMarked(taken, port)) continue;
    if (anyBound(s, protocol, address, port) || portTakenElsewhere(protocol, port)) continue;
    if (protocol != IPPROTO_UDP || portReserve(protocol, address, port)) return port;
  }
  return 0;
}

function anyBound(s: Socket, protocol: u32, address: u32, port: u32): bool {
  for (let at = bindHead(protocol, port); at != 0; at = changetype<Socket>(at).bindNext) {
    const other = changetype<Socket>(at);
    if (u32(other.localPort) != port || protocolOf(other) != protocol) continue;
    if (overlap(address, other.localAddress)) return true;
  }
  return false;
}
