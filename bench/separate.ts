// The separate model: the server's stack has a thread of its own; its application and the whole client run in this one.
// Two threads for two cores: with the client's stack in a third one they would take turns on them.
// Read first: tcp-rr.ts, tcp-stream.ts, whose batches these are; DESIGN.md section 4.

import { F_SETFL, type HostOptions } from "../host/index.ts";
import { compare, summary } from "./compare.ts";
import { netEcho, netStream } from "./node-net.ts";
import { connect, fail, ok, pair, type Connections, type Pair } from "./pair.ts";
import type { Measured, Row, RunOptions } from "./row.ts";
import { serial } from "./tcp-rr.ts";
import { BATCH, CHUNK, stream, viewer } from "./tcp-stream.ts";

const BYTES = 64;
const REQUESTS = 4096;
/** One core, in percent. */
const CORE = 100;
/** While a network is idle, its processor time is taken for so long, milliseconds. */
const IDLE_MILLIS = 1000;

export const sepRr: Row = {
  name: "sep_rr",
  title: "64 B request and response, one TCP connection, the server's stack in a thread of its own, both threads busy",
  unit: "op/s",
  bound: { atLeast: 2.5, aim: 4 },
  measure: (options) => measureRr(options, "busy"),
};

export const sepRrAdaptive: Row = {
  name: "sep_rr_adaptive",
  title: "the same with calls that block and threads that sleep when there is nothing to do",
  unit: "op/s",
  bound: { atLeast: 1, aim: 2 },
  measure: (options) => measureRr(options, "adaptive"),
};

export const sepStream: Row = {
  name: "sep_stream",
  title:
    "bulk over one TCP connection out of a stack in a thread of its own, segmentation and checksums left to the NICs",
  unit: "B/s",
  bound: { atLeast: 2, aim: 4 },
  measure: measureStream,
};

export const idleCpuPercent: Row = {
  name: "idle_cpu_percent",
  title: "processor time of a process whose two hosts have separate adaptive threads and an idle connection",
  unit: "%",
  bound: { atMost: 0.01, aim: 0.005 },
  measure: measureIdle,
};

const SEPARATE: Pick<HostOptions, "threads"> = { threads: "separate" };

async function measureRr(options: RunOptions, poll: "busy" | "adaptive"): Promise<Measured> {
  await using hosts = pair({}, SEPARATE);
  await using peer = await netEcho(1, BYTES, REQUESTS);
  const ends = connect(hosts, 1);
  const talk = poll === "busy" ? serial(hosts, ends, REQUESTS) : blocking(hosts, ends);
  return await compare(
    { name: "oribi", amount: REQUESTS, batch: () => whileAwake(hosts, poll, talk) },
    { name: "node:net", amount: REQUESTS, batch: () => peer.run(), isAsync: true },
    options,
  );
}

/** No thread is to spin while the peer is measured. */
function whileAwake({ server }: Pair, poll: "busy" | "adaptive", batch: () => void): void {
  server.setPoll(poll);
  batch();
  server.setPoll("adaptive");
}

/** A batch of requests with calls that wait, as most programs are written. */
function blocking({ client, server }: Pair, ends: Connections): () => void {
  const [from, to] = [ends.client[0] as number, ends.server[0] as number];
  ok(client.posix.fcntl(from, F_SETFL, 0));
  ok(server.posix.fcntl(to, F_SETFL, 0));
  const { send, recv } = client.posix;
  const { send: answer, recv: take } = server.posix;
  const request = new Uint8Array(BYTES).fill(1);
  const received = new Uint8Array(BYTES);
  return () => {
    for (let i = 0; i < REQUESTS; i++) {
      let n = send(from, request);
      if (n === BYTES) n = take(to, received);
      if (n === BYTES) n = answer(to, received);
      if (n === BYTES) n = recv(from, received);
      if (n !== BYTES) fail("A message did not come whole", n);
    }
    if (received.some((byte) => byte !== 1)) throw new Error("A response is not what was sent.");
  };
}

async function measureStream(options: RunOptions): Promise<Measured> {
  const offloads = { txChecksum: true, rxChecksum: true, tso: true, lro: true };
  await using hosts = pair({ offloads }, SEPARATE);
  await using peer = await netStream(BATCH, CHUNK);
  const ends = connect(hosts, 1);
  const batch = stream(hosts, ends, viewer(hosts, ends));
  return await compare(
    { name: "oribi", amount: BATCH, batch: () => whileAwake(hosts, "busy", batch) },
    { name: "node:net", amount: BATCH, batch: () => peer.run(), isAsync: true },
    options,
  );
}

async function measureIdle({ runs }: RunOptions): Promise<Measured> {
  await using hosts = pair(SEPARATE);
  connect(hosts, 1);
  const values: number[] = [];
  // The first second is for what the set-up has left to do.
  for (let run = -1; run < runs; run++) {
    const before = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, IDLE_MILLIS));
    const { user, system } = process.cpuUsage(before);
    if (run >= 0) values.push(((user + system) / 1000 / IDLE_MILLIS) * CORE);
  }
  return summary(
    "one core",
    values,
    values.map(() => CORE),
  );
}
