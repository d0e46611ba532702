// ltran: the forwarder between one NIC and stacks whose memories are their own. Frames lie in copies of the stacks'
// rings, made by veth/carrier.ts: what is checked here cannot change any more.
// Read first: openEuler Gazelle, ltran; ltran-choose.ts for who gets a frame; trunk.ts for the other end.
//
// One thread runs it, receive and transmit duty in turn. Nothing here waits for a stack: a ring that is full is a
// counted drop, a ring that holds nonsense is a stack that is cut off.

import {
  BURST_MAX,
  LTRAN_BELL,
  LTRAN_COUNTERS,
  LTRAN_FLOWS,
  LTRAN_HEADER,
  LTRAN_NOW,
  LTRAN_PORT,
  LTRAN_RX_DEAD,
  LTRAN_RX_UNKNOWN,
  LTRAN_SLOTS,
  MBUF_HEADER,
  STATION_ADDRESS,
  STATION_BELL,
  STATION_BYTES,
  STATION_COUNTER_COUNT,
  STATION_COUNTERS,
  STATION_MAC,
  STATION_PORTS,
  STATION_RX_BYTES,
  STATION_RX_MISSED,
  STATION_RX_PACKETS,
  STATION_TX_BYTES,
  STATION_TX_LOCAL,
  STATION_TX_PACKETS,
  STATION_TX_SPOOFED,
  STATIONS_MAX,
  TRUNK_RECORD,
  TRUNK_SKIP,
} from "../../assembly/layout";
import { copyBytes } from "../../assembly/memory/copy";
import { Mbuf, mbufAttach, mbufFree } from "../../assembly/memory/mbuf";
import { rxBurst } from "./rx";
import { chooseForward, chooseReceived, isSecondVoice, isTruthful, learnSent } from "./ltran-choose";
import { FRAGMENTS_BYTES, flowBytes } from "./ltran-flows";
import { ETHER_BYTES } from "./frame";
import { portAt } from "./port";
import { txOne } from "./transmit";
import { recordBytes } from "./trunk";

@unmanaged
export class Ltran {
  magic: u32;
  port: u32;
  slots: u32;
  /** Flows that fit, a power of two. */
  flows: u32;
  bell: u32;
  news: u32;
  flowTable: u32;
  fragmentTable: u32;
  scratch: u32;
  /** A bit for each stack that is served. */
  served: u64;
  /** Time of the latest beat. */
  now: f64;
}
if (offsetof<Ltran>("port") != LTRAN_PORT || offsetof<Ltran>("slots") != LTRAN_SLOTS) ERROR("Ltran layout");
if (offsetof<Ltran>("flows") != LTRAN_FLOWS || offsetof<Ltran>("bell") != LTRAN_BELL) ERROR("Ltran layout");
if (offsetof<Ltran>("now") != LTRAN_NOW || <i32>offsetof<Ltran>() > LTRAN_COUNTERS) ERROR("Ltran layout");

/** One stack. The words up to `blocked` are common to this and the carrier, and its thread's alone. */
@unmanaged
export class Station {
  wanted: u32;
  served: u32;
  refused: u32;
  address: u32;
  mac: u64;
  size: u32;
  out: u32;
  in: u32;
  ports: u32;
  outHead: u32;
  outTail: u32;
  inHead: u32;
  inSent: u32;
  inTail: u32;
  blocked: u32;
  bell: u32;
}
if (offsetof<Station>("address") != STATION_ADDRESS || offsetof<Station>("mac") != STATION_MAC) ERROR("Station");
if (offsetof<Station>("ports") != STATION_PORTS || offsetof<Station>("bell") != STATION_BELL) ERROR("Station");
if (STATION_COUNTERS + STATION_COUNTER_COUNT * 8 > STATION_BYTES) ERROR("Station layout");

const LTRAN_MAGIC: u32 = 0x4e52544c; // "LTRN"
/** Scratch: mbufs of a burst, a list of one packet, its descriptor. */
const LIST_AT: u32 = BURST_MAX * 4;
const PACKET_AT: u32 = LIST_AT + 8;
const SCRATCH_BYTES: u32 = PACKET_AT + MBUF_HEADER;

/** Bytes of an ltran for `slots` stacks that remembers `flows` flows, a power of two from 8. */
export function ltranBytes(slots: u32, flows: u32): u32 {
  return tablesAt(slots) + flowBytes(flows) + FRAGMENTS_BYTES + SCRATCH_BYTES;
}

/** Lays out a zeroed region whose words the host has filled in (port, slots, flows). */
export function ltranInit(base: u32): void {
  const l = changetype<Ltran>(base);
  assert(l.slots >= 1 && l.slots <= u32(STATIONS_MAX) && portAt(l.port).txCount >= l.slots);
  l.flowTable = base + tablesAt(l.slots);
  l.fragmentTable = l.flowTable + flowBytes(l.flows);
  l.scratch = l.fragmentTable + FRAGMENTS_BYTES;
  l.magic = LTRAN_MAGIC;
}

export function stationAt(l: Ltran, slot: u32): Station {
  return changetype<Station>(changetype<usize>(l) + LTRAN_HEADER + slot * STATION_BYTES);
}

/** Serves a stack from now on, from empty rings, or no longer. */
export function ltranServe(base: u32, slot: u32, start: u32): void {
  const l = ltranAt(base);
  const s = stationAt(l, slot);
  s.outHead = 0;
  s.outTail = 0;
  s.inHead = 0;
  s.inSent = 0;
  s.inTail = 0;
  s.blocked = 0;
  const bit = u64(1) << slot;
  l.served = start != 0 ? l.served | bit : l.served & ~bit;
  atomic.store<u32>(changetype<usize>(s), start, offsetof<Station>("served"));
}

/**
 * Transmit duty: forwards up to `most` of the frames that were copied out of a stack's ring. Returns how many it
 * consumed, or -1 when the ring holds what no stack would have put there.
 */
export function ltranTransmit(base: u32, slot: u32, most: u32, now: f64): i32 {
  const l = ltranAt(base);
  const s = stationAt(l, slot);
  const frameMax = portAt(l.port).frameMax;
  let tail = s.outTail;
  let done: u32 = 0;
  s.blocked = 0;
  while (tail != s.outHead && done < most) {
    const at = tail & (s.size - 1);
    const whole = min(s.size - at, s.outHead - tail);
    const length = load<u32>(s.out + at);
    if (length == TRUNK_SKIP) {
      if (whole != s.size - at) return -1;
      tail += whole;
      continue;
    }
    if (length < ETHER_BYTES || length > frameMax || recordBytes(length) > whole) return -1;
    if (!forward(l, s, slot, s.out + at + TRUNK_RECORD, length, now)) {
      s.blocked = 1;
      break;
    }
    tail += recordBytes(length);
    done++;
  }
  s.outTail = tail;
  return i32(done);
}

/** Receive duty: takes up to `most` frames from the NIC and puts each into the rings of those it is for. */
export function ltranReceive(base: u32, most: u32, now: f64): u32 {
  const l = ltranAt(base);
  let done: u32 = 0;
  l.now = now;
  while (done < most) {
    const n = rxBurst(l.port, 0, l.scratch, min<u32>(most - done, BURST_MAX), now);
    for (let i: u32 = 0; i < n; i++) {
      const m = changetype<Mbuf>(load<u32>(l.scratch + i * 4));
      const stacks = chooseReceived(l, m.data, m.dataLen);
      if (stacks == 0) ltranCount(l, LTRAN_RX_UNKNOWN);
      hand(l, stacks, m);
      mbufFree(m);
    }
    done += n;
    if (n < u32(BURST_MAX)) break;
  }
  return done;
}

/** Counts an event, LTRAN_*. */
export function ltranCount(l: Ltran, counter: u32): void {
  const at = changetype<usize>(l) + LTRAN_COUNTERS + counter * 8;
  store<u64>(at, load<u64>(at) + 1);
}

function ltranAt(base: u32): Ltran {
  const l = changetype<Ltran>(base);
  assert(l.magic == LTRAN_MAGIC);
  return l;
}

function tablesAt(slots: u32): u32 {
  return (LTRAN_HEADER + slots * STATION_BYTES + 127) & ~127;
}

function stationCount(s: Station, counter: u32, n: u64): void {
  const at = changetype<usize>(s) + STATION_COUNTERS + counter * 8;
  store<u64>(at, load<u64>(at) + n);
}

/** One frame of a stack: to other stacks here, or to the NIC, or both. False when the NIC's receiver has no room. */
function forward(l: Ltran, s: Station, slot: u32, data: u32, length: u32, now: f64): bool {
  if (!isTruthful(s, data, length)) {
    stationCount(s, STATION_TX_SPOOFED, 1);
    return true;
  }
  if (isSecondVoice(l, slot, data, length)) return true;
  const packet = changetype<Mbuf>(l.scratch + PACKET_AT);
  packet.next = 0;
  packet.nbSegs = 1;
  packet.olFlags = 0;
  mbufAttach(packet, data, length);
  const isGroup = (load<u8>(data) & 1) != 0;
  const stacks = chooseForward(l, slot, data, length);
  if (isGroup || stacks == 0) {
    store<u32>(l.scratch + LIST_AT, l.scratch + PACKET_AT);
    if (txOne(l.port, slot, l.scratch + LIST_AT, now) == 0) return false;
  }
  learnSent(l, slot, data, length, now);
  if (stacks != 0) {
    stationCount(s, STATION_TX_LOCAL, 1);
    hand(l, stacks, packet);
  }
  stationCount(s, STATION_TX_PACKETS, 1);
  stationCount(s, STATION_TX_BYTES, length);
  return true;
}

/** Puts a packet into the rings of the stacks of a mask. */
function hand(l: Ltran, stacks: u64, m: Mbuf): void {
  for (let left = stacks; left != 0; left &= left - 1) {
    const slot = u32(ctz<u64>(left));
    if (((l.served >> slot) & 1) == 0) ltranCount(l, LTRAN_RX_DEAD);
    else append(stationAt(l, slot), m);
  }
}

function append(s: Station, m: Mbuf): void {
  const length = m.pktLen;
  const need = recordBytes(length);
  let at = s.inHead & (s.size - 1);
  const skips = need > s.size - at ? s.size - at : 0;
  if (need + skips > s.size - (s.inHead - s.inTail)) {
    stationCount(s, STATION_RX_MISSED, 1);
    return;
  }
  if (skips != 0) {
    store<u32>(s.in + at, TRUNK_SKIP);
    s.inHead += skips;
    at = 0;
  }
  const record = usize(s.in + at);
  store<u64>(record, u64(length));
  let to = record + TRUNK_RECORD;
  for (let segment = u32(changetype<usize>(m)); segment != 0; segment = changetype<Mbuf>(segment).next) {
    const bytes = changetype<Mbuf>(segment).dataLen;
    copyBytes(to, changetype<Mbuf>(segment).data, bytes);
    to += bytes;
  }
  s.inHead += need;
  stationCount(s, STATION_RX_PACKETS, 1);
  stationCount(s, STATION_RX_BYTES, length);
}
