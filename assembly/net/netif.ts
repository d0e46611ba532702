// Network interfaces: where the stack meets the NIC. Bursts in, bursts out; the loopback (index 0) needs no NIC.
// Read first: DPDK "Poll Mode Driver" for the burst interface; RFC 894 for IPv4 over Ethernet.

import {
  BURST_MAX,
  CAP_RX_CSUM,
  CAP_TX_L4_CSUM,
  EINVAL,
  ENFILE,
  ENOBUFS,
  ENODEV,
  IF_ADDRESS,
  IF_CAPS,
  IF_FLAGS,
  IF_MAC_HIGH,
  IF_MAC_LOW,
  IF_MTU,
  IF_NETMASK,
  IF_NO_RX,
  IF_PORT,
  IF_QUEUE,
  IF_QUEUES,
  IF_TX_QUEUE,
  INADDR_LOOPBACK,
  MIB_ETH_OUT_BYTES,
  MIB_ETH_OUT_FRAMES,
  MIB_ETH_OUT_QUEUE_DROPS,
  NETIF_MAX,
  RX_LOOPED,
} from "../layout";
import { extentPut } from "../memory/extent";
import { Mbuf, mbufFree } from "../memory/mbuf";
import { trainEnd, trainTake } from "../tcp/train-input";
import { group } from "../steer/group";
import { handOver, handOverEnd, softPending, softTake, steerBegin, steerEnd } from "../steer/hand-over";
import { rulesLearn } from "../steer/rules";
import { count, countBy, stack } from "../stack";
import { macOf } from "../wire/ethernet";
import { arpForget } from "./arp";
import { arpAddressForget, arpAnnounce } from "./arp-address";
import { etherInput } from "./ethernet";
import { ipv4Input } from "./ipv4-input";
import { queueOf, rxBurst, txBurst } from "./nic";
import { packetOwn } from "./packet";
import { WARM_BYTES, warmBurst } from "./warm";
import { routeConnected, routeForget } from "./route";

/** Packets that wait for the NIC at most; what comes on top is dropped and counted. */
export const TX_QUEUE_MAX: u32 = 256;
/** MTU of the loopback: each of its packets fits one mbuf. */
const LOOPBACK_MTU: u32 = 1500;
/** "Every internet module must be able to forward a datagram of 68 octets without further fragmentation." (RFC 791) */
const MTU_MIN: u32 = 68;
const MTU_MAX: u32 = 65535;

@unmanaged
export class Netif {
  /** MAC address in the low 48 bits, octet 0 lowest (wire/ethernet). */
  mac: u64;
  port: u32;
  queue: u32;
  /** IPv4 address and mask, host order; 0 while unconfigured. */
  address: u32;
  netmask: u32;
  /** The subnet's broadcast address; 0xffffffff where there is none (a mask of 31 or 32 bits, no address). */
  broadcast: u32;
  mtu: u32;
  caps: u32;
  index: u32;
  loopback: u32;
  /** Packets that wait for the next burst out. */
  txCount: u32;
  /** How many of the waiting packets may have segments that point into socket queues. */
  txExternal: u32;
  /** Waiting packets (mbuf addresses); the NIC takes BURST_MAX at a time. */
  txQueue: u32;
  /** Queues that this stack serves, from `queue` on. */
  queues: u32;
  /** Packets queued since the last poll began. */
  txBeat: u32;
  /** The NIC's queue by which packets leave. */
  outQueue: u32;
  /** MSS that SYNs announce, at most; 0: what the MTU allows. */
  advMss: u32;
}

/** Bytes kept for one Netif. */
const NETIF_BYTES: u32 = 88;
if (offsetof<Netif>() > NETIF_BYTES) ERROR("Netif layout");

/** Offsets in the memory of the interfaces. */
const QUEUES_AT: u32 = NETIF_MAX * NETIF_BYTES;
const RX_BURST_AT: u32 = QUEUES_AT + NETIF_MAX * TX_QUEUE_MAX * 4;
const WARM_AT: u32 = RX_BURST_AT + BURST_MAX * 4;

let base: usize = 0;
let rxArray: usize = 0;

/** Bytes of the interfaces; the number is the same for every configuration. */
export function netifBytes(_cfg: usize): u32 {
  return WARM_AT + WARM_BYTES;
}

/** Prepares the interfaces at `at` (8-byte aligned): the loopback, 127.0.0.1/8, and no other. */
export function netifInit(at: usize, cfg: usize): void {
  memory.fill(at, 0, netifBytes(cfg));
  stack.netifs = u32(at);
  stack.netifCount = 1;
  netifAttach(at);
  const lo = netifAt(0);
  lo.mtu = LOOPBACK_MTU;
  lo.caps = CAP_TX_L4_CSUM | CAP_RX_CSUM;
  lo.loopback = 1;
  lo.address = INADDR_LOOPBACK;
  lo.netmask = 0xff000000;
  lo.broadcast = 0xffffffff;
}

/** Points this instance at the interfaces. */
export function netifAttach(at: usize): void {
  base = at;
  rxArray = at + RX_BURST_AT;
}

/**
 * Appends to a list of extents (memory/extent.ts) what of the bytes from `from` to `to`, among which the interfaces
 * lie, holds state: of the queues out only what waits in them.
 */
export function netifExtents(at: usize, from: u32, to: u32): usize {
  const start = u32(base);
  at = extentPut(at, from, start + QUEUES_AT - from);
  const n = stack.netifCount;
  for (let i: u32 = 1; i < n; i++) at = extentPut(at, netifAt(i).txQueue, netifAt(i).txCount * 4);
  const end = u32(base) + WARM_AT + WARM_BYTES;
  return extentPut(at, end, to - end);
}

/** Interface number `index`, from 0 to stack.netifCount - 1. */
export function netifAt(index: u32): Netif {
  return changetype<Netif>(base + index * NETIF_BYTES);
}

/**
 * Adds an interface on queue IF_QUEUE of port IF_PORT; `cfg` points at IF_WORDS words. Sets its address (with a
 * connected route and an announcement) when IF_ADDRESS is not 0.
 * @returns its index; -ENFILE when there are NETIF_MAX, -EINVAL for an MTU or an address that cannot be
 */
export function netifAdd(cfg: usize): i32 {
  const index = stack.netifCount;
  if (index == NETIF_MAX) return -ENFILE;
  const mtu = load<u32>(cfg + IF_MTU * 4);
  if (mtu < MTU_MIN || mtu > MTU_MAX) return -EINVAL;
  const nif = netifAt(index);
  nif.mac = macOf(load<u32>(cfg + IF_MAC_HIGH * 4), load<u32>(cfg + IF_MAC_LOW * 4));
  nif.port = load<u32>(cfg + IF_PORT * 4);
  nif.queue = load<u32>(cfg + IF_QUEUE * 4);
  nif.queues = load<u32>(cfg + IF_FLAGS * 4) & IF_NO_RX ? 0 : max<u32>(load<u32>(cfg + IF_QUEUES * 4), 1);
  nif.outQueue = load<u32>(cfg + IF_TX_QUEUE * 4);
  nif.mtu = mtu;
  nif.caps = load<u32>(cfg + IF_CAPS * 4);
  nif.index = index;
  nif.broadcast = 0xffffffff;
  nif.txQueue = u32(base) + QUEUES_AT + index * (TX_QUEUE_MAX * 4);
  stack.netifCount = index + 1;
  rulesLearn(nif);
  const address = load<u32>(cfg + IF_ADDRESS * 4);
  if (address == 0) return index;
  const error = netifSetAddress(index, address, load<u32>(cfg + IF_NETMASK * 4));
  if (error < 0) {
    stack.netifCount = index;
    return error;
  }
  return index;
}

/**
 * Gives an interface its address, or takes it away (0). The connected route follows, other hosts are told
 * (a gratuitous ARP), and what was learnt about neighbours of the old address is forgotten.
 * @returns 0; -ENODEV without such an interface, -EINVAL for a mask with holes or an address that no host has
 */
export function netifSetAddress(index: u32, address: u32, mask: u32): i32 {
  if (index == 0 || index >= stack.netifCount) return -ENODEV;
  if ((~mask & (~mask + 1)) != 0) return -EINVAL;
  const top = address >>> 24;
  if (address != 0 && (top == 0 || top == 127 || top >= 224)) return -EINVAL;
  const nif = netifAt(index);
  arpAddressForget(index);
  if (nif.address != 0) {
    routeForget(index);
    arpForget(index);
  }
  nif.address = address;
  nif.netmask = address == 0 ? 0 : mask;
  nif.broadcast = address == 0 || mask >= 0xfffffffe ? 0xffffffff : address | ~mask;
  stack.routeGeneration++;
  if (address == 0) return 0;
  const error = routeConnected(index, address & mask, mask);
  if (error < 0) return error;
  // One stack speaks for its host.
  if (stack.groupIndex == 0) arpAnnounce(nif);
  return 0;
}

/** Changes an interface's MTU; connections follow it as they would a smaller path. 0, -ENODEV or -EINVAL. */
export function netifSetMtu(index: u32, mtu: u32): i32 {
  if (index == 0 || index >= stack.netifCount) return -ENODEV;
  if (mtu < MTU_MIN || mtu > MTU_MAX) return -EINVAL;
  netifAt(index).mtu = mtu;
  stack.routeGeneration++;
  return 0;
}

/** The MSS that SYNs over an interface announce (a route's advmss), bytes; 0: what the MTU allows. 0 or -ENODEV. */
export function netifSetAdvMss(index: u32, mss: u32): i32 {
  if (index == 0 || index >= stack.netifCount) return -ENODEV;
  netifAt(index).advMss = mss;
  return 0;
}

/** The queue of `nif`'s NIC at which packets of a flow would arrive; as the packets carry addresses and ports. */
export function netifQueueOf(nif: Netif, protocol: u32, sIp: u32, dIp: u32, sPort: u32, dPort: u32): u32 {
  return nif.loopback ? nif.queue : queueOf(nif.port, protocol, sIp, dIp, sPort, dPort);
}

/** Receives one burst of up to `most` frames (at most BURST_MAX) from each queue; returns the frames. */
export function netifRx(most: u32): u32 {
  const n = stack.netifCount;
  const limit = min<u32>(most, BURST_MAX);
  let frames: u32 = 0;
  for (let i: u32 = 1; i < n; i++) {
    const nif = netifAt(i);
    nif.txBeat = 0;
    const last = nif.queue + nif.queues;
    for (let queue = nif.queue; queue < last; queue++) frames += receiveBurst(nif, queue, limit);
  }
  return softPending() ? frames + receiveSoft(limit) : frames;
}

/** Receives what other stacks of the host have handed over: a burst, as from a queue of the NIC. */
function receiveSoft(limit: u32): u32 {
  let got: u32 = 0;
  while (got < limit) {
    const m = softTake();
    if (m === null) break;
    got++;
    const nif = netifAt(m.user3);
    if (trainTake(m)) mbufFree(m);
    else receive(nif, m);
  }
  trainEnd();
  handOverEnd();
  return got;
}

/** A packet's way up, in a host with several stacks. */
function receive(nif: Netif, m: Mbuf): void {
  steerBegin(m);
  const kept = m.olFlags & RX_LOOPED ? ipv4Input(nif, m) : etherInput(nif, m);
  if (steerEnd()) handOver(nif.index, m);
  else if (!kept) mbufFree(m);
}

function receiveBurst(nif: Netif, queue: u32, limit: u32): u32 {
  const got = rxBurst(nif.port, queue, rxArray, limit, stack.now);
  assert(got <= limit);
  warmBurst(rxArray, got, base + WARM_AT);
  const end = rxArray + (usize(got) << 2);
  for (let at = rxArray; at < end; at += 4) {
    const m = changetype<Mbuf>(load<u32>(at));
    if (trainTake(m)) mbufFree(m);
    else if (group != 0) receive(nif, m);
    else if (!etherInput(nif, m)) mbufFree(m);
  }
  trainEnd();
  if (group != 0) handOverEnd();
  return got;
}

/** True when packets that arrive at `queue` of the interface's NIC come to this stack. */
export function netifServes(nif: Netif, queue: u32): bool {
  return nif.loopback != 0 || queue - nif.queue < nif.queues;
}

/** Queues a frame for the next burst; takes the mbuf in any case. Returns 0, or -ENOBUFS when the queue is full. */
export function netifTransmit(nif: Netif, m: Mbuf): i32 {
  const n = nif.txCount;
  if (n == TX_QUEUE_MAX) {
    count(MIB_ETH_OUT_QUEUE_DROPS);
    mbufFree(m);
    return -ENOBUFS;
  }
  store<u32>(usize(nif.txQueue) + (usize(n) << 2), u32(changetype<usize>(m)));
  nif.txCount = n + 1;
  nif.txBeat++;
  if (m.nbSegs > 1) nif.txExternal++;
  if (((n + 1) & (BURST_MAX - 1)) == 0) flush(nif);
  return 0;
}

/** Packets that netifTransmit() still takes. */
export function netifTxRoom(nif: Netif): u32 {
  return TX_QUEUE_MAX - nif.txCount;
}

/** Sends everything that waits; what a NIC does not take now stays queued and points at no foreign bytes. */
export function netifFlush(): void {
  const n = stack.netifCount;
  for (let i: u32 = 1; i < n; i++) {
    const nif = netifAt(i);
    if (nif.txCount != 0) flush(nif);
  }
}

/** Do waiting packets point into socket queues? False after netifFlush(). */
export function netifPendingExternal(): bool {
  const n = stack.netifCount;
  for (let i: u32 = 1; i < n; i++) {
    if (netifAt(i).txExternal != 0) return true;
  }
  return false;
}

/** Packets that wait for any NIC. */
export function netifPending(): u32 {
  const n = stack.netifCount;
  let waiting: u32 = 0;
  for (let i: u32 = 1; i < n; i++) waiting += netifAt(i).txCount;
  return waiting;
}

function flush(nif: Netif): void {
  const waiting = nif.txCount;
  const queue = usize(nif.txQueue);
  let sent: u32 = 0;
  let bytes: u32 = 0;
  while (sent < waiting) {
    const first = queue + (usize(sent) << 2);
    const n = min<u32>(waiting - sent, BURST_MAX);
    const offered = bytesOf(first, n);
    const taken = txBurst(nif.port, nif.outQueue, first, n, stack.now);
    assert(taken <= n);
    sent += taken;
    bytes += offered;
    if (taken < n) {
      bytes -= bytesOf(first + (usize(taken) << 2), n - taken);
      break;
    }
  }
  countBy(MIB_ETH_OUT_FRAMES, sent);
  countBy(MIB_ETH_OUT_BYTES, bytes);
  nif.txExternal = 0;
  nif.txCount = sent == waiting ? 0 : keep(queue, sent, waiting);
}

function bytesOf(packets: usize, n: u32): u32 {
  let bytes: u32 = 0;
  const end = packets + (usize(n) << 2);
  for (let at = packets; at < end; at += 4) bytes += changetype<Mbuf>(load<u32>(at)).pktLen;
  return bytes;
}

/** Moves the packets that were not taken to the front, each with bytes of its own; returns how many remain. */
function keep(queue: usize, first: u32, end: u32): u32 {
  let kept: u32 = 0;
  for (let i = first; i < end; i++) {
    const m = changetype<Mbuf>(load<u32>(queue + (usize(i) << 2)));
    if (m.nbSegs > 1 && !packetOwn(m)) {
      count(MIB_ETH_OUT_QUEUE_DROPS);
      mbufFree(m);
      continue;
    }
    store<u32>(queue + (usize(kept) << 2), u32(changetype<usize>(m)));
    kept++;
  }
  return kept;
}
