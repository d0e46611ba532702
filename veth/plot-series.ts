// Figures over time that a plot shows beside the marks: rates per interval, values under the pointer, closed windows.
// Read first: plot-sequence.ts, whose model they are taken from.

import { RangeSet } from "./plot-ranges.ts";
import type { TimeSequence } from "./plot-sequence.ts";

/** Bits per second in equal intervals of the connection. */
export interface Rates {
  intervalMicros: number;
  /** Bits per second put on the wire as payload, retransmissions included. */
  sent: number[];
  /** Bits per second that reached the receiver, as its ACK and SACK fields tell. */
  delivered: number[];
}

/** Rates in `intervals` equal parts of `spanMicros`. */
export function ratesOf(sequence: TimeSequence, spanMicros: number, intervals: number): Rates {
  const intervalMicros = spanMicros / intervals;
  const sent = new Array<number>(intervals).fill(0);
  const delivered = new Array<number>(intervals).fill(0);
  const slot = (timeMicros: number): number => Math.min(intervals - 1, Math.floor(timeMicros / intervalMicros));
  const toBits = 8e6 / intervalMicros;
  for (const { timeMicros, start, end } of sequence.segments) sent[slot(timeMicros)]! += (end - start) * toBits;
  for (const { timeMicros, bytes } of deliveries(sequence)) delivered[slot(timeMicros)]! += bytes * toBits;
  return { intervalMicros, sent, delivered };
}

/** The bytes that each acknowledgement reports for the first time, selectively or not. */
function* deliveries(sequence: TimeSequence): Generator<{ timeMicros: number; bytes: number }> {
  const { acks, sacks } = sequence;
  const reported = new RangeSet();
  // The sender's own SYN is no byte.
  reported.add(0, 1);
  let highest = 1;
  let next = 0;
  const report = (start: number, end: number): number => {
    const bytes = end - start - reported.overlap(start, end);
    reported.add(start, end);
    return bytes;
  };
  for (const { timeMicros, ack } of acks) {
    let bytes = 0;
    for (; next < sacks.length && sacks[next]!.timeMicros <= timeMicros; next++) {
      if (!sacks[next]!.duplicate) bytes += report(sacks[next]!.start, sacks[next]!.end);
    }
    if (ack > highest) {
      bytes += report(highest, ack);
      highest = ack;
    }
    if (bytes > 0) yield { timeMicros, bytes };
  }
}

/** Bytes sent and not acknowledged, from a moment on. */
export interface InFlight {
  timeMicros: number;
  bytes: number;
}

/** The bytes in flight after each event of the connection. */
export function inFlight(sequence: TimeSequence): InFlight[] {
  return [...readings(sequence)].map(({ timeMicros, sent, ack }) => ({ timeMicros, bytes: Math.max(0, sent - ack) }));
}

/** What holds from a moment on: the highest sequence number sent, the acknowledgement, the edge of the window. */
export interface Reading {
  timeMicros: number;
  sent: number;
  ack: number;
  edge: number;
  /** The packet that made it so. */
  number: number;
}

/** The state at the end of each of at most `count` equal parts of the connection in which something happened. */
export function readingsOf(sequence: TimeSequence, count: number): Reading[] {
  const partMicros = Math.max(sequence.durationMicros / count, Number.MIN_VALUE);
  const list: Reading[] = [];
  let part = -1;
  for (const reading of readings(sequence)) {
    const own = Math.floor(reading.timeMicros / partMicros);
    if (own === part) list[list.length - 1] = reading;
    else list.push(reading);
    part = own;
  }
  return list;
}

/** The state after each event, in the order of time. */
function* readings(sequence: TimeSequence): Generator<Reading> {
  const { segments, acks } = sequence;
  let reading: Reading = { timeMicros: 0, sent: 0, ack: 0, edge: 0, number: 0 };
  for (let s = 0, a = 0; s < segments.length || a < acks.length;) {
    const segment = segments[s];
    const ack = acks[a];
    if (ack === undefined || (segment !== undefined && segment.timeMicros <= ack.timeMicros)) {
      const { timeMicros, end, number } = segment!;
      reading = { ...reading, timeMicros, sent: Math.max(reading.sent, end), number };
      s += 1;
    } else {
      const { timeMicros, window, number } = ack;
      reading = { ...reading, timeMicros, ack: ack.ack, edge: ack.ack + window, number };
      a += 1;
    }
    yield reading;
  }
}

/** A stretch of time in which the receiver's window was closed. */
export interface ClosedWindow {
  fromMicros: number;
  toMicros: number;
}

/** The stretches from an advertised window of zero to the next that is not. */
export function closedWindows(sequence: TimeSequence): ClosedWindow[] {
  const list: ClosedWindow[] = [];
  let fromMicros: number | undefined;
  for (const { timeMicros, window } of sequence.acks) {
    if (window === 0) {
      fromMicros ??= timeMicros;
    } else if (fromMicros !== undefined) {
      list.push({ fromMicros, toMicros: timeMicros });
      fromMicros = undefined;
    }
  }
  if (fromMicros !== undefined) list.push({ fromMicros, toMicros: sequence.durationMicros });
  return list;
}
