// The demo's part with threads: the file, requests and connections from a server whose queues are served by as many
// stacks, each in a thread, to a client in the main thread; with the figures of each queue.
// Read first: DESIGN.md section 4; crew.ts (the threads), service.ts (what they do), fetch.ts and load.ts (the client).

import { setTimeout } from "node:timers/promises";
import type { HostOptions } from "../network-options.ts";
import { businessThreads, Crew, type ThreadModel } from "./crew.ts";
import { ClientLoop } from "./event-loop.ts";
import { Fetch, type Fetched } from "./fetch.ts";
import { createHosts, type Hosts } from "./hosts.ts";
import { Load, type Rate } from "./load.ts";
import { type QueueFigures, QueueMeter } from "./queue-figures.ts";
import type { Source } from "./source.ts";
import { Tally } from "./tally.ts";

export interface ThreadedOptions {
  model: ThreadModel;
  /** Queues of the server's NIC, its stacks, their threads. */
  queues: number;
  seed: number | string;
  /** How long each figure is measured. */
  measureMicros: number;
}

/** A figure in a second, and how many connections were open for it at one time. */
export interface ThreadedRate {
  perSecond: number;
  connections: number;
}

export interface ThreadedResult {
  model: ThreadModel;
  /** Threads of the server: those that have a stack, and those that have only an application. */
  threads: { stacks: number; business: number };
  /** SHA-256 of what the client received. */
  sha256: string;
  fetch: { connections: number; micros: number; bytesPerSecond: number };
  roundTrips: ThreadedRate;
  connections: { perSecond: number };
  /** Segments sent again, by both hosts. */
  retransmissions: number;
  /** From the first connection to the last; requests a second in the time in which they were measured. */
  queues: (QueueFigures & { requestsPerSecond: number })[];
}

export interface ThreadedProgress {
  starting(done: number, total: number): void;
  fetching(bytes: number): void;
  measuring(done: number, total: number, what: "round_trips" | "connections"): void;
}

/** The engine compiles meanwhile: as a share of the time of measuring. */
const WARM_UP = 1 / 3;
/** A thread that dies breaks connections first, and is heard of then; so much later, milliseconds. */
const NEWS_MILLIS = 250;

/** Runs the part. @throws {ThreadFailure} when a thread fails @throws {CallError} */
export async function threaded(
  source: Source,
  options: ThreadedOptions,
  progress: ThreadedProgress,
): Promise<ThreadedResult> {
  const { model, queues, seed } = options;
  await using hosts = createHosts({ seed, queues, time: "real", server: serverOptions(model, queues) });
  const tally = Tally.buffer(queues);
  const setup = { file: source.place, tally };
  await using crew = await Crew.start(hosts, model, setup, (done, total) => progress.starting(done, total));
  try {
    return await measure({ hosts, crew, source, progress }, options);
  } catch (error) {
    await setTimeout(NEWS_MILLIS);
    crew.check();
    throw error;
  }
}

/** Pools for what the client asks of one stack at most, so that 64 of them fit into one memory. */
function serverOptions(model: ThreadModel, queues: number): Partial<HostOptions> {
  return {
    stacks: queues,
    threads: model,
    stack: {
      connections: 2048,
      timeWaits: 8192,
      sockets: 64,
      mbufs: 1024,
      chunks: 4096,
      largeChunks: 64,
      segments: 16384,
      islands: 1024,
    },
    // The main thread is one of those that use the host.
    share: { threads: businessThreads(queues) + 1, sendBuffers: 256, largeSendBuffers: 16 },
  };
}

interface Parts {
  hosts: Hosts;
  crew: Crew;
  source: Source;
  progress: ThreadedProgress;
}

async function measure({ hosts, crew, source, progress }: Parts, options: ThreadedOptions): Promise<ThreadedResult> {
  const { model, queues } = options;
  const millis = options.measureMicros / 1000;
  const meter = new QueueMeter(hosts);
  const loop = new ClientLoop(hosts.client.posix, crew);
  const fetched = await new Fetch(hosts, loop, source.bytes).run((bytes) => progress.fetching(bytes));
  const load = new Load(hosts, loop);
  progress.measuring(0, 2, "round_trips");
  await load.open();
  await load.roundTrips(millis * WARM_UP);
  const before = crew.tally.requests();
  const requests = await load.roundTrips(millis);
  const answered = crew.tally.requests().map((count, queue) => count - (before[queue] as number));
  load.close();
  progress.measuring(1, 2, "connections");
  await load.connections(millis * WARM_UP);
  const connections = await load.connections(millis);
  return {
    model,
    threads: { stacks: queues, business: model === "separate" ? crew.applications : 0 },
    sha256: fetched.sha256,
    fetch: fetchFigures(fetched, source.bytes),
    roundTrips: { perSecond: perSecond(requests), connections: load.echoConnections },
    connections: { perSecond: perSecond(connections) },
    retransmissions: retransmitted(hosts),
    queues: meter.figures().map((figures, queue) => ({
      ...figures,
      requestsPerSecond: perSecond({ count: answered[queue] as number, micros: requests.micros }),
    })),
  };
}

function fetchFigures({ connections, micros }: Fetched, bytes: number): ThreadedResult["fetch"] {
  return { connections, micros, bytesPerSecond: perSecond({ count: bytes, micros }) };
}

function perSecond({ count, micros }: Rate): number {
  return (count * 1e6) / micros;
}

function retransmitted({ server, client }: Hosts): number {
  return [server, client].reduce((sum, host) => sum + (host.counters().tcp.retransSegs ?? 0), 0);
}
