// Path MTUs that ICMP told: a hashed table, each entry good for ten minutes; and which datagrams carry DF.
// Read first: RFC 1191 sections 5 and 7; RFC 5927 section 7 (who may believe such a message); Linux net/ipv4/route.c,
// __ip_rt_update_pmtu().

import { IP_PMTUDISC_DO, IP_PMTUDISC_DONT, IP_PMTUDISC_WANT, SYSCTL_IP_NO_PMTU_DISC } from "../layout";
import { stack, sysctl } from "../stack";
import { Netif } from "./netif";
import { routeLookup, routeNetif } from "./route";

/** Entries; two destinations with the same hash push one another out. */
const ENTRIES: u32 = 256;
const ENTRY_BYTES: u32 = 16;
/** RFC 1191 6.3: "the timeout interval should be set to ... 10 minutes". */
const LIFE_MICROS: f64 = 600000000;
/**
 * No message lowers a path MTU below this (Linux: min_pmtu): lower ones are attacks far more often than links. Where
 * it was a link after all, routers have to cut: such a path MTU is locked, and what goes there carries no DF.
 */
export const PMTU_MIN: u32 = 552;
/** Bit of PathMtu.mtu: it is locked (Linux: rtm_mtu_locked). */
const LOCKED: u32 = 1 << 31;

@unmanaged
class PathMtu {
  destination: u32;
  mtu: u32;
  expiresMicros: f64;
}
if (offsetof<PathMtu>() != ENTRY_BYTES) ERROR("PathMtu layout");

/** Bytes of the table: whether entries, and whether locked ones, were ever made, then the entries. */
export const PMTU_BYTES: u32 = 16 + ENTRIES * ENTRY_BYTES;

/** The plateau below PMTU_MIN: 296 bytes ("point-to-point (low delay)"). */
const PLATEAU_LEAST: u32 = 296;

let base: usize = 0;

/** Points this instance at the table; memory that is all zero is an empty one. */
export function pmtuAttach(at: usize): void {
  base = at;
}

function entryOf(destination: u32): PathMtu {
  const index = ((destination ^ stack.secret3) * 0x9e3779b1) >>> 24;
  return changetype<PathMtu>(base + 16 + index * ENTRY_BYTES);
}

/** Largest datagram for `destination` over `nif`, bytes with the IP header. */
export function ipv4Mtu(nif: Netif, destination: u32): u32 {
  if (load<u32>(base) == 0) return nif.mtu;
  const e = entryOf(destination);
  if (e.destination != destination || e.expiresMicros <= stack.now) return nif.mtu;
  return min(e.mtu & ~LOCKED, nif.mtu);
}

/** True when the path to `destination` takes less than PMTU_MIN. */
function isLocked(destination: u32): bool {
  if (load<u32>(base, 4) == 0) return false;
  const e = entryOf(destination);
  return e.destination == destination && (e.mtu & LOCKED) != 0 && e.expiresMicros > stack.now;
}

/** May a datagram of a socket with this IP_MTU_DISCOVER be cut on its way? If not, it carries DF (ip_dont_fragment). */
export function pmtuMayCut(discover: i32, destination: u32): bool {
  if (discover == IP_PMTUDISC_WANT) return isLocked(destination);
  return discover != IP_PMTUDISC_DO;
}

/** IP_MTU_DISCOVER of a new socket. */
export function defaultPmtuDiscover(): u32 {
  return sysctl(SYSCTL_IP_NO_PMTU_DISC) ? IP_PMTUDISC_DONT : IP_PMTUDISC_WANT;
}

/**
 * Notes the MTU of the path to `destination` that a router told; the caller has made sure that the message answers a
 * packet of ours. A value that is not lower than what is known is ignored. Returns true when it lowered the path MTU,
 * or locked it.
 */
export function pmtuUpdate(destination: u32, mtu: u32): bool {
  if (!routeLookup(destination)) return false;
  const known = ipv4Mtu(routeNetif, destination);
  const locks = mtu < PMTU_MIN;
  if (locks) mtu = min(known, PMTU_MIN);
  else if (mtu >= known) return false;
  const e = entryOf(destination);
  e.destination = destination;
  e.mtu = locks ? mtu | LOCKED : mtu;
  e.expiresMicros = stack.now + LIFE_MICROS;
  store<u32>(base, 1);
  if (locks) store<u32>(base, 1, 4);
  return true;
}

/**
 * RFC 1191 7.1: the plateau below the size of the datagram that did not fit, for routers that tell no MTU. The last but
 * one is what a path MTU is locked at.
 */
export function pmtuPlateau(total: u32): u32 {
  if (total > 32000) return 32000;
  if (total > 17914) return 17914;
  if (total > 8166) return 8166;
  if (total > 4352) return 4352;
  if (total > 2002) return 2002;
  if (total > 1492) return 1492;
  if (total > 1006) return 1006;
  return total > PMTU_MIN ? PMTU_MIN : PLATEAU_LEAST;
}
