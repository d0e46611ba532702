// Sorts the segments of a capture by TCP connection, and picks the port from which a connection is best seen.
// Read first: RFC 9293 section 3.4.1 (initial sequence numbers: what tells two uses of one pair of sockets apart).

import { ACK, SYN } from "../assembly/layout.ts";
import { isSyn, parseSegment } from "./plot-segment.ts";
import type { Frame, Segment } from "./plot-segment.ts";

/** One end of a connection; address u32 and port u16 in host order. */
export interface Endpoint {
  address: number;
  port: number;
}

/** Who opened the connection, and who answered. */
export type Side = "client" | "server";

/** What each end said in its SYN. */
export interface Opening {
  /** Initial sequence number. */
  seq: number;
  /** Shift of the window scale option; -1 without one. */
  windowShift: number;
}

/** All that was captured of one connection, at every port, in capture order. */
export interface Flow {
  client: Endpoint;
  server: Endpoint;
  /** Missing for an end whose SYN was not captured. */
  openings: { client?: Opening; server?: Opening };
  segments: Segment[];
}

/** Sorts frames into connections, in the order of their first segments. */
export function flows(frames: Iterable<Frame>): Flow[] {
  const list: Flow[] = [];
  // The same pair of sockets may be used again; a slow port may still see the end of the earlier connection.
  const latest = new Map<string, Flow>();
  const currentAtPort = new Map<string, Flow>();
  let number = 0;
  for (const frame of frames) {
    const segment = parseSegment(frame, ++number);
    if (segment === undefined) continue;
    const tuple = tupleKey(segment);
    const tupleAtPort = `${tuple} ${segment.port}`;
    let flow = currentAtPort.get(tupleAtPort) ?? latest.get(tuple);
    if (isSyn(segment) && !segment.damaged) {
      const newest = latest.get(tuple);
      flow = newest !== undefined && belongs(segment, newest) ? newest : undefined;
    }
    if (flow === undefined) {
      flow = newFlow(segment);
      list.push(flow);
      latest.set(tuple, flow);
    }
    currentAtPort.set(tupleAtPort, flow);
    noteOpening(flow, segment);
    flow.segments.push(segment);
  }
  // The ports of a capture may have been written one after the other.
  for (const flow of list) flow.segments.sort((a, b) => a.timeMicros - b.timeMicros);
  return list;
}

/** Which end sent a segment. */
export function senderOf(flow: Flow, segment: Segment): Side {
  const { address, port } = flow.client;
  return segment.sourceAddress === address && segment.sourcePort === port ? "client" : "server";
}

/** The ports that saw the flow, in the order in which they first did. */
export function portsOf(flow: Flow): string[] {
  return [...new Set(flow.segments.map((segment) => segment.port))];
}

/**
 * The port nearest to the end that sends: there each segment is seen once, when it leaves, lost ones included.
 * That is where its segments are outbound; in a capture without directions, where they were seen first.
 */
export function portOfSender(flow: Flow, sender: Side): string {
  const sent = flow.segments.filter((segment) => senderOf(flow, segment) === sender);
  const outbound = sent.find((segment) => segment.direction === "outbound");
  return (outbound ?? sent[0] ?? flow.segments[0])?.port ?? "";
}

/** The port where the sender's segments arrive, if the capture has one beside the sender's. */
export function portOfReceiver(flow: Flow, sender: Side): string | undefined {
  const own = portOfSender(flow, sender);
  return flow.segments.find(
    (segment) => segment.port !== own && segment.direction !== "outbound" && senderOf(flow, segment) === sender,
  )?.port;
}

function newFlow(segment: Segment): Flow {
  const source = { address: segment.sourceAddress, port: segment.sourcePort };
  const destination = { address: segment.destinationAddress, port: segment.destinationPort };
  // Without a SYN to tell, the end with the higher port number is taken for the client.
  const answers = (segment.flags & SYN) !== 0 ? !isSyn(segment) : source.port < destination.port;
  const [client, server] = answers ? [destination, source] : [source, destination];
  return { client, server, openings: {}, segments: [] };
}

/** A SYN belongs to a flow that has the same one, or (simultaneous open) none yet from its end. */
function belongs(segment: Segment, flow: Flow): boolean {
  const side = senderOf(flow, segment);
  const opening = flow.openings[side];
  if (opening !== undefined) return opening.seq === segment.seq;
  return flow.segments.every((other) => senderOf(flow, other) !== side);
}

function noteOpening(flow: Flow, segment: Segment): void {
  if ((segment.flags & SYN) === 0 || segment.damaged) return;
  flow.openings[senderOf(flow, segment)] ??= { seq: segment.seq, windowShift: segment.windowShift };
}

/** The same text for both directions of a connection. */
function tupleKey(segment: Segment): string {
  const source = segment.sourceAddress * 65536 + segment.sourcePort;
  const destination = segment.destinationAddress * 65536 + segment.destinationPort;
  return source < destination ? `${source} ${destination}` : `${destination} ${source}`;
}

/** The shift of each end's windows: both ends must have offered the option (RFC 7323 2.2). -1: not captured. */
export function windowShift(flow: Flow, side: Side): number {
  const { client, server } = flow.openings;
  if (client === undefined || server === undefined) return -1;
  const opening = side === "client" ? client : server;
  return client.windowShift < 0 || server.windowShift < 0 ? 0 : opening.windowShift;
}

/** Is it a segment that acknowledges? */
export function acknowledges(segment: Segment): boolean {
  return (segment.flags & ACK) !== 0;
}
