// Time-sequence plots of TCP connections out of captures: list the connections, build the model, draw the page.
// Read first: plot-sequence.ts (the model), plot-svg.ts (the picture).

import { FIN } from "../assembly/layout.ts";
import { flows, portsOf, senderOf } from "./plot-flow.ts";
import type { Endpoint, Flow, Side } from "./plot-flow.ts";
import { plotPage } from "./plot-page.ts";
import type { PageOptions } from "./plot-page.ts";
import { addressText } from "./plot-segment.ts";
import type { Frame } from "./plot-segment.ts";
import { sequenceOf } from "./plot-sequence.ts";
import type { TimeSequence } from "./plot-sequence.ts";

export type { Endpoint, Side } from "./plot-flow.ts";
export type { PageOptions } from "./plot-page.ts";
export { plotPage } from "./plot-page.ts";
export type { TcpInfoSample } from "./plot-panels.ts";
export type { Frame } from "./plot-segment.ts";
export type * from "./plot-sequence.ts";

/** A TCP connection found in a capture. */
export interface Connection {
  /** Its number in the capture, in the order of first packets, from 0. */
  index: number;
  client: Endpoint;
  server: Endpoint;
  /** Names of the capture's ports that saw it. */
  ports: string[];
  /** Packets seen next to the client, both ways. */
  packets: number;
  /** Payload bytes, each once. */
  bytesFromClient: number;
  bytesFromServer: number;
  /** Retransmitted segments of both ends, each counted next to the end that sent it. */
  retransmissions: number;
  /** Time of the first packet, microseconds, as in the capture. */
  startMicros: number;
  durationMicros: number;
  /** Was the SYN of both ends captured? */
  opened: boolean;
  /** How it ended within the capture. */
  end: "open" | "half-closed" | "closed" | "reset";
}

export interface TimeSequenceOptions {
  /** Number in connections(), or a test for the one wanted (the first passes); default: that with most bytes. */
  connection?: number | ((connection: Connection) => boolean);
  /** The end whose data is shown; default: the one that sent more. */
  side?: Side;
  /** The port of the capture to look from; default: the one next to that end. */
  port?: string;
}

/** Lists the TCP connections of a capture, in the order of their first packets. */
export function connections(frames: Iterable<Frame>): Connection[] {
  return flows(frames).map(summary);
}

/**
 * Builds the model of one direction of one connection.
 * @param frames the frames of a capture, for example readPcapng(path)
 * @throws RangeError when the capture has no such connection or port; the message lists what there is
 */
export function timeSequence(frames: Iterable<Frame>, options: TimeSequenceOptions = {}): TimeSequence {
  const list = flows(frames);
  const { flow, connection } = choose(list, options.connection);
  const side = options.side ?? (connection.bytesFromServer > connection.bytesFromClient ? "server" : "client");
  if (options.port !== undefined && !connection.ports.includes(options.port)) {
    throw new RangeError(`no port "${options.port}" saw the connection: expected ${connection.ports.join(", ")}`);
  }
  return sequenceOf(flow, side, options.port);
}

/** The page of one connection of a capture: timeSequence and plotPage in one. */
export function plotCapture(frames: Iterable<Frame>, options: TimeSequenceOptions & PageOptions = {}): string {
  return plotPage(timeSequence(frames, options), options);
}

function choose(
  list: readonly Flow[],
  wanted: TimeSequenceOptions["connection"],
): { flow: Flow; connection: Connection } {
  if (list.length === 0) throw new RangeError("the capture has no TCP connection");
  const summaries = list.map(summary);
  let index = 0;
  if (typeof wanted === "number") {
    index = wanted;
  } else if (wanted !== undefined) {
    index = summaries.findIndex(wanted);
  } else {
    const bytes = summaries.map((each) => each.bytesFromClient + each.bytesFromServer);
    index = bytes.indexOf(Math.max(...bytes));
  }
  const flow = list[index];
  const connection = summaries[index];
  if (flow === undefined || connection === undefined) {
    const names = summaries.slice(0, 10).map((each) => `${each.index}: ${endsText(each)}`);
    throw new RangeError(`the capture has no such connection; it has ${list.length}: ${names.join("; ")}`);
  }
  return { flow, connection };
}

function endsText({ client, server }: Connection): string {
  return `${addressText(client.address)}:${client.port} → ${addressText(server.address)}:${server.port}`;
}

function summary(flow: Flow, index: number): Connection {
  const fromClient = sequenceOf(flow, "client");
  const fromServer = sequenceOf(flow, "server");
  return {
    index,
    client: flow.client,
    server: flow.server,
    ports: portsOf(flow),
    packets: fromClient.totals.packets,
    bytesFromClient: fromClient.totals.bytes,
    bytesFromServer: fromServer.totals.bytes,
    retransmissions: fromClient.totals.retransmissions + fromServer.totals.retransmissions,
    startMicros: fromClient.startMicros,
    durationMicros: fromClient.durationMicros,
    opened: flow.openings.client !== undefined && flow.openings.server !== undefined,
    end: endOf(flow, fromClient, fromServer),
  };
}

function endOf(flow: Flow, fromClient: TimeSequence, fromServer: TimeSequence): Connection["end"] {
  const sent = [...fromClient.controls, ...fromServer.controls].filter((control) => control.from === "sender");
  if (sent.some((control) => control.label === "RST")) return "reset";
  const fins = new Set(flow.segments.filter((s) => (s.flags & FIN) !== 0 && !s.damaged).map((s) => senderOf(flow, s)));
  return fins.size === 2 ? "closed" : fins.size === 1 ? "half-closed" : "open";
}
