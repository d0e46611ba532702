// Multicast groups that a socket has joined; the interfaces keep the counts (net/igmp).
// Read first: RFC 1112 section 7, ip(7) IP_ADD_MEMBERSHIP; Linux net/ipv4/igmp.c, ip_mc_join_group().

import { EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENOBUFS, ENODEV, IP_MAX_MEMBERSHIPS } from "../layout";
import { multicastJoin, multicastLeave } from "../net/igmp";
import { netifAt } from "../net/netif";
import { routeLookup, routeNetif } from "../net/route";
import { stack } from "../stack";
import { isMulticast } from "../wire/ipv4";
import { extraOf } from "./extra";
import { Socket, SocketExtra } from "./socket";

/** Bytes of one membership: group address, interface number (from 1). */
const MEMBERSHIP_BYTES: u32 = 8;

/**
 * Number (from 1) of the interface that a request means: by number, else by its address, else the one that the route
 * to `group` takes, else the first after the loopback. -ENODEV or -EADDRNOTAVAIL when there is none.
 */
export function interfaceOf(address: u32, index: u32, group: u32): i32 {
  if (index != 0) return index <= stack.netifCount ? i32(index) : -ENODEV;
  if (address != 0) {
    for (let i: u32 = 0; i < stack.netifCount; i++) {
      if (netifAt(i).address == address) return i32(i + 1);
    }
    return -EADDRNOTAVAIL;
  }
  if (group != 0 && routeLookup(group)) return i32(routeNetif.index + 1);
  return stack.netifCount > 1 ? 2 : -ENODEV;
}

/** Address of interface number `index` (from 1). */
export function interfaceAddress(index: u32): u32 {
  return netifAt(index - 1).address;
}

/** Joins a group: 0, -EINVAL (no multicast address), -ENODEV, -EADDRINUSE (joined already), -ENOBUFS. */
export function membershipAdd(s: Socket, group: u32, address: u32, index: u32): i32 {
  if (!isMulticast(group)) return -EINVAL;
  const chosen = interfaceOf(address, index, group);
  if (chosen < 0) return -ENODEV;
  const extra = extraOf(s);
  if (extra === null) return -ENOBUFS;
  if (membershipFind(extra, group, u32(chosen)) != 0) return -EADDRINUSE;
  if (extra.groupCount >= <u32>IP_MAX_MEMBERSHIPS) return -ENOBUFS;
  const joined = multicastJoin(u32(chosen) - 1, group);
  if (joined < 0) return joined;
  const at = membershipAt(extra, extra.groupCount);
  store<u32>(at, group);
  store<u32>(at, u32(chosen), 4);
  extra.groupCount++;
  return 0;
}

/** Leaves a group (on any interface when none is named): 0, -EADDRNOTAVAIL when the socket is not in it, -ENODEV. */
export function membershipDrop(s: Socket, group: u32, address: u32, index: u32): i32 {
  const chosen = address == 0 && index == 0 ? 0 : interfaceOf(address, index, group);
  if (chosen < 0) return -ENODEV;
  if (s.extra == 0) return -EADDRNOTAVAIL;
  const extra = changetype<SocketExtra>(s.extra);
  const at = membershipFind(extra, group, u32(chosen));
  if (at == 0) return -EADDRNOTAVAIL;
  membershipRemove(extra, at);
  return 0;
}

/** Leaves every group that a socket has joined: it is being closed. */
export function membershipsEnd(s: Socket): void {
  if (s.extra == 0) return;
  const extra = changetype<SocketExtra>(s.extra);
  while (extra.groupCount != 0) membershipRemove(extra, membershipAt(extra, extra.groupCount - 1));
}

function membershipAt(extra: SocketExtra, i: u32): usize {
  return changetype<usize>(extra) + offsetof<SocketExtra>("groups") + i * MEMBERSHIP_BYTES;
}

/** Address of the membership in `group` on interface number `index` (0: any), or 0. */
function membershipFind(extra: SocketExtra, group: u32, index: u32): usize {
  for (let i: u32 = 0; i < extra.groupCount; i++) {
    const at = membershipAt(extra, i);
    if (load<u32>(at) == group && (index == 0 || load<u32>(at, 4) == index)) return at;
  }
  return 0;
}

function membershipRemove(extra: SocketExtra, at: usize): void {
  multicastLeave(load<u32>(at, 4) - 1, load<u32>(at));
  const last = membershipAt(extra, extra.groupCount - 1);
  store<u64>(at, load<u64>(last));
  extra.groupCount--;
}
