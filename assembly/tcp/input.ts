// The one way in: checks, the look-up, the fast path of RFC 1323's header prediction, and the way to each state.
// Read first: RFC 9293 section 3.10.7 (SEGMENT ARRIVES); then established.ts and handshake.ts.

import {
  ACK,
  BURST_MAX,
  IPPROTO_TCP,
  KIND_TIME_WAIT,
  MIB_TCP_HEADER_PREDICTIONS,
  MIB_TCP_IN_CSUM_ERRORS,
  MIB_TCP_IN_ERRS,
  MIB_TCP_IN_SEGS,
  PSH,
  RST,
  RX_L4_BAD,
  RX_L4_GOOD,
  SYN,
  TCP_ESTABLISHED,
  TCP_LISTEN,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from "../layout";
import { chunkData, chunkRoom, dropEmptyTail, queueCommit, queueTail } from "../memory/chunk";
import { copyBytes } from "../memory/copy";
import { Mbuf } from "../memory/mbuf";
import { Netif } from "../net/netif";
import { packetSum } from "../net/packet";
import { flowFind, portsOf } from "../flow";
import { SHUT_READ } from "../socket/socket";
import { count, nowCoarse, stack } from "../stack";
import { group } from "../steer/group";
import { portElsewhere, tcpElsewhere } from "../steer/hand-over";
import { copySum, fold, pseudoSum, sumBytes } from "../wire/checksum";
import { TCP_HEADER_BYTES } from "../wire/tcp";
import { cookieAccept } from "./cookie";
import { establishedInput, received, wakeWriter } from "./established";
import { fastopenPending } from "./fastopen";
import { handshakeInput, synSentInput } from "./handshake";
import { cookiesAreOut, listenSyn, listenerFind } from "./listen";
import { sendAck, sendBare } from "./output";
import {
  segAck,
  segData,
  segDataLen,
  segFlags,
  segHasTs,
  segLength,
  segSeq,
  segTsVal,
  segWindow,
  segTos,
  segmentParse,
} from "./segment";
import { seqGt, seqLe } from "./sequence";
import { CA_OPEN, Flight, TF_ACK_NOW, TF_ECN, TF_TIMESTAMPS, TF_URGENT, Tcb, rcvQueue } from "./tcb";
import { trainBegin } from "./train-input";
import { TimeWait, timeWaitInput, timeWaitIsn } from "./time-wait";
import { tcpAck } from "./ack";
import { openWindow } from "./window";

/** Segments with less payload than this seldom come in trains. */
const TRAIN_BYTES_MIN: u32 = 512;

/**
 * A TCP segment of `length` bytes at `header` in packet `m`; addresses in host order. The caller frees the packet.
 * Malformed segments and bad checksums are counted and dropped.
 */
export function tcpInput(
  _nif: Netif,
  m: Mbuf,
  source: u32,
  destination: u32,
  header: usize,
  length: u32,
  tos: u32,
  _ttl: u32,
): void {
  count(MIB_TCP_IN_SEGS);
  const contiguous = m.data + m.dataLen - u32(header);
  if (length < TCP_HEADER_BYTES || contiguous < TCP_HEADER_BYTES) {
    count(MIB_TCP_IN_ERRS);
    return;
  }
  const headerBytes = (u32(load<u8>(header, 12)) >>> 4) << 2;
  if (headerBytes < TCP_HEADER_BYTES || headerBytes > length || headerBytes > contiguous) {
    count(MIB_TCP_IN_ERRS);
    return;
  }
  // Local port << 16 | remote port is what the first word is, read from the receiver's side.
  const word = bswap<u32>(load<u32>(header));
  const ports = (word << 16) | (word >>> 16);
  segmentParse(m, header, headerBytes, length, tos);
  const found = flowFind(destination, source, ports);
  if (found != 0) {
    const t = changetype<Tcb>(found);
    if (t.state == TCP_ESTABLISHED && predicted(t)) {
      if (fastPath(t, m, header, headerBytes, length)) return;
    }
  } else if (group != 0 && tcpElsewhere(destination, source, ports, segFlags)) {
    return;
  }
  if (!(m.olFlags & RX_L4_GOOD) && !checksumIsGood(m, source, destination, header, length)) return;
  slowPath(found, destination, source, ports);
}

function checksumIsGood(m: Mbuf, source: u32, destination: u32, header: usize, length: u32): bool {
  if (!(m.olFlags & RX_L4_BAD)) {
    const sum = pseudoSum(source, destination, IPPROTO_TCP, length) + packetSum(m, header, length);
    if (fold(sum) == 0xffff) return true;
  }
  count(MIB_TCP_IN_CSUM_ERRORS);
  count(MIB_TCP_IN_ERRS);
  return false;
}

/** Header prediction: the next in-order segment of a connection where nothing special is going on. */
function predicted(t: Tcb): bool {
  if ((segFlags & ~PSH) != ACK || segSeq != t.rcvNxt) return false;
  if (segDataLen == 0 || t.shut & SHUT_READ) return false;
  if (t.flight != 0) {
    const f = changetype<Flight>(t.flight);
    if (f.islandCount != 0 || f.dsackStart != f.dsackEnd) return false;
  }
  if (seqGt(segAck, t.sndNxt) || i32(segAck - t.sndUna) < 0 || t.caState != CA_OPEN) return false;
  const tflags = t.tflags;
  if (tflags & TF_URGENT || (tflags & TF_ECN && (segTos & 3) == 3)) return false;
  if (tflags & TF_TIMESTAMPS) {
    if (!segHasTs || i32(segTsVal - t.tsRecent) < 0) return false;
  }
  return segDataLen <= openWindow(t);
}

/** Copies the payload while its checksum is computed; nothing changes unless it is right. False: take the slow path. */
function fastPath(t: Tcb, m: Mbuf, header: usize, headerBytes: u32, length: u32): bool {
  const bytes = length - headerBytes;
  if (m.data + m.dataLen - u32(header) < length) return false;
  const q = rcvQueue(t);
  const tail = queueTail(q, bytes);
  if (tail === null || chunkRoom(tail) < bytes) return emptyTail(t);
  const target = chunkData(tail) + tail.length;
  if (m.olFlags & RX_L4_GOOD) {
    copyBytes(target, segData, bytes);
  } else {
    const pseudo = pseudoSum(t.remoteAddress, t.localAddress, IPPROTO_TCP, length);
    if (fold(pseudo + sumBytes(header, headerBytes) + copySum(target, segData, bytes)) != 0xffff) return emptyTail(t);
  }
  queueCommit(q, bytes);
  count(MIB_TCP_HEADER_PREDICTIONS);
  if (segHasTs && seqLe(segSeq, t.rcvWup)) {
    t.tsRecent = segTsVal;
    t.tsRecentCoarse = nowCoarse;
  }
  t.rcvNxt += bytes;
  if (segAck != t.sndUna || segWindow << u32(t.sndScale) != t.sndWnd) {
    tcpAck(t);
    wakeWriter(t);
  } else {
    t.sndWl1 = segSeq;
  }
  received(t, bytes);
  if (bytes >= TRAIN_BYTES_MIN && m.data + 20 == u32(header)) {
    const pseudo = pseudoSum(t.remoteAddress, t.localAddress, IPPROTO_TCP, length);
    trainBegin(t, header - 34, headerBytes, pseudo);
  }
  return true;
}

/** queueTail() may have linked a fresh chunk that stays empty: an idle socket must not keep it. */
function emptyTail(t: Tcb): bool {
  dropEmptyTail(rcvQueue(t));
  return false;
}

function slowPath(found: usize, local: u32, remote: u32, ports: u32): void {
  let isn: u32 = 0;
  if (found != 0) {
    const t = changetype<Tcb>(found);
    if (t.kind != KIND_TIME_WAIT) {
      if (t.state == TCP_SYN_SENT) synSentInput(t);
      else if (t.state == TCP_SYN_RECEIVED || fastopenPending(t)) handshakeInput(t);
      else establishedInput(t);
      return;
    }
    if (!timeWaitInput(changetype<TimeWait>(found))) return;
    isn = timeWaitIsn;
  }
  const l = listenerFind(local, ports >>> 16, remote, ports & 0xffff);
  if (l !== null) listenInput(l, local, remote, ports, isn);
  else if (group == 0 || !portElsewhere(IPPROTO_TCP, local, remote, ports)) resetUnknown(local, remote, ports);
}

/** LISTEN (RFC 9293 3.10.7.2). */
function listenInput(l: Tcb, local: u32, remote: u32, ports: u32, isn: u32): void {
  assert(l.state == TCP_LISTEN);
  if (segFlags & RST) return;
  if (segFlags & ACK) {
    if (segFlags & SYN || !cookiesAreOut(l)) {
      resetUnknown(local, remote, ports);
      return;
    }
    const t = cookieAccept(l, local, remote, ports);
    if (t === null) resetUnknown(local, remote, ports);
    else handshakeInput(t);
    return;
  }
  // A SYN with FIN is dropped, as Linux does: nothing honest sends it.
  if ((segFlags & (SYN | 1)) == SYN) listenSyn(l, local, remote, ports, isn);
}

/** CLOSED (RFC 9293 3.10.7.1): "an incoming segment not containing a RST causes a RST to be sent". */
export function resetUnknown(local: u32, remote: u32, ports: u32): void {
  if (segFlags & RST) return;
  if (segFlags & ACK) sendBare(local, remote, ports, segAck, 0, RST, 0, 0);
  else sendBare(local, remote, ports, 0, segSeq + segLength(), RST | ACK, 0, 0);
}

/** Resets the peer of a connection whose state says that the current segment cannot be (SYN-RECEIVED: a bad ACK). */
export function resetSegment(t: Tcb): void {
  resetUnknown(t.localAddress, t.remoteAddress, portsOf(t));
}

/** Bytes of the list of connections that owe an ACK. */
export const ACK_LIST_BYTES: u32 = 8 + BURST_MAX * 4;

/** The ACK for in-order data leaves at the end of the burst: one for all segments that came with it. */
export function ackSoon(t: Tcb): void {
  if (t.tflags & TF_ACK_NOW) return;
  const list = usize(stack.ackList);
  const n = load<u32>(list);
  if (n == BURST_MAX) {
    sendAck(t);
    return;
  }
  t.tflags |= TF_ACK_NOW;
  store<u32>(list + (usize(n) << 2), u32(changetype<usize>(t)), 4);
  store<u32>(list, n + 1);
}

/** Sends the ACKs that are still owed. */
export function ackListFlush(): void {
  const list = usize(stack.ackList);
  const n = load<u32>(list);
  if (n == 0) return;
  store<u32>(list, 0);
  for (let i: u32 = 0; i < n; i++) {
    const at = load<u32>(list + (usize(i) << 2), 4);
    if (at == 0) continue;
    const t = changetype<Tcb>(at);
    if (t.tflags & TF_ACK_NOW) sendAck(t);
  }
}

/** A connection goes: it owes nothing any more. */
export function ackListDrop(t: Tcb): void {
  t.tflags &= ~TF_ACK_NOW;
  const list = usize(stack.ackList);
  const n = load<u32>(list);
  for (let i: u32 = 0; i < n; i++) {
    const slot = list + (usize(i) << 2);
    if (load<u32>(slot, 4) == u32(changetype<usize>(t))) store<u32>(slot, 0, 4);
  }
}
