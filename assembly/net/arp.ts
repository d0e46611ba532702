// The ARP cache: which MAC address a neighbour has, how sure that is, and the packets that wait to know.
// Read first: RFC 826; RFC 1122 section 2.3.2; RFC 4861 section 7.3.2 for the states (Linux runs ARP by them, arp(7)).

import {
  ARP_DELAY,
  ARP_INCOMPLETE,
  ARP_PERMANENT,
  ARP_PROBE,
  ARP_REACHABLE,
  ARP_ROW_BYTES,
  ARP_STALE,
  CFG_ARP_ENTRIES,
  EINVAL,
  ENOBUFS,
  ENOENT,
  KIND_TIMER_ARP,
  MIB_ARP_EVICTIONS,
  MIB_ARP_FAILURES,
  MIB_ARP_PENDING_DROPS,
  SYSCTL_ARP_REACHABLE_TIME,
} from "../layout";
import { Mbuf, mbufFree, mbufPrepend } from "../memory/mbuf";
import { txCapacity } from "../memory/tx-pool";
import { count, nowMillis, stack, sysctl } from "../stack";
import { Timer, timerArm, timerCancel } from "../timer";
import {
  ETHERTYPE_IPV4,
  ETHER_BYTES,
  MAC_BROADCAST,
  MAC_MASK,
  macHigh,
  macLow,
  macOf,
  macOfGroup,
} from "../wire/ethernet";
import { isMulticast } from "../wire/ipv4";
import {
  ADDRESS_TIMERS_BYTES,
  ARP_ADDRESS_TIMER,
  addressTimer,
  addressTimersAttach,
  addressTimersInit,
} from "./arp-address";
import { arpRequest } from "./arp-packet";
import { hostUnreachable } from "./icmp";
import { Netif, netifAt, netifTransmit } from "./netif";
import { packetOwn } from "./packet";
import { onLink } from "./route";

export { arpAddressState, arpAnnounce, arpProbe } from "./arp-address";
export { arpInput } from "./arp-input";

/** Limits and times (arp(7): mcast_solicit, ucast_solicit, retrans_time_ms, delay_first_probe_time). */
const TRIES: u32 = 3;
const RETRY_MILLIS: u32 = 1000;
const DELAY_MILLIS: u32 = 5000;
/** A changed address is believed again after this time (Linux: locktime), ms. */
export const LOCK_MILLIS: u32 = 1000;
/** Packets that wait for one neighbour: enough for the fragments of one datagram. */
const PENDING_MAX: u32 = 64;
const ENTRIES_MIN: u32 = 16;

@unmanaged
export class ArpEntry extends Timer {
  address: u32;
  /** First eight bytes of the frames to it: its MAC address, then two octets of the interface's own. */
  head: u64;
  /** The interface's last four octets. */
  tail: u32;
  /** Next entry of the bucket, or of the free list. */
  hashNext: u32;
  usedMillis: u32;
  confirmedMillis: u32;
  /** When its MAC address last changed. */
  changedMillis: u32;
  /** Packets that wait (Mbuf.user0 links them). */
  pendingHead: u32;
  pendingTail: u32;
  pendingCount: u8;
  tries: u8;
  netif: u8;
  /** 1: made because the neighbour asked for us, not because we wanted it. */
  learned: u8;
}

/** Bytes kept for an entry. */
const ENTRY_BYTES: u32 = 64;
if (offsetof<ArpEntry>() != ENTRY_BYTES) ERROR("ArpEntry layout");

/** Offsets in the memory of the cache. */
const ENTRIES: usize = 0; // power of two
const FREE: usize = 4; // free list
const LEARNED: usize = 8; // entries that neighbours caused
const PENDING: usize = 12; // packets that wait, all entries together
const HEAD_BYTES: u32 = 64;

let base: usize = 0;
let buckets: usize = 0;
let entries: usize = 0;
let shift: u32 = 0;

function entriesOf(cfg: usize): u32 {
  const wanted = load<u32>(cfg + CFG_ARP_ENTRIES * 4);
  return wanted <= ENTRIES_MIN ? ENTRIES_MIN : (<u32>1) << (32 - clz<u32>(min<u32>(wanted, 65536) - 1));
}

/** Bytes of a cache with CFG_ARP_ENTRIES entries (rounded up to a power of two, at least 16). */
export function arpBytes(cfg: usize): u32 {
  return HEAD_BYTES + ADDRESS_TIMERS_BYTES + entriesOf(cfg) * (4 + ENTRY_BYTES);
}

/** Prepares an empty cache at `at` (8-byte aligned). */
export function arpInit(at: usize, cfg: usize): void {
  memory.fill(at, 0, arpBytes(cfg));
  store<u32>(at, entriesOf(cfg), ENTRIES);
  stack.arp = u32(at);
  arpAttach(at);
  addressTimersInit();
  for (let i = entriesOf(cfg); i > 0; i--) release(changetype<ArpEntry>(entries + (i - 1) * ENTRY_BYTES));
}

/** Points this instance at its cache. */
export function arpAttach(at: usize): void {
  base = at;
  const n = load<u32>(at, ENTRIES);
  shift = clz<u32>(n) + 1;
  addressTimersAttach(at + HEAD_BYTES);
  buckets = at + HEAD_BYTES + ADDRESS_TIMERS_BYTES;
  entries = buckets + n * 4;
}

function bucketOf(address: u32): usize {
  return buckets + (usize(((address ^ stack.secret2) * 0x9e3779b1) >>> shift) << 2);
}

/**
 * Sends a packet (data at its IP header) to the neighbour `nextHop` on `nif`, at once or when the neighbour's address
 * is known. Takes the mbuf in any case. Returns 0 or -ENOBUFS.
 */
export function arpOutput(nif: Netif, nextHop: u32, m: Mbuf): i32 {
  let at = load<u32>(bucketOf(nextHop));
  while (at != 0) {
    const e = changetype<ArpEntry>(at);
    if (e.address == nextHop && u32(e.netif) == nif.index) {
      const state = u32(e.state);
      e.usedMillis = nowMillis;
      if (state == ARP_INCOMPLETE) return pend(e, m);
      if (state == ARP_STALE) {
        setState(e, ARP_DELAY);
        timerArm(e, nowMillis + DELAY_MILLIS);
      }
      return etherTransmit(nif, m, e.head, e.tail);
    }
    at = e.hashNext;
  }
  return resolve(nif, nextHop, m);
}

/** Puts an Ethernet header in front, given as its first twelve bytes, and queues the frame. */
function etherTransmit(nif: Netif, m: Mbuf, head: u64, tail: u32): i32 {
  const p = mbufPrepend(m, ETHER_BYTES);
  store<u64>(p, head);
  store<u32>(p, tail, 8);
  store<u16>(p, u16(ETHERTYPE_IPV4), 12);
  return netifTransmit(nif, m);
}

/** The way of packets whose next hop is not in the cache: groups need no entry, neighbours get one. */
function resolve(nif: Netif, nextHop: u32, m: Mbuf): i32 {
  const broadcast = nextHop == 0xffffffff || nextHop == nif.broadcast;
  if (broadcast || isMulticast(nextHop)) {
    const mac = broadcast ? MAC_BROADCAST : macOfGroup(nextHop);
    return etherTransmit(nif, m, mac | (nif.mac << 48), u32(nif.mac >> 16));
  }
  const e = entryCreate(nif, nextHop, false);
  if (e === null) {
    count(MIB_ARP_PENDING_DROPS);
    mbufFree(m);
    return -ENOBUFS;
  }
  setState(e, ARP_INCOMPLETE);
  const result = pend(e, m);
  ask(e);
  return result;
}

/** Lets a packet wait for the neighbour's address, with bytes of its own; the oldest makes room. */
function pend(e: ArpEntry, m: Mbuf): i32 {
  if (!packetOwn(m)) {
    count(MIB_ARP_PENDING_DROPS);
    mbufFree(m);
    return -ENOBUFS;
  }
  const self = u32(changetype<usize>(m));
  m.user0 = 0;
  if (e.pendingTail != 0) changetype<Mbuf>(e.pendingTail).user0 = self;
  else e.pendingHead = self;
  e.pendingTail = self;
  e.pendingCount++;
  store<u32>(base, load<u32>(base, PENDING) + 1, PENDING);
  if (u32(e.pendingCount) > PENDING_MAX || load<u32>(base, PENDING) > txCapacity() >>> 2) {
    const oldest = changetype<Mbuf>(takePending(e));
    count(MIB_ARP_PENDING_DROPS);
    mbufFree(oldest);
  }
  return 0;
}

/** Takes the oldest waiting packet off an entry, or 0. */
function takePending(e: ArpEntry): u32 {
  const at = e.pendingHead;
  if (at == 0) return 0;
  const next = changetype<Mbuf>(at).user0;
  e.pendingHead = next;
  if (next == 0) e.pendingTail = 0;
  e.pendingCount--;
  store<u32>(base, load<u32>(base, PENDING) - 1, PENDING);
  return at;
}

/** Asks for the neighbour's address: everybody while it is unknown, the neighbour itself when it is to be confirmed. */
function ask(e: ArpEntry): void {
  const nif = netifAt(e.netif);
  arpRequest(nif, e.address, e.state == ARP_PROBE ? e.head & MAC_MASK : MAC_BROADCAST);
  e.tries++;
  timerArm(e, nowMillis + RETRY_MILLIS);
}

function setState(e: ArpEntry, state: u32): void {
  e.state = u8(state);
  e.tries = 0;
}

/** The entry of a neighbour, or null. */
export function entryFind(nif: Netif, address: u32): ArpEntry | null {
  let at = load<u32>(bucketOf(address));
  while (at != 0) {
    const e = changetype<ArpEntry>(at);
    if (e.address == address && u32(e.netif) == nif.index) return e;
    at = e.hashNext;
  }
  return null;
}

/**
 * A new entry, in the place of the one that was used longest ago when the cache is full. Entries that neighbours
 * cause (`learned`) take half of the cache at most and push out only their like.
 */
export function entryCreate(nif: Netif, address: u32, learned: bool): ArpEntry | null {
  if (learned && load<u32>(base, LEARNED) >= load<u32>(base, ENTRIES) >>> 1) {
    if (!evict(true)) return null;
  } else if (load<u32>(base, FREE) == 0) {
    if (!evict(learned)) return null;
  }
  const at = load<u32>(base, FREE);
  const e = changetype<ArpEntry>(at);
  store<u32>(base, e.hashNext, FREE);
  memory.fill(at, 0, ENTRY_BYTES);
  e.fd = -1;
  e.kind = u8(KIND_TIMER_ARP);
  e.address = address;
  e.netif = u8(nif.index);
  e.learned = u8(learned);
  e.usedMillis = nowMillis;
  if (learned) store<u32>(base, load<u32>(base, LEARNED) + 1, LEARNED);
  const bucket = bucketOf(address);
  e.hashNext = load<u32>(bucket);
  store<u32>(bucket, at);
  return e;
}

/** Removes the entry that was used longest ago; static ones stay. False when there is none to remove. */
function evict(learnedOnly: bool): bool {
  let oldest: usize = 0;
  let age: u32 = 0;
  const end = entries + load<u32>(base, ENTRIES) * ENTRY_BYTES;
  for (let at = entries; at < end; at += ENTRY_BYTES) {
    const e = changetype<ArpEntry>(at);
    if (e.state == 0 || e.state == ARP_PERMANENT || (learnedOnly && !e.learned)) continue;
    if (oldest != 0 && nowMillis - e.usedMillis <= age) continue;
    oldest = at;
    age = nowMillis - e.usedMillis;
  }
  if (oldest == 0) return false;
  count(MIB_ARP_EVICTIONS);
  entryRemove(changetype<ArpEntry>(oldest));
  return true;
}

/** Takes an entry out of the cache; packets that wait for it are dropped and counted. */
function entryRemove(e: ArpEntry): void {
  while (true) {
    const m = takePending(e);
    if (m == 0) break;
    count(MIB_ARP_PENDING_DROPS);
    mbufFree(changetype<Mbuf>(m));
  }
  unlink(e);
}

function unlink(e: ArpEntry): void {
  timerCancel(e);
  const self = u32(changetype<usize>(e));
  let link = bucketOf(e.address);
  while (load<u32>(link) != self) link = usize(load<u32>(link)) + offsetof<ArpEntry>("hashNext");
  store<u32>(link, e.hashNext);
  if (e.learned) store<u32>(base, load<u32>(base, LEARNED) - 1, LEARNED);
  release(e);
}

function release(e: ArpEntry): void {
  e.state = 0;
  e.hashNext = load<u32>(base, FREE);
  store<u32>(base, u32(changetype<usize>(e)), FREE);
}

/** Notes a neighbour's MAC address; `solicited`: it answered us. What waited for it leaves. */
export function entryUpdate(e: ArpEntry, mac: u64, solicited: bool): void {
  if (e.state == ARP_PERMANENT) return;
  const nif = netifAt(e.netif);
  const head = mac | (nif.mac << 48);
  const changed = head != e.head;
  if (changed) e.changedMillis = nowMillis;
  e.head = head;
  e.tail = u32(nif.mac >> 16);
  if (solicited) {
    confirm(e);
  } else if (changed || e.state == ARP_INCOMPLETE) {
    setState(e, ARP_STALE);
    timerCancel(e);
  }
  sendPending(e, nif);
}

/** The neighbour is there: it answered, or the transport saw progress. */
function confirm(e: ArpEntry): void {
  e.confirmedMillis = nowMillis;
  if (e.state == ARP_REACHABLE) return;
  setState(e, ARP_REACHABLE);
  timerArm(e, nowMillis + sysctl(SYSCTL_ARP_REACHABLE_TIME));
}

function sendPending(e: ArpEntry, nif: Netif): void {
  while (true) {
    const m = takePending(e);
    if (m == 0) return;
    etherTransmit(nif, changetype<Mbuf>(m), e.head, e.tail);
  }
}

/**
 * Tells the cache that the neighbour `nextHop` on `nif` is alive, as the transport knows when its data are
 * acknowledged (RFC 4861 7.3.1): it need not be asked then.
 */
export function arpConfirm(nif: Netif, nextHop: u32): void {
  const e = entryFind(nif, nextHop);
  if (e !== null && e.state >= ARP_REACHABLE && e.state <= ARP_PROBE) confirm(e);
}

/** A timer of this file's or of an interface's address has run out. */
export function arpTimer(t: Timer): void {
  if (t.state == ARP_ADDRESS_TIMER) {
    addressTimer(t);
    return;
  }
  const e = changetype<ArpEntry>(changetype<usize>(t));
  switch (i32(e.state)) {
    case ARP_REACHABLE: {
      const left = i32(e.confirmedMillis + sysctl(SYSCTL_ARP_REACHABLE_TIME) - nowMillis);
      if (left > 0) timerArm(e, nowMillis + left);
      else setState(e, ARP_STALE);
      return;
    }
    case ARP_DELAY:
      setState(e, ARP_PROBE);
      ask(e);
      return;
    case ARP_INCOMPLETE:
    case ARP_PROBE:
      if (u32(e.tries) < TRIES) ask(e);
      else fail(e);
      return;
    default:
      assert(false);
  }
}

/** Nobody answered: those whose packets wait are told (RFC 1122 2.3.2.2), the entry goes. */
function fail(e: ArpEntry): void {
  count(MIB_ARP_FAILURES);
  let at = e.pendingHead;
  store<u32>(base, load<u32>(base, PENDING) - e.pendingCount, PENDING);
  unlink(e);
  while (at != 0) {
    const m = changetype<Mbuf>(at);
    at = m.user0;
    hostUnreachable(m);
    mbufFree(m);
  }
}

/** Forgets what was learnt on an interface, static entries included. */
export function arpForget(index: u32): void {
  const end = entries + load<u32>(base, ENTRIES) * ENTRY_BYTES;
  for (let at = entries; at < end; at += ENTRY_BYTES) {
    const e = changetype<ArpEntry>(at);
    if (e.state != 0 && u32(e.netif) == index) entryRemove(e);
  }
}

/**
 * Adds a static entry, which no packet changes; MAC address as in IF_MAC_HIGH and IF_MAC_LOW.
 * @returns 0; -EINVAL when `address` is on no interface's subnet, -ENOBUFS when the cache is full of static entries
 */
export function arpAdd(address: u32, high: u32, low: u32): i32 {
  const index = onLink(address);
  if (index == 0) return -EINVAL;
  const nif = netifAt(index);
  let e = entryFind(nif, address);
  if (e === null) e = entryCreate(nif, address, false);
  if (e === null) return -ENOBUFS;
  timerCancel(e);
  e.head = macOf(high, low) | (nif.mac << 48);
  e.tail = u32(nif.mac >> 16);
  setState(e, ARP_PERMANENT);
  sendPending(e, nif);
  return 0;
}

/** Removes an entry, static or not. Returns 0 or -ENOENT. */
export function arpRemove(address: u32): i32 {
  for (let i: u32 = 1; i < stack.netifCount; i++) {
    const e = entryFind(netifAt(i), address);
    if (e === null) continue;
    entryRemove(e);
    return 0;
  }
  return -ENOENT;
}

/** Writes up to `most` rows of ARP_ROW_BYTES at `out`; returns how many. */
export function arpDump(out: usize, most: u32): u32 {
  let rows: u32 = 0;
  const end = entries + load<u32>(base, ENTRIES) * ENTRY_BYTES;
  for (let at = entries; at < end && rows < most; at += ENTRY_BYTES) {
    const e = changetype<ArpEntry>(at);
    if (e.state == 0) continue;
    const mac = e.head & MAC_MASK;
    store<u32>(out, e.address);
    store<u32>(out, macHigh(mac), 4);
    store<u32>(out, macLow(mac), 8);
    store<u32>(out, u32(e.state) | (u32(e.netif) << 8) | (u32(e.pendingCount) << 16), 12);
    out += ARP_ROW_BYTES;
    rows++;
  }
  return rows;
}
