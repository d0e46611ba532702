// Request/response over TCP, 64 bytes each way, both ends in one thread: one connection, then 64 served with epoll.
// Read first: netperf's TCP_RR; DESIGN.md section 4, the shared model.

import { EAGAIN, EPOLL_CTL_ADD, EPOLLIN, type EpollEvent, F_SETFL, type Host, type Posix } from "../host/index.ts";
import { compare } from "./compare.ts";
import { netEcho } from "./node-net.ts";
import { connect, fail, ok, pair, type Connections, type Pair } from "./pair.ts";
import type { Measured, Row, RunOptions } from "./row.ts";

/** Bytes of a request, and of its answer. */
const BYTES = 64;
const REQUESTS = 4096;
const CONNECTIONS = 64;
/** A batch of the threads' is longer, since functions have to be started in them. */
const REQUESTS_APART = 8192;
const THREADS = new URL("./rr-threads.js", import.meta.url);

export const tcpRr1: Row = {
  name: "tcp_rr_1",
  title: "64 B request and response, one TCP connection, both ends in one thread",
  unit: "op/s",
  bound: { atLeast: 8, aim: 12 },
  measure: (options) => measure(options, 1, REQUESTS),
};

export const tcpRr64: Row = {
  name: "tcp_rr_64",
  title: "64 B request and response, 64 TCP connections under epoll, both ends in one thread",
  unit: "op/s",
  measure: (options) => measure(options, CONNECTIONS, REQUESTS),
};

export const tcpRr2Threads: Row = {
  name: "tcp_rr_2threads",
  title: "64 B request and response, one TCP connection, each end in a thread of its own, busy polling",
  unit: "op/s",
  bound: { atLeast: 4, aim: 6 },
  measure: measureThreads,
};

async function measure(options: RunOptions, connections: number, requests: number): Promise<Measured> {
  await using hosts = pair();
  await using peer = await netEcho(connections, BYTES, requests);
  const ends = connect(hosts, connections);
  const batch = connections === 1 ? serial(hosts, ends, requests) : multiplexed(hosts, ends, requests);
  return await compare(
    { name: "oribi", amount: requests, batch },
    { name: "node:net", amount: requests, batch: () => peer.run(), isAsync: true },
    options,
  );
}

/** Both functions end with each batch, so that no thread spins while the peer is measured. */
async function measureThreads(options: RunOptions): Promise<Measured> {
  await using hosts = pair();
  await using peer = await netEcho(1, BYTES, REQUESTS);
  const { network, client, server } = hosts;
  const ends = connect(hosts, 1);
  ok(client.posix.fcntl(ends.client[0] as number, F_SETFL, 0));
  ok(server.posix.fcntl(ends.server[0] as number, F_SETFL, 0));
  const batch = async (): Promise<{ overriddenDuration: number }> => {
    const spawn = <T>(host: Host, name: string, fd: number | undefined): Promise<T> =>
      network.spawn<T>(host, THREADS, { name, poll: "busy", args: { fd, requests: REQUESTS_APART, bytes: BYTES } });
    const served = spawn<void>(server, "serve", ends.server[0]);
    const [overriddenDuration] = await Promise.all([spawn<number>(client, "ask", ends.client[0]), served]);
    return { overriddenDuration };
  };
  return await compare(
    { name: "oribi", amount: REQUESTS_APART, batch, isAsync: true },
    { name: "node:net", amount: REQUESTS, batch: () => peer.run(), isAsync: true },
    options,
  );
}

/**
 * A batch of `requests` requests, one after the other, on one connection after the other.
 * Exported for the rows that ask what many open connections cost.
 */
export function serial({ network, client, server }: Pair, ends: Connections, requests: number): () => void {
  const { send, recv } = client.posix;
  const { send: answer, recv: take } = server.posix;
  const request = new Uint8Array(BYTES).fill(1);
  const received = new Uint8Array(BYTES);
  const response = new Uint8Array(BYTES);
  const connections = ends.client.length;
  let next = 0;
  return () => {
    for (let i = 0; i < requests; i++) {
      const from = ends.client[next] as number;
      const to = ends.server[next] as number;
      next = next + 1 === connections ? 0 : next + 1;
      let n = send(from, request);
      if (n !== BYTES) fail("A request was not sent", n);
      do network.step();
      while ((n = take(to, received)) === -EAGAIN);
      if (n !== BYTES) fail("A request did not come whole", n);
      n = answer(to, received);
      if (n !== BYTES) fail("A response was not sent", n);
      do network.step();
      while ((n = recv(from, response)) === -EAGAIN);
      if (n !== BYTES) fail("A response did not come whole", n);
    }
    if (response.some((byte) => byte !== 1)) throw new Error("A response is not what was sent.");
  };
}

/** A batch over all connections at once: both ends learn from epoll which of theirs are readable. */
function multiplexed({ network, client, server }: Pair, ends: Connections, requests: number): () => void {
  const atClient = watch(client.posix, ends.client);
  const atServer = watch(server.posix, ends.server);
  const connections = ends.client.length;
  const { send, recv, epoll_wait: wait } = client.posix;
  const { send: answer, recv: take, epoll_wait: serve } = server.posix;
  const request = new Uint8Array(BYTES).fill(1);
  const received = new Uint8Array(BYTES);
  const response = new Uint8Array(BYTES);
  const events: EpollEvent[] = [];
  return () => {
    for (const fd of ends.client) if (send(fd, request) !== BYTES) throw new Error("A request was not sent.");
    let toSend = requests - connections;
    let toCome = requests;
    while (toCome > 0) {
      let ready = serve(atServer, events, connections, 0);
      for (let i = 0; i < ready; i++) {
        const { fd } = (events[i] as EpollEvent).data;
        if (take(fd, received) !== BYTES || answer(fd, received) !== BYTES) throw new Error("The server failed.");
      }
      ready = wait(atClient, events, connections, 0);
      for (let i = 0; i < ready; i++) {
        const { fd } = (events[i] as EpollEvent).data;
        if (recv(fd, response) !== BYTES) throw new Error("A response did not come whole.");
        toCome--;
        if (toSend-- > 0 && send(fd, request) !== BYTES) throw new Error("A request was not sent.");
      }
    }
    network.settle();
  };
}

/** An epoll instance that watches descriptors for bytes to read. */
function watch(posix: Posix, fds: Int32Array): number {
  const epfd = ok(posix.epoll_create1(0));
  for (const fd of fds) ok(posix.epoll_ctl(epfd, EPOLL_CTL_ADD, fd, { events: EPOLLIN, data: { fd } }));
  return epfd;
}
