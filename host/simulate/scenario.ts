// What one seed of the simulator is: hosts, wires, connections and a clock, as plain data.
// Read first: draw.ts, which draws it; run.ts, which lives it.

import type { HostOptions } from "../network.ts";
import type { LinkOptions } from "../../veth/index.ts";

/** What one end of a connection does. */
export interface EndPlan {
  /** Bytes that it sends; the stream is a window of the pattern that begins at `offset`. */
  bytes: number;
  offset: number;
  /** Most bytes of one send(), and the share of them that say MSG_MORE. */
  writeBytes: number;
  more: number;
  /** Most bytes of one recv(); 0: as many as there is room for. */
  readBytes: number;
  /** Share of the recv() calls that look with MSG_PEEK first. */
  peek: number;
  /** A slow reader: one recv() in so many microseconds; 0 reads at once. */
  readEveryMicros: number;
  /** After so many bytes it does not read (write) for a while; Infinity: never. */
  readPauseAt: number;
  readPauseMicros: number;
  writePauseAt: number;
  writePauseMicros: number;
  /** Ends its direction when all is sent ("first"), or only after the other's end ("second"). */
  order: "first" | "second";
  /** shutdown(SHUT_WR), then close() after the other's end; or close() as soon as everything has been read. */
  ending: "shutdown" | "close";
  /** Socket options, by the names of options.ts. */
  options: Record<string, number | string>;
}

/** How a connection is broken off: by which end, once it has moved so many bytes, or at that time. */
export interface AbortPlan {
  end: 0 | 1;
  how: "reset" | "unread" | "close";
  afterBytes: number;
  afterMicros: number;
}

export interface ConnectionPlan {
  /** Which of the hosts opens it. */
  client: 0 | 1;
  clientPort: number;
  serverPort: number;
  openMicros: number;
  /** Of the client, of the server. */
  ends: readonly [EndPlan, EndPlan];
  /** Without: both ends close in order. */
  abort?: AbortPlan;
  /** It may end before all has arrived: one end breaks it off, or SYN cookies may forget it. */
  isFragile: boolean;
}

/** A time in which a host's wire is cut. */
export interface CutPlan {
  host: 0 | 1;
  atMicros: number;
  micros: number;
}

/** Which clock is about to wrap when the connections begin. */
export type ClockPlan =
  /** The time itself: microseconds. */
  | { kind: "time"; startMicros: number }
  /** The sequence numbers (or timestamps) of that end of the first connection wrap after so many bytes (ms). */
  | { kind: "sequence" | "timestamps"; end: 0 | 1; distance: number };

/** How the applications learn what is ready. */
export type Drive = "busy" | "level" | "edge";

export interface Scenario {
  seed: number;
  clock: ClockPlan;
  drive: Drive;
  /** Options of both hosts but for bridge and address. */
  hosts: readonly [Omit<HostOptions, "address">, Omit<HostOptions, "address">];
  /** The wires of both hosts; they are put in once the hosts have announced themselves. */
  links: readonly [{ toWire: LinkOptions; toHost: LinkOptions }, { toWire: LinkOptions; toHost: LinkOptions }];
  connections: readonly ConnectionPlan[];
  /** All connections go to one listener with this backlog, which accepts late; undefined: each to its own. */
  crowd?: { backlog: number; acceptEveryMicros: number; syncookies: number };
  cuts: readonly CutPlan[];
}

/** Bytes that all connections of a scenario are to carry. */
export function scenarioBytes(scenario: Scenario): number {
  return scenario.connections.reduce((sum, { ends }) => sum + ends[0].bytes + ends[1].bytes, 0);
}
