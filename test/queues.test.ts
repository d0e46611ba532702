// Hosts with several stacks behind one NIC, in one thread and in virtual time: who gets which packet.
// Read first: DESIGN.md section 4 "Balancing"; assembly/steer/.

import { expect } from "chai";
import {
  AF_INET,
  createNetwork,
  EAGAIN,
  EADDRNOTAVAIL,
  ECONNREFUSED,
  type Host,
  type HostStack,
  MSG_DONTWAIT,
  type Network,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../host/index.ts";
import type { HostOptions } from "../host/network.ts";
import { seedOf, chance } from "./support/chance.ts";
import { datagramSocket, listener, ok, pattern, readAll as readText } from "./support/sockets.ts";

const SMALL = { connections: 2048, timeWaits: 2048, sockets: 64 };
const SERVER = "10.0.0.1";
const PORT = 80;

interface Hosts {
  net: Network;
  server: Host;
  client: Host;
}

function twoHosts(server: Partial<HostOptions>, client: Partial<HostOptions> = {}, seed = 1): Hosts {
  const net = createNetwork({ seed, time: "virtual" });
  const bridge = net.bridge("lan");
  const hosts = {
    net,
    server: net.host("server", { bridge, address: `${SERVER}/24`, stack: SMALL, ...server }),
    client: net.host("client", { bridge, address: "10.0.0.2/24", stack: SMALL, ...client }),
  };
  net.settle();
  return hosts;
}

interface End {
  at: HostStack;
  fd: number;
}

/** Begins `count` connections, by the client's stacks in turn. */
function open({ net, client }: Hosts, count: number, port = PORT): End[] {
  const ends: End[] = [];
  for (let i = 0; i < count; i++) {
    const at = client.stacks[i % client.stacks.length]!;
    const fd = ok(at.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    at.posix.connect(fd, { address: SERVER, port });
    ends.push({ at, fd });
    net.settle(); // more than 64 packets would not wait for one ARP reply
  }
  return ends;
}

function acceptAll(at: HostStack, from: number): End[] {
  const ends: End[] = [];
  for (let fd; (fd = at.posix.accept4(from, null, SOCK_NONBLOCK)) >= 0;) ends.push({ at, fd });
  return ends;
}

function readAll({ at, fd }: End): Buffer {
  const buffer = Buffer.alloc(65536);
  const parts: Buffer[] = [];
  for (let n; (n = at.posix.recv(fd, buffer, MSG_DONTWAIT)) > 0;) parts.push(Buffer.from(buffer.subarray(0, n)));
  return Buffer.concat(parts);
}

/** Everything is closed, all time has passed: nothing may be left. */
function expectNothingLeft({ net, server, client }: Hosts): void {
  net.advance("200s");
  for (const host of [server, client]) {
    const used = Object.entries(host.pools()).filter(([name, pool]) => pool.used > 0 && name !== "timeWait");
    expect(Object.fromEntries(used.map(([name, pool]) => [name, pool.used])), host.name).to.deep.equal({});
    expect(
      host.nic.mbufsInUse().reduce((sum, n) => sum + n, 0),
      `${host.name}: mbufs`,
    ).to.equal(0);
    expect(host.nic.director.count, `${host.name}: rules`).to.equal(0);
    for (const { index, stack } of host.stacks) {
      expect(stack.core.flowEntries(index), `${host.name}: flows of ${index}`).to.equal(0);
      expect(stack.core.portEntries(index), `${host.name}: ports of ${index}`).to.equal(0);
    }
  }
}

describe("a host with several stacks", () => {
  it("has a flow on the same queue at both hosts when their key is symmetric", () => {
    const options: Partial<HostOptions> = { stacks: 4, rssKey: "symmetric" };
    const hosts = twoHosts(options, options);
    const listeners = hosts.server.stacks.map(({ posix }) => listener(posix, PORT, 200));
    const ends = open(hosts, 200);
    const portsOf = ({ at, fd }: End, call: "getsockname" | "getpeername"): string => {
      const name: { port?: number } = {};
      ok(at.posix[call](fd, name));
      return `${at.index}: ${name.port}`;
    };
    const accepted = hosts.server.stacks.flatMap((at, i) => acceptAll(at, listeners[i]!));
    const theirs = new Set(accepted.map((end) => portsOf(end, "getpeername")));
    for (const end of ends) expect(theirs).to.include(portsOf(end, "getsockname"));
    expect(theirs.size).to.equal(200);
  });

  it("chooses source ports whose answers come home, so that nothing is handed over", () => {
    const hosts = twoHosts({ stacks: 4 }, { stacks: 4 });
    const { net, server, client } = hosts;
    const listeners = server.stacks.map(({ posix }) => listener(posix, PORT, 200));
    const ends = open(hosts, 200);
    const accepted = server.stacks.map((at, i) => acceptAll(at, listeners[i]!));
    expect(accepted.flat()).to.have.lengthOf(200);
    for (const { at, fd } of ends) expect(at.posix.send(fd, pattern(100))).to.equal(100);
    net.settle();
    for (const end of accepted.flat()) expect(readAll(end)).to.deep.equal(pattern(100));
    for (const host of [server, client]) {
      const { out, copies } = host.counters().steer;
      expect(out, `${host.name}: handed over beside copies of ARP`).to.equal(copies);
    }
    for (const { at, fd } of [...ends, ...accepted.flat()]) ok(at.posix.close(fd));
    for (const [i, { posix }] of server.stacks.entries()) ok(posix.close(listeners[i]!));
    expectNothingLeft(hosts);
  });

  it("gives each stack that listens on a port its share, by the hash that its peers cannot choose", () => {
    const hosts = twoHosts({ stacks: 4 });
    const listeners = hosts.server.stacks.map(({ posix }) => listener(posix, PORT, 400));
    open(hosts, 400);
    const shares = hosts.server.stacks.map((at, i) => acceptAll(at, listeners[i]!).length);
    expect(shares.reduce((sum, n) => sum + n, 0)).to.equal(400);
    for (const share of shares) expect(share).to.be.within(60, 140);
  });

  it("serves with more stacks than queues: the NIC's share goes to all by hash", () => {
    const hosts = twoHosts({ stacks: 4, queues: 2 });
    const listeners = hosts.server.stacks.map(({ posix }) => listener(posix, PORT, 400));
    const ends = open(hosts, 400);
    const accepted = hosts.server.stacks.map((at, i) => acceptAll(at, listeners[i]!));
    for (const share of accepted) expect(share.length).to.be.within(60, 140);
    for (const { at, fd } of ends) ok(at.posix.send(fd, pattern(500)));
    hosts.net.advance("2s"); // what finds the NIC's queue full goes again
    for (const end of accepted.flat()) expect(readAll(end)).to.deep.equal(pattern(500));
    for (const { at, fd } of [...ends, ...accepted.flat()]) ok(at.posix.close(fd));
    for (const [i, { posix }] of hosts.server.stacks.entries()) ok(posix.close(listeners[i]!));
    expectNothingLeft(hosts);
  });

  it("connects from a stack without a queue: the answers are handed to it", () => {
    const hosts = twoHosts({}, { stacks: 3, queues: 1 });
    const from = listener(hosts.server.posix, PORT, 30);
    const ends = open(hosts, 30);
    const accepted = acceptAll(hosts.server.first, from);
    expect(accepted).to.have.lengthOf(30);
    for (const { at, fd } of accepted) ok(at.posix.send(fd, pattern(3000)));
    hosts.net.settle();
    for (const end of ends) expect(readAll(end)).to.deep.equal(pattern(3000));
    expect(hosts.client.counters().steer.in).to.be.above(40);
  });

  it("brings SYNs to the one stack that listens, by a rule of the NIC that goes with the listener", () => {
    const hosts = twoHosts({ stacks: 4 });
    const { server, client } = hosts;
    const at = server.stacks[2]!;
    const from = listener(at.posix, PORT, 50);
    expect(server.nic.director.count).to.equal(1);
    const ends = open(hosts, 50);
    expect(acceptAll(at, from)).to.have.lengthOf(50);
    expect(server.counters().steer.out).to.equal(server.counters().steer.copies);
    // A second stack listens: RSS shares the new ones out, the old ones stay where they are.
    const second = listener(server.stacks[1]!.posix, PORT, 50);
    expect(server.nic.director.count).to.equal(0);
    for (const end of ends) expect(end.at.posix.send(end.fd, pattern(10))).to.equal(10);
    hosts.net.settle();
    expect(server.counters().steer.out).to.be.above(server.counters().steer.copies!);
    expect(server.counters().tcp.outRsts).to.equal(0);
    ok(at.posix.close(from));
    ok(server.stacks[1]!.posix.close(second));
    const fd = client.posix.socket(AF_INET, SOCK_STREAM, 0);
    expect(client.posix.connect(fd, { address: SERVER, port: PORT })).to.equal(-ECONNREFUSED);
  });

  it("hands SYNs over in software when the NIC's rules are full, and pins what it accepts where it can", () => {
    const hosts = twoHosts({ stacks: 4 });
    const { director } = hosts.server.nic;
    for (let i = 0; i < 1024; i++) ok(director.listen("udp", 20_000 + i, 0));
    const at = hosts.server.stacks[3]!;
    const from = listener(at.posix, PORT, 50);
    const ends = open(hosts, 50);
    expect(acceptAll(at, from)).to.have.lengthOf(50);
    expect(hosts.server.counters().steer.out).to.be.above(50);
    for (let i = 0; i < 1024; i++) ok(director.unlisten("udp", 20_000 + i));
    ends.push(...open(hosts, 40));
    expect(acceptAll(at, from)).to.have.lengthOf(40);
    expect(director.count, "rules for connections that RSS would bring elsewhere").to.be.within(20, 40);
    for (const { at: by, fd } of ends) ok(by.posix.close(fd));
  });

  it("loses no connection while the redirection table moves under load", () => {
    const seed = seedOf(7);
    const dice = chance(seed);
    const hosts = twoHosts({ stacks: 4 }, { stacks: 2 }, seed);
    const { net, server, client } = hosts;
    const listeners = server.stacks.map(({ posix }) => listener(posix, PORT, 100));
    const ends = open(hosts, 100);
    const accepted = server.stacks.flatMap((at, i) => acceptAll(at, listeners[i]!));
    expect(accepted).to.have.lengthOf(100);
    const buffer = Buffer.alloc(65536);
    let echoed = 0;
    let sent = 0;
    let received = 0;
    for (let round = 0; round < 60; round++) {
      for (const { at, fd } of ends) sent += Math.max(0, at.posix.send(fd, pattern(700, round)));
      for (let beat = 0; beat < 6; beat++) {
        // In the middle of it all, with frames in the queues.
        const moved = Object.fromEntries(Array.from({ length: 32 }, () => [dice(128), dice(4)]));
        server.nic.rss.setReta(moved);
        client.nic.rss.setReta({ [dice(128)]: dice(2), [dice(128)]: dice(2) });
        net.step();
        for (const { at, fd } of accepted) {
          const n = at.posix.recv(fd, buffer, MSG_DONTWAIT);
          if (n !== -EAGAIN) echoed += ok(at.posix.send(fd, buffer.subarray(0, ok(n))));
        }
      }
    }
    net.advance("5s");
    for (const { at, fd } of accepted) {
      const n = at.posix.recv(fd, buffer, MSG_DONTWAIT);
      if (n > 0) echoed += ok(at.posix.send(fd, buffer.subarray(0, n)));
    }
    net.advance("5s");
    for (const end of ends) received += readAll(end).length;
    expect({ echoed, received }).to.deep.equal({ echoed: sent, received: sent });
    expect(server.counters().steer.out).to.be.above(1000);
    expect(server.counters().tcp.outRsts! + client.counters().tcp.outRsts!).to.equal(0);
    for (const { at, fd } of [...ends, ...accepted]) ok(at.posix.close(fd));
    for (const [i, { posix }] of server.stacks.entries()) ok(posix.close(listeners[i]!));
    expectNothingLeft(hosts);
  });

  it("gives the same bytes for the same seed", () => {
    const run = (): object => {
      const hosts = twoHosts({ stacks: 3, link: { loss: 0.05, delay: "1ms" } }, { stacks: 2 }, 42);
      const listeners = hosts.server.stacks.map(({ posix }) => listener(posix, PORT, 50));
      const ends = open(hosts, 20);
      hosts.net.advance("2s");
      for (const { at, fd } of ends) at.posix.send(fd, pattern(10_000));
      hosts.server.nic.rss.setReta({ 3: 0, 17: 1, 50: 2 });
      hosts.net.advance("3s");
      const read = hosts.server.stacks.flatMap((at, i) =>
        acceptAll(at, listeners[i]!).map((end) => readAll(end).length),
      );
      return { read, now: hosts.net.now(), counters: hosts.server.counters(), xstats: hosts.client.xstats() };
    };
    expect(run()).to.deep.equal(run());
  });

  it("keeps a 4-tuple to one stack, whoever asks for it", () => {
    const hosts = twoHosts({}, { stacks: 2 });
    listener(hosts.server.posix, PORT, 10);
    const results = hosts.client.stacks.map(({ posix }) => {
      const fd = ok(posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      ok(posix.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
      ok(posix.bind(fd, { port: 5555 }));
      return posix.connect(fd, { address: SERVER, port: PORT });
    });
    expect(results[1]).to.equal(-EADDRNOTAVAIL);
    expect(hosts.client.counters().steer.clashes).to.equal(1);
  });

  it("lets a bound port's connection come by a rule, and takes the rule back", () => {
    const hosts = twoHosts({}, { stacks: 8 });
    const from = listener(hosts.server.posix, PORT, 80);
    const ends: End[] = [];
    for (let i = 0; i < 40; i++) {
      const at = hosts.client.stacks[i % 8]!;
      const fd = ok(at.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      ok(at.posix.bind(fd, { port: 6000 + i }));
      at.posix.connect(fd, { address: SERVER, port: PORT });
      hosts.net.settle();
      ends.push({ at, fd });
    }
    const accepted = acceptAll(hosts.server.first, from);
    expect(accepted).to.have.lengthOf(40);
    expect(hosts.client.nic.director.count).to.be.within(25, 40);
    expect(hosts.client.counters().steer.out).to.equal(hosts.client.counters().steer.copies);
    for (const { at, fd } of [...ends, ...accepted]) ok(at.posix.close(fd));
    ok(hosts.server.posix.close(from));
    expectNothingLeft(hosts);
  });

  it("connects its stacks with one another over the loopback", () => {
    const hosts = twoHosts({ stacks: 3 });
    const [a, b] = hosts.server.stacks as [HostStack, HostStack];
    const from = listener(b.posix, PORT, 10);
    const fd = ok(a.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    a.posix.connect(fd, { address: SERVER, port: PORT });
    hosts.net.settle();
    const [end] = acceptAll(b, from);
    ok(a.posix.send(fd, pattern(20_000)));
    hosts.net.settle();
    expect(readAll(end!)).to.deep.equal(pattern(20_000));
    ok(a.posix.close(fd));
    ok(b.posix.close(end!.fd));
    ok(b.posix.close(from));
    expectNothingLeft(hosts);
  });

  it("answers ARP and echo once, and tells all its stacks of a neighbour", () => {
    const hosts = twoHosts({ stacks: 4 });
    const { server, client, net } = hosts;
    const from = listener(server.stacks[3]!.posix, PORT, 4);
    open(hosts, 1);
    acceptAll(server.stacks[3]!, from);
    expect(server.counters().arp.outReplies).to.equal(1);
    expect(server.counters().arp.outRequests, "the others know the client").to.equal(0);
    const fd = server.stacks[1]!.posix.socket(AF_INET, SOCK_DGRAM, 0);
    ok(server.stacks[1]!.posix.sendto(fd, pattern(10), 0, { address: client.address, port: 9 }));
    net.settle();
    expect(server.counters().arp.outRequests).to.equal(0);
    expect(server.counters().arp.outAnnouncements).to.equal(1);
  });

  it("brings UDP to the stack that has the port, in fragments too, and errors to the one that asked", () => {
    const hosts = twoHosts({ stacks: 4 }, { stacks: 3 });
    const { server, client, net } = hosts;
    const at = server.stacks[2]!.posix;
    const to = datagramSocket(at, 53);
    const buffer = Buffer.alloc(65536);
    for (let i = 0; i < 30; i++) {
      const by = client.stacks[i % 3]!.posix;
      const fd = ok(by.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
      const size = i % 2 === 0 ? 100 : 9000;
      ok(by.connect(fd, { address: SERVER, port: 53 }));
      ok(by.send(fd, pattern(size, i)));
      net.settle();
      const peer = { family: 0, address: "", port: 0 };
      expect(at.recvfrom(to, buffer, 0, peer), `datagram ${i}`).to.equal(size);
      expect(buffer.subarray(0, size)).to.deep.equal(pattern(size, i));
      ok(at.sendto(to, pattern(size, i + 1), 0, peer));
      net.settle();
      expect(by.recv(fd, buffer), `answer ${i}`).to.equal(size);
      expect(buffer.subarray(0, size)).to.deep.equal(pattern(size, i + 1));
      ok(by.connect(fd, { address: SERVER, port: 9 }));
      ok(by.send(fd, pattern(1)));
      net.settle();
      expect(by.recv(fd, buffer), `error ${i}`).to.equal(-ECONNREFUSED);
      ok(by.close(fd));
    }
    ok(at.close(to));
    expectNothingLeft(hosts);
  });

  it("gives broadcasts to every stack that listens", () => {
    const hosts = twoHosts({ stacks: 4 });
    const fds = hosts.server.stacks.map(({ posix }) => datagramSocket(posix, 67));
    const fd = ok(hosts.client.posix.socket(AF_INET, SOCK_DGRAM, 0));
    ok(hosts.client.posix.setsockopt(fd, SOL_SOCKET, 6, 1)); // SO_BROADCAST
    ok(hosts.client.posix.sendto(fd, pattern(99), 0, { address: "10.0.0.255", port: 67 }));
    hosts.net.settle();
    const buffer = Buffer.alloc(200);
    for (const [i, { posix }] of hosts.server.stacks.entries()) expect(posix.recv(fds[i]!, buffer)).to.equal(99);
  });

  it("finds each of many flows that share their first bucket in the flow table, and forgets them all", () => {
    const hosts = twoHosts({ stacks: 2, rules: 1, rssTypes: [], stack: { ...SMALL, sockets: 512 } });
    const { net, server, client } = hosts;
    // All arrive at the first stack; all belong to the second.
    const owner = server.stacks[1]!;
    const other = server.stacks[0]!;
    const flows: { fd: number; local: number; remote: number }[] = [];
    const add = (local: number): void => {
      // The exclusive or of the ports is always the same.
      const remote = local ^ 0x4000;
      const fd = datagramSocket(owner.posix, local);
      ok(owner.posix.connect(fd, { address: "10.0.0.2", port: remote }));
      flows.push({ fd, local, remote });
    };
    for (let i = 0; i < 300; i++) add(20_000 + i);
    const entries = (): number => other.stack.core.flowEntries(owner.index);
    expect(entries()).to.equal(300);
    const { clashes, noEntry } = server.counters().steer;
    expect({ clashes, noEntry }).to.deep.equal({ clashes: 0, noEntry: 0 });
    const unconnected = datagramSocket(other.posix, 20_000);
    const reach = (): void => {
      for (const { fd, local, remote } of flows) {
        const by = datagramSocket(client.posix, remote);
        ok(client.posix.sendto(by, Buffer.from(`to ${local}`), 0, { address: SERVER, port: local }));
        net.settle();
        expect(readText(owner.posix, fd)).to.equal(`to ${local}`);
        ok(client.posix.close(by));
      }
    };
    reach();
    expect(server.counters().steer.out).to.be.at.least(300);
    // Those in the middle of a search go, others come in their place.
    for (const { fd } of flows.splice(0, 250)) ok(owner.posix.close(fd));
    reach();
    for (let i = 0; i < 100; i++) add(30_000 + i);
    reach();
    for (const { fd } of flows.splice(0)) ok(owner.posix.close(fd));
    ok(other.posix.close(unconnected));
    expect(entries()).to.equal(0);
  });

  it("takes SYN cookies back wherever they arrive", () => {
    const hosts = twoHosts({ stacks: 4, sysctl: { tcp_syncookies: 2 } });
    const { net, server, client } = hosts;
    const listeners = server.stacks.map(({ posix }) => listener(posix, PORT, 100));
    for (let i = 0; i < 40; i++) {
      const fd = ok(client.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      client.posix.connect(fd, { address: SERVER, port: PORT });
      net.step();
      net.step();
      server.nic.rss.setReta(Array.from({ length: 128 }, (_, k) => (k + i) % 4));
      net.settle();
    }
    net.advance("3s");
    const accepted = server.stacks.flatMap((at, i) => acceptAll(at, listeners[i]!));
    expect(server.counters().tcp.synCookiesRecv).to.equal(40);
    expect(accepted).to.have.lengthOf(40);
  });

  it("listens with all its stacks as one socket; accept takes from the one with the fewest connections", () => {
    const hosts = twoHosts({ stacks: 3 });
    const { net, server } = hosts;
    const shadow = server.listen({ port: PORT, backlog: 100 });
    expect(shadow.accept()).to.equal(-EAGAIN);
    expect(() => server.listen({ port: PORT })).to.throw(/bind\(\) on stack "server#0" failed with EADDRINUSE/);
    // Most of them come to the first stack.
    server.nic.rss.setReta(Array.from({ length: 128 }, (_, i) => (i % 8 === 0 ? 1 : i % 8 === 1 ? 2 : 0)));
    const ends = open(hosts, 80);
    expect(shadow.pending).to.equal(80);
    const counts = server.stacks.map(({ stack }) => stack.core.currEstab());
    expect(counts[0])
      .to.be.above(2 * counts[1]!)
      .and.above(2 * counts[2]!);
    const few = counts[1]! <= counts[2]! ? 1 : 2;
    const accepted: End[] = [];
    for (let one; typeof (one = shadow.accept(SOCK_NONBLOCK)) === "object";)
      accepted.push({ at: one.stack, fd: one.fd });
    expect(accepted).to.have.lengthOf(80);
    const order = accepted.map(({ at }) => at.index);
    expect(order.slice(0, counts[few]), "the one with the fewest first").to.deep.equal(Array(counts[few]).fill(few));
    expect(order.slice(-counts[0]!), "the one with the most last").to.deep.equal(Array(counts[0]).fill(0));
    for (const { at, fd } of [...ends, ...accepted]) ok(at.posix.close(fd));
    shadow.close();
    expect(server.listen({ port: 0 }).port).to.be.above(1023);
    net.settle();
    const fd = hosts.client.posix.socket(AF_INET, SOCK_STREAM, 0);
    expect(hosts.client.posix.connect(fd, { address: SERVER, port: PORT })).to.equal(-ECONNREFUSED);
  });

  it("refuses numbers of stacks that cannot be, and routers with several or with a NIC that merges", () => {
    const net = createNetwork({ time: "virtual" });
    for (const stacks of [0, 65, 1.5]) {
      expect(() => net.host("h", { address: "10.0.0.1/24", stacks })).to.throw(
        /"stacks" is .*; expected a whole number/,
      );
    }
    const router = { address: "10.0.0.1/24", stacks: 2, stack: { forwarding: true } };
    expect(() => net.host("h", router)).to.throw(/"stacks" is 2; expected 1 for a host that forwards/);
    const merging = { ...router, stacks: 1, offloads: { lro: true } };
    expect(() => net.host("h", merging)).to.throw(/"stack.forwarding" is true; expected false where the NIC merges/);
    expect(net.host("h", { ...merging, offloads: {} }).name).to.equal("h");
  });
});
