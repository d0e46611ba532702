// What isolation costs: datagrams to a host behind an ltran, against the same to a host on the bridge. All in one
// thread, so that the whole way is counted: two copies more, and a beat of the ltran for each burst.
// Read first: host/ltran.ts; veth/carrier.ts.

import { AF_INET, createNetwork, type Host, type Network, SOCK_DGRAM, SOCK_NONBLOCK } from "../host/index.ts";
import { summary } from "./compare.ts";
import { fail, ok } from "./pair.ts";
import type { Measured, Row, RunOptions } from "./row.ts";

/** What a frame of 64 bytes may cost more, nanoseconds. */
const BUDGET_NANOS = 500;
const PORT = 7;
/** Datagrams in a burst. */
const BURST = 32;
const BURSTS = 256;
const STACK = { connections: 1024, timeWaits: 1024, sockets: 64 };

export const ltranNs: Row = {
  name: "ltran_ns",
  title: "what a 64 B UDP datagram costs more that an ltran copies between two memories, in bursts of 32, one core",
  unit: "ns",
  bound: { atMost: 1, aim: 0.5 },
  measure,
};

interface Way {
  network: Network;
  client: Host;
  server: Host;
  from: number;
  to: number;
}

async function measure(options: RunOptions): Promise<Measured> {
  await using network = createNetwork({ seed: 1 });
  const bridge = network.bridge("lan");
  const ltran = network.ltran("ltran", { bridge, thread: false });
  const client = network.host("client", { bridge, address: "10.0.0.1/24", stack: STACK });
  const near = network.host("near", { bridge, address: "10.0.0.2/24", stack: STACK });
  const far = network.host("far", { ltran, address: "10.0.0.3/24", stack: STACK });
  const ways = [near, far].map((server) => wayTo(network, client, server)) as [Way, Way];
  const extra: number[] = [];
  const large: number[] = [];
  for (let run = -1; run < options.runs; run++) {
    const nanos = [difference(ways, 64, options.millis / 2), difference(ways, 1400, options.millis / 2)];
    if (run < 0) continue;
    extra.push(nanos[0] as number);
    large.push(nanos[1] as number);
  }
  const measured = summary(
    "budget",
    extra,
    extra.map(() => BUDGET_NANOS),
  );
  const middle = large.sort((a, b) => a - b)[large.length >> 1] as number;
  return { ...measured, note: `with 1,400 B: ${Math.round(middle)} ns; the difference of two measurements` };
}

/** A socket at each end; both know the other's MAC address. */
function wayTo(network: Network, client: Host, server: Host): Way {
  const from = ok(client.posix.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK));
  const to = ok(server.posix.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK));
  ok(server.posix.bind(to, { port: PORT }));
  ok(client.posix.connect(from, { address: server.address, port: PORT }));
  ok(client.posix.send(from, new Uint8Array(1)));
  network.settle();
  if (server.posix.recv(to, new Uint8Array(1)) !== 1) fail("The first datagram was lost", 0);
  return { network, client, server, from, to };
}

/** Nanoseconds that a datagram costs more on the second way: both in turn, the quickest batch of each. */
function difference(ways: [Way, Way], bytes: number, millis: number): number {
  const quickest = [Infinity, Infinity];
  const end = performance.now() + millis;
  for (let n = 0; n < 4 || performance.now() < end; n++) {
    const start = performance.now();
    batch(ways[n % 2] as Way, bytes);
    quickest[n % 2] = Math.min(quickest[n % 2] as number, performance.now() - start);
  }
  const [near, far] = quickest as [number, number];
  return ((far - near) * 1e6) / (BURSTS * BURST);
}

/** Sends bursts of datagrams and takes them. */
function batch({ network, client, server, from, to }: Way, bytes: number): void {
  const { send } = client.posix;
  const { recv } = server.posix;
  const message = new Uint8Array(bytes).fill(1);
  const received = new Uint8Array(bytes);
  for (let b = 0; b < BURSTS; b++) {
    for (let i = 0; i < BURST; i++) if (send(from, message) !== bytes) fail("A datagram was not sent", -1);
    for (let got = 0; got < BURST;) {
      network.step();
      while (recv(to, received) === bytes) got++;
    }
  }
}
