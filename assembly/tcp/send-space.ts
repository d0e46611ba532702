// How much an application may write ahead: SO_SNDBUF, which counts packets as well as bytes, and TCP_NOTSENT_LOWAT.
// The queue fills packet by packet (what TSO would send as one descriptor), and a packet that was begun is filled.
// Read first: socket(7) SO_SNDBUF, tcp(7) tcp_wmem; Linux net/ipv4/tcp.c tcp_sendmsg_locked(), tcp_input.c
// tcp_sndbuf_expand().
//
//   sndUna           sndNxt        packetSeq          end
//     | in flight      | whole packets | tail, may grow |

import { SYSCTL_TCP_INIT_CWND, SYSCTL_TCP_NOTSENT_LOWAT, SYSCTL_TCP_WMEM_MAX } from "../layout";
import { chunkMay, chunksAbound, queueHasRoom } from "../memory/chunk";
import { SF_SNDBUF_LOCKED, SF_WANT_SPACE, SocketExtra } from "../socket/socket";
import { sysctl } from "../stack";
import { recordEndsAt } from "./marks";
import { memoryWait } from "./memory-wait";
import { currentMss } from "./output";
import { inFlight } from "./scoreboard";
import { Flight, Tcb, flightAvailable, sndQueue } from "./tcb";
import { unsentBytes } from "./transmit";

/** What a packet is charged besides its bytes: Linux's sk_buff, its room for headers and its list of pages. */
const PACKET_OVERHEAD: u32 = 896;
/** Headers and lists that Linux reckons with for a segment of its own, and its sk_buff. */
const SEGMENT_OVERHEAD: u32 = 640;
const SEGMENT_STRUCT: u32 = 256;
/** Most bytes of a packet: 65,536 less its headers. */
const PACKET_BYTES_MAX: u32 = 65215;
/** Windows below this are not halved (Linux: tcp_bound_to_half_wnd). */
const SMALL_WINDOW: u32 = 536;
/** Limit of unsent bytes that is none. */
const NOTSENT_NONE: u32 = 0x7fffffff;

/** Bytes of a full packet: as many whole segments as TSO carries, not more than half of the peer's window. */
function packetBytes(t: Tcb): u32 {
  const window = t.maxSndWnd > SMALL_WINDOW ? t.maxSndWnd >>> 1 : t.maxSndWnd;
  const most = window != 0 ? min(window, PACKET_BYTES_MAX) : PACKET_BYTES_MAX;
  const mss = currentMss(t);
  return most < mss ? mss : most - (most % mss);
}

/** Bytes of the unsent packet at the end of the queue. */
function tailBytes(t: Tcb, f: Flight, unsent: u32): u32 {
  return min(unsent, t.sndUna + t.sndBytes - f.packetSeq);
}

/** What the send queue counts against SO_SNDBUF: bytes, and each packet's overhead. */
function charge(t: Tcb): u32 {
  if (t.flight == 0) return t.sndBytes == 0 ? 0 : t.sndBytes + PACKET_OVERHEAD;
  const f = changetype<Flight>(t.flight);
  const unsent = unsentBytes(t);
  let packets = f.segments;
  if (unsent > 0) {
    const tail = tailBytes(t, f, unsent);
    packets++;
    if (unsent > tail) {
      const full = packetBytes(t);
      packets += (unsent - tail + full - 1) / full;
    }
  }
  return t.sndBytes + packets * PACKET_OVERHEAD;
}

/** Bytes that fit the packet at the end of the queue, or a new one; 0: the writer has to wait, and is noted. */
export function packetRoom(t: Tcb, f: Flight): u32 {
  const unsent = unsentBytes(t);
  const full = packetBytes(t);
  const end = t.sndUna + t.sndBytes;
  if (unsent > 0) {
    const tail = tailBytes(t, f, unsent);
    if (tail < full && !(t.extra != 0 && recordEndsAt(t, end))) return full - tail;
  }
  if (charge(t) >= t.sndBuf || unsent >= notsentLimit(t)) {
    t.flags |= u16(SF_WANT_SPACE);
    return 0;
  }
  f.packetSeq = end;
  return full;
}

/** True when the next byte would begin a new packet. */
export function isPacketFull(t: Tcb, f: Flight): bool {
  return tailBytes(t, f, unsentBytes(t)) >= packetBytes(t);
}

/**
 * Bytes from SND.NXT to the end of the packet they lie in, of `unsent`: what is sent together ends there too. Where the
 * segments' size has changed meanwhile and the ends fall between two segments, they count no more.
 */
export function packetLeft(t: Tcb, f: Flight, unsent: u32, mss: u32): u32 {
  const ahead = f.packetSeq - t.sndNxt;
  if (i32(ahead) <= 0 || ahead >= unsent) return unsent;
  const left = ((ahead - 1) % packetBytes(t)) + 1;
  return left % mss == 0 ? left : unsent;
}

/** TCP_NOTSENT_LOWAT, or tcp_notsent_lowat: bytes. */
function notsentLimit(t: Tcb): u32 {
  const own = t.extra != 0 ? changetype<SocketExtra>(t.extra).notsentLowat : 0;
  return min(own != 0 ? own : sysctl(SYSCTL_TCP_NOTSENT_LOWAT), NOTSENT_NONE);
}

/** A third of the buffer is free, and less than half of TCP_NOTSENT_LOWAT unsent (Linux: sk_stream_is_writeable). */
export function hasSendSpace(t: Tcb): bool {
  const used = charge(t);
  if (used >= t.sndBuf || t.sndBuf - used < used >>> 1) return false;
  return unsentBytes(t) < (notsentLimit(t) + 1) >>> 1 && hasSendMemory(t);
}

/** There is memory for one byte more: a chunk, or room in the last one; a Flight where a segment is queued already. */
function hasSendMemory(t: Tcb): bool {
  if (t.flight == 0 && t.sndBytes != 0 && !flightAvailable()) return false;
  return chunksAbound() || queueHasRoom(sndQueue(t)) || chunkMay(t.sndBytes);
}

/** A writer has to wait: acknowledgments make room in its buffer; for memory it stands in line with others. */
export function writerWaits(t: Tcb): void {
  t.flags |= u16(SF_WANT_SPACE);
  if (!hasSendMemory(t)) memoryWait(t);
}

/**
 * Lets SO_SNDBUF grow to twice what the congestion window lets out, as long as the application has not fixed it: when
 * the connection comes up, and whenever a writer waits although the network would take more.
 */
export function expandSndBuf(t: Tcb): void {
  if (t.flags & SF_SNDBUF_LOCKED || !chunksAbound()) return;
  if (t.flight != 0 && inFlight(changetype<Flight>(t.flight)) >= t.cwnd) return;
  const segment: u32 = 1 << (32 - clz<u32>(u32(t.mss) + SEGMENT_OVERHEAD - 1));
  const segments = min<u32>(max(t.cwnd, sysctl(SYSCTL_TCP_INIT_CWND)), 1 << 16);
  const wanted = min<u32>(2 * segments * (segment + SEGMENT_STRUCT), sysctl(SYSCTL_TCP_WMEM_MAX));
  if (wanted > t.sndBuf) t.sndBuf = wanted;
}
