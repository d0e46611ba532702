// UDP, 64-byte datagrams, both ends in one thread: request and response, then one way as fast as they are taken.
// Read first: netperf's UDP_RR and UDP_STREAM.

import { EAGAIN } from "../host/index.ts";
import { compare } from "./compare.ts";
import { dgramEcho, dgramOneWay } from "./node-dgram.ts";
import { datagramEnds, fail, pair } from "./pair.ts";
import type { Measured, Row, RunOptions } from "./row.ts";

const BYTES = 64;
/** Requests, or datagrams, in a batch. */
const BATCH = 4096;
/** Datagrams that are sent before the receiver has its turn. */
const BURST = 64;

export const udpRr: Row = {
  name: "udp_rr",
  title: "64 B request and response over UDP, both ends in one thread",
  unit: "op/s",
  bound: { atLeast: 10, aim: 15 },
  measure: requests,
};

export const udpPps: Row = {
  name: "udp_pps",
  title: "64 B datagrams delivered one way, both ends in one thread",
  unit: "packet/s",
  measure: oneWay,
};

async function requests(options: RunOptions): Promise<Measured> {
  await using hosts = pair();
  await using peer = await dgramEcho(BYTES, BATCH);
  const { network, client, server } = hosts;
  const ends = datagramEnds(hosts);
  const { send, recv } = client.posix;
  const { recvfrom, sendto } = server.posix;
  const request = new Uint8Array(BYTES).fill(1);
  const received = new Uint8Array(BYTES);
  const response = new Uint8Array(BYTES);
  const from = { address: "", port: 0 };
  const batch = (): void => {
    for (let i = 0; i < BATCH; i++) {
      let n = send(ends.client, request);
      if (n !== BYTES) fail("A request was not sent", n);
      do network.step();
      while ((n = recvfrom(ends.server, received, 0, from)) === -EAGAIN);
      if (n !== BYTES) fail("A request did not come", n);
      n = sendto(ends.server, received, 0, from);
      if (n !== BYTES) fail("A response was not sent", n);
      do network.step();
      while ((n = recv(ends.client, response)) === -EAGAIN);
      if (n !== BYTES) fail("A response did not come", n);
    }
    if (response.some((byte) => byte !== 1)) throw new Error("A response is not what was sent.");
  };
  return await compare(
    { name: "oribi", amount: BATCH, batch },
    { name: "node:dgram", amount: BATCH, batch: () => peer.run(), isAsync: true },
    options,
  );
}

async function oneWay(options: RunOptions): Promise<Measured> {
  await using hosts = pair();
  await using peer = await dgramOneWay(BYTES, BATCH, BURST);
  const { network, client, server } = hosts;
  const ends = datagramEnds(hosts);
  const { send } = client.posix;
  const { recv } = server.posix;
  const datagram = new Uint8Array(BYTES).fill(1);
  const received = new Uint8Array(BYTES);
  const batch = (): void => {
    for (let sent = 0; sent < BATCH; sent += BURST) {
      for (let i = 0; i < BURST; i++) {
        const n = send(ends.client, datagram);
        if (n !== BYTES) fail("A datagram was not sent", n);
      }
      network.step();
      for (let come = 0; come < BURST; come++) {
        let n: number;
        while ((n = recv(ends.server, received)) === -EAGAIN) network.step();
        if (n !== BYTES) fail("A datagram did not come", n);
      }
    }
    if (received.some((byte) => byte !== 1)) throw new Error("A datagram is not what was sent.");
  };
  return await compare(
    { name: "oribi", amount: BATCH, batch },
    { name: "node:dgram", amount: BATCH, batch: () => peer.run(), isAsync: true },
    options,
  );
}
