// Routes: longest prefix first, the connected ones made by the interfaces' addresses. Own addresses lead to the
// loopback. The latest answer is remembered, for most lookups ask for it again.
// Read first: RFC 1122 section 3.3.1 (routing outbound datagrams); RFC 1812 section 5.2.4.3 (next hop address).

import { EEXIST, EINVAL, ENETUNREACH, ENOBUFS, ENOENT } from "../layout";
import { stack } from "../stack";
import { isLoopback, isMulticast, isUnicast } from "../wire/ipv4";
import { Netif, netifAt } from "./netif";

/** Most routes of one stack. */
export const ROUTES_MAX: u32 = 64;

@unmanaged
export class Route {
  destination: u32;
  mask: u32;
  /** Next hop, or 0 when the destination itself is on the link. */
  gateway: u32;
  netif: u32;
}

const ROUTE_BYTES: u32 = 16;
if (offsetof<Route>() != ROUTE_BYTES) ERROR("Route layout");

/** Offsets in the memory of the routes: the latest answer, then the table in order of falling mask length. */
const LAST_GENERATION: usize = 0;
const LAST_DESTINATION: usize = 4;
const LAST_NETIF: usize = 8;
const LAST_NEXT_HOP: usize = 12;
const LAST_SOURCE: usize = 16;
const TABLE: u32 = 32;

let base: usize = 0;

/** What the latest routeLookup() found: interface, next hop, and the own address to send from. */
export let routeNetif: Netif = changetype<Netif>(0);
export let routeNextHop: u32 = 0;
export let routeSource: u32 = 0;

/** Bytes of the routes. */
export function routeBytes(_cfg: usize): u32 {
  return TABLE + ROUTES_MAX * ROUTE_BYTES;
}

/** Prepares an empty table at `at`. */
export function routeInit(at: usize, cfg: usize): void {
  memory.fill(at, 0, routeBytes(cfg));
  stack.routes = u32(at);
  stack.routeCount = 0;
  stack.routeGeneration = 1;
  routeAttach(at);
}

/** Points this instance at its routes. */
export function routeAttach(at: usize): void {
  base = at;
}

function routeAt(index: u32): Route {
  return changetype<Route>(base + TABLE + index * ROUTE_BYTES);
}

/** Finds the way to `destination`; true: routeNetif, routeNextHop and routeSource tell it. */
export function routeLookup(destination: u32): bool {
  if (load<u32>(base, LAST_DESTINATION) == destination && load<u32>(base, LAST_GENERATION) == stack.routeGeneration) {
    routeNetif = changetype<Netif>(load<u32>(base, LAST_NETIF));
    routeNextHop = load<u32>(base, LAST_NEXT_HOP);
    routeSource = load<u32>(base, LAST_SOURCE);
    return true;
  }
  if (!find(destination)) return false;
  store<u32>(base, stack.routeGeneration, LAST_GENERATION);
  store<u32>(base, destination, LAST_DESTINATION);
  store<u32>(base, u32(changetype<usize>(routeNetif)), LAST_NETIF);
  store<u32>(base, routeNextHop, LAST_NEXT_HOP);
  store<u32>(base, routeSource, LAST_SOURCE);
  return true;
}

function find(destination: u32): bool {
  if (isLocal(destination)) {
    const lo = netifAt(0);
    found(lo, destination, isLoopback(destination) ? lo.address : destination);
    return true;
  }
  const group = destination == 0xffffffff || isMulticast(destination);
  // Net 0 and class E: no host has such an address (RFC 1122 3.2.1.3, RFC 1112 section 4), no route leads to one.
  if (!group && !isUnicast(destination)) return false;
  const n = stack.routeCount;
  for (let i: u32 = 0; i < n; i++) {
    const r = routeAt(i);
    if ((destination & r.mask) != r.destination) continue;
    const nif = netifAt(r.netif);
    found(nif, r.gateway == 0 || group ? destination : r.gateway, nif.address);
    return true;
  }
  // Groups need no route: they go out of the first interface that can send.
  if (!group) return false;
  for (let i: u32 = 1; i < stack.netifCount; i++) {
    const nif = netifAt(i);
    if (nif.address == 0) continue;
    found(nif, destination, nif.address);
    return true;
  }
  return false;
}

function found(nif: Netif, nextHop: u32, source: u32): void {
  routeNetif = nif;
  routeNextHop = nextHop;
  routeSource = source;
}

/** Is `address` one of this host: an interface's, or in 127/8? */
export function isLocal(address: u32): bool {
  if (isLoopback(address)) return true;
  if (address == 0) return false;
  const n = stack.netifCount;
  for (let i: u32 = 1; i < n; i++) {
    if (netifAt(i).address == address) return true;
  }
  return false;
}

/**
 * May a datagram with the source `bound`, which a socket has been bound to, leave by `nif`? 0, -ENETUNREACH when it is
 * no address of this host (any more), -EINVAL when it is in 127/8, which never leaves the host (RFC 1122 3.2.1.3(g);
 * Linux: ip_route_output_key, __mkroute_output).
 */
export function sourceError(nif: Netif, bound: u32): i32 {
  if (!isLocal(bound)) return -ENETUNREACH;
  return isLoopback(bound) && !nif.loopback ? -EINVAL : 0;
}

/** Is `address` a broadcast address: the limited one, or that of an interface's subnet? */
export function isBroadcast(address: u32): bool {
  if (address == 0xffffffff) return true;
  const n = stack.netifCount;
  for (let i: u32 = 1; i < n; i++) {
    if (netifAt(i).broadcast == address) return true;
  }
  return false;
}

/** The interface on whose subnet `address` lies, or 0. */
export function onLink(address: u32): u32 {
  const n = stack.netifCount;
  for (let i: u32 = 1; i < n; i++) {
    const nif = netifAt(i);
    if (nif.address != 0 && ((address ^ nif.address) & nif.netmask) == 0) return i;
  }
  return 0;
}

/**
 * Adds a route. Interface 0 stands for the one on whose subnet the gateway lies; gateway 0: destinations are on the
 * link of the interface. The default route has destination 0 and mask 0.
 * @returns 0; -EEXIST for a destination and mask that have a route, -EINVAL for a mask with holes or a destination
 * with bits outside it, -ENETUNREACH for a gateway that is on no subnet, -ENOBUFS when the table is full
 */
export function routeAdd(destination: u32, mask: u32, gateway: u32, netifIndex: u32): i32 {
  if ((~mask & (~mask + 1)) != 0 || (destination & ~mask) != 0 || netifIndex >= stack.netifCount) return -EINVAL;
  if (netifIndex == 0) {
    netifIndex = gateway == 0 ? 0 : onLink(gateway);
    if (netifIndex == 0) return -ENETUNREACH;
  }
  return insert(destination, mask, gateway, netifIndex);
}

/** The route that an interface's address brings along; it replaces none. */
export function routeConnected(netifIndex: u32, destination: u32, mask: u32): i32 {
  const error = insert(destination, mask, 0, netifIndex);
  return error == -EEXIST ? 0 : error;
}

function insert(destination: u32, mask: u32, gateway: u32, netifIndex: u32): i32 {
  const n = stack.routeCount;
  let at: u32 = 0;
  for (; at < n; at++) {
    const r = routeAt(at);
    if (r.mask == mask && r.destination == destination) return -EEXIST;
    if (r.mask < mask) break;
  }
  if (n == ROUTES_MAX) return -ENOBUFS;
  const slot = changetype<usize>(routeAt(at));
  memory.copy(slot + ROUTE_BYTES, slot, (n - at) * ROUTE_BYTES);
  const r = routeAt(at);
  r.destination = destination;
  r.mask = mask;
  r.gateway = gateway;
  r.netif = netifIndex;
  stack.routeCount = n + 1;
  stack.routeGeneration++;
  return 0;
}

/** Removes the route to a destination and mask. Returns 0 or -ENOENT. */
export function routeRemove(destination: u32, mask: u32): i32 {
  for (let i: u32 = 0; i < stack.routeCount; i++) {
    const r = routeAt(i);
    if (r.mask != mask || r.destination != destination) continue;
    removeAt(i);
    return 0;
  }
  return -ENOENT;
}

/** Removes the routes over an interface: its address goes. */
export function routeForget(netifIndex: u32): void {
  let i: u32 = 0;
  while (i < stack.routeCount) {
    if (routeAt(i).netif == netifIndex) removeAt(i);
    else i++;
  }
}

function removeAt(index: u32): void {
  const n = stack.routeCount - 1;
  const slot = changetype<usize>(routeAt(index));
  memory.copy(slot, slot + ROUTE_BYTES, (n - index) * ROUTE_BYTES);
  stack.routeCount = n;
  stack.routeGeneration++;
}

/** Writes up to `most` routes {destination, mask, gateway, netif: u32} at `out`; returns how many. */
export function routeDump(out: usize, most: u32): u32 {
  const n = min(most, stack.routeCount);
  memory.copy(out, base + TABLE, n * ROUTE_BYTES);
  return n;
}
