// IGMP, the host's side of version 2: which groups each interface has joined, and telling the routers.
// Queries of version 3 are answered as those of version 2 (RFC 3376 7.2.1 allows it); there are no source filters.
// Read first: RFC 2236 sections 3 and 6; RFC 1112 section 7 for the interface to IP.

import {
  EADDRNOTAVAIL,
  EINVAL,
  ENOBUFS,
  ENODEV,
  IPPROTO_IGMP,
  KIND_TIMER_IGMP,
  MIB_IGMP_IN_ERRORS,
  MIB_IGMP_IN_MSGS,
  MIB_IGMP_OUT_LEAVES,
  MIB_IGMP_OUT_REPORTS,
  NETIF_MAX,
} from "../layout";
import { Mbuf, mbufPrepend } from "../memory/mbuf";
import { count, nowMillis, stack } from "../stack";
import { Timer, timerArm, timerCancel } from "../timer";
import { get32, put32 } from "../wire/bytes";
import { checksum, fold, sumBytes } from "../wire/checksum";
import {
  ALL_ROUTERS,
  ALL_SYSTEMS,
  IGMP_BYTES,
  IGMP_CHECKSUM,
  IGMP_GROUP,
  IGMP_LEAVE,
  IGMP_MAX_RESPONSE,
  IGMP_QUERY,
  IGMP_TYPE,
  IGMP_V1_REPORT,
  IGMP_V2_REPORT,
  ROUTER_ALERT,
} from "../wire/igmp";
import { IPV4_BYTES, IPV4_CHECKSUM, IPV4_OPTIONS, isMulticast, lengthWord, putIpv4 } from "../wire/ipv4";
import { arpOutput } from "./arp";
import { Netif, netifAt } from "./netif";
import { contiguous, packetAlloc, packetSum } from "./packet";
import { randomUnder } from "./random";

/** Memberships of all interfaces together. */
const GROUPS_MAX: u32 = 128;
/** RFC 2236 section 8.10, ms: time within which a new membership is reported once more. */
const UNSOLICITED_MILLIS: u32 = 10000;
/** RFC 2236 8.11: time for which a router of version 1 is remembered, microseconds. */
const V1_ROUTER_MICROS: f64 = 400000000;
/** What a query of version 1 stands for (RFC 2236 section 4), tenths of a second. */
const V1_RESPONSE: u32 = 100;

@unmanaged
class Group extends Timer {
  address: u32;
  netif: u32;
  /** Sockets that have joined; 0: the place is free. */
  members: u32;
  /** 1: the report that the routers heard last was ours, so that leaving is ours to tell. */
  reporter: u32;
}

const GROUP_BYTES: u32 = 40;
if (offsetof<Group>() > GROUP_BYTES) ERROR("Group layout");

/** Offsets: until when a router of version 1 is remembered (f64 for each interface), then the groups. */
const GROUPS_AT: u32 = NETIF_MAX * 8;

let base: usize = 0;

/** Bytes of the memberships. */
export function igmpBytes(_cfg: usize): u32 {
  return GROUPS_AT + GROUPS_MAX * GROUP_BYTES;
}

/** Prepares an empty table at `at` (8-byte aligned). */
export function igmpInit(at: usize, cfg: usize): void {
  memory.fill(at, 0, igmpBytes(cfg));
  stack.igmp = u32(at);
  igmpAttach(at);
}

/** Points this instance at its memberships. */
export function igmpAttach(at: usize): void {
  base = at;
}

function groupAt(i: u32): Group {
  return changetype<Group>(base + GROUPS_AT + i * GROUP_BYTES);
}

function find(index: u32, address: u32): Group | null {
  for (let i: u32 = 0; i < GROUPS_MAX; i++) {
    const g = groupAt(i);
    if (g.address == address && g.netif == index && g.members != 0) return g;
  }
  return null;
}

/** Does interface `nif` take datagrams to this group? "All systems" is joined everywhere (RFC 1112 section 4). */
export function multicastJoined(nif: Netif, address: u32): bool {
  return address == ALL_SYSTEMS || find(nif.index, address) !== null;
}

/**
 * Joins a group on interface `index`; each join counts, the first is reported to the routers.
 * @returns 0, -ENODEV, -EINVAL (no multicast address), -ENOBUFS (128 memberships)
 */
export function multicastJoin(index: u32, address: u32): i32 {
  if (index >= stack.netifCount) return -ENODEV;
  if (!isMulticast(address)) return -EINVAL;
  let g = find(index, address);
  if (g !== null) {
    g.members++;
    return 0;
  }
  for (let i: u32 = 0; i < GROUPS_MAX && g === null; i++) {
    if (groupAt(i).members == 0) g = groupAt(i);
  }
  if (g === null) return -ENOBUFS;
  g.fd = -1;
  g.kind = u8(KIND_TIMER_IGMP);
  g.address = address;
  g.netif = index;
  g.members = 1;
  if (!isReported(g)) return 0;
  report(g);
  // "it is recommended that it be repeated once or twice after short delays" (RFC 2236 section 3)
  timerArm(g, nowMillis + 1 + randomUnder(UNSOLICITED_MILLIS));
  return 0;
}

/** Leaves a group on interface `index`; the last to leave tells the routers. Returns 0 or -EADDRNOTAVAIL. */
export function multicastLeave(index: u32, address: u32): i32 {
  const g = find(index, address);
  if (g === null) return -EADDRNOTAVAIL;
  g.members--;
  if (g.members != 0) return 0;
  timerCancel(g);
  // Routers of version 1 do not know the message (RFC 2236 section 4).
  if (isReported(g) && g.reporter && !v1Router(index)) {
    count(MIB_IGMP_OUT_LEAVES);
    send(netifAt(index), IGMP_LEAVE, address, ALL_ROUTERS);
  }
  return 0;
}

/** "All systems" is never reported, nor what stays on the loopback. */
function isReported(g: Group): bool {
  return g.address != ALL_SYSTEMS && g.netif != 0;
}

function v1Router(index: u32): bool {
  return load<f64>(base + index * 8) > stack.now;
}

/** Takes an IGMP message of `length` bytes at `segment` in mbuf `m`. */
export function igmpInput(nif: Netif, m: Mbuf, source: u32, segment: usize, length: u32): void {
  count(MIB_IGMP_IN_MSGS);
  if (length < IGMP_BYTES || contiguous(m, segment) < IGMP_BYTES || fold(packetSum(m, segment, length)) != 0xffff) {
    count(MIB_IGMP_IN_ERRORS);
    return;
  }
  const address = get32(segment + IGMP_GROUP);
  switch (u32(load<u8>(segment, IGMP_TYPE))) {
    case IGMP_QUERY:
      query(nif, address, load<u8>(segment, IGMP_MAX_RESPONSE));
      return;
    case IGMP_V1_REPORT:
    case IGMP_V2_REPORT:
      if (source != nif.address) heard(nif, address);
      return;
    default:
      return;
  }
}

/** A router asks: each group is reported after a random time, unless another host does so first. */
function query(nif: Netif, address: u32, maxResponse: u32): void {
  if (address != 0 && !isMulticast(address)) {
    count(MIB_IGMP_IN_ERRORS);
    return;
  }
  if (maxResponse == 0) {
    store<f64>(base + nif.index * 8, stack.now + V1_ROUTER_MICROS);
    maxResponse = V1_RESPONSE;
  }
  const millis = maxResponse * 100;
  for (let i: u32 = 0; i < GROUPS_MAX; i++) {
    const g = groupAt(i);
    if (g.members == 0 || g.netif != nif.index || !isReported(g)) continue;
    if (address != 0 && g.address != address) continue;
    // "it is reset to the random value only if the requested Max Response Time is less than the remaining value"
    if (g.timerArmed && g.timerAt - nowMillis <= millis) continue;
    timerArm(g, nowMillis + 1 + randomUnder(millis));
  }
}

/** Another host reported the group: that is enough for the routers. */
function heard(nif: Netif, address: u32): void {
  const g = find(nif.index, address);
  if (g === null || !g.timerArmed) return;
  timerCancel(g);
  g.reporter = 0;
}

/** The time to report a group has come. */
export function igmpTimer(t: Timer): void {
  const g = changetype<Group>(changetype<usize>(t));
  if (g.members != 0) report(g);
}

function report(g: Group): void {
  g.reporter = 1;
  count(MIB_IGMP_OUT_REPORTS);
  send(netifAt(g.netif), v1Router(g.netif) ? IGMP_V1_REPORT : IGMP_V2_REPORT, g.address, g.address);
}

/** Sends a message with TTL 1 and the Router Alert option (RFC 2236 section 2). */
function send(nif: Netif, type: u32, address: u32, destination: u32): void {
  const m = packetAlloc();
  if (m === null) return;
  const p = usize(m.data);
  store<u32>(p, type, IGMP_TYPE);
  put32(p + IGMP_GROUP, address);
  store<u16>(p, u16(checksum(sumBytes(p, IGMP_BYTES))), IGMP_CHECKSUM);
  m.dataLen = IGMP_BYTES;
  m.pktLen = IGMP_BYTES;
  const h = mbufPrepend(m, IPV4_BYTES + 4);
  putIpv4(h, lengthWord(0xc0, IPV4_BYTES + 4 + IGMP_BYTES), 0, 1 | (IPPROTO_IGMP << 8), nif.address, destination);
  store<u8>(h, 0x46);
  store<u32>(h, ROUTER_ALERT, IPV4_OPTIONS);
  store<u16>(h, 0, IPV4_CHECKSUM);
  store<u16>(h, u16(checksum(sumBytes(h, IPV4_BYTES + 4))), IPV4_CHECKSUM);
  arpOutput(nif, destination, m);
}
