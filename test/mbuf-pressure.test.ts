// Networks whose stacks have next to no mbufs: streams wait and go on, nothing is lost inside a host, nothing is left.
// Read first: assembly/memory/tx-pool.ts, rx-cache.ts; assembly/tcp/tx-wait.ts.

import { expect } from "chai";
import {
  AF_INET,
  createNetwork,
  EAGAIN,
  EINPROGRESS,
  type Host,
  MSG_DONTWAIT,
  type Network,
  POLLOUT,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../host/index.ts";
import { CLEAN_AUDIT } from "../host/manager.ts";
import type { HostOptions } from "../host/network.ts";
import { stackConfig } from "../host/stack-options.ts";
import * as layout from "../assembly/layout.ts";
import type { Transfer } from "./fixtures/thread-apps.ts";
import { chance, seedOf } from "./support/chance.ts";
import { datagramSocket, listener, ok, pattern, polled } from "./support/sockets.ts";

const APPS = new URL("./fixtures/thread-apps.js", import.meta.url);
const made: Network[] = [];

interface Lab {
  net: Network;
  client: Host;
  server: Host;
}

function lab(options: Partial<HostOptions>, time: "virtual" | "real" = "virtual", seed = 1): Lab {
  const net = createNetwork({ seed, time });
  made.push(net);
  const bridge = net.bridge("lan");
  const client = net.host("client", { bridge, address: "10.0.0.1/24", ...options });
  const server = net.host("server", { bridge, address: "10.0.0.2/24", ...options });
  net.settle();
  return { net, client, server };
}

/** Sends `bytes` bytes each way at once, on a new connection to `address`, and checks all of them. */
function exchange({ net, client, server }: Lab, bytes: number, address = server.address): void {
  const l = listener(server.posix, 80);
  const to = address === server.address ? client : server;
  const fd = ok(to.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  expect(to.posix.connect(fd, { address, port: 80 })).to.equal(-EINPROGRESS);
  let accepted = -EAGAIN;
  net.runUntil(() => (accepted = server.posix.accept4(l, null, SOCK_NONBLOCK)) >= 0, { timeout: "60s" });
  const data = pattern(bytes, 3);
  const ends = [
    { posix: to.posix, fd, sent: 0, got: 0, buffer: Buffer.alloc(bytes) },
    { posix: server.posix, fd: ok(accepted), sent: 0, got: 0, buffer: Buffer.alloc(bytes) },
  ];
  const turn = (): boolean => {
    for (const end of ends) {
      if (end.sent < bytes) end.sent += Math.max(0, end.posix.send(end.fd, data.subarray(end.sent)));
      if (end.got < bytes) end.got += Math.max(0, end.posix.recv(end.fd, end.buffer.subarray(end.got)));
    }
    return ends.every((end) => end.got === bytes);
  };
  expect(net.runUntil(turn, { timeout: "600s" }), "all of it arrives").to.be.true;
  for (const end of ends) expect(end.buffer.equals(data)).to.be.true;
  for (const end of ends) ok(end.posix.close(end.fd));
  ok(server.posix.close(l));
  net.advance("3s");
}

/** Mbufs for transmission that are in use. */
function txUsed(host: Host): number {
  return (host.pools().mbuf?.used ?? NaN) + (host.pools().mbufL2?.used ?? NaN);
}

/** All of its mbufs are home: what nobody waits for, the last ACKs, has been taken off the ring. */
function rests(host: Host): boolean {
  return txUsed(host) === 0 && host.nic.mbufsInUse()[0] === 0;
}

describe("streams between stacks with few mbufs", () => {
  afterEach(() => Promise.all(made.splice(0).map((net) => net.close())));
  const few = { mbufs: 8, l2Mbufs: 0, mbufLowWatermark: 2, mbufHighWatermark: 4, l2Linger: "50ms" };

  for (const [what, options] of Object.entries<Partial<HostOptions>>({
    "eight mbufs": { stack: few },
    "four mbufs": { stack: { mbufs: 4, l2Mbufs: 0 } },
    "four mbufs and four behind them": { stack: { ...few, mbufs: 4, mbufLowWatermark: 1, l2Mbufs: 4 } },
    "eight mbufs for segments that take several": { stack: few, mtu: 9000 },
    "twelve mbufs and TSO": { stack: { ...few, mbufs: 12 }, offloads: { tso: true, lro: true } },
    "eight mbufs and a NIC that computes nothing": { stack: few, offloads: { txChecksum: false, rxChecksum: false } },
  })) {
    it(`${what}: all bytes arrive, none is lost on the way out, nobody waits for a timeout`, () => {
      const all = lab(options);
      const before = all.net.now();
      exchange(all, 400_000);
      expect(all.net.now() - before).to.be.below(3.5e6);
      for (const host of [all.client, all.server]) {
        const { tcp, eth, mbuf } = host.counters();
        expect(tcp.retransSegs).to.equal(0);
        expect(eth.outQueueDrops).to.equal(0);
        expect(mbuf.txWaits, "they have waited for mbufs").to.be.above(0);
        expect(txUsed(host)).to.equal(0);
      }
    });
  }

  it("over the loopback", () => {
    const all = lab({ stack: few });
    exchange(all, 200_000, "127.0.0.1");
    expect(all.server.counters().tcp.retransSegs).to.equal(0);
    expect(txUsed(all.server)).to.equal(0);
  });

  const seed = seedOf(7);
  it(`over lossy links, byte for byte (seeds from ${seed})`, () => {
    const dice = chance(seed);
    for (let round = 0; round < 8; round++) {
      const mbufs = 4 + dice(12);
      const stack = { mbufs, l2Mbufs: dice(2) * dice(16), mbufLowWatermark: dice(3), l2Linger: `${1 + dice(50)}ms` };
      const offloads = { tso: dice(2) === 0, lro: dice(2) === 0 };
      const link = { delay: `${dice(5)}ms`, loss: 0.005 + dice(3) / 100, reorder: 0.02 };
      const all = lab({ stack, offloads, link, mtu: dice(3) === 0 ? 9000 : 1500 }, "virtual", seed + round);
      exchange(all, 60_000);
      for (const host of [all.client, all.server]) expect(txUsed(host), `round ${round}`).to.equal(0);
    }
  });

  it("while datagrams are refused with EAGAIN, not dropped unseen; a call that blocks waits", () => {
    // The server's ring is full and nobody empties it: what the client sends stays with the client.
    const { net, client, server } = lab({ stack: { ...few, l2Mbufs: 4 }, ringSize: 16 });
    const from = datagramSocket(client.posix, 53);
    const to = { address: server.address, port: 9 };
    const sent = (): number => client.posix.sendto(from, pattern(10), MSG_DONTWAIT, to);
    expect(sent()).to.equal(10);
    net.settle();
    const queue = server.nic;
    for (let i = 0; i < 16 + 12; i++) expect(sent(), `datagram ${i}`).to.equal(10);
    expect(queue.pending(0)).to.equal(16);
    expect(sent()).to.equal(-layout.EAGAIN);
    expect(polled(client.posix, from) & POLLOUT).to.equal(0);
    const { mbuf, udp } = client.counters();
    expect(mbuf).to.include({ lowWatermark: 1, l2Created: 1, allocFailures: 1 });
    expect(mbuf.l2Allocs).to.be.at.least(4);
    expect(udp.sndbufErrors).to.equal(1);
    // Blocking, whatever its way in: the network goes on meanwhile, and the ring is emptied.
    ok(client.posix.fcntl(from, 4, 0));
    expect(client.posix.sendto(from, pattern(10), 0, to)).to.equal(10);
    expect(polled(client.posix, from) & POLLOUT).to.equal(POLLOUT);
    net.settle();
    expect(sent()).to.equal(10);
    net.advance("1s");
    expect(client.counters().mbuf.l2Dissolved).to.equal(1);
    expect(txUsed(client)).to.equal(0);
  });
});

describe("stacks in threads with few mbufs", function () {
  this.timeout(60_000);
  afterEach(() => Promise.all(made.splice(0).map((net) => net.close())));
  const stack = { connections: 64, mbufs: 40, l2Mbufs: 40, mbufCache: 8, l2Linger: "20ms" };
  /** A large packet takes 35 of the receiver's 40 mbufs: it comes through only when the cache has been swept. */
  const options: Partial<HostOptions> = { stack, ringSize: 16, rxMbufs: 40, offloads: { tso: true, lro: true } };

  it("move 8 MB: caches are switched off and swept, nothing is lost, nothing is left in them", async () => {
    const { net, client, server } = lab(options, "real");
    const port = 7;
    const [received, sent] = await Promise.all([
      net.spawn<Transfer>(server, APPS, { name: "sink", args: { port } }),
      net.spawn<Transfer>(client, APPS, {
        name: "source",
        args: { to: { address: server.address, port }, bytes: 8e6 },
      }),
    ]);
    expect(received).to.deep.equal(sent);
    expect(await net.audit()).to.deep.equal(CLEAN_AUDIT);
    expect(await net.until(() => [client, server].every(rests), { timeout: "10s" })).to.be.true;
    expect(server.counters().mbuf.cacheSweeps).to.be.above(0);
    expect(server.xstats().rx_mbuf_shortages).to.be.above(0);
  });

  it("keep their caches while the pool is well", async () => {
    const { net, client, server } = lab({ stack: { connections: 64, mbufCache: 16 } }, "real");
    const port = 7;
    const to = { address: server.address, port };
    const [bytes] = await Promise.all([
      net.spawn<number>(server, APPS, { name: "echo", args: { port } }),
      net.spawn(client, APPS, { name: "request", args: { to, count: 1000, size: 64 } }),
    ]);
    expect(bytes).to.equal(64_000);
    expect(server.counters().mbuf.cacheSweeps, "a pool that is never short").to.equal(0);
    expect(await net.audit()).to.deep.equal(CLEAN_AUDIT);
    expect(await net.until(() => [client, server].every(rests), { timeout: "10s" })).to.be.true;
  });

  it("leave nothing behind when they are killed while the L2 pool is there", async () => {
    const { net, client, server } = lab({ ...options, stack: { ...stack, l2Linger: "10s" } }, "real");
    const port = 7;
    const to = { address: server.address, port };
    for (let kills = 0; kills < 2; kills++) {
      const sink = net.spawn(server, APPS, { name: "sink", args: { port } }).catch((error: Error) => error);
      const source = net
        .spawn(client, APPS, { name: "source", args: { to, bytes: 1e9 } })
        .catch((error: Error) => error);
      const hasL2 = (): boolean => client.counters().mbuf.l2Created! > client.counters().mbuf.l2Dissolved!;
      expect(await net.until(hasL2, { timeout: "20s" }), "the L2 pool is created").to.be.true;
      net.kill(client.first);
      net.kill(server.first);
      await Promise.all([sink, source]);
      expect(await net.audit(), `kill ${kills}`).to.deep.equal(CLEAN_AUDIT);
      for (const host of [client, server]) {
        expect(host.nic.mbufsInUse()).to.deep.equal([0]);
        await net.restart(host.first);
      }
      expect(client.counters().mbuf.l2Created, "a stack begins without one").to.equal(0);
    }
  });
});

describe("the sizes of mbuf pools", () => {
  const config = (options: object): Uint32Array => stackConfig(options, new Uint32Array(4));
  const words = (options: object): number[] => {
    const all = config(options);
    return [layout.CFG_MBUFS, layout.CFG_L2_MBUFS, layout.CFG_MBUF_LOW, layout.CFG_MBUF_HIGH].map((i) => all[i]!);
  };

  it("follow from the number of connections, within the bounds of what can wait at one time", () => {
    expect(words({})).to.deep.equal([4096, 4096, 512, 1024]);
    expect(words({ connections: 10 })).to.deep.equal([1024, 1024, 128, 256]);
    expect(words({ connections: 8000 })).to.deep.equal([2000, 2000, 250, 500]);
    expect(words({ connections: 1_000_000 })).to.deep.equal([4096, 4096, 512, 1024]);
    expect(words({ mbufs: 4 })).to.deep.equal([4, 4, 0, 1]);
    expect(words({ mbufs: 100, l2Mbufs: 7, mbufLowWatermark: 30 })).to.deep.equal([100, 7, 30, 31]);
  });

  for (const [options, message] of [
    [{ mbufs: 3 }, '"stack.mbufs" is 3; expected an integer from 4'],
    [{ l2Mbufs: -1 }, '"stack.l2Mbufs"'],
    [{ mbufs: 64, mbufHighWatermark: 65 }, "an integer from 1 to 64, the size of the pool (mbufs)"],
    [{ mbufs: 64, mbufLowWatermark: 16, mbufHighWatermark: 16 }, "an integer from 0 to 15, below mbufHighWatermark"],
    [{ mbufLowWatermark: 1.5 }, '"stack.mbufLowWatermark"'],
    [{ l2Linger: 0 }, 'a duration from "1ms" to "1h"'],
    [{ l2Linger: "soon" }, "stack.l2Linger"],
    [{ mbufCache: 1 }, "0 (no caches), or an integer from 2 to 512"],
    [{ mbufCache: 513 }, '"stack.mbufCache"'],
  ] as const) {
    it(`${JSON.stringify(options)} cannot be`, () => {
      expect(() => config(options)).to.throw(message);
    });
  }
});
