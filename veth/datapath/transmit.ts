// txBurst: the wire's work for a burst of packets, on the thread that sends them.
// Read first: DPDK rte_eth_tx_burst, "Generic Segmentation Offload"; wire.ts for where a frame goes.

import {
  CAPTURE_OUT,
  PACKET_BYTES_MAX,
  TX_IP_CSUM,
  TX_L4_CSUM,
  TX_TSO,
  TX_VLAN_INSERT,
  TXQ_BYTES,
  TXQ_ERRORS,
  TXQ_FLOODED,
  TXQ_FORWARDED,
  TXQ_NO_CARRIER,
  TXQ_OVERSIZE,
  TXQ_PACKETS,
  TXQ_PAUSES,
  TXQ_TX_BYTES,
} from "../../assembly/layout";
import { Mbuf, mbufFree } from "../../assembly/memory/mbuf";
import { Burst, burstClose, burstFrame, burstOpen, VIEW_SENT, VIEW_TAGGED } from "./burst";
import { captureBegin, captureEnd } from "./capture";
import { Frame, frameIsWhole, frameOf, frameParse, frameRetag } from "./frame";
import { Link, linkOffer, linkPoll } from "./link";
import { Port, portAt, portHasFlowControl, TXQ_BURST } from "./port";
import { BUSY, DROPPED, receive, TAKEN } from "./receive";
import { segment } from "./tso";
import { wireCommit, wireIsPlugged, wireReceiver, wireSend } from "./wire";

/**
 * Sends up to `count` packets (addresses of mbufs at `packets`) by TX queue `queue` at `now` microseconds. Returns
 * how many it consumed and freed. The others' receiver has no room, and the port has flow control: send them again.
 */
export function txBurst(port: u32, queue: u32, packets: usize, count: u32, now: f64): u32 {
  return sendPackets(port, queue, packets, count, now, true);
}

/** Sends one packet whose mbuf the caller keeps; its address is at `packet`. 1, or 0 when there is no room. */
export function txOne(port: u32, queue: u32, packet: usize, now: f64): u32 {
  return sendPackets(port, queue, packet, 1, now, false);
}

function sendPackets(port: u32, queue: u32, packets: usize, count: u32, now: f64, frees: bool): u32 {
  const p = portAt(port);
  const t = txQueueAt(p, queue);
  if ((p.linkOut | p.linkIn) != 0) portPoll(p, now);
  const b = changetype<Burst>(t + TXQ_BURST);
  burstOpen(b, count, now, portHasFlowControl(p));
  let done: u32 = 0;
  let bytes: u64 = 0;
  while (done < count) {
    const m = changetype<Mbuf>(load<u32>(packets + usize(done) * 4));
    const length = m.pktLen;
    b.remaining = count - done;
    if (transmit(p, t, queue, b, m) == BUSY) {
      txCount(t, TXQ_PAUSES, 1);
      break;
    }
    bytes += length;
    if (frees) mbufFree(m);
    done++;
  }
  burstClose(b);
  if ((b.forwarded | b.flooded) != 0) commit(p, t, b);
  txCount(t, TXQ_PACKETS, done);
  txCount(t, TXQ_TX_BYTES, bytes);
  return done;
}

/** Counts what the bridge has taken of a burst: queue by queue, so that threads do not write the same words. */
function commit(p: Port, t: usize, b: Burst): void {
  if (p.bridge == 0) return wireCommit(p, b);
  txCount(t, TXQ_FORWARDED, b.forwarded);
  txCount(t, TXQ_FLOODED, b.flooded);
}

/** Moves what is due in the port's links. */
export function portPoll(p: Port, now: f64): void {
  if (p.linkOut != 0) linkPoll(p.linkOut, now);
  if (p.linkIn != 0) linkPoll(p.linkIn, now);
}

/** Address of a TX queue, which its thread alone uses. */
export function txQueueAt(p: Port, queue: u32): usize {
  assert(queue < p.txCount);
  return usize(p.txQueues + queue * TXQ_BYTES);
}

/** Adds to a counter of a TX queue, TXQ_*. */
export function txCount(t: usize, counter: u32, n: u64): void {
  store<u64>(t + counter * 8, load<u64>(t + counter * 8) + n);
}

function transmit(p: Port, t: usize, queue: u32, b: Burst, m: Mbuf): i32 {
  const f = burstFrame(b, VIEW_SENT);
  frameOf(f, m);
  if (!frameIsWhole(f)) return txDrop(t, TXQ_ERRORS);
  if (f.flags != 0) {
    if ((f.flags & ~p.offers) != 0) return txDrop(t, TXQ_ERRORS);
    if ((f.flags & (TX_TSO | TX_VLAN_INSERT)) != 0) return transmitSpecial(p, t, queue, b, m, f);
    if (!bearsChecksums(f)) return txDrop(t, TXQ_ERRORS);
  }
  if (f.len > p.frameMax) return txDrop(t, TXQ_OVERSIZE);
  if ((p.capture | p.linkOut) == 0) {
    const receiver = wireReceiver(p, f, b);
    if (receiver !== null) {
      const result = receive(receiver, f, b);
      if (result == TAKEN) b.forwarded++;
      return result;
    }
  }
  return sendFrame(p, t, queue, b, f);
}

/** Insertion of a tag, segmentation. */
function transmitSpecial(p: Port, t: usize, queue: u32, b: Burst, m: Mbuf, sent: Frame): i32 {
  let f = sent;
  if (f.len > <u32>PACKET_BYTES_MAX) return txDrop(t, TXQ_OVERSIZE);
  if ((f.flags & TX_TSO) != 0) f.flags |= TX_L4_CSUM | TX_IP_CSUM;
  if ((f.flags & TX_VLAN_INSERT) != 0) {
    f = burstFrame(b, VIEW_TAGGED);
    frameRetag(f, sent, i32(m.vlanTci));
  }
  if (!bearsChecksums(f)) return txDrop(t, TXQ_ERRORS);
  if ((f.flags & TX_TSO) != 0) {
    f.mss = m.tsoMss;
    return segment(p, t, queue, b, m, f);
  }
  if (f.len > p.frameMax) return txDrop(t, TXQ_OVERSIZE);
  return sendFrame(p, t, queue, b, f);
}

/** False when a checksum is to be computed for which the frame has no header. */
function bearsChecksums(f: Frame): bool {
  if (f.flags == 0) return true;
  if (f.parsed == 0) frameParse(f);
  return f.l3 != 0 && ((f.flags & TX_L4_CSUM) == 0 || f.l4 != 0);
}

export function txDrop(t: usize, counter: u32): i32 {
  txCount(t, counter, 1);
  return DROPPED;
}

/** Puts one frame on the wire: captured first, then through the link. */
export function sendFrame(p: Port, t: usize, queue: u32, b: Burst, f: Frame): i32 {
  const capture = p.capture;
  if (capture == 0) return sendUncaptured(p, t, b, f);
  // The record takes its place before the frame's arrival can be captured, and is taken back if nothing was sent.
  const length = f.len;
  const record = captureBegin(capture, f, p.index, CAPTURE_OUT, queue, b.at);
  const result = sendUncaptured(p, t, b, f);
  captureEnd(capture, record, length, result != BUSY);
  return result;
}

function sendUncaptured(p: Port, t: usize, b: Burst, f: Frame): i32 {
  const link = p.linkOut;
  if (link != 0) return linkOffer(changetype<Link>(link), f, b);
  const result = wireSend(p, f, b);
  if (result == DROPPED && !wireIsPlugged(p)) txCount(t, TXQ_NO_CARRIER, 1);
  return result;
}
