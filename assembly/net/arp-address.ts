// An interface's own address: probing before use, announcing, noticing another host that has it, and defending it.
// Read first: RFC 5227 (IPv4 Address Conflict Detection), section 1.1 for the constants.

import {
  ADDRESS_ASSIGNED,
  ADDRESS_CONFLICT,
  ADDRESS_NONE,
  ADDRESS_PROBING,
  EBUSY,
  EINVAL,
  ENODEV,
  KIND_TIMER_ARP,
  MIB_ARP_CONFLICTS,
  NETIF_MAX,
} from "../layout";
import { count, nowMillis, stack } from "../stack";
import { Timer, timerArm, timerCancel } from "../timer";
import { isUnicast } from "../wire/ipv4";
import { arpSendAnnouncement, arpSendProbe } from "./arp-packet";
import { Netif, netifAt, netifSetAddress } from "./netif";
import { randomUnder } from "./random";

/** Timer.state of the timers of this file, among the states of neighbours. */
export const ARP_ADDRESS_TIMER: i32 = 15;

/** RFC 5227 section 1.1, ms. */
const PROBE_WAIT_MILLIS: u32 = 1000;
const PROBE_NUM: u32 = 3;
const PROBE_MIN_MILLIS: u32 = 1000;
const PROBE_MAX_MILLIS: u32 = 2000;
const ANNOUNCE_WAIT_MILLIS: u32 = 2000;
const ANNOUNCE_INTERVAL_MILLIS: u32 = 2000;
const DEFEND_INTERVAL_MILLIS: u32 = 10000;

@unmanaged
class AddressTimer extends Timer {
  /** The address that is probed, or was when a conflict showed. */
  address: u32;
  netmask: u32;
  defendedMillis: u32;
  /** ADDRESS_PROBING, ADDRESS_CONFLICT, or 0. */
  phase: u8;
  /** Probes sent; PROBE_NUM when only the announcement is left. */
  probes: u8;
  /** 1 when defendedMillis is valid. */
  defended: u8;
  /** 1: announce once more. */
  announce: u8;
}

const TIMER_BYTES: u32 = 40;
if (offsetof<AddressTimer>() > TIMER_BYTES) ERROR("AddressTimer layout");
export const ADDRESS_TIMERS_BYTES: u32 = TIMER_BYTES * NETIF_MAX;

let timers: usize = 0;

/** Points this instance at the timers of its interfaces' addresses. */
export function addressTimersAttach(at: usize): void {
  timers = at;
}

/** Prepares the timers; the memory is zero. */
export function addressTimersInit(): void {
  for (let i = 0; i < NETIF_MAX; i++) {
    const t = timerOf(i);
    t.fd = -1;
    t.kind = u8(KIND_TIMER_ARP);
    t.state = u8(ARP_ADDRESS_TIMER);
  }
}

function timerOf(index: u32): AddressTimer {
  return changetype<AddressTimer>(timers + index * TIMER_BYTES);
}

/** Tells the neighbours which MAC address has this interface's address (RFC 5227 2.3), if it has one. */
export function arpAnnounce(nif: Netif): void {
  if (nif.address != 0 && !nif.loopback) arpSendAnnouncement(nif, nif.address);
}

/**
 * Probes an address before interface `index` takes it (RFC 5227 2.1): after 3 probes without an objection, some 5 to
 * 7 seconds, it is set and announced twice. arpAddressState() tells what came of it.
 * @returns 0; -ENODEV, -EINVAL for an address that no host has, -EBUSY when the interface has an address or probes
 */
export function arpProbe(index: u32, address: u32, netmask: u32): i32 {
  if (index == 0 || index >= stack.netifCount) return -ENODEV;
  if (!isUnicast(address)) return -EINVAL;
  const t = timerOf(index);
  if (netifAt(index).address != 0 || t.phase == ADDRESS_PROBING) return -EBUSY;
  t.address = address;
  t.netmask = netmask;
  t.phase = u8(ADDRESS_PROBING);
  t.probes = 0;
  timerArm(t, nowMillis + randomUnder(PROBE_WAIT_MILLIS));
  return 0;
}

/** Ends what goes on about an interface's address: it is being set or taken away. */
export function arpAddressForget(index: u32): void {
  const t = timerOf(index);
  timerCancel(t);
  t.phase = 0;
  t.announce = 0;
  t.defended = 0;
}

/** State of interface `index`'s address, ADDRESS_*. */
export function arpAddressState(index: u32): i32 {
  if (index >= stack.netifCount) return ADDRESS_NONE;
  if (netifAt(index).address != 0) return ADDRESS_ASSIGNED;
  return timerOf(index).phase;
}

/** The next step of probing, or the second announcement. */
export function addressTimer(timer: Timer): void {
  const t = changetype<AddressTimer>(changetype<usize>(timer));
  const index = u32((changetype<usize>(t) - timers) / TIMER_BYTES);
  const nif = netifAt(index);
  if (t.phase == ADDRESS_PROBING) {
    if (u32(t.probes) < PROBE_NUM) {
      arpSendProbe(nif, t.address);
      t.probes++;
      const spread = randomUnder(PROBE_MAX_MILLIS - PROBE_MIN_MILLIS + 1);
      timerArm(t, nowMillis + (u32(t.probes) == PROBE_NUM ? ANNOUNCE_WAIT_MILLIS : PROBE_MIN_MILLIS + spread));
      return;
    }
    if (netifSetAddress(index, t.address, t.netmask) < 0) return; // announced once by that
    t.announce = 1;
    timerArm(t, nowMillis + ANNOUNCE_INTERVAL_MILLIS);
  } else if (t.announce) {
    t.announce = 0;
    arpAnnounce(nif);
  }
}

/**
 * Looks whether an ARP packet of another host claims our address; true when there is no more to do with it. `speaks`:
 * this stack, not another of its host, is to defend it.
 */
export function addressConflict(nif: Netif, mac: u64, sender: u32, target: u32, speaks: bool): bool {
  const t = timerOf(nif.index);
  if (t.phase == ADDRESS_PROBING) {
    // RFC 5227 2.1.1: any packet that has it as sender, and another host's probe for the same address.
    if (sender != t.address && !(sender == 0 && target == t.address)) return false;
    count(MIB_ARP_CONFLICTS);
    timerCancel(t);
    t.phase = u8(ADDRESS_CONFLICT);
    return true;
  }
  if (sender == 0 || sender != nif.address || mac == nif.mac) return false;
  count(MIB_ARP_CONFLICTS);
  // RFC 5227 2.4 (c) with a limit: defend the address, but never more often than every DEFEND_INTERVAL.
  if (!speaks) return true;
  if (!t.defended || nowMillis - t.defendedMillis >= DEFEND_INTERVAL_MILLIS) {
    t.defended = 1;
    t.defendedMillis = nowMillis;
    arpAnnounce(nif);
  }
  return true;
}
