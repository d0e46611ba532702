// What many open connections cost: memory of each when it is idle, and time of a request among all the others.
// Read first: DESIGN.md section 2; host/stack-options.ts for what the pools hold.

import { EXCHANGE_ARGS } from "../assembly/layout.ts";
import type { Host, StackOptions } from "../host/index.ts";
import { stackConfig } from "../host/stack-options.ts";
import { compare } from "./compare.ts";
import { connect, pair, type Connections, type Pair } from "./pair.ts";
import type { Measured, Row, RunOptions } from "./row.ts";
import { serial } from "./tcp-rr.ts";

const PER_PORT = 50_000;
const REQUESTS = 4096;
/** Connections that are busy while all others are idle. */
const FEW = 64;
/** Idle connections that are tried in the end, and how many may have data under way at once. */
const SAMPLES = 1000;
const BUSY = 4096;
/** DESIGN.md section 6: bytes of an idle connection at each end. */
const BUDGET = 512;

export const idleBytes100k = idleBytes("idle_bytes_100k", 100_000);
export const idleBytes1m = idleBytes("idle_bytes_1m", 1_000_000);
export const flows1k = flows("flows_1k", 1_000);
export const flows100k = flows("flows_100k", 100_000);
export const flows100kIdle = flows("flows_100k_idle", 100_000, FEW);

function idleBytes(name: string, connections: number): Row {
  return {
    name,
    title: `memory of an idle TCP connection at each end, ${connections.toLocaleString("en-US")} of them established`,
    unit: "B",
    bound: { atMost: 1, aim: 320 / BUDGET },
    measure: () => measureIdle(connections),
  };
}

/** @param busy connections that requests are made on, in random turn; all others are idle */
function flows(name: string, connections: number, busy = connections): Row {
  const turns = busy === connections ? "each in random turn" : `${busy} of them in turn, the others idle`;
  return {
    name,
    title: `a 64 B request over TCP, ${connections.toLocaleString("en-US")} connections open, ${turns}`,
    unit: "ns",
    bound: { atMost: 1.5, aim: 1.2 },
    measure: (options) => measureFlows(connections, busy, options),
  };
}

/** Hosts with just enough room for so many connections, of which `busy` may have data under way within seconds. */
function roomyPair(connections: number, busy: number): Pair {
  return pair({ stack: roomy(connections, busy), sysctl: { port_range_low: 1024, port_range_high: 65535 } });
}

function roomy(connections: number, busy: number): StackOptions {
  return {
    connections: connections + Math.ceil(connections / PER_PORT),
    sockets: 16,
    // What was sent keeps its chunk until it is acknowledged, 40 ms later when the application stays silent.
    chunks: busy,
    largeChunks: 16,
    flights: busy,
    segments: busy,
    islands: 64,
    epollItems: 0,
    timeWaits: 0,
  };
}

async function measureIdle(connections: number): Promise<Measured> {
  globalThis.gc?.();
  const residentBefore = process.memoryUsage.rss();
  await using hosts = roomyPair(connections, BUSY);
  const ends = connect(hosts, connections, 7, PER_PORT);
  const established = hosts.client.stack.core.currEstab() + hosts.server.stack.core.currEstab();
  if (established !== 2 * connections) throw new Error(`${established} ends are established, not ${2 * connections}.`);
  const bytes = usedBytes(hosts.client, connections) + usedBytes(hosts.server, connections);
  const resident = process.memoryUsage.rss() - residentBefore;
  // That they are alive, some of them.
  const some = { client: sample(ends.client), server: sample(ends.server) };
  serial(hosts, some, some.client.length)();
  const value = bytes / (2 * connections);
  const each = Math.round(resident / (2 * connections));
  const note = `resident memory of the process grew by ${Math.round(resident / 1048576)} MiB: ${each} B each`;
  return { value, peer: "budget", peerValue: BUDGET, ratio: value / BUDGET, runs: 1, spread: 0, note };
}

/**
 * Bytes of its arena that a stack has used: what an arena would have that held only the elements which its pools have
 * ever given out. Tables (flows, descriptors, ports, timers, ARP, the exchange area) count whole.
 */
function usedBytes(host: Host, connections: number): number {
  const pools = host.pools();
  const peak = (name: string, least = 0): number => Math.max(least, pools[name]?.peak ?? NaN);
  const used = stackConfig(
    {
      ...roomy(connections, BUSY),
      connections: peak("tcb", 1),
      sockets: peak("socket", 1),
      mbufs: peak("mbuf", 16),
      l2Mbufs: peak("mbufL2"),
      chunks: peak("chunk", 16),
      largeChunks: peak("chunkLarge"),
      flights: peak("flight", 1),
      segments: peak("txseg", 16),
      islands: peak("island"),
      epollItems: peak("epitem"),
      timeWaits: peak("timeWait"),
      reassemblies: peak("reassembly", 1),
    },
    new Uint32Array(4),
  );
  const { core, memory } = host.stack;
  const at = (core.exchange() >>> 0) + EXCHANGE_ARGS;
  new Uint32Array(memory.buffer, at, used.length).set(used);
  return core.arenaBytes(at) >>> 0;
}

function sample(fds: Int32Array): Int32Array {
  const stride = Math.ceil(fds.length / SAMPLES);
  return fds.filter((_, index) => index % stride === 0);
}

async function measureFlows(connections: number, busy: number, options: RunOptions): Promise<Measured> {
  await using one = roomyPair(1, 16);
  await using many = roomyPair(connections, connections);
  const all = shuffled(connect(many, connections, 7, PER_PORT));
  const some = { client: all.client.slice(0, busy), server: all.server.slice(0, busy) };
  const among = serial(many, some, REQUESTS);
  const alone = serial(one, connect(one, 1), REQUESTS);
  return await compare(
    { name: "oribi", amount: REQUESTS, batch: among },
    { name: "one connection", amount: REQUESTS, batch: alone },
    options,
    (rate) => 1e9 / rate,
  );
}

/** The same connections in another order, always the same one. */
function shuffled({ client, server }: Connections): Connections {
  const order = Uint32Array.from(client.keys());
  let state = 1;
  for (let i = order.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[other]] = [order[other] as number, order[i] as number];
  }
  const by = (fds: Int32Array): Int32Array => Int32Array.from(order, (index) => fds[index] as number);
  return { client: by(client), server: by(server) };
}
