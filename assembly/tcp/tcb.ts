// The transmission control block (RFC 9293 3.3.1): what a connection needs while idle, and, apart from it, the
// Flight: what it needs only while data is under way. An idle connection holds 256 bytes and no Flight.
//
//        1         2          3          4
//   ----------|----------|----------|----------
//          sndUna     sndNxt    sndUna + sndWnd          1 acknowledged, 2 in flight, 3 may be sent, 4 may not yet

import { KIND_FREE, KIND_TCP, POOL_FLIGHT, POOL_ISLAND, POOL_TCB, POOL_TXSEG, TCP_CLOSED } from "../layout";
import { ByteQueue, queueClear } from "../memory/chunk";
import { Pool, poolAlloc, poolFree } from "../memory/pool";
import { Socket } from "../socket/socket";
import { poolAt } from "../stack";
import { timerCancel } from "../timer";

/** tflags */
export const TF_SACK: u32 = 1; // SACK permitted by both
export const TF_TIMESTAMPS: u32 = 2;
export const TF_WSCALE: u32 = 4;
export const TF_NODELAY: u32 = 8;
export const TF_CORK: u32 = 16;
export const TF_PINGPONG: u32 = 32; // interactive: delay ACKs, hoping to piggyback
export const TF_ACK_NOW: u32 = 64;
export const TF_ACK_PENDING: u32 = 128; // something was received that no ACK has left for
export const TF_FIN_QUEUED: u32 = 256; // the application has closed; FIN follows the last byte
export const TF_FIN_SENT: u32 = 512;
export const TF_FIN_RECEIVED: u32 = 1024;
export const TF_ACCEPTED: u32 = 2048; // handed to the application (or opened by it)
export const TF_IN_FLOW: u32 = 4096; // in the 4-tuple table
export const TF_ACTIVE: u32 = 8192; // opened by connect()
export const TF_ECN: u32 = 16384; // ECN agreed
export const TF_ECE_DEMAND: u32 = 1 << 15; // answer with ECE until CWR comes
export const TF_CWR_PENDING: u32 = 1 << 16; // tell the peer that the window was reduced
export const TF_ORPHAN: u32 = 1 << 17; // closed by the application
export const TF_PROBING: u32 = 1 << 18; // the persist timer runs in the place of the RTO
export const TF_NO_MEMORY: u32 = 1 << 19; // a segment was dropped for want of memory: the window is shut
export const TF_COOKIE: u32 = 1 << 20; // came from a SYN cookie
export const TF_MORE: u32 = 1 << 21; // the last send() said MSG_MORE
export const TF_CWND_LIMITED: u32 = 1 << 22; // cwnd stopped the sender during the last window
export const TF_LOSS_PROBE: u32 = 1 << 23; // the timer is a tail loss probe (RFC 8985 section 7)
export const TF_DEFERRED: u32 = 1 << 24; // TCP_DEFER_ACCEPT: waits for data
export const TF_URGENT: u32 = 1 << 25; // urgent data is announced or unread
export const TF_SYN_SEEN: u32 = 1 << 26; // SYN-RECEIVED was reached by a simultaneous open
export const TF_REO_TIMER: u32 = 1 << 27; // the timer is RACK's reordering timer
export const TF_CORK_FLUSH: u32 = 1 << 28; // the cork's 200 ms ceiling has passed
export const TF_TX_WAIT: u32 = 1 << 29; // stopped by a full NIC queue
export const TF_SOLO: u32 = 1 << 30; // one segment is in flight, and no Flight describes it (solo.ts)
export const TF_FASTOPEN: u32 = 1 << 31; // synPrev holds FO_* (fastopen.ts)

/** caState: where loss recovery stands (Linux: icsk_ca_state). */
export const CA_OPEN: u32 = 0;
export const CA_DISORDER: u32 = 1;
export const CA_CWR: u32 = 2;
export const CA_RECOVERY: u32 = 3;
export const CA_LOSS: u32 = 4;

@unmanaged
export class Tcb extends Socket {
  /** Listener of an embryonic or not yet accepted connection; for a listener: see Listener. */
  parent: u32;
  /** Next in the accept queue. */
  acceptNext: u32;
  tflags: u32;

  // Route, looked up anew when the stack's routeGeneration moves.
  netif: u32;
  nextHop: u32;
  routeGeneration: u32;

  // Send sequence space.
  sndUna: u32;
  sndNxt: u32;
  sndWnd: u32;
  sndWl1: u32;
  maxSndWnd: u32;
  /** End of the last small segment (Minshall's variant of Nagle, as Linux). */
  sndSml: u32;
  iss: u32;
  sndHead: u32; // ByteQueue from sndUna on
  sndTail: u32;
  sndBytes: u32;
  sndBuf: u32;

  // Receive sequence space.
  rcvNxt: u32;
  /** rcvNxt when the window was last announced. */
  rcvWup: u32;
  /** Window that was announced then, bytes. */
  rcvWnd: u32;
  irs: u32;

  tsRecent: u32;
  /** When that came: nowCoarse. */
  tsRecentCoarse: u32;
  tsOffset: u32;

  // Round-trip time (RFC 6298): microseconds; srtt is kept times 8, rttvar times 4.
  srtt8: u32;
  rttvar4: u32;
  rtoMillis: u32;

  // Congestion control: segments, as TCP_INFO shows them.
  cwnd: u32;
  ssthresh: u32;
  cwndCount: u32;

  // Deadlines in ticks, each valid while its bit in `armed` is set.
  rtoAt: u32;
  ackAt: u32;
  keepAt: u32;
  lastRcvMillis: u32;
  lastSndMillis: u32;

  /** What only a busy connection has, or 0. */
  flight: u32;

  /** Largest payload of a segment without options; mss less the timestamps' 12 bytes is what is sent. */
  mss: u16;
  advMss: u16;
  /** Estimate of the peer's segment size (delayed ACKs). */
  rcvMss: u16;
  /** TCP_MAXSEG. */
  userMss: u16;

  sndScale: u8;
  rcvScale: u8;
  caState: u8;
  /** Share of the receive buffer that holds payload, of 256; 0 before it is known (window.ts). */
  rcvRatio: u8;
  retransmits: u8;
  backoff: u8;
  probes: u8;
  keepProbes: u8;
  quickAcks: u8;
  congestion: u8;
  armed: u8;
  synRetries: u8;
  /** TCP_USER_TIMEOUT, ms. */
  userTimeoutMillis: u32;
  /** First transmission of what is now timing out, ms (RFC 1122 4.2.3.5). */
  retransStampMillis: u32;
  /** Delayed-ACK time now used, ms (ATO). */
  atoMillis: u16;
  /** Most window that is announced for now, in units of 64 bytes; 65535: no such limit (window.ts). */
  rcvSsthresh: u16;
  /** Previous embryonic connection of the same listener; with TF_FASTOPEN what fastopen.ts keeps in its place. */
  synPrev: u32;
  /** Least round-trip time, microseconds; 0 before the first sample. */
  minRttMicros: u32;
  /** When the first SYN left; afterwards, with TF_SOLO, when the one segment in flight left, microseconds. */
  sentMicros: u32;
}
export const TCB_BYTES: u32 = 256;
if (offsetof<Tcb>() > TCB_BYTES) ERROR("Tcb layout");

/** armed */
export const ARMED_RTO: u32 = 1;
export const ARMED_ACK: u32 = 2;
export const ARMED_KEEP: u32 = 4;
export const ARMED_IDLE: u32 = 8; // the Flight goes when the connection stays idle

/** State that a connection has only while segments are in flight or arrive out of order. */
@unmanaged
export class Flight {
  link: u32;
  mark: u32;
  // Segments in flight by sequence.
  segHead: u32;
  segTail: u32;
  // The same by time of transmission (RACK).
  timeHead: u32;
  timeTail: u32;
  /** Where sndNxt lies in the send queue: chunk and offset in it. */
  cursorChunk: u32;
  cursorOffset: u32;
  // Counts in segments.
  packetsOut: u32;
  sackedOut: u32;
  lostOut: u32;
  retransOut: u32;
  // Recovery.
  highSeq: u32;
  undoMarker: u32;
  undoRetrans: u32;
  priorCwnd: u32;
  priorSsthresh: u32;
  prrDelivered: u32;
  prrOut: u32;
  delivered: u32;
  /** Highest sequence that a SACK block has covered. */
  highSack: u32;
  sackHint: u32;
  reordering: u32;
  // RACK (RFC 8985).
  rackMicros: u32;
  rackEndSeq: u32;
  rackRttMicros: u32;
  /** When Tcb.minRttMicros was sampled, ms. */
  minRttMillis: u32;
  /** When to look whether the Flight is still needed, ms. */
  idleAt: u32;
  reoWndSteps: u16;
  reoWndPersist: u16;
  rackFlags: u32;
  rackDsackRound: u32;
  tlpHighSeq: u32;
  // F-RTO (RFC 5682).
  frto: u32;
  // CUBIC (RFC 9438), segments and milliseconds.
  cubicEpoch: u32;
  cubicOrigin: u32;
  cubicK: u32;
  cubicLastMax: u32;
  cubicAckCount: u32;
  cubicTcpCwnd: u32;
  cubicCount: u32;
  cubicLastCwnd: u32;
  cubicLastMillis: u32;
  cubicDelayMinMicros: u32;
  // HyStart.
  hyRoundStart: u32;
  hyEndSeq: u32;
  hyLastAck: u32;
  hyCurrRtt: u32;
  hySamples: u32;
  hyFound: u32;
  // Out-of-order ranges by sequence (assembler.ts).
  islandHead: u32;
  islandTail: u32;
  islandCount: u32;
  islandBytes: u32;
  islandStamp: u32;
  dsackStart: u32;
  dsackEnd: u32;
  // Receive buffer autotuning (window.ts).
  tuneSeq: u32;
  tuneMicros: u32;
  tuneSpace: u32;
  rcvRttMicros: u32;
  rcvRttSeq: u32;
  rcvRttStamp: u32;
  // Urgent data (RFC 6093).
  sndUp: u32;
  rcvUp: u32;
  /** Errno of the last soft ICMP error since the peer was heard of, or 0. */
  softError: u32;
  /** The urgent byte, or how things are with it (urgent.ts). */
  urgentByte: u32;
  cwrSeq: u32;
  ecnSeq: u32;
  lostSegments: u32;
  totalRetrans: u32;
  /** sndNxt when cwnd last held the sender back: ends the cwnd-limited window. */
  limitedSeq: u32;
  maxPacketsOut: u32;
  /** Path MTU by probing (mtu-probe.ts): datagram sizes, when the search began, and the probe under way. */
  mtupClamp: u16;
  mtupHigh: u16;
  mtupLow: u16;
  mtupSize: u16;
  mtupSeq: u32;
  mtupMillis: u32;
  mtupEnabled: u32;
  /** Figures for TCP_INFO (info.ts): how often the bytes acknowledged and received have passed 2^32, ... */
  bytesAckedHigh: u32;
  bytesReceivedHigh: u32;
  bytesRetrans: u64;
  deliveredCe: u32;
  dsackDups: u32;
  reordSeen: u32;
  rcvOutOfOrder: u32;
  /** ... timeouts, how many of them were the first of several, the time they took, since when one lasts (0: none), */
  totalRto: u32;
  rtoRecoveries: u32;
  rtoTimeMillis: u32;
  rtoStampMillis: u32;
  /** ... when the last ACK came, ms; and what the time is spent on (chronograph.ts). */
  ackMillis: u32;
  chronoType: u32;
  chronoMillis: u32;
  busyMillis: u32;
  windowMillis: u32;
  bufferMillis: u32;
  /** Where the search for the next lost segment starts, or 0 for the head. */
  retransHint: u32;
  /** 1 when the tail loss probe was a retransmission. */
  tlpRetrans: u32;
  /** When SND.UNA moved last, or the peer answered that its window is shut, ms. */
  progressMillis: u32;
  /** Records on the scoreboard: the packets in flight that SO_SNDBUF is charged for (send-space.ts). */
  segments: u32;
  /** Where the last packet of the send queue begins, and the end of what the last PSH was for. */
  packetSeq: u32;
  pushedSeq: u32;
}
export const FLIGHT_BYTES: u32 = 416;
if (offsetof<Flight>() > FLIGHT_BYTES) ERROR("Flight layout");

/** One transmitted range: the scoreboard's unit. */
@unmanaged
export class TxSeg {
  next: u32;
  mark: u32; // pool; then: unused
  prev: u32;
  timeNext: u32;
  timePrev: u32;
  seq: u32;
  endSeq: u32;
  sentMicros: u32;
  flags: u8;
  inTime: u8;
  /** Segments on the wire that it stands for (TSO). */
  pcount: u16;
  reserved: u32;
}
export const TXSEG_BYTES: u32 = 40;
if (offsetof<TxSeg>() != TXSEG_BYTES) ERROR("TxSeg layout");

/** TxSeg.flags */
export const TS_SACKED: u32 = 1;
export const TS_LOST: u32 = 2;
export const TS_RETRANS: u32 = 4; // a retransmission of it is in flight
export const TS_EVER_RETRANS: u32 = 8;
export const TS_FIN: u32 = 16;
export const TS_PUSH: u32 = 32; // ends what the application had written when it was sent

/** A range that arrived out of order, with its bytes. */
@unmanaged
export class Island {
  next: u32;
  mark: u32;
  seq: u32;
  endSeq: u32; // a FIN counts
  qHead: u32;
  qTail: u32;
  qBytes: u32;
  /** Recency for the order of SACK blocks. */
  stamp: u32;
  fin: u32;
  memory: u32; // bytes of chunk memory it holds
}
export const ISLAND_BYTES: u32 = 40;
if (offsetof<Island>() != ISLAND_BYTES) ERROR("Island layout");

let tcbs: Pool = changetype<Pool>(0);
let flights: Pool = changetype<Pool>(0);
let txsegs: Pool = changetype<Pool>(0);
let islands: Pool = changetype<Pool>(0);

/** Points this instance at TCP's pools. */
export function tcbAttach(): void {
  tcbs = poolAt(POOL_TCB);
  flights = poolAt(POOL_FLIGHT);
  txsegs = poolAt(POOL_TXSEG);
  islands = poolAt(POOL_ISLAND);
}

/** A zeroed TCB in CLOSED, or 0 when there is none left. */
export function tcbAlloc(): usize {
  const at = poolAlloc(tcbs);
  if (at == 0) return 0;
  memory.fill(at, 0, TCB_BYTES);
  const t = changetype<Tcb>(at);
  t.kind = u8(KIND_TCP);
  t.state = u8(TCP_CLOSED);
  t.fd = -1;
  return at;
}

/** Gives a TCB and all that hangs on it back. It must be out of every table. */
export function tcbFree(t: Tcb): void {
  timerCancel(t);
  queueClear(rcvQueue(t));
  queueClear(sndQueue(t));
  t.kind = u8(KIND_FREE);
  poolFree(tcbs, changetype<usize>(t));
}

/** A zeroed Flight, or 0. */
export function flightAlloc(): usize {
  const at = poolAlloc(flights);
  if (at != 0) memory.fill(at, 0, FLIGHT_BYTES);
  return at;
}

/** True when a Flight is to be had. */
export function flightAvailable(): bool {
  return flights.inUse < flights.capacity;
}

export function flightFree(f: Flight): void {
  poolFree(flights, changetype<usize>(f));
}

export function txsegAlloc(): usize {
  return poolAlloc(txsegs);
}

export function txsegFree(s: TxSeg): void {
  poolFree(txsegs, changetype<usize>(s));
}

/** How many more segments could be put in flight. */
export function txsegAvailable(): u32 {
  return txsegs.capacity - txsegs.inUse;
}

export function islandAlloc(): usize {
  return poolAlloc(islands);
}

export function islandFree(i: Island): void {
  poolFree(islands, changetype<usize>(i));
}

/** The receive queue inside a socket. */
export function rcvQueue(t: Tcb): ByteQueue {
  return changetype<ByteQueue>(changetype<usize>(t) + offsetof<Tcb>("rcvHead"));
}

/** The send queue inside a TCB: every byte from sndUna on. */
export function sndQueue(t: Tcb): ByteQueue {
  return changetype<ByteQueue>(changetype<usize>(t) + offsetof<Tcb>("sndHead"));
}

/** The byte queue inside an island. */
export function islandQueue(i: Island): ByteQueue {
  return changetype<ByteQueue>(changetype<usize>(i) + offsetof<Island>("qHead"));
}
