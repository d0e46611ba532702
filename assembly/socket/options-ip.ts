// getsockopt and setsockopt at IPPROTO_IP, in Linux's ABI: ints or single bytes, struct ip_mreq and ip_mreqn with
// addresses in network order, interfaces counted from 1 (the loopback is 1).
// Read first: ip(7); Linux net/ipv4/ip_sockglue.c.

import {
  EINVAL,
  ENOBUFS,
  ENOPROTOOPT,
  ENOTCONN,
  EPROTO,
  IP_ADD_MEMBERSHIP,
  IP_BIND_ADDRESS_NO_PORT,
  IP_DROP_MEMBERSHIP,
  IP_FREEBIND,
  IP_LOCAL_PORT_RANGE,
  IP_MTU,
  IP_MTU_DISCOVER,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IP_PKTINFO,
  IP_PMTUDISC_DONT,
  IP_PMTUDISC_OMIT,
  IP_RECVERR,
  IP_RECVTOS,
  IP_RECVTTL,
  IP_TOS,
  IP_TTL,
  KIND_UDP,
  SYSCTL_IP_DEFAULT_TTL,
} from "../layout";
import { ipv4Mtu } from "../net/pmtu";
import { routeLookup, routeNetif } from "../net/route";
import { sysctl } from "../stack";
import { errorsDrop, extraOf } from "./extra";
import { interfaceAddress, interfaceOf, membershipAdd, membershipDrop } from "./membership";
import { giveInt } from "./options";
import { CMSG_PKTINFO, CMSG_TOS, CMSG_TTL, SF_RECVERR, Socket, SocketExtra } from "./socket";

/** The ECN bits of the TOS byte; TCP sets them itself (RFC 3168). */
const ECN_MASK: u32 = 3;

/** Sets an IP option: 0 or a negative errno. */
export function ipSetOption(s: Socket, name: i32, value: usize, length: u32): i32 {
  const datagrams = s.kind == KIND_UDP;
  switch (name) {
    case IP_ADD_MEMBERSHIP:
    case IP_DROP_MEMBERSHIP:
      if (!datagrams) return -EPROTO;
      return changeMembership(s, name, value, length);
    case IP_MULTICAST_IF:
      return datagrams ? setMulticastInterface(s, value, length) : -EINVAL;
    default:
      return setInt(s, name, length >= 4 ? load<i32>(value) : length >= 1 ? i32(load<u8>(value)) : 0, length);
  }
}

function setInt(s: Socket, name: i32, v: i32, length: u32): i32 {
  switch (name) {
    case IP_TTL:
      if (length < 1 || (v != -1 && (v < 1 || v > 255))) return -EINVAL;
      s.ttl = u8(v == -1 ? sysctl(SYSCTL_IP_DEFAULT_TTL) : u32(v));
      return 0;
    case IP_TOS:
      s.tos = u8(s.kind == KIND_UDP ? u32(v) : (u32(v) & ~ECN_MASK) | (u32(s.tos) & ECN_MASK));
      return 0;
    case IP_MTU_DISCOVER:
      if (v < IP_PMTUDISC_DONT || v > IP_PMTUDISC_OMIT) return -EINVAL;
      s.pmtuDiscover = u8(v);
      return 0;
    case IP_RECVERR:
      if (v != 0) s.flags |= u16(SF_RECVERR);
      else {
        s.flags &= ~u16(SF_RECVERR);
        errorsDrop(s);
      }
      return 0;
    case IP_FREEBIND: {
      const extra = extraOf(s);
      if (extra === null) return -ENOBUFS;
      extra.freeBind = u32(v != 0);
      return 0;
    }
    case IP_BIND_ADDRESS_NO_PORT: {
      const extra = extraOf(s);
      if (extra === null) return -ENOBUFS;
      extra.bindNoPort = u32(v != 0);
      return 0;
    }
    case IP_LOCAL_PORT_RANGE:
      return setPortRange(s, u32(v), length);
    case IP_PKTINFO:
      return setControl(s, CMSG_PKTINFO, v != 0);
    case IP_RECVTTL:
      return setControl(s, CMSG_TTL, v != 0);
    case IP_RECVTOS:
      return setControl(s, CMSG_TOS, v != 0);
    case IP_MULTICAST_TTL:
    case IP_MULTICAST_LOOP:
      return setMulticast(s, name, v, length);
    default:
      return -ENOPROTOOPT;
  }
}

/** Reads an IP option: the bytes written or a negative errno. */
export function ipGetOption(s: Socket, name: i32, value: usize, length: u32): i32 {
  const extra = changetype<SocketExtra>(s.extra);
  const has = s.extra != 0;
  switch (name) {
    case IP_TTL:
      return give(value, length, i32(s.ttl != 0 ? u32(s.ttl) : sysctl(SYSCTL_IP_DEFAULT_TTL)));
    case IP_TOS:
      return give(value, length, s.tos);
    case IP_MTU_DISCOVER:
      return give(value, length, s.pmtuDiscover);
    case IP_RECVERR:
      return give(value, length, i32((s.flags & SF_RECVERR) != 0));
    case IP_MTU:
      if (s.remotePort == 0 || !routeLookup(s.remoteAddress)) return -ENOTCONN;
      return give(value, length, i32(ipv4Mtu(routeNetif, s.remoteAddress)));
    case IP_FREEBIND:
      return give(value, length, has ? i32(extra.freeBind) : 0);
    case IP_BIND_ADDRESS_NO_PORT:
      return give(value, length, has ? i32(extra.bindNoPort) : 0);
    case IP_LOCAL_PORT_RANGE:
      return give(value, length, has ? i32(extra.portRange) : 0);
    case IP_PKTINFO:
      return give(value, length, i32(has && (extra.control & CMSG_PKTINFO) != 0));
    case IP_RECVTTL:
      return give(value, length, i32(has && (extra.control & CMSG_TTL) != 0));
    case IP_RECVTOS:
      return give(value, length, i32(has && (extra.control & CMSG_TOS) != 0));
    case IP_MULTICAST_TTL:
      return give(value, length, has ? i32(extra.multicastTtl) : 1);
    case IP_MULTICAST_LOOP:
      return give(value, length, has ? i32(extra.multicastLoop) : 1);
    case IP_MULTICAST_IF:
      return giveMulticastInterface(s, value, length);
    default:
      return -ENOPROTOOPT;
  }
}

/** An int, or one byte when the buffer is shorter than an int and the value fits (as Linux). */
function give(value: usize, length: u32, v: i32): i32 {
  if (length > 0 && length < 4 && v >= 0 && v <= 255) {
    store<u8>(value, u8(v));
    return 1;
  }
  return giveInt(value, length, v);
}

/** IP_LOCAL_PORT_RANGE: the lowest port in the lower half, the highest in the upper one; 0 for either: no limit. */
function setPortRange(s: Socket, range: u32, length: u32): i32 {
  const low = range & 0xffff;
  const high = range >>> 16;
  if (length != 4 || (low != 0 && high != 0 && low > high)) return -EINVAL;
  const extra = extraOf(s);
  if (extra === null) return -ENOBUFS;
  extra.portRange = range;
  return 0;
}

function setControl(s: Socket, bit: u32, on: bool): i32 {
  if (!on && s.extra == 0) return 0;
  const extra = extraOf(s);
  if (extra === null) return -ENOBUFS;
  if (on) extra.control |= bit;
  else extra.control &= ~bit;
  return 0;
}

function setMulticast(s: Socket, name: i32, v: i32, length: u32): i32 {
  if (length < 1) return -EINVAL;
  if (name == IP_MULTICAST_TTL) {
    if (s.kind != KIND_UDP) return -EINVAL;
    if (v == -1) v = 1;
    if (v < 0 || v > 255) return -EINVAL;
  }
  const extra = extraOf(s);
  if (extra === null) return -ENOBUFS;
  if (name == IP_MULTICAST_TTL) extra.multicastTtl = u32(v);
  else extra.multicastLoop = u32(v != 0);
  return 0;
}

/** struct in_addr, ip_mreq {group, interface address} or ip_mreqn {group, interface address, index}. */
function setMulticastInterface(s: Socket, value: usize, length: u32): i32 {
  if (length < 4) return -EINVAL;
  const address = bswap<u32>(length >= 8 ? load<u32>(value, 4) : load<u32>(value));
  const index = length >= 12 ? load<u32>(value, 8) : 0;
  const chosen = address == 0 && index == 0 ? 0 : interfaceOf(address, index, 0);
  if (chosen < 0) return chosen;
  if (chosen == 0 && s.extra == 0) return 0;
  const extra = extraOf(s);
  if (extra === null) return -ENOBUFS;
  extra.multicastIf = u32(chosen);
  return 0;
}

function giveMulticastInterface(s: Socket, value: usize, length: u32): i32 {
  const index = s.extra != 0 ? changetype<SocketExtra>(s.extra).multicastIf : 0;
  const address = index != 0 ? interfaceAddress(index) : 0;
  return giveInt(value, length, i32(bswap<u32>(address)));
}

function changeMembership(s: Socket, name: i32, value: usize, length: u32): i32 {
  if (length < 8) return -EINVAL;
  const group = bswap<u32>(load<u32>(value));
  const address = bswap<u32>(load<u32>(value, 4));
  const index = length >= 12 ? load<u32>(value, 8) : 0;
  return name == IP_ADD_MEMBERSHIP ? membershipAdd(s, group, address, index) : membershipDrop(s, group, address, index);
}
