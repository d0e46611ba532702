// The demo's first half: the file over a clean link in real time, then throughput, requests and connections a second,
// Oribi and node:net in turn, so that whatever else the machine does strikes both.
// Read first: transfer.ts, workloads.ts, node-net.ts.

import { createHosts, type Hosts } from "./hosts.ts";
import { kernelRetransmissions, NodeWorkloads } from "./node-net.ts";
import { payloadPieces, type Source } from "./source.ts";
import { Transfer } from "./transfer.ts";
import { Workloads } from "./workloads.ts";

export interface CleanOptions {
  seed: number | string;
  queues: number;
  /** Measure node:net too. */
  kernel: boolean;
}

/** A figure of Oribi's, and node:net's beside it: median of several rounds. */
export interface Figure {
  name: "throughput" | "throughput_tso" | "round_trips" | "connections";
  unit: "B/s" | "1/s";
  oribi: number;
  node?: number;
}

export interface CleanResult {
  /** SHA-256 of what the client received. */
  sha256: string;
  /** Time from the start of the connection to the end of the file, microseconds. */
  transferMicros: number;
  figures: Figure[];
  /** Segments sent again, by both hosts; by all of the machine's kernel, where that tells. */
  retransmissions: { oribi: number; node?: number };
  /** Share of the client's connections that each queue of the server's NIC took. */
  queueShares: number[];
}

export interface CleanProgress {
  sending(bytes: number): void;
  measuring(done: number, total: number, what: string): void;
}

const ROUNDS = 3;
const ROUND_MILLIS = 250;
/** Before the first round: both engines compile what runs often. */
const WARM_UP_MILLIS = 150;
/** Bytes between two words about progress. */
const PROGRESS_BYTES = 1 << 20;

/** Runs the first half. @throws {CallError} */
export async function cleanLink(source: Source, options: CleanOptions, progress: CleanProgress): Promise<CleanResult> {
  const { seed, queues } = options;
  await using hosts = createHosts({ seed, queues, time: "real" });
  await using tsoHosts = createHosts({ seed, queues, time: "real", tso: true });
  const sent = sendFile(hosts, source, progress);
  const pieces = payloadPieces(source);
  const workloads = new Workloads(hosts, pieces);
  const tso = new Workloads(tsoHosts, pieces);
  const node = new NodeWorkloads(pieces);
  const kernelBefore = kernelRetransmissions();
  const tasks: Task[] = [
    {
      figure: { name: "throughput", unit: "B/s" },
      oribi: (millis) => workloads.throughput(millis),
      node: (millis) => node.throughput(millis),
    },
    { figure: { name: "throughput_tso", unit: "B/s" }, oribi: (millis) => tso.throughput(millis) },
    {
      figure: { name: "round_trips", unit: "1/s" },
      oribi: (millis) => workloads.roundTrips(millis),
      node: (millis) => node.roundTrips(millis),
    },
    {
      figure: { name: "connections", unit: "1/s" },
      oribi: (millis) => workloads.connections(millis),
      node: (millis) => node.connections(millis),
    },
  ];
  const figures = await measure(options.kernel ? tasks : tasks.map(({ figure, oribi }) => ({ figure, oribi })), progress);
  const [throughput, large] = figures;
  if (throughput?.node !== undefined && large !== undefined) large.node = throughput.node;
  const kernelAfter = options.kernel ? kernelRetransmissions() : undefined;
  const retransmissions: CleanResult["retransmissions"] = { oribi: retransmitted(hosts) + retransmitted(tsoHosts) };
  if (kernelBefore !== undefined && kernelAfter !== undefined) retransmissions.node = kernelAfter - kernelBefore;
  return { ...sent, figures, retransmissions, queueShares: queueShares(hosts) };
}
