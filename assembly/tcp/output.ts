// The one way out: builds segments and decides what may be sent (RFC 9293 3.8.6.2.1, 3.7.4; RFC 7323, 2018).
// Read first: RFC 9293 section 3.10.2 (SEND), RFC 1122 4.2.3.4 as updated for Nagle and silly windows.

import {
  ACK,
  CAP_TX_L4_CSUM,
  CWR,
  ECE,
  IPPROTO_TCP,
  IP_PMTUDISC_DO,
  MBUF_DATA_ROOM,
  MIB_TCP_MEM_ERRORS,
  MIB_TCP_OUT_RSTS,
  MIB_TCP_OUT_SEGS,
  MIB_TCP_PURE_ACKS,
  RST,
  SYSCTL_IP_DEFAULT_TTL,
  SYSCTL_TCP_ECN,
  SYSCTL_TCP_ECN_FALLBACK,
  TX_L4_CSUM,
  TX_TSO,
} from "../layout";
import { Chunk, chunkCopySum, chunkData } from "../memory/chunk";
import { copyBytes } from "../memory/copy";
import { Mbuf, mbufAttach, mbufFree } from "../memory/mbuf";
import { IP_DF, ipv4Output } from "../net/ipv4-output";
import { Netif } from "../net/netif";
import { packetAlloc, packetSum } from "../net/packet";
import { pmtuMayCut } from "../net/pmtu";
import { routeLookup, routeNetif, routeNextHop } from "../net/route";
import { count, nowMillis, stack, sysctl } from "../stack";
import { checksum, fold, pseudoSum, sumBytes, swapSum } from "../wire/checksum";
import { put32 } from "../wire/bytes";
import { IPV4_BYTES } from "../wire/ipv4";
import { OPT_MSS, TCP_CHECKSUM, TCP_HEADER_BYTES, TIMESTAMPS_BYTES, TIMESTAMPS_WORD } from "../wire/tcp";
import { fastopenOffer, fastopenOption } from "./fastopen";
import { sackBlocksWrite, sackBlocksBytes } from "./assembler";
import { seqLt } from "./sequence";
import {
  ARMED_ACK,
  TF_ACK_NOW,
  TF_ACK_PENDING,
  TF_CWR_PENDING,
  TF_ECE_DEMAND,
  TF_ECN,
  TF_SACK,
  TF_TIMESTAMPS,
  TF_URGENT,
  TF_WSCALE,
  Tcb,
} from "./tcb";
import { armTimer } from "./timers";
import { putUrgent } from "./urgent";
import { selectWindow } from "./window";

/** TCP header of the segment that was sent last, and its length. */
export let sentHeader: usize = 0;
export let sentHeaderBytes: u32 = 0;

/** IP's ECN field of data on an ECN connection: ECT(0) (RFC 3168 6.1). */
const ECT0: u32 = 2;

/** Looks the route up again when addresses or routes have changed; false when there is none. */
export function tcpRoute(t: Tcb): bool {
  if (t.routeGeneration == stack.routeGeneration && t.netif != 0) return true;
  if (!routeLookup(t.remoteAddress)) return false;
  t.netif = u32(changetype<usize>(routeNetif));
  t.nextHop = routeNextHop;
  t.routeGeneration = stack.routeGeneration;
  return true;
}

/** Bytes of options on a segment that is not a SYN. */
export function optionBytes(t: Tcb): u32 {
  return (t.tflags & TF_TIMESTAMPS ? TIMESTAMPS_BYTES : 0) + (t.flight != 0 ? sackBlocksBytes(t) : 0);
}

/** Payload of a full segment now: the MSS less the options that go with it (RFC 6691). */
export function currentMss(t: Tcb): u32 {
  return u32(t.mss) - optionBytes(t);
}

function putHeader(t: Tcb, h: usize, seq: u32, flags: u32, window: u32, headerBytes: u32): void {
  store<u32>(h, bswap<u32>((u32(t.localPort) << 16) | u32(t.remotePort)));
  put32(h + 4, seq);
  store<u32>(h, flags & ACK ? bswap<u32>(t.rcvNxt) : 0, 8);
  store<u32>(h, bswap<u32>((headerBytes << 26) | (flags << 16) | window), 12);
  store<u32>(h, 0, 16);
}

/** Stores the checksum, or leaves the pseudo-header's sum for a NIC that computes it. `sum` is that of the payload. */
export function seal(t: Tcb, nif: Netif, m: Mbuf, h: usize, headerBytes: u32, payload: u32, sum: u64): void {
  const pseudo = pseudoSum(t.localAddress, t.remoteAddress, IPPROTO_TCP, headerBytes + payload);
  m.l4Len = u8(headerBytes);
  if (nif.caps & CAP_TX_L4_CSUM) {
    store<u16>(h, u16(fold(pseudo)), TCP_CHECKSUM);
    m.olFlags |= TX_L4_CSUM;
  } else {
    store<u16>(h, u16(checksum(pseudo + sum + sumBytes(h, headerBytes))), TCP_CHECKSUM);
  }
}

/** Hands a segment to IP. A full queue below is like a loss on the wire: the timers see to it. */
function emit(t: Tcb, nif: Netif, m: Mbuf, ecn: u32): void {
  count(MIB_TCP_OUT_SEGS);
  ipv4Output(
    m,
    nif,
    t.nextHop,
    t.localAddress,
    t.remoteAddress,
    IPPROTO_TCP,
    (u32(t.tos) & 0xfc) | ecn,
    t.ttl,
    dontFragment(t, nif, m),
  );
}

/**
 * DF, which discovery asks for (Linux: ip_queue_xmit). A segment that is larger than the interface's own MTU, since
 * none is smaller than tcp_min_snd_mss and its options, is cut here.
 */
function dontFragment(t: Tcb, nif: Netif, m: Mbuf): u32 {
  const discover = i32(t.pmtuDiscover);
  const isCut = m.pktLen + IPV4_BYTES > nif.mtu && !(m.olFlags & TX_TSO) && discover != IP_PMTUDISC_DO;
  if (!isCut) return pmtuMayCut(discover, t.remoteAddress) ? 0 : IP_DF;
  if (m.olFlags & TX_L4_CSUM) {
    // No NIC sees the whole of it: the pseudo-header's sum, in the place of the checksum, becomes that.
    const h = usize(m.data);
    store<u16>(h, u16(checksum(packetSum(m, h, m.pktLen))), TCP_CHECKSUM);
    m.olFlags &= ~TX_L4_CSUM;
  }
  return 0;
}

/** What every segment that carries an ACK settles. */
function ackLeaves(t: Tcb): void {
  t.tflags &= ~(TF_ACK_NOW | TF_ACK_PENDING);
  t.armed &= ~u8(ARMED_ACK);
  if (t.quickAcks > 0) t.quickAcks--;
}

/**
 * Sends one segment from the send queue: `length` bytes that start `offset` bytes into `chunk`. Returns false when
 * there is no mbuf or no route; nothing has changed then.
 */
export function sendSegment(t: Tcb, seq: u32, flags: u32, chunk: u32, offset: u32, length: u32, mss: u32): bool {
  if (!tcpRoute(t)) return false;
  const m = packetAlloc();
  if (m === null) {
    count(MIB_TCP_MEM_ERRORS);
    return false;
  }
  const nif = changetype<Netif>(t.netif);
  const h = usize(m.data);
  const tflags = t.tflags;
  let headerBytes = TCP_HEADER_BYTES;
  if (tflags & TF_TIMESTAMPS) {
    store<u32>(h, TIMESTAMPS_WORD, 20);
    put32(h + 24, nowMillis + t.tsOffset);
    put32(h + 28, t.tsRecent);
    headerBytes = TCP_HEADER_BYTES + TIMESTAMPS_BYTES;
  }
  if (t.flight != 0) headerBytes += sackBlocksWrite(t, h + headerBytes);
  let ecn: u32 = 0;
  if (tflags & TF_ECN) {
    if (tflags & TF_ECE_DEMAND) flags |= ECE;
    // "MUST NOT set either ECT codepoint ... in the IP header for retransmitted data packets" (RFC 3168 6.1.5)
    if (length > 0 && !seqLt(seq, t.sndNxt)) {
      ecn = ECT0;
      if (tflags & TF_CWR_PENDING) {
        flags |= CWR;
        t.tflags &= ~TF_CWR_PENDING;
      }
    }
  }
  putHeader(t, h, seq, flags, selectWindow(t), headerBytes);
  if (tflags & TF_URGENT && t.flight != 0) putUrgent(t, h, seq);
  m.dataLen = headerBytes;
  m.pktLen = headerBytes;
  let sum: u64 = 0;
  if (length > 0) {
    if (headerBytes + length <= u32(MBUF_DATA_ROOM)) {
      const target = h + headerBytes;
      const c = changetype<Chunk>(chunk);
      if (nif.caps & CAP_TX_L4_CSUM && offset + length <= c.length) {
        copyBytes(target, chunkData(c) + offset, length);
      } else {
        sum = chunkCopySum(c, offset, target, length);
      }
      m.dataLen = headerBytes + length;
      m.pktLen = headerBytes + length;
    } else {
      if (!gather(m, chunk, offset, length)) return false;
      if (length <= mss && !(nif.caps & CAP_TX_L4_CSUM)) sum = queueSum(chunk, offset, length);
    }
    // Also what fits one mbuf may be more than one segment.
    if (length > mss) {
      m.olFlags |= TX_TSO;
      m.tsoMss = u16(mss);
    }
    t.lastSndMillis = nowMillis;
  }
  seal(t, nif, m, h, headerBytes, length, sum);
  ackLeaves(t);
  sentHeader = h;
  sentHeaderBytes = headerBytes;
  emit(t, nif, m, ecn);
  return true;
}

/** A large segment: its payload stays where it is, the NIC gathers it. Null: no mbuf, the packet is gone. */
function gather(m: Mbuf, chunk: u32, offset: u32, length: u32): bool {
  let last = m;
  let left = length;
  let c = changetype<Chunk>(chunk);
  while (left > 0) {
    const s = packetAlloc();
    if (s === null) {
      count(MIB_TCP_MEM_ERRORS);
      mbufFree(m);
      return false;
    }
    const n = min(left, u32(c.length) - offset);
    mbufAttach(s, u32(chunkData(c)) + offset, n);
    last.next = u32(changetype<usize>(s));
    last = s;
    m.nbSegs++;
    left -= n;
    offset = 0;
    c = changetype<Chunk>(c.next);
  }
  m.pktLen += length;
  return true;
}

/** Sum of `length` bytes of the queue. */
function queueSum(chunk: u32, offset: u32, length: u32): u64 {
  let sum: u64 = 0;
  let done: u32 = 0;
  let c = changetype<Chunk>(chunk);
  while (done < length) {
    const n = min(length - done, u32(c.length) - offset);
    const part = sumBytes(chunkData(c) + offset, n);
    sum += done & 1 ? swapSum(part) : u64(fold(part));
    done += n;
    offset = 0;
    c = changetype<Chunk>(c.next);
  }
  return sum;
}

/** Sends an ACK alone: seq=SND.NXT, ack=RCV.NXT. */
export function sendAck(t: Tcb): void {
  count(MIB_TCP_PURE_ACKS);
  if (!sendSegment(t, t.sndNxt, ACK, 0, 0, 0, 0)) ackLater(t);
}

/** A zero-length segment below SND.UNA: the peer must answer it (RFC 9293 3.8.6.1, RFC 1122 4.2.3.6). */
export function sendProbe(t: Tcb): void {
  sendSegment(t, t.sndUna - 1, ACK, 0, 0, 0, 0);
}

/** The ACK could not leave (no mbuf): the delayed-ACK timer tries again. */
function ackLater(t: Tcb): void {
  t.tflags |= TF_ACK_PENDING;
  armTimer(t, ARMED_ACK, 1);
}

/** Sends SYN, or SYN with ACK: the options in Linux's order, then the first `payload` bytes of the send queue. */
export function sendSyn(t: Tcb, flags: u32, payload: u32 = 0): bool {
  const m = tcpRoute(t) ? packetAlloc() : null;
  if (m === null) {
    fastopenOffer(-1, false, 0, 0);
    count(MIB_TCP_MEM_ERRORS);
    return false;
  }
  const nif = changetype<Netif>(t.netif);
  const h = usize(m.data);
  const headerBytes = TCP_HEADER_BYTES + synOptions(t, h + TCP_HEADER_BYTES);
  const ecn = sysctl(SYSCTL_TCP_ECN);
  if (flags & ACK) {
    if (t.tflags & TF_ECN) flags |= ECE;
  } else if (ecn == 1 && (t.synRetries == 0 || !sysctl(SYSCTL_TCP_ECN_FALLBACK))) {
    flags |= ECE | CWR;
  }
  // "The window field in a segment where the SYN bit is set MUST NOT be scaled" (RFC 7323 2.2)
  putHeader(t, h, t.iss, flags, min<u32>(t.rcvWnd, 65535), headerBytes);
  m.dataLen = headerBytes + payload;
  m.pktLen = headerBytes + payload;
  const sum = payload > 0 ? chunkCopySum(changetype<Chunk>(t.sndHead), 0, h + headerBytes, payload) : 0;
  seal(t, nif, m, h, headerBytes, payload, sum);
  if (flags & ACK) ackLeaves(t);
  emit(t, nif, m, 0);
  return true;
}

function synOptions(t: Tcb, p: usize): u32 {
  const flags = t.tflags;
  store<u32>(p, bswap<u32>((OPT_MSS << 24) | (4 << 16) | t.advMss));
  let n: u32 = 4;
  if (flags & TF_TIMESTAMPS) {
    // sackOK takes the place of the two NOPs in front of the timestamps
    store<u32>(p + n, flags & TF_SACK ? 0x0a080204 : TIMESTAMPS_WORD);
    put32(p + n + 4, nowMillis + t.tsOffset);
    put32(p + n + 8, t.tsRecent);
    n += TIMESTAMPS_BYTES;
  } else if (flags & TF_SACK) {
    store<u32>(p + n, 0x02040101);
    n += 4;
  }
  if (flags & TF_WSCALE) {
    store<u32>(p + n, 0x00030301 | (u32(t.rcvScale) << 24));
    n += 4;
  }
  return n + fastopenOption(p + n);
}

/** Sends RST for a connection (RFC 9293 3.5.2): in SYN-RECEIVED and later it carries the ACK that Linux sends too. */
export function sendReset(t: Tcb): void {
  count(MIB_TCP_OUT_RSTS);
  sendSegment(t, t.sndNxt, RST | ACK, 0, 0, 0, 0);
}

/**
 * Answers a segment that belongs to no connection (RFC 9293 3.10.7.1): all in host order.
 * `seq`, `ack`, `flags` are those of the answer.
 */
export function sendBare(
  local: u32,
  remote: u32,
  ports: u32,
  seq: u32,
  ack: u32,
  flags: u32,
  window: u32,
  ts: u64,
): void {
  if (!routeLookup(remote)) return;
  const nif = routeNetif;
  const nextHop = routeNextHop;
  const m = packetAlloc();
  if (m === null) {
    count(MIB_TCP_MEM_ERRORS);
    return;
  }
  const h = usize(m.data);
  let bytes: u32 = TCP_HEADER_BYTES;
  if (ts != 0) {
    store<u32>(h, TIMESTAMPS_WORD, 20);
    put32(h + 24, u32(ts >> 32));
    put32(h + 28, u32(ts));
    bytes += TIMESTAMPS_BYTES;
  }
  store<u32>(h, bswap<u32>(ports));
  put32(h + 4, seq);
  put32(h + 8, ack);
  store<u32>(h, bswap<u32>((bytes << 26) | (flags << 16) | window), 12);
  store<u32>(h, 0, 16);
  m.dataLen = bytes;
  m.pktLen = bytes;
  sealBare(m, h, nif, local, remote);
  if (flags & RST) count(MIB_TCP_OUT_RSTS);
  count(MIB_TCP_OUT_SEGS);
  ipv4Output(m, nif, nextHop, local, remote, IPPROTO_TCP, 0, sysctl(SYSCTL_IP_DEFAULT_TTL), IP_DF);
}

function sealBare(m: Mbuf, h: usize, nif: Netif, local: u32, remote: u32): void {
  const pseudo = pseudoSum(local, remote, IPPROTO_TCP, m.pktLen);
  m.l4Len = u8(m.pktLen);
  if (nif.caps & CAP_TX_L4_CSUM) {
    store<u16>(h, u16(fold(pseudo)), TCP_CHECKSUM);
    m.olFlags |= TX_L4_CSUM;
  } else {
    store<u16>(h, u16(checksum(pseudo + sumBytes(h, m.pktLen))), TCP_CHECKSUM);
  }
}
