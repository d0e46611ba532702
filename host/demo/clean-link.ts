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
  /** How long each figure is measured, over all rounds. */
  measureMicros: number;
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
  measuring(done: number, total: number, what: Figure["name"]): void;
}

const ROUNDS = 3;
/** Bytes between two words about progress. */
const PROGRESS_BYTES = 1 << 20;

/** Runs the first half. @throws {CallError} */
export async function cleanLink(source: Source, options: CleanOptions, progress: CleanProgress): Promise<CleanResult> {
  const { seed, queues, kernel, measureMicros } = options;
  await using hosts = createHosts({ seed, queues, time: "real" });
  await using large = createHosts({ seed, queues, time: "real", tso: true });
  const sent = sendFile(hosts, source, progress);
  const pieces = payloadPieces(source);
  const queueLoad = new QueueLoad(hosts);
  const kernelBefore = kernelRetransmissions();
  const figures = await measure(tasks(new Workloads(hosts, pieces), new Workloads(large, pieces), queueLoad), {
    node: kernel ? new NodeWorkloads(pieces) : undefined,
    millis: measureMicros / 1000 / ROUNDS,
    progress,
  });
  const kernelAfter = kernelRetransmissions();
  const retransmissions: CleanResult["retransmissions"] = { oribi: retransmitted(hosts) + retransmitted(large) };
  if (kernel && kernelBefore !== undefined && kernelAfter !== undefined) {
    retransmissions.node = kernelAfter - kernelBefore;
  }
  return { ...sent, figures, retransmissions, queueShares: queueLoad.shares() };
}

/** The file, once, verified. */
function sendFile(
  hosts: Hosts,
  source: Source,
  progress: CleanProgress,
): Pick<CleanResult, "sha256" | "transferMicros"> {
  const { network } = hosts;
  const start = network.now();
  const transfer = new Transfer(hosts, source);
  let told = 0;
  network.runUntil(() => {
    if (transfer.receivedBytes - told >= PROGRESS_BYTES) progress.sending((told = transfer.receivedBytes));
    return transfer.step();
  });
  const transferMicros = network.now() - start;
  transfer.close();
  network.settle();
  return { sha256: transfer.sha256 ?? "", transferMicros };
}

/** One row: how Oribi does it, and node:net's method of the same kind. */
interface Task {
  name: Figure["name"];
  unit: Figure["unit"];
  oribi: (millis: number) => number;
  node: (peer: NodeWorkloads, millis: number) => Promise<number>;
}

function tasks(workloads: Workloads, large: Workloads, queueLoad: QueueLoad): Task[] {
  return [
    {
      name: "throughput",
      unit: "B/s",
      oribi: (millis) => workloads.throughput(millis),
      node: (peer, millis) => peer.throughput(millis),
    },
    {
      name: "throughput_tso",
      unit: "B/s",
      oribi: (millis) => large.throughput(millis),
      node: (peer, millis) => peer.throughput(millis),
    },
    {
      name: "round_trips",
      unit: "1/s",
      oribi: (millis) => workloads.roundTrips(millis),
      node: (peer, millis) => peer.roundTrips(millis),
    },
    {
      name: "connections",
      unit: "1/s",
      oribi: (millis) => queueLoad.during(() => workloads.connections(millis)),
      node: (peer, millis) => peer.connections(millis),
    },
  ];
}

/** Runs every task some times, all in turn; the first time, when the engine compiles, counts for nothing. */
async function measure(
  list: readonly Task[],
  { node, millis, progress }: { node: NodeWorkloads | undefined; millis: number; progress: CleanProgress },
): Promise<Figure[]> {
  const rates = list.map(() => ({ oribi: [] as number[], node: [] as number[] }));
  const total = (ROUNDS + 1) * list.length;
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [index, task] of list.entries()) {
      progress.measuring(round * list.length + index, total, task.name);
      const oribi = task.oribi(millis);
      const peer = node === undefined ? undefined : await task.node(node, millis);
      if (round === 0) continue;
      rates[index]!.oribi.push(oribi);
      if (peer !== undefined) rates[index]!.node.push(peer);
    }
  }
  return list.map(({ name, unit }, index) => {
    const { oribi, node: peer } = rates[index]!;
    return { name, unit, oribi: median(oribi), ...(peer.length > 0 && { node: median(peer) }) };
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function retransmitted({ server, client }: Hosts): number {
  return [server, client].reduce((sum, host) => sum + (host.counters().tcp.retransSegs ?? 0), 0);
}

/** How the server's NIC spreads packets over its RX queues while something runs. */
class QueueLoad {
  readonly #hosts: Hosts;
  readonly #packets: number[];

  constructor(hosts: Hosts) {
    this.#hosts = hosts;
    this.#packets = this.#read().fill(0);
  }

  during<T>(work: () => T): T {
    const before = this.#read();
    const result = work();
    this.#read().forEach((packets, queue) => (this.#packets[queue]! += packets - before[queue]!));
    return result;
  }

  /** Share of each queue. */
  shares(): number[] {
    const sum = this.#packets.reduce((total, packets) => total + packets, 0);
    return this.#packets.map((packets) => (sum === 0 ? 0 : packets / sum));
  }

  #read(): number[] {
    const stats = this.#hosts.server.xstats();
    return Array.from({ length: this.#hosts.server.nic.queues }, (_, queue) => stats[`rx_q${queue}_packets`] ?? 0);
  }
}
