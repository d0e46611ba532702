// The model of a time-sequence plot: what one end of a connection sent, and what the other said about it.
// Read first: RFC 9293 section 3.4 (sequence space), RFC 7323 section 2, RFC 2018, RFC 2883 (D-SACK).

import { FIN, RST, SYN } from "../assembly/layout.ts";
import { acknowledges, portOfReceiver, portOfSender, senderOf, windowShift } from "./plot-flow.ts";
import type { Endpoint, Flow, Side } from "./plot-flow.ts";
import { findLost } from "./plot-loss.ts";
import { RangeSet } from "./plot-ranges.ts";
import type { Segment } from "./plot-segment.ts";

/** Least time by which a segment may trail later ones and still count as reordered, microseconds (as Wireshark). */
const REORDERING_MICROS = 3000;

/**
 * new: bytes never seen before, in order. retransmission: some of its bytes were seen before, or it fills a gap late.
 * outOfOrder: fills a gap at once. keepAlive: RFC 9293 3.8.4. windowProbe: a byte or less into a closed window.
 */
export type SegmentKind = "new" | "retransmission" | "outOfOrder" | "keepAlive" | "windowProbe";

/** A segment of the sender that takes sequence space. Times count from the first packet of the connection. */
export interface SentSegment {
  /** Of the packet in the capture, from 1: as Wireshark counts. */
  number: number;
  timeMicros: number;
  /** Sequence numbers relative to the ISN (the SYN is 0, the first byte 1); they go on past 2^32. */
  start: number;
  end: number;
  kind: SegmentKind;
  /**
   * It left the sender's port and did not reach the receiver's; known when the capture has both. What was still under
   * way when the capture ended is not lost.
   */
  lost: boolean;
  comments: readonly string[];
}

/** What the receiver acknowledged and allowed. */
export interface Acknowledgement {
  /** Of the packet in the capture, from 1. */
  number: number;
  timeMicros: number;
  ack: number;
  /** Advertised window, bytes, scaled. */
  window: number;
  duplicate: boolean;
}

export interface SackBlock {
  timeMicros: number;
  start: number;
  end: number;
  /** RFC 2883: the block reports bytes that arrived twice. */
  duplicate: boolean;
}

/** A SYN, FIN or RST of either end. */
export interface ControlMark {
  timeMicros: number;
  sequence: number;
  label: "SYN" | "SYN-ACK" | "FIN" | "RST";
  from: "sender" | "receiver";
}

export interface SequenceTotals {
  /** Payload bytes sent, each once. */
  bytes: number;
  /** Payload bytes acknowledged. */
  ackedBytes: number;
  packets: number;
  segments: number;
  retransmissions: number;
  retransmittedBytes: number;
  lost: number;
  outOfOrder: number;
  duplicateAcks: number;
  /** Acknowledgements with SACK blocks. */
  sackedAcks: number;
  duplicateSacks: number;
  zeroWindows: number;
  /** Packets whose checksum was wrong on arrival; they take no other part in the model. */
  damaged: number;
  /** Acknowledged payload bits per second, from the first byte sent to the last acknowledged; 0 if at once. */
  goodputBits: number;
  /** Median time from a segment sent once to its acknowledgement; undefined away from the sender. */
  rttMicros: number | undefined;
}

/** One direction of a connection, ready to be drawn or checked. */
export interface TimeSequence {
  sender: Endpoint;
  receiver: Endpoint;
  side: Side;
  /** The port of the capture it was seen from. */
  port: string;
  /** Time of the first packet, as in the capture. */
  startMicros: number;
  durationMicros: number;
  /** Shift applied to windows; -1 if a SYN is missing, and windows are then drawn unscaled. */
  windowShift: number;
  segments: SentSegment[];
  acks: Acknowledgement[];
  sacks: SackBlock[];
  controls: ControlMark[];
  totals: SequenceTotals;
}

/** Builds the model of what `side` sent, as seen from `port` (default: the port nearest to that end). */
export function sequenceOf(flow: Flow, side: Side, port = portOfSender(flow, side)): TimeSequence {
  const seen = flow.segments.filter((segment) => segment.port === port);
  const arrivals = port === portOfSender(flow, side) ? portOfReceiver(flow, side) : undefined;
  const lost = arrivals === undefined ? new Set<Segment>() : findLost(flow, side, port, arrivals);
  const builder = new Builder(flow, side, port, seen, lost);
  for (const segment of seen) builder.add(segment);
  return builder.finish();
}

interface Sent {
  end: number;
  timeMicros: number;
  once: boolean;
}

class Builder {
  private readonly sequence: TimeSequence;
  private readonly covered = new RangeSet();
  private readonly origin: number;
  private readonly rttSamples: number[] = [];
  /** Segments not yet acknowledged, oldest first, from `inFlightHead` on. */
  private readonly inFlight: Sent[] = [];
  private inFlightHead = 0;
  private sndMax = 0;
  private sndMaxMicros = 0;
  private sndUna = 0;
  /** The last advertised window; -1 before the first. */
  private window = -1;
  private firstDataMicros = Infinity;
  private lastAckMicros = -Infinity;

  constructor(
    private readonly flow: Flow,
    side: Side,
    port: string,
    seen: readonly Segment[],
    private readonly lost: ReadonlySet<Segment>,
  ) {
    const other = side === "client" ? "server" : "client";
    this.origin = flow.openings[side]?.seq ?? guessedOrigin(flow, side, seen);
    const startMicros = seen[0]?.timeMicros ?? 0;
    this.sequence = {
      sender: flow[side],
      receiver: flow[other],
      side,
      port,
      startMicros,
      durationMicros: (seen.at(-1)?.timeMicros ?? startMicros) - startMicros,
      windowShift: windowShift(flow, other),
      segments: [],
      acks: [],
      sacks: [],
      controls: [],
      totals: emptyTotals(),
    };
  }

  add(segment: Segment): void {
    const { totals } = this.sequence;
    totals.packets += 1;
    if (segment.damaged) {
      totals.damaged += 1;
    } else if (senderOf(this.flow, segment) === this.sequence.side) {
      this.addSent(segment);
    } else {
      this.addReceived(segment);
    }
  }

  finish(): TimeSequence {
    const { totals } = this.sequence;
    const micros = this.lastAckMicros - this.firstDataMicros;
    if (micros > 0) totals.goodputBits = (totals.ackedBytes * 8e6) / micros;
    // Next to the receiver an acknowledgement follows its segment at once: that is no round trip.
    const nearSender = this.sequence.port === portOfSender(this.flow, this.sequence.side);
    if (nearSender) totals.rttMicros = median(this.rttSamples);
    return this.sequence;
  }

  /** Relative sequence number; the nearest to the highest sent, so it goes on past 2^32 (RFC 9293 3.4). */
  private relative(seq: number): number {
    return this.sndMax + ((seq - this.origin - this.sndMax) | 0);
  }

  private addSent(segment: Segment): void {
    const { flags, length } = segment;
    const timeMicros = segment.timeMicros - this.sequence.startMicros;
    const start = this.relative(segment.seq);
    const end = start + length + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
    if ((flags & (SYN | FIN | RST)) !== 0) {
      const sequence = (flags & SYN) !== 0 ? start : end;
      this.sequence.controls.push({ timeMicros, sequence, label: controlLabel(segment), from: "sender" });
    }
    const kind = this.kindOf(segment, start, end, timeMicros);
    if (kind === undefined) return;
    const lost = this.lost.has(segment);
    const { number, comments } = segment;
    this.sequence.segments.push({ number, timeMicros, start, end, kind, lost, comments });
    this.countSent(kind, lost, start, end, length);
    if (length > 0) this.firstDataMicros = Math.min(this.firstDataMicros, timeMicros);
    if (kind === "new") this.inFlight.push({ end, timeMicros, once: true });
    else this.markResent(start, end);
    this.covered.add(start, end);
    if (end > this.sndMax) {
      this.sndMax = end;
      this.sndMaxMicros = timeMicros;
    }
  }

  /** What a segment of the sender is; undefined for a pure acknowledgement, which takes no sequence space. */
  private kindOf(segment: Segment, start: number, end: number, timeMicros: number): SegmentKind | undefined {
    const control = (segment.flags & (SYN | FIN | RST)) !== 0;
    if (!control && segment.length <= 1 && start < this.sndMax && this.sndMax > 1) {
      // RFC 9293 3.8.4: a keep-alive has SEG.SEQ = SND.NXT-1 when nothing is outstanding.
      if (this.window === 0 && (segment.length === 1 || start < this.sndUna)) return "windowProbe";
      if (start === this.sndMax - 1 && this.sndUna === this.sndMax) return "keepAlive";
    }
    if (start === end) return undefined;
    if (!control && this.window === 0 && segment.length === 1) return "windowProbe";
    if (this.covered.overlap(start, end) > 0) return "retransmission";
    if (start >= this.sndMax) return "new";
    if (segment.direction === "outbound") return "retransmission";
    const rttMicros = this.rttSamples[0] ?? 0;
    const late = timeMicros - this.sndMaxMicros > Math.max(REORDERING_MICROS, rttMicros / 2);
    return late ? "retransmission" : "outOfOrder";
  }

  private countSent(kind: SegmentKind, lost: boolean, start: number, end: number, length: number): void {
    const { totals } = this.sequence;
    const repeated = this.covered.overlap(start, end);
    totals.segments += 1;
    totals.bytes += Math.max(0, Math.min(length, end - start - repeated));
    if (kind === "retransmission") {
      totals.retransmissions += 1;
      totals.retransmittedBytes += Math.min(length, repeated);
    }
    if (kind === "outOfOrder") totals.outOfOrder += 1;
    if (lost) totals.lost += 1;
  }

  /** Karn: an acknowledgement of something sent twice says nothing about the round trip (RFC 6298 3). */
  private markResent(start: number, end: number): void {
    for (let index = this.inFlightHead; index < this.inFlight.length; index++) {
      const sent = this.inFlight[index]!;
      if (sent.end > start) sent.once = false;
      if (sent.end >= end) return;
    }
  }

  private addReceived(segment: Segment): void {
    const { flags } = segment;
    const timeMicros = segment.timeMicros - this.sequence.startMicros;
    const ack = acknowledges(segment) ? this.relative(segment.ack) : this.sndUna;
    if ((flags & (SYN | FIN | RST)) !== 0) {
      this.sequence.controls.push({ timeMicros, sequence: ack, label: controlLabel(segment), from: "receiver" });
    }
    if (!acknowledges(segment) || (flags & RST) !== 0) return;
    this.addSacks(segment, timeMicros, ack);
    // An older acknowledgement that was overtaken changes neither line.
    if (ack >= this.sndUna) this.addAck(segment, timeMicros, ack);
  }

  private addAck(segment: Segment, timeMicros: number, ack: number): void {
    const { totals, acks } = this.sequence;
    const syn = (segment.flags & SYN) !== 0;
    // RFC 7323 2.2: the window of a segment with SYN is not scaled.
    const window = segment.window * (syn ? 1 : 2 ** Math.max(0, this.sequence.windowShift));
    const repeats = ack === this.sndUna && window === this.window && segment.length === 0 && !syn;
    const duplicate = repeats && (segment.flags & FIN) === 0 && this.sndMax > ack && acks.length > 0;
    acks.push({ number: segment.number, timeMicros, ack, window, duplicate });
    if (duplicate) totals.duplicateAcks += 1;
    if (window === 0 && !syn) totals.zeroWindows += 1;
    this.window = window;
    if (ack > this.sndUna) this.acknowledged(timeMicros, ack);
  }

  private acknowledged(timeMicros: number, ack: number): void {
    const payload = this.ackedPayload(ack);
    if (payload > this.sequence.totals.ackedBytes) this.lastAckMicros = timeMicros;
    this.sequence.totals.ackedBytes = payload;
    this.sndUna = ack;
    let newest: Sent | undefined;
    while (this.inFlightHead < this.inFlight.length && this.inFlight[this.inFlightHead]!.end <= ack) {
      newest = this.inFlight[this.inFlightHead++]!;
    }
    if (newest?.once === true) this.rttSamples.push(timeMicros - newest.timeMicros);
  }

  /** Payload bytes below an acknowledgement: the SYN at 0 and a FIN at the end are none. */
  private ackedPayload(ack: number): number {
    const fin = this.sequence.controls.some((c) => c.from === "sender" && c.label === "FIN" && c.sequence <= ack);
    return Math.max(0, ack - 1 - (fin ? 1 : 0));
  }

  private addSacks(segment: Segment, timeMicros: number, ack: number): void {
    const { totals, sacks } = this.sequence;
    const edges = segment.sack.map((edge) => this.relative(edge));
    if (edges.length > 0) totals.sackedAcks += 1;
    for (let index = 0; index + 1 < edges.length; index += 2) {
      const start = edges[index]!;
      const end = edges[index + 1]!;
      const duplicate = index === 0 && isDuplicateSack(edges, ack);
      sacks.push({ timeMicros, start, end, duplicate });
      if (duplicate) totals.duplicateSacks += 1;
    }
  }
}

/** RFC 2883 4: the first block is a D-SACK if it lies below the acknowledgement or within the second block. */
function isDuplicateSack(edges: readonly number[], ack: number): boolean {
  const [start, end, secondStart, secondEnd] = edges as [number, number, number?, number?];
  if (end <= ack) return true;
  return secondStart !== undefined && secondEnd !== undefined && start >= secondStart && end <= secondEnd;
}

/** Without the SYN: one before the first byte seen, or before the first acknowledgement. */
function guessedOrigin(flow: Flow, side: Side, seen: readonly Segment[]): number {
  const first = seen.find((segment) => !segment.damaged);
  if (first === undefined) return 0;
  return (senderOf(flow, first) === side ? first.seq : first.ack) - 1;
}

function controlLabel(segment: Segment): ControlMark["label"] {
  if ((segment.flags & RST) !== 0) return "RST";
  if ((segment.flags & SYN) === 0) return "FIN";
  return acknowledges(segment) ? "SYN-ACK" : "SYN";
}

function median(samples: readonly number[]): number | undefined {
  return samples.toSorted((a, b) => a - b)[samples.length >> 1];
}

function emptyTotals(): SequenceTotals {
  return {
    bytes: 0,
    ackedBytes: 0,
    packets: 0,
    segments: 0,
    retransmissions: 0,
    retransmittedBytes: 0,
    lost: 0,
    outOfOrder: 0,
    duplicateAcks: 0,
    sackedAcks: 0,
    duplicateSacks: 0,
    zeroWindows: 0,
    damaged: 0,
    goodputBits: 0,
    rttMicros: undefined,
  };
}
