// Bulk data over one TCP connection, both ends in one thread: in segments of an MTU of 1500, then in large ones.
// Read first: netperf's TCP_STREAM; RFC 7323 appendix A for the 1,448 bytes that timestamps leave of a segment.

import { EAGAIN } from "../host/index.ts";
import { formatByteRate } from "../host/cli/format.ts";
import { compare, rateOf } from "./compare.ts";
import { netStream } from "./node-net.ts";
import { connect, fail, NO_OFFLOADS, pair, type Connections, type Pair } from "./pair.ts";
import type { Measured, Row, RunOptions } from "./row.ts";

/** Bytes of a batch, and of each call. */
const BATCH = 16 * 1048576;
const CHUNK = 65536;
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
  const measured = await compare(
    { name: "oribi", amount: BATCH, batch: stream(hosts, ends) },
    { name: "node:net", amount: BATCH, batch: () => peer.run(), isAsync: true },
    options,
  );
  await using thrifty = await netStream(BATCH, CHUNK, true);
  const onread = await rateOf({ name: "onread", amount: BATCH, batch: () => thrifty.run(), isAsync: true }, options);
  const { retransSegs } = hosts.server.counters().tcp;
  const { rx_good_packets: packets, rx_good_bytes: bytes } = hosts.client.xstats();
  const mean = bytes / packets;
  if (!offload && mean > SEGMENT_MAX + 54) throw new Error(`Frames of ${mean} bytes are not what this row measures.`);
  const frames = `frames of ${Math.round(mean)} B on average, ${retransSegs} retransmitted`;
  return { ...measured, note: `${frames}; node:net with "onread" and one buffer: ${formatByteRate(onread)}` };
}

/** A batch: the server sends what the socket takes, the client receives what has come, turn by turn. */
function stream({ network, client, server }: Pair, ends: Connections): () => void {
  const { send } = server.posix;
  const { recv } = client.posix;
  // Buffers that the core reaches by itself: what a program does that moves bulk data (README, "Fewer copies").
  const data = network.buffer(CHUNK).fill(1);
  const buffer = network.buffer(CHUNK);
  const from = ends.server[0] as number;
  const to = ends.client[0] as number;
  return () => {
    let toSend = BATCH;
    let toCome = BATCH;
    let offset = 0;
    let filled = 0;
    while (toCome > 0) {
      while (toSend > 0) {
        const n = send(from, offset === 0 ? data : data.subarray(offset));
        if (n === -EAGAIN) break;
        if (n < 0) fail("Nothing was sent", n);
        toSend -= n;
        offset = (offset + n) % CHUNK;
      }
      network.step();
      for (;;) {
        const n = recv(to, buffer);
        if (n === -EAGAIN) break;
        if (n <= 0) fail("Nothing came", n);
        toCome -= n;
        if (n > filled) filled = n;
      }
    }
    if (buffer.subarray(0, filled).some((byte) => byte !== 1)) throw new Error("What came is not what was sent.");
  };
}
