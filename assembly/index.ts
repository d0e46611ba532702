// stack.wasm: the arena of one stack is laid out here, and here is its heartbeat: rx burst -> timers -> tx burst.
// Read first: layout.ts, stack.ts.

import {
  CFG_CHUNKS,
  CFG_CONNECTIONS,
  CFG_EPITEMS,
  CFG_FLAGS,
  CFG_FLIGHTS,
  CFG_L2_MBUFS,
  CFG_ISLANDS,
  CFG_LARGE_CHUNKS,
  CFG_MBUFS,
  CFG_REASSEMBLIES,
  CFG_SECRET,
  CFG_SOCKETS,
  CFG_TIME_WAITS,
  CFG_TXSEGS,
  CHUNK_BYTES,
  CHUNK_LARGE_BYTES,
  EINVAL,
  EXCHANGE_BYTES,
  KIND_LISTENER,
  KIND_TCP,
  KIND_TIMER_ARP,
  KIND_TIMER_IGMP,
  KIND_TIMER_MBUF,
  KIND_TIMER_REASSEMBLY,
  KIND_TIME_WAIT,
  MBUF_BYTES,
  MIB_MBUF_CACHE_SWEEPS,
  POOL_CHUNK,
  POOL_CHUNK_LARGE,
  POOL_COUNT,
  POOL_EPITEM,
  POOL_FLIGHT,
  POOL_ISLAND,
  POOL_MBUF,
  POOL_MBUF_L2,
  POOL_SOCKET,
  POOL_TCB,
  POOL_TIME_WAIT,
  POOL_TXSEG,
  SYSCTL_COUNT,
  SYSCTL_TCP_FASTOPEN_BLACKHOLE_TIMEOUT_SEC,
} from "./layout";
import { flowAttach, flowBytes, flowInit } from "./flow";
import { chunkPools } from "./memory/chunk";
import { poolInUse, poolInit } from "./memory/pool";
import { rxCacheBeat as cacheBeat } from "./memory/rx-cache";
import { TX_POOL_BYTES, txPoolAttach, txPoolInit, txPoolTimer } from "./memory/tx-pool";
import { arpAttach, arpBytes, arpInit, arpTimer } from "./net/arp";
import { igmpAttach, igmpBytes, igmpInit, igmpTimer } from "./net/igmp";
import { ipv4Attach, ipv4Bytes, ipv4Init } from "./net/ipv4";
import { loopbackPending, loopbackRx } from "./net/loopback";
import { netifAttach, netifBytes, netifFlush, netifInit, netifPending, netifRx } from "./net/netif";
import { REASSEMBLY_BYTES, reassemblyAttach, reassemblyBytes, reassemblyInit, reassemblyTimer } from "./net/reassembly";
import { routeAttach, routeBytes, routeInit } from "./net/route";
import { UDP_SOCKET_BYTES } from "./net/udp-socket";
import { udpWaitRun } from "./net/udp-wait";
import { bindAttach, bindBytes, bindInit } from "./socket/bind";
import { descriptorAttach, descriptorBytes, descriptorInit } from "./socket/descriptor";
import { EPITEM_BYTES, EPOLL_BYTES } from "./socket/epoll";
import {
  STACK_HEAD_BYTES,
  STACK_MAGIC,
  countBy,
  nowMillis,
  poolAt,
  setNow,
  skipTicks,
  stack,
  stackAttach,
  sysctl,
  setSysctl,
} from "./stack";
import { group, groupAttach, groupOf, softAt } from "./steer/group";
import { softPending } from "./steer/hand-over";
import { portsCount } from "./steer/ports";
import { tableCount } from "./steer/table";
import { shareAttach } from "./share/beat";
import { sysctlDefaults } from "./sysctl";
import { ACK_LIST_BYTES, ackListFlush } from "./tcp/input";
import { CHALLENGE_BYTES } from "./tcp/challenge";
import { fastopenDefaultKey } from "./tcp/fastopen";
import { FASTOPEN_BYTES, fastopenClearPauses } from "./tcp/fastopen-cache";
import { FLIGHT_BYTES, ISLAND_BYTES, TCB_BYTES, TXSEG_BYTES, tcbAttach } from "./tcp/tcb";
import { TIME_WAIT_BYTES, timeWaitAttach, timeWaitTimer } from "./tcp/time-wait";
import { tcpTimer } from "./tcp/timers";
import { trainEnd } from "./tcp/train-input";
import { TRAIN_BYTES } from "./tcp/train-output";
import { memoryRun } from "./tcp/memory-run";
import { memoryDue, memoryWaitAttach, memoryWaitBytes, memoryWaitInit, memoryWaits } from "./tcp/memory-wait";
import { TX_WAIT_BYTES, txWaitRun, txWaits } from "./tcp/tx-wait";
import { Timer, WHEEL_BYTES, wheelAdvance, wheelAttach, wheelDeadlineMicros, wheelInit, wheelLag } from "./timer";

export * from "./socket/calls";
export * from "./share/client";
export * from "./share/client-receive";
export * from "./share/client-send";
export * from "./share/client-epoll";
export { shareBeat, shareDeadline, shareJoin, sharePending } from "./share/beat";
export { partBytes, partInit } from "./share/part";
export { partClose, partFail, partReset } from "./share/reset";
export { buffersFree, buffersLost, seatRetire, seatTurns, seatWindow, shareOpenFrom } from "./share/reclaim";
export { readyBytes, readyInit } from "./share/ready";
export { arpAdd, arpDump, arpRemove } from "./net/arp";
export { arpAddressState, arpProbe } from "./net/arp-address";
export { netifAdd, netifSetAddress, netifSetAdvMss, netifSetMtu } from "./net/netif";
export { routeAdd, routeDump, routeRemove } from "./net/route";
export { extents } from "./extents";
export { countersAt } from "./stack";
export { groupBytes, groupInit } from "./steer/group";
export { fastopenForget } from "./tcp/fastopen-cache";
export { rxCacheSweep, rxCacheUse } from "./memory/rx-cache";
export { retirePools, retireRules } from "./steer/retire";
export { initialSequence, timestampOffset } from "./tcp/isn";

/** The clock counts up to here, microseconds: 285 years. */
const MICROS_MAX: f64 = 9007199254740992;
/** How far the clock may be ahead of the timers, us: almost half of the 2^32 ms by which times are compared. */
const JUMP_MICROS: f64 = 24 * 86400e6;
/** How long a packet waits that the NIC had no room for, microseconds. */
const RETRY_MICROS: f64 = 50;
/** Packets that one poll takes from each interface at most. */
const RX_BUDGET: u32 = 128;

/** Where the next part of the arena goes; the same walk measures (base 0) and places. */
let cursor: u32 = 0;

function place(bytes: u32): u32 {
  const at = (cursor + 63) & ~63;
  cursor = at + bytes;
  return at;
}

function option(cfg: usize, index: i32): u32 {
  return load<u32>(cfg + (index << 2));
}

function elementBytes(pool: i32): u32 {
  switch (pool) {
    case POOL_MBUF:
    case POOL_MBUF_L2:
      return MBUF_BYTES;
    case POOL_TCB:
      return TCB_BYTES;
    case POOL_FLIGHT:
      return FLIGHT_BYTES;
    case POOL_TXSEG:
      return TXSEG_BYTES;
    case POOL_ISLAND:
      return ISLAND_BYTES;
    case POOL_CHUNK:
      return CHUNK_BYTES;
    case POOL_CHUNK_LARGE:
      return CHUNK_LARGE_BYTES;
    case POOL_SOCKET:
      return max(UDP_SOCKET_BYTES, EPOLL_BYTES);
    case POOL_EPITEM:
      return EPITEM_BYTES;
    case POOL_TIME_WAIT:
      return TIME_WAIT_BYTES;
    default:
      return REASSEMBLY_BYTES;
  }
}

/** The option that sizes a pool. */
function elementsOption(pool: i32): i32 {
  switch (pool) {
    case POOL_MBUF:
      return CFG_MBUFS;
    case POOL_MBUF_L2:
      return CFG_L2_MBUFS;
    case POOL_TCB:
      return CFG_CONNECTIONS;
    case POOL_FLIGHT:
      return CFG_FLIGHTS;
    case POOL_TXSEG:
      return CFG_TXSEGS;
    case POOL_ISLAND:
      return CFG_ISLANDS;
    case POOL_CHUNK:
      return CFG_CHUNKS;
    case POOL_CHUNK_LARGE:
      return CFG_LARGE_CHUNKS;
    case POOL_SOCKET:
      return CFG_SOCKETS;
    case POOL_EPITEM:
      return CFG_EPITEMS;
    case POOL_TIME_WAIT:
      return CFG_TIME_WAITS;
    default:
      return CFG_REASSEMBLIES;
  }
}

function flowsOf(cfg: usize): u32 {
  return option(cfg, CFG_CONNECTIONS) + option(cfg, CFG_TIME_WAITS);
}

/** Bytes of the arena that a stack with these options (CFG_*) needs; 0 when they do not fit 32 bits. */
export function arenaBytes(cfg: usize): u32 {
  let pools: u64 = 0;
  for (let i = 0; i < POOL_COUNT; i++) pools += u64(option(cfg, elementsOption(i))) * elementBytes(i) + 64;
  if (pools > 0xf0000000) return 0;
  cursor = STACK_HEAD_BYTES;
  placeParts(cfg);
  const total = u64(cursor) + pools;
  return total > 0xfff00000 ? 0 : u32(total);
}

/** Offsets of the parts, in the order in which init() sets them up. */
function placeParts(cfg: usize): void {
  place(flowBytes(flowsOf(cfg)));
  place(WHEEL_BYTES);
  place(EXCHANGE_BYTES);
  place(TCB_BYTES);
  place(ACK_LIST_BYTES);
  place(TRAIN_BYTES);
  place(TX_WAIT_BYTES);
  place(memoryWaitBytes(option(cfg, CFG_CONNECTIONS)));
  place(FASTOPEN_BYTES);
  place(CHALLENGE_BYTES);
  place(TX_POOL_BYTES);
  place(netifBytes(cfg));
  place(arpBytes(cfg));
  place(routeBytes(cfg));
  place(ipv4Bytes(cfg));
  place(reassemblyBytes(cfg));
  place(igmpBytes(cfg));
  place(bindBytes(cfg));
  place(descriptorBytes(cfg));
}

/**
 * Sets a stack up in the zeroed arena at `base` (64-byte aligned, arenaBytes() long) with the options at `cfg` (CFG_*);
 * `now` is the time in microseconds. Returns 0 or -EINVAL.
 */
export function init(base: usize, cfg: usize, now: f64): i32 {
  const bytes = arenaBytes(cfg);
  if (bytes == 0 || base & 63 || option(cfg, CFG_CONNECTIONS) == 0) return -EINVAL;
  stackAttach(base);
  stack.magic = STACK_MAGIC;
  stack.bytes = bytes;
  setNow(now);
  stack.secret0 = option(cfg, CFG_SECRET);
  stack.secret1 = option(cfg, CFG_SECRET + 1);
  stack.secret2 = option(cfg, CFG_SECRET + 2);
  stack.secret3 = option(cfg, CFG_SECRET + 3);
  stack.random = (stack.secret0 ^ stack.secret2) | 1;
  stack.flags = option(cfg, CFG_FLAGS);
  sysctlDefaults();
  fastopenDefaultKey();
  cursor = u32(base) + STACK_HEAD_BYTES;
  stack.flowTable = place(flowBytes(flowsOf(cfg)));
  flowInit(stack.flowTable, flowsOf(cfg));
  stack.wheel = place(WHEEL_BYTES);
  wheelInit(stack.wheel, nowMillis);
  stack.exchange = place(EXCHANGE_BYTES);
  stack.scratchTcb = place(TCB_BYTES);
  stack.ackList = place(ACK_LIST_BYTES);
  stack.train = place(TRAIN_BYTES);
  stack.txWait = place(TX_WAIT_BYTES);
  stack.memoryWait = place(memoryWaitBytes(option(cfg, CFG_CONNECTIONS)));
  memoryWaitInit(stack.memoryWait, option(cfg, CFG_CONNECTIONS));
  stack.fastopen = place(FASTOPEN_BYTES);
  stack.challenges = place(CHALLENGE_BYTES);
  stack.txPool = place(TX_POOL_BYTES);
  // Pools come last in memory, but the parts need them: their place is behind the parts.
  const parts = cursor;
  cursor = u32(base) + STACK_HEAD_BYTES;
  placeParts(cfg);
  initPools(cfg);
  txPoolInit(cfg);
  cursor = parts;
  attachEarly();
  initParts(cfg);
  attach(base);
  return 0;
}

function initPools(cfg: usize): void {
  for (let i = 0; i < POOL_COUNT; i++) {
    const n = option(cfg, elementsOption(i));
    poolInit(poolAt(i), place(n * elementBytes(i)), elementBytes(i), n, false);
  }
}

/** What the set-up of the parts stands on. */
function attachEarly(): void {
  flowAttach();
  wheelAttach(stack.wheel);
  chunkPools(poolAt(POOL_CHUNK), poolAt(POOL_CHUNK_LARGE), poolAt(POOL_TCB));
  memoryWaitAttach();
  tcbAttach();
  timeWaitAttach();
  txPoolAttach();
}

function initParts(cfg: usize): void {
  netifInit(place(netifBytes(cfg)), cfg);
  stack.arp = place(arpBytes(cfg));
  arpInit(stack.arp, cfg);
  stack.routes = place(routeBytes(cfg));
  routeInit(stack.routes, cfg);
  stack.ipv4 = place(ipv4Bytes(cfg));
  ipv4Init(stack.ipv4, cfg);
  stack.reassembly = place(reassemblyBytes(cfg));
  reassemblyInit(stack.reassembly, cfg);
  stack.igmp = place(igmpBytes(cfg));
  igmpInit(stack.igmp, cfg);
  stack.bindTable = place(bindBytes(cfg));
  bindInit(stack.bindTable, cfg);
  stack.descriptors = place(descriptorBytes(cfg));
  descriptorInit(stack.descriptors, cfg);
}

/** Points this instance at a stack that init() has set up, here or in another instance. */
export function attach(base: usize): void {
  stackAttach(base);
  assert(stack.magic == STACK_MAGIC);
  trainEnd();
  attachEarly();
  netifAttach(stack.netifs);
  arpAttach(stack.arp);
  routeAttach(stack.routes);
  groupAttach();
  ipv4Attach(stack.ipv4);
  reassemblyAttach(stack.reassembly);
  igmpAttach(stack.igmp);
  bindAttach(stack.bindTable);
  descriptorAttach(stack.descriptors);
  shareAttach();
}

/**
 * Takes what has arrived, runs the timers that are due at `now` (microseconds), sends what came of it.
 * Returns how many frames and timers there were: 0 means that nothing happened.
 * For a clock that goes back time stands still until it has come so far again. One that jumps ahead by weeks makes
 * every timer run, once.
 */
export function poll(now: f64): i32 {
  followClock(now);
  // What left by this beat counts as work: the others of the network have something to do then.
  let work = netifPending();
  if (work != 0) {
    netifFlush();
    work -= netifPending();
  }
  work += netifRx(RX_BUDGET);
  if (stack.loopHead != 0) work += loopbackRx();
  work += runTimers();
  if (memoryWaits()) work += memoryRun();
  if (stack.udpWaits != 0) work += udpWaitRun();
  if (work == 0 && !txWaits()) return 0;
  ackListFlush();
  netifFlush();
  work += txWaitRun();
  return i32(work);
}

/** After each beat of a thread that gathers freed mbufs: gives them back where others are short of them. */
export function rxCacheBeat(): void {
  countBy(MIB_MBUF_CACHE_SWEEPS, cacheBeat(nowMillis));
}

/** Moves the stack's clock to `now`, microseconds: before a call that sends, when the last poll was long ago. */
export function setClock(now: f64): void {
  followClock(now);
}

/** Moves the clock. Of a jump that the timers cannot follow, their ticks leave out what is too much. */
function followClock(now: f64): void {
  assert(now < MICROS_MAX);
  const most = stack.now + JUMP_MICROS - f64(wheelLag()) * 1000;
  if (now > most) skipTicks(i64(now - most) / 1000);
  setNow(now);
}

function runTimers(): u32 {
  let fired: u32 = 0;
  while (true) {
    const t = wheelAdvance(nowMillis);
    if (t === null) return fired;
    fired++;
    dispatch(t);
  }
}

function dispatch(t: Timer): void {
  switch (i32(t.kind)) {
    case KIND_TCP:
    case KIND_LISTENER:
      tcpTimer(t);
      break;
    case KIND_TIME_WAIT:
      timeWaitTimer(t);
      break;
    case KIND_TIMER_ARP:
      arpTimer(t);
      break;
    case KIND_TIMER_REASSEMBLY:
      reassemblyTimer(t);
      break;
    case KIND_TIMER_IGMP:
      igmpTimer(t);
      break;
    case KIND_TIMER_MBUF:
      txPoolTimer(t);
      break;
    default:
      assert(false);
  }
}

/** When poll() wants to run again though nothing arrives, microseconds; Infinity when there is no need. */
export function nextDeadline(): f64 {
  if (loopbackPending() || softPending() || memoryDue()) return stack.now;
  const timers = wheelDeadlineMicros();
  // A NIC that takes nothing now is asked again; simulated time must go on meanwhile.
  return netifPending() != 0 || txWaits() || stack.udpWaits != 0 ? min(timers, stack.now + RETRY_MICROS) : timers;
}

/**
 * Makes the stack one of its host's: number `index` of the group at `base` (steer/group.ts), or the only one (0).
 * To be called before interfaces are added.
 */
export function join(base: u32, index: u32): void {
  assert(stack.netifCount == 1);
  stack.group = base;
  stack.groupIndex = index;
  groupAttach();
}

/**
 * Sets a stack up again in the arena at `base`, where one was before: as init(), which wants zeroed bytes. Pools need
 * none: their elements are carved anew.
 */
export function renew(base: usize, cfg: usize, now: f64): i32 {
  if (arenaBytes(cfg) == 0) return -EINVAL;
  cursor = STACK_HEAD_BYTES;
  placeParts(cfg);
  memory.fill(base, 0, cursor);
  return init(base, cfg, now);
}

/** Address of software queue `index` of this stack's group, 0 when it has none; the others lie `softStride()` apart. */
export function softQueue(index: u32): usize {
  return group == 0 ? 0 : softAt(index);
}

/** Distance of two software queues, bytes. */
export function softStride(): u32 {
  return group == 0 ? 0 : groupOf().softBytes;
}

/** Entries of stack `index` in its host's flow table: an audit. */
export function flowEntries(index: u32): u32 {
  return tableCount(index);
}

/** Ports that stack `index` serves in its host's port table: an audit. */
export function portEntries(index: u32): u32 {
  return portsCount(index);
}

/** Address of the exchange area. */
export function exchange(): usize {
  return stack.exchange;
}

/** Value of a tunable (SYSCTL_*). */
export function sysctlGet(index: i32): u32 {
  return index >= 0 && index < SYSCTL_COUNT ? sysctl(index) : 0;
}

/** Sets a tunable (SYSCTL_*): 0 or -EINVAL. */
export function sysctlSet(index: i32, value: u32): i32 {
  if (index < 0 || index >= SYSCTL_COUNT) return -EINVAL;
  setSysctl(index, value);
  if (index == SYSCTL_TCP_FASTOPEN_BLACKHOLE_TIMEOUT_SEC) fastopenClearPauses();
  return 0;
}

/** Elements of pool `index` (POOL_*) that are in use. */
export function poolUsed(index: i32): u32 {
  return poolInUse(poolAt(index));
}

/** Capacity of pool `index`. */
export function poolCapacity(index: i32): u32 {
  return poolAt(index).capacity;
}

/** Most elements of pool `index` that were ever in use. */
export function poolPeak(index: i32): u32 {
  return poolAt(index).peak;
}

/** Requests that found pool `index` empty. */
export function poolFailures(index: i32): u32 {
  return poolAt(index).failures;
}

/** Connections in ESTABLISHED or CLOSE-WAIT (RFC 4022 tcpCurrEstab), orphans, TIME-WAIT records. */
export function currEstab(): u32 {
  return stack.currEstab;
}

/** Connections that the application has closed and that are not done yet. */
export function orphanCount(): u32 {
  return stack.orphans;
}

/** TIME-WAIT records. */
export function timeWaitCount(): u32 {
  return stack.timeWaits;
}
