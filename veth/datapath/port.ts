// A user-veth port: one region with header, RSS tables, flow director, queues and the mbuf pools of its RX queues.
// Read first: DPDK "Poll Mode Driver"; assembly/layout.ts for what the host reads and writes here.

import {
  CACHE_SPREAD,
  CAP_RSS_HASH,
  CAP_RX_CSUM,
  CAP_TX_IP_CSUM,
  CAP_TX_L4_CSUM,
  CAP_TX_TSO,
  CAP_VLAN,
  ESWITCH_UPLINK,
  MBUF_BYTES,
  PORT_CACHES,
  PORT_CAPTURE,
  PORT_DIRECTOR,
  PORT_DROPS,
  PORT_ESWITCH,
  PORT_FLOW_CONTROL,
  PORT_FUNCTION,
  PORT_HEADER,
  PORT_LINK_IN,
  PORT_LINK_OUT,
  PORT_MAC,
  PORT_QUEUES_MAX,
  PORT_RETA,
  PORT_RSS_KEY,
  PORT_RX_SHORT,
  PORT_TX_COUNT,
  PORT_TRUNK,
  PORT_TX_QUEUES,
  PORT_UP,
  RETA_SIZE,
  RXQ_BYTES,
  RXQ_DOORBELL,
  RXQ_PACKETS,
  RXQ_POOL,
  TX_IP_CSUM,
  TX_L4_CSUM,
  TX_TSO,
  TX_VLAN_INSERT,
  TXQ_BYTES,
  TXQ_COUNT,
} from "../../assembly/layout";
import { Pool, POOL_BYTES, poolInit, poolInUse } from "../../assembly/memory/pool";
import { burstRingBytes, burstRingInit } from "../../assembly/memory/ring";
import { rxCacheAt, rxCacheShort } from "../../assembly/memory/rx-cache";
import { Burst, BURST_BYTES, laneOffset } from "./burst";
import { directorBytes, directorInit } from "./director";
import { RSS_TABLE_BYTES, rssTableInit } from "./rss";

const PORT_MAGIC: u32 = 0x54524f50; // "PORT"

@unmanaged
export class Port {
  magic: u32;
  flags: u32;
  caps: u32;
  mtu: u32;
  /** The address as the first eight bytes of a frame to this port, without the last two. */
  mac: u64;
  index: u32;
  queues: u32;
  ringSize: u32;
  mbufs: u32;
  rules: u32;
  rssTypes: u32;
  bridge: u32;
  slot: u32;
  peer: u32;
  capture: u32;
  linkOut: u32;
  linkIn: u32;
  rxQueues: u32;
  txQueues: u32;
  director: u32;
  rssTable: u32;
  /** Largest frame: MTU, Ethernet header, one tag. */
  frameMax: u32;
  /** Not 0 when reception looks at the headers. */
  parses: u32;
  /** Not 0 when reception needs the RSS hash. */
  hashes: u32;
  /** TX_* work that a sender may ask for. */
  offers: u32;
  /** TX queues, at least as many as RX queues. */
  txCount: u32;
  /** The switch inside its NIC, 0 = it has none; which function of that it is, or ESWITCH_UPLINK. */
  eswitch: u32;
  func: u32;
  /** The trunk to an ltran, 0 = none. */
  trunk: u32;
  /** Caches of freed mbufs: one for each RX queue, for each TX queue's thread (memory/rx-cache.ts). */
  caches: u32;
}
if (offsetof<Port>("mac") != PORT_MAC || offsetof<Port>("capture") != PORT_CAPTURE) ERROR("Port layout");
if (offsetof<Port>("linkOut") != PORT_LINK_OUT || offsetof<Port>("linkIn") != PORT_LINK_IN) ERROR("Port layout");
if (offsetof<Port>("txQueues") != PORT_TX_QUEUES || <i32>offsetof<Port>() > PORT_RSS_KEY) ERROR("Port layout");
if (offsetof<Port>("caches") != PORT_CACHES) ERROR("Port layout");
if (offsetof<Port>("director") != PORT_DIRECTOR || offsetof<Port>("txCount") != PORT_TX_COUNT) ERROR("Port layout");

if (offsetof<Port>("eswitch") != PORT_ESWITCH || offsetof<Port>("func") != PORT_FUNCTION) ERROR("Port layout");
if (offsetof<Port>("trunk") != PORT_TRUNK) ERROR("Port layout");

/** What senders know of an RX queue; the consumer's counters and the pool lie CACHE_SPREAD bytes apart. */
@unmanaged
export class RxQueue {
  ring: u32;
  port: u32;
  index: u32;
  /** Offset of its lane in a sender's burst, see burst.ts. */
  lane: u32;
  /** Descriptors: with so many frames waiting, the queue is full. 0: it is closed. */
  size: u32;
  /** Address of a doorbell, or 0. */
  doorbell: u32;
  /** What its packets carry as their mark while their stack keeps them from beat to beat, 0 = it never does. */
  holder: u32;
}
if (offsetof<RxQueue>("doorbell") != RXQ_DOORBELL || <i32>offsetof<RxQueue>() > RXQ_PACKETS) ERROR("RxQueue layout");
if (<u32>RXQ_POOL + POOL_BYTES > <u32>RXQ_BYTES || RXQ_POOL != RXQ_PACKETS + CACHE_SPREAD) ERROR("RxQueue layout");

/** A TX queue: TXQ_COUNT counters, then the scratch of the thread that owns it. */
export const TXQ_BURST: u32 = 128;
if (TXQ_COUNT * 8 > 128 || TXQ_BURST + BURST_BYTES > <u32>TXQ_BYTES) ERROR("TxQueue layout");

/** Bytes of a port's region with `queues` RX queues and `txCount` TX queues. `ringSize` is a power of two. */
export function portBytes(queues: u32, ringSize: u32, mbufs: u32, rules: u32, txCount: u32): u32 {
  const rx = queues * (RXQ_BYTES + ringBytes(mbufs) + mbufs * MBUF_BYTES);
  return portTables(rules) + rx + max(queues, txCount) * (TXQ_BYTES + queues * CACHE_SPREAD);
}

/** Lays out a zeroed region whose header the host has filled in. Every queue is empty, every mbuf free. */
export function portInit(base: u32): void {
  const p = changetype<Port>(base);
  assert(p.queues >= 1 && p.queues <= u32(PORT_QUEUES_MAX) && p.mbufs >= p.ringSize);
  p.txCount = max(p.queues, p.txCount);
  p.frameMax = p.mtu + 18;
  p.hashes = u32(p.queues > 1 || (p.caps & CAP_RSS_HASH) != 0);
  p.parses = u32(p.hashes != 0 || (p.caps & CAP_RX_CSUM) != 0);
  p.offers = offers(p.caps);
  p.rssTable = base + PORT_HEADER;
  p.director = p.rssTable + RSS_TABLE_BYTES;
  p.rxQueues = base + portTables(p.rules);
  p.txQueues = p.rxQueues + p.queues * RXQ_BYTES;
  rssTableInit(p.rssTable, base + PORT_RSS_KEY);
  directorInit(p.director, p.rules);
  for (let i: u32 = 0; i < u32(RETA_SIZE); i++) store<u8>(base + PORT_RETA + i, u8(i % p.queues));
  p.caches = p.txQueues + p.txCount * TXQ_BYTES;
  let ring = p.caches + p.txCount * p.queues * CACHE_SPREAD;
  let mbufs = ring + p.queues * ringBytes(p.mbufs);
  for (let i: u32 = 0; i < p.queues; i++) {
    rxQueueInit(p, i, ring, mbufs);
    ring += ringBytes(p.mbufs);
    mbufs += p.mbufs * MBUF_BYTES;
  }
  p.magic = PORT_MAGIC;
}

/** The port at a handle; traps when there is none. */
export function portAt(handle: u32): Port {
  const p = changetype<Port>(handle);
  assert(p.magic == PORT_MAGIC);
  return p;
}

export function rxQueueAt(p: Port, queue: u32): RxQueue {
  assert(queue < p.queues);
  return changetype<RxQueue>(p.rxQueues + queue * RXQ_BYTES);
}

export function rxPool(q: RxQueue): Pool {
  return changetype<Pool>(changetype<usize>(q) + RXQ_POOL);
}

/** Counts one event of a port on any thread. `counter`: PORT_DROP_* and PORT_*_BAD. */
export function portCount(p: Port, counter: u32): void {
  atomic.add<u64>(changetype<usize>(p) + PORT_DROPS + counter * 8, 1);
}

export function portIsUp(p: Port): bool {
  return (p.flags & PORT_UP) != 0;
}

/** A port has one place: a bridge, a cable, a NIC's own switch, or an ltran. */
export function portIsPlugged(p: Port): bool {
  return (p.bridge | p.peer | p.trunk) != 0 || (p.eswitch != 0 && p.func != ESWITCH_UPLINK);
}

export function portHasFlowControl(p: Port): bool {
  return (p.flags & PORT_FLOW_CONTROL) != 0;
}

/** Mbufs of an RX queue that are out of its pool and in no cache; an audit. */
export function rxMbufsInUse(handle: u32, queue: u32): u32 {
  const p = portAt(handle);
  let used = poolInUse(rxPool(rxQueueAt(p, queue)));
  for (let owner: u32 = 0; owner < p.txCount; owner++) used -= rxCacheAt(p.caches, p.queues, owner, queue).count;
  return used;
}

/** An RX queue's pool has given out its last mbuf: caches in front of it are switched off, their owners sweep them. */
export function rxPoolIsShort(q: RxQueue): void {
  const p = changetype<Port>(q.port);
  portCount(p, PORT_RX_SHORT);
  for (let owner: u32 = 0; owner < p.txCount; owner++) {
    rxCacheShort(rxCacheAt(p.caches, p.queues, owner, q.index));
  }
}

/** Makes the senders forget which port takes their frames: what this one is plugged into has changed. */
export function portForgetReceivers(p: Port): void {
  for (let i: u32 = 0; i < p.txCount; i++) changetype<Burst>(p.txQueues + i * TXQ_BYTES + TXQ_BURST).receiver = 0;
}

/** Takes a counter of all TX queues, TXQ_*: their sum, and they begin anew. */
export function portTakeCounter(p: Port, counter: u32): u64 {
  let sum: u64 = 0;
  for (let i: u32 = 0; i < p.txCount; i++) sum += atomic.xchg<u64>(p.txQueues + i * TXQ_BYTES + counter * 8, 0);
  return sum;
}

/** TX_* flags that capabilities allow. */
function offers(caps: u32): u32 {
  let flags: u32 = 0;
  if ((caps & CAP_TX_L4_CSUM) != 0) flags |= TX_L4_CSUM;
  if ((caps & CAP_TX_IP_CSUM) != 0) flags |= TX_IP_CSUM;
  if ((caps & CAP_TX_TSO) != 0) flags |= TX_TSO | TX_L4_CSUM | TX_IP_CSUM;
  if ((caps & CAP_VLAN) != 0) flags |= TX_VLAN_INSERT;
  return flags;
}

function rxQueueInit(p: Port, index: u32, ring: u32, mbufs: u32): void {
  const q = rxQueueAt(p, index);
  q.ring = ring;
  q.port = u32(changetype<usize>(p));
  q.index = index;
  q.lane = laneOffset(p.index + index);
  q.size = p.ringSize;
  q.doorbell = 0;
  burstRingInit(ring, ringSlots(p.mbufs));
  poolInit(rxPool(q), mbufs, MBUF_BYTES, p.mbufs, true);
}

/** A slot for each mbuf: see burstRingPush() for why. */
function ringSlots(mbufs: u32): u32 {
  return 1 << (32 - clz(mbufs - 1));
}

function ringBytes(mbufs: u32): u32 {
  return (burstRingBytes(ringSlots(mbufs)) + CACHE_SPREAD - 1) & ~(CACHE_SPREAD - 1);
}

/** Bytes before the queues. */
function portTables(rules: u32): u32 {
  return PORT_HEADER + RSS_TABLE_BYTES + directorBytes(rules);
}
