// Trains of segments in: what GRO does. Behind a segment that took the fast path, the next frames of a burst are
// often the same but for sequence number, identification and checksum: they are appended without being parsed.

import {
  MIB_ETH_IN_BYTES,
  MIB_ETH_IN_FRAMES,
  MIB_IP_IN_DELIVERS,
  MIB_IP_IN_RECEIVES,
  MIB_TCP_HEADER_PREDICTIONS,
  MIB_TCP_IN_SEGS,
  PSH,
  RX_IP_BAD,
  RX_IP_GOOD,
  RX_L4_BAD,
  RX_L4_GOOD,
} from "../layout";
import { Chunk, chunkData, chunkRoom, queueCommit } from "../memory/chunk";
import { copyBytes } from "../memory/copy";
import { Mbuf } from "../memory/mbuf";
import { count, countBy } from "../stack";
import { copySum, fold, sumBytes } from "../wire/checksum";
import { headerSum } from "../wire/ipv4";
import { received } from "./established";
import { TF_ACK_NOW, Tcb, rcvQueue } from "./tcb";
import { openWindow } from "./window";

/** Offsets in a frame. */
const TYPE: usize = 12;
const LENGTH: usize = 16;
const FRAGMENT: usize = 20;
const ADDRESSES: usize = 26;
const PORTS: usize = 34;
const SEQ: usize = 38;
const ACK_SEQ: usize = 42;
const FLAGS: usize = 46;
const OPTIONS: usize = 54;
/** PSH in the word at FLAGS, memory order. */
const PSH_BIT: u32 = PSH << 8;

/** The train's connection and what its frames have in common; they hold within one burst. */
let train: u32 = 0;
let macs: u64 = 0;
let macsEnd: u32 = 0;
let type: u32 = 0;
let length: u32 = 0;
let fragment: u32 = 0;
let addresses: u64 = 0;
let ports: u32 = 0;
let ackSeq: u32 = 0;
let flags: u32 = 0;
let options: u32 = 0;
let stamps: u64 = 0;
let headerBytes: u32 = 0;
let pseudo: u64 = 0;

/** Forgets the train: another frame came between, or the burst is over. */
export function trainEnd(): void {
  train = 0;
}

/**
 * A segment of `t` took the fast path: the frame at `frame` (its Ethernet header) may begin a train. `tcpBytes` is
 * the length of its TCP header, 20, or 32 with timestamps; `sum` the pseudo-header's.
 */
export function trainBegin(t: Tcb, frame: usize, tcpBytes: u32, sum: u64): void {
  train = u32(changetype<usize>(t));
  macs = load<u64>(frame);
  macsEnd = load<u32>(frame, 8);
  type = load<u32>(frame, TYPE);
  length = load<u16>(frame, LENGTH);
  fragment = load<u32>(frame, FRAGMENT);
  addresses = load<u64>(frame, ADDRESSES);
  ports = load<u32>(frame, PORTS);
  ackSeq = load<u32>(frame, ACK_SEQ);
  flags = load<u32>(frame, FLAGS) & ~PSH_BIT;
  headerBytes = tcpBytes;
  if (tcpBytes != 20) {
    options = load<u32>(frame, OPTIONS);
    stamps = load<u64>(frame, OPTIONS + 4);
  }
  pseudo = sum;
}

/** Appends the frame if it continues the train; false: it goes the usual way (and the train is over). */
export function trainTake(m: Mbuf): bool {
  if (train == 0) return false;
  if (takes(changetype<Tcb>(train), m)) return true;
  train = 0;
  return false;
}

function isAlike(t: Tcb, p: usize): bool {
  if (load<u64>(p) != macs || load<u32>(p, 8) != macsEnd || load<u32>(p, TYPE) != type) return false;
  if (u32(load<u16>(p, LENGTH)) != length || load<u32>(p, FRAGMENT) != fragment) return false;
  if (load<u64>(p, ADDRESSES) != addresses || load<u32>(p, PORTS) != ports) return false;
  if (load<u32>(p, ACK_SEQ) != ackSeq || (load<u32>(p, FLAGS) & ~PSH_BIT) != flags) return false;
  if (headerBytes != 20 && (load<u32>(p, OPTIONS) != options || load<u64>(p, OPTIONS + 4) != stamps)) return false;
  return bswap<u32>(load<u32>(p, SEQ)) == t.rcvNxt;
}

function takes(t: Tcb, m: Mbuf): bool {
  const p = usize(m.data);
  const whole = m.dataLen;
  const total = ((length & 0xff) << 8) | (length >>> 8);
  if (m.next != 0 || whole != total + 14 || !isAlike(t, p)) return false;
  const ol = m.olFlags;
  if (ol & (RX_IP_BAD | RX_L4_BAD)) return false;
  if (!(ol & RX_IP_GOOD) && fold(headerSum(p + 14)) != 0xffff) return false;
  const bytes = total - 20 - headerBytes;
  const q = rcvQueue(t);
  if (q.tail == 0 || bytes > openWindow(t)) return false;
  const tail = changetype<Chunk>(q.tail);
  if (chunkRoom(tail) < bytes) return false;
  const target = chunkData(tail) + tail.length;
  const source = p + 34 + headerBytes;
  if (ol & RX_L4_GOOD) copyBytes(target, source, bytes);
  else if (fold(pseudo + sumBytes(p + 34, headerBytes) + copySum(target, source, bytes)) != 0xffff) return false;
  queueCommit(q, bytes);
  t.rcvNxt += bytes;
  count(MIB_ETH_IN_FRAMES);
  countBy(MIB_ETH_IN_BYTES, whole);
  count(MIB_IP_IN_RECEIVES);
  count(MIB_IP_IN_DELIVERS);
  count(MIB_TCP_IN_SEGS);
  count(MIB_TCP_HEADER_PREDICTIONS);
  // Once an ACK is due at the end of the burst, nothing more is to be decided; the reader has been told.
  if (!(t.tflags & TF_ACK_NOW)) received(t, bytes);
  return true;
}
