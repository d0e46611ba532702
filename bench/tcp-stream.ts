// Bulk data over one TCP connection, both ends in one thread: in segments of an MTU of 1500, then in large ones.
// Read first: netperf's TCP_STREAM; RFC 7323 appendix A for the 1,448 bytes that timestamps leave of a segment.

import { EAGAIN } from "../host/index.ts";
import { formatByteRate } from "../host/cli/format.ts";
import { compare, rateOf, type Contender } from "./compare.ts";
import { netStream, type NodePeer } from "./node-net.ts";
import { connect, fail, NO_OFFLOADS, pair, type Connections, type Pair } from "./pair.ts";
import type { Measured, Row, RunOptions } from "./row.ts";

/** Bytes of a batch, and of each call. */
export const BATCH = 16 * 1048576;
export const CHUNK = 65536;
/** Payload of a full segment when the MTU is 1500 (without timestamps). */
const SEGMENT_MAX = 1460;

export const tcpStream1500: Row = {
  name: "tcp_stream_1500",
  title: "bulk over one TCP connection, segments of at most 1,460 B on the wire, software checksums",
  unit: "B/s",
  bound: { atLeast: 2.5, aim: 4 },
  measure: (options) => measure(options, false),
};

export const tcpStreamTso: Row = {
  name: "tcp_stream_tso",
  title: "bulk over one TCP connection, segmentation and checksums left to the NICs",
  unit: "B/s",
  bound: { atLeast: 4, aim: 8 },
  measure: (options) => measure(options, true),
};

async function measure(options: RunOptions, offload: boolean): Promise<Measured> {
  const offloads = offload ? { txChecksum: true, rxChecksum: true, tso: true, lro: true } : NO_OFFLOADS;
  await using hosts = pair({ offloads });
  await using peer = await netStream(BATCH, CHUNK);
  const ends = connect(hosts, 1);
  const ours = (name: string, take: Taker): Contender => ({ name, amount: BATCH, batch: stream(hosts, ends, take) });
  const theirs = (name: string, node: NodePeer): Contender => {
    return { name, amount: BATCH, batch: () => node.run(), isAsync: true };
  };
  const measured = await compare(ours("oribi", viewer(hosts, ends)), theirs("node:net", peer), options);
  const { rx_good_packets: packets, rx_good_bytes: bytes } = hosts.client.xstats();
  const mean = bytes / packets;
  if (!offload && mean > SEGMENT_MAX + 54) throw new Error(`Frames of ${mean} bytes are not what this row measures.`);
  await using thrifty = await netStream(BATCH, CHUNK, true);
  const brief = { ...options, runs: Math.min(options.runs, 3) };
  const copied = await rateOf(ours("recv", copier(hosts, ends)), brief);
  const onread = await rateOf(theirs("onread", thrifty), brief);
  const notes = [
    `frames of ${Math.round(mean)} B on average, ${hosts.server.counters().tcp.retransSegs} retransmitted`,
    `with recv() into a buffer ${formatByteRate(copied)}`,
    `node:net with "onread" into a buffer ${formatByteRate(onread)}`,
  ];
  return { ...measured, note: notes.join("; ") };
}

/** Takes what has come: how many bytes. */
type Taker = () => number;

/** Looks at the bytes where they are, as a "data" event gives them: in a buffer that is not the program's own. */
export function viewer({ client }: Pair, ends: Connections): Taker {
  const { recv_view: view, recv_done: done } = client.posix;
  const fd = ends.client[0] as number;
  return () => {
    let bytes = 0;
    for (;;) {
      const data = view(fd);
      if (typeof data === "number") {
        if (data === -EAGAIN) return bytes;
        fail("Nothing came", data);
      }
      const n = data.length;
      if (n === 0) fail("The stream has ended", 0);
      if (data[0] !== 1 || data[n - 1] !== 1) throw new Error("What came is not what was sent.");
      bytes += n;
      if (done(fd, n) === 0) return bytes;
    }
  };
}

/** Receives into a buffer of the program's own. */
function copier({ client }: Pair, ends: Connections): Taker {
  const { recv } = client.posix;
  const fd = ends.client[0] as number;
  const buffer = new Uint8Array(CHUNK);
  return () => {
    let bytes = 0;
    for (;;) {
      const n = recv(fd, buffer);
      if (n === -EAGAIN) return bytes;
      if (n <= 0) fail("Nothing came", n);
      if (buffer[0] !== 1 || buffer[n - 1] !== 1) throw new Error("What came is not what was sent.");
      bytes += n;
    }
  };
}

/** A batch: the server sends what the socket takes, the client takes what has come, turn by turn. */
export function stream({ network, server }: Pair, ends: Connections, take: Taker): () => void {
  const { send } = server.posix;
  const data = network.buffer(CHUNK).fill(1);
  const fd = ends.server[0] as number;
  return () => {
    let toSend = BATCH;
    let toCome = BATCH;
    let offset = 0;
    while (toCome > 0) {
      while (toSend > 0) {
        const n = send(fd, offset === 0 ? data : data.subarray(offset));
        if (n === -EAGAIN) break;
        if (n < 0) fail("Nothing was sent", n);
        toSend -= n;
        offset = (offset + n) % CHUNK;
      }
      network.step();
      toCome -= take();
    }
  };
}
