// What software forwarding costs: segments that arrive at one queue of a host and are handed to the stack of another,
// against the same segments when the NIC brings them to the right queue at once. Both stacks in one thread.
// Read first: assembly/steer/hand-over.ts; DESIGN.md section 4 "Balancing".

import { IPPROTO_TCP, TCP_NODELAY } from "../assembly/layout.ts";
import { summary } from "./compare.ts";
import { connect, fail, ok, pair, type Pair } from "./pair.ts";
import type { Measured, Row, RunOptions } from "./row.ts";

/** DESIGN.md section 4: a packet handed over in software costs less than this, nanoseconds. */
const BUDGET_NANOS = 150;
const BYTES = 64;
/** Segments in a burst; of them all that arrive are acknowledged at once, in both cases. */
const BURST = 32;
const BURSTS = 256;
const RETA = 128;

export const forwardNs: Row = {
  name: "forward_ns",
  title: "what a 64 B TCP segment costs more that arrives at a queue of another stack and is handed over, one core",
  unit: "ns",
  bound: { atMost: 1, aim: 0.5 },
  measure,
};

async function measure(options: RunOptions): Promise<Measured> {
  await using hosts = pair({ stacks: 2 });
  const { client, server } = hosts;
  // The one stack that listens gets all connections, by a rule that would bring their segments home as well.
  const ends = connect(hosts, 1);
  const from = ends.client[0] as number;
  const to = ends.server[0] as number;
  ok(client.posix.setsockopt(from, IPPROTO_TCP, TCP_NODELAY, 1));
  ok(server.nic.director.unlisten("tcp", 7));
  const burst = batch(hosts, from, to);
  const extra: number[] = [];
  for (let run = -1; run < options.runs; run++) {
    const nanos = measureBoth(hosts, burst, options.millis);
    if (run >= 0) extra.push(nanos);
  }
  const measured = summary(
    "budget",
    extra,
    extra.map(() => BUDGET_NANOS),
  );
  return {
    ...measured,
    note: "the difference of two measurements: reception at home, reception elsewhere and handing over",
  };
}

/** Sends bursts of segments and takes them; all of it in one thread. */
function batch({ network, client, server }: Pair, from: number, to: number): () => void {
  const { send } = client.posix;
  const { recv } = server.posix;
  const message = new Uint8Array(BYTES).fill(1);
  const received = new Uint8Array(BYTES * BURST);
  return () => {
    for (let b = 0; b < BURSTS; b++) {
      for (let i = 0; i < BURST; i++) if (send(from, message) !== BYTES) fail("A segment was not sent", -1);
      for (let got = 0; got < received.length;) {
        network.step();
        const n = recv(to, received);
        if (n > 0) got += n;
      }
    }
    network.settle();
  };
}

/**
 * Nanoseconds that a segment costs more that is handed over: both cases in turn, batch by batch, the quickest of each,
 * since whoever else uses the machine makes them slower, never quicker.
 */
function measureBoth({ server }: Pair, burst: () => void, millis: number): number {
  const segments = BURSTS * BURST;
  const quickest = [Infinity, Infinity];
  const end = performance.now() + millis;
  for (let n = 0; n < 4 || performance.now() < end; n++) {
    const queue = n % 2;
    server.nic.rss.setReta(Array<number>(RETA).fill(queue));
    const before = server.counters().steer.out as number;
    const start = performance.now();
    burst();
    quickest[queue] = Math.min(quickest[queue] as number, performance.now() - start);
    const handed = (server.counters().steer.out as number) - before;
    if (queue === 0 ? handed !== 0 : handed < segments) throw new Error(`${handed} of ${segments} were handed over.`);
  }
  const [home, away] = quickest as [number, number];
  return ((away - home) * 1e6) / segments;
}
