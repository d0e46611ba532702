// One segment in flight without a Flight: requests and responses take none, and whatever happens to them is handled as
// if they had one. Read first: assembly/tcp/solo.ts.

import { expect } from "chai";
import { createNetwork, EAGAIN, IPPROTO_TCP, POLLOUT, SOCK_NONBLOCK, TCP_INFO, TCP_NODELAY } from "../host/index.ts";
import { connected, ok, type Pair, polled, settle } from "./support/sockets.ts";
import { type TwoHosts, twoHosts } from "./support/two-hosts.ts";

const REQUEST = Buffer.from("request!");

/** Peaks of a pool of both hosts. */
function peaks(hosts: TwoHosts, pool: string): number[] {
  return hosts.network.hosts.map((host) => host.pools()[pool]?.peak ?? NaN);
}

function retransmitted(hosts: TwoHosts): number {
  return Number(hosts.network.hosts[0]?.counters().tcp.retransSegs);
}

describe("a segment that is alone in flight", () => {
  let hosts: TwoHosts;
  let client: number;
  let server: number;
  const buffer = Buffer.alloc(100);

  beforeEach(() => {
    hosts = twoHosts();
    ({ client, server } = connected(hosts, SOCK_NONBLOCK));
  });
  afterEach(() => hosts.network.close());

  /** Loses these of the client's next frames. */
  function lose(frames: number[]): void {
    hosts.network.hosts[0]?.setLink({ toWire: { dropFrames: frames } });
  }

  it("needs neither a Flight nor a record, nor does the FIN of an idle connection", () => {
    for (let i = 0; i < 1000; i++) {
      expect(hosts.client.send(client, REQUEST)).to.equal(REQUEST.length);
      settle(hosts);
      expect(hosts.server.recv(server, buffer)).to.equal(REQUEST.length);
      expect(hosts.server.send(server, REQUEST)).to.equal(REQUEST.length);
      settle(hosts);
      expect(hosts.client.recv(client, buffer)).to.equal(REQUEST.length);
      if (i % 100 === 99) hosts.advance(1000);
    }
    hosts.client.close(client);
    settle(hosts);
    expect(hosts.server.recv(server, buffer)).to.equal(0);
    hosts.server.close(server);
    hosts.advance(200_000);
    expect(hosts.pools().map((pools) => pools.tcb)).to.deep.equal([0, 1]); // the listener
    expect(peaks(hosts, "flight")).to.deep.equal([0, 0]);
    expect(peaks(hosts, "txseg")).to.deep.equal([0, 0]);
    expect(retransmitted(hosts)).to.equal(0);
  });

  it("is found on the scoreboard when a second one follows", () => {
    for (let i = 0; i < 3; i++) hosts.client.send(client, REQUEST);
    expect(hosts.pools().map(({ flight }) => flight)).to.deep.equal([1, 0]);
    settle(hosts);
    expect(hosts.server.recv(server, buffer)).to.equal(3 * REQUEST.length);
    expect(retransmitted(hosts)).to.equal(0);
  });

  it("is probed for and sent again when it is lost, however often", () => {
    lose([0, 1, 2, 3]);
    hosts.client.send(client, REQUEST);
    expect(hosts.pools().map(({ flight }) => flight)).to.deep.equal([0, 0]);
    hosts.advance(10_000);
    expect(hosts.server.recv(server, buffer)).to.equal(REQUEST.length);
    expect(retransmitted(hosts)).to.be.within(4, 5);
  });

  it("is repaired by SACK when the one behind it arrives", () => {
    lose([0]);
    hosts.client.send(client, REQUEST);
    for (let i = 0; i < 4; i++) {
      hosts.client.setsockopt(client, IPPROTO_TCP, TCP_NODELAY, 1);
      hosts.client.send(client, REQUEST);
    }
    hosts.advance(100);
    expect(hosts.server.recv(server, buffer)).to.equal(5 * REQUEST.length);
    expect(retransmitted(hosts)).to.equal(1);
  });

  it("counts in TCP_INFO", () => {
    hosts.client.send(client, REQUEST);
    const info: Record<string, number> = {};
    ok(hosts.client.getsockopt(client, IPPROTO_TCP, TCP_INFO, info));
    expect(info.tcpi_unacked).to.equal(1);
    expect(info.tcpi_min_rtt).to.be.above(0);
    settle(hosts);
  });
});

describe("a stack whose Flights are all in use", () => {
  it("still serves requests, sends bulk one segment at a time, and loses nothing", async () => {
    const hosts = twoHosts({ flights: 1, connections: 64 });
    const pairs = Array.from({ length: 8 }, () => connected(hosts, SOCK_NONBLOCK));
    const first = pairs[0] as (typeof pairs)[0];
    hosts.client.send(first.client, Buffer.alloc(5000)); // takes the one Flight
    const results = pairs.slice(1).map(({ client }) => hosts.client.send(client, REQUEST));
    expect(results).to.deep.equal(results.map(() => REQUEST.length));
    const [, second] = pairs as [Pair, Pair];
    const bulk = Buffer.alloc(5000);
    expect(hosts.client.send(second.client, bulk)).to.equal(-EAGAIN);
    expect(polled(hosts.client, second.client) & POLLOUT).to.equal(0);
    hosts.advance(50);
    const buffer = Buffer.alloc(10_000);
    for (const { server } of pairs.slice(1)) expect(hosts.server.recv(server, buffer)).to.equal(REQUEST.length);
    // A blocking call waits for the one Flight, or for its segments one by one.
    hosts.client.send(first.client, Buffer.alloc(5000));
    hosts.client.fcntl(second.client, 4, 0);
    expect(polled(hosts.client, second.client) & POLLOUT).to.equal(POLLOUT);
    expect(hosts.client.send(second.client, bulk)).to.equal(5000);
    hosts.advance(1000);
    expect(hosts.server.recv(second.server, buffer)).to.equal(5000);
    await hosts.network.close();
  });

  it("repairs losses as soon as one is free again", async () => {
    const network = createNetwork({ seed: 3, time: "virtual" });
    const bridge = network.bridge("lan");
    const stack = { flights: 1, connections: 64 };
    const client = network.host("client", { bridge, address: "10.0.0.1/24", stack });
    const server = network.host("server", { bridge, address: "10.0.0.2/24" });
    network.settle();
    const hosts: TwoHosts = { ...fake(network), client: client.posix, server: server.posix };
    const pairs = Array.from({ length: 8 }, () => connected(hosts, SOCK_NONBLOCK));
    client.setLink({ toWire: { dropFrames: [0, 1, 2, 3, 4, 5, 6, 7] } });
    for (const pair of pairs) ok(client.posix.send(pair.client, REQUEST));
    network.advance("120s");
    const buffer = Buffer.alloc(100);
    for (const pair of pairs) expect(server.posix.recv(pair.server, buffer)).to.equal(REQUEST.length);
    await network.close();
  });
});

function fake(network: TwoHosts["network"]): Omit<TwoHosts, "client" | "server"> {
  return {
    network,
    clientAddress: "10.0.0.1",
    serverAddress: "10.0.0.2",
    now: () => network.now(),
    step: () => network.step(),
    advance: (millis) => network.advance(millis * 1000),
    pools: () => [],
  };
}
